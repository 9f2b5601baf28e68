# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's passthrough load balancer with real packets: who answers, from which address, and for how long.

What Google documents of it is in docs/gce-api.md.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from busy import Watch, until

from ansible_collections.cloudha.vip.tests.node import vpc_stage
from ansible_collections.cloudha.vip.tests.node.vpc_stage import (
    ADDRESSES,
    ANSWER_S,
    EXTERNAL,
    HEALTH,
    SERVING,
    SILENCE_S,
    VIP,
    Stage,
    again,
    silent,
)
from lab.gce import balance
from lab.gce.balancers import Backend, Check, Failover, Rule, Service
from lab.gce.firewall import Filter
from lab.gce.probes import PROBERS, Probes, of_services

TCP, UDP = 6, 17
RULE = Rule("web", VIP, "TCP", (SERVING,), False, "us-central1")
CHECK = Check("HTTP", HEALTH, "/healthz", "", "", 1, 1, 2, 2)
FAST = replace(CHECK, interval_s=0.2, timeout_s=0.2)
WEB = Service(
    name="web",
    region="us-central1",
    scheme="INTERNAL",
    network="ip-failover",
    rules=(RULE,),
    backends=(Backend("node1", "group"), Backend("node2", "group")),
    health_check=FAST,
)
UDP_WEB = replace(WEB, rules=(replace(RULE, protocol="UDP"),))
PAIR = replace(WEB, backends=(Backend("node1", "one"), Backend("node2", "two", True)), failover=Failover())
BOTH = ("node1", "node2")


@pytest.fixture(scope="module")
def _whole_stage() -> Iterator[Stage]:
    with vpc_stage.stage() as made:
        yield made


@pytest.fixture
def stage(_whole_stage: Stage) -> Stage:
    _whole_stage.reset()
    return _whole_stage


def others(name: str) -> str:
    return "node2" if name == "node1" else "node1"


def shares(stage: Stage, count: int = 48, client: str = "client1") -> Counter[str]:
    return Counter(stage.who(client) for _each in range(count))


# --- packets


def test_a_packet_keeps_its_addresses_and_is_answered_directly(stage: Stage) -> None:
    stage.balance(WEB, healthy=BOTH)
    with stage.connect() as connection:
        assert connection.getpeername()[0] == VIP
        name = again(connection)
        assert stage.nodes[name].seen == [(ADDRESSES["client1"], VIP)]
    assert stage.nodes[others(name)].seen == []


def test_without_a_load_balancer_its_address_leads_nowhere(stage: Stage) -> None:
    assert stage.lost()
    stage.balance(WEB, healthy=BOTH)
    assert stage.who() in BOTH
    assert stage.lost(port=HEALTH), "a port that no rule has"
    stage.balance(healthy=BOTH)
    assert stage.lost()


def test_new_connections_are_spread_and_each_stays_where_it_is(stage: Stage) -> None:
    stage.balance(WEB, healthy=BOTH)
    found = shares(stage)
    assert set(found) == set(BOTH) and min(found.values()) >= 8, found
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(stage.connect()) for _each in range(12)]
        first = [again(each) for each in connections]
        assert set(first) == set(BOTH)
        stage.balance(replace(WEB, backends=(*WEB.backends, Backend("node3", "group"))), healthy=vpc_stage.NODES)
        assert [again(each) for each in connections] == first
    assert set(shares(stage)) == set(vpc_stage.NODES)


def test_a_rule_for_all_ports_and_one_for_all_protocols(stage: Stage) -> None:
    stage.balance(replace(WEB, rules=(replace(RULE, ports=None),)), healthy=["node2"])
    assert {stage.who(), stage.who()} == {"node2"}
    with stage.connect(port=HEALTH) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert b"200 OK" in connection.recv(999)
    assert silent(stage.ear()), "the rule is for TCP"
    everything = replace(WEB, rules=(replace(RULE, protocol="L3_DEFAULT", ports=None),))
    stage.balance(everything, healthy=["node1"])
    assert stage.who() == "node1" and again(stage.ear()) == "node1"
    assert stage.pings("client1", VIP)
    beside = replace(WEB, name="beside", backends=WEB.backends[1:])
    stage.balance(everything, beside, healthy=BOTH)
    assert {stage.who() for _each in range(6)} == {"node2"}, "the rule with the protocol wins"


def test_two_protocols_on_one_address_are_two_services(stage: Stage) -> None:
    stage.balance(
        replace(WEB, backends=WEB.backends[:1]),
        replace(UDP_WEB, name="udp", backends=WEB.backends[1:]),
        healthy=BOTH,
    )
    assert stage.who() == "node1" and again(stage.ear()) == "node2"


def test_a_backend_that_calls_the_address_talks_to_itself(stage: Stage) -> None:
    stage.balance(WEB, healthy=["node2"], senders=("client1", *BOTH))
    for name in BOTH:
        assert stage.who(name) == name, "even if it is unhealthy"


def test_only_a_backend_may_send_from_the_address(stage: Stage) -> None:
    def heard(name: str) -> bool:
        ear, mouth = stage.socket("client1", socket.SOCK_DGRAM), stage.socket(name, socket.SOCK_DGRAM)
        ear.bind(("", 9999))
        mouth.bind((VIP, 9999))
        mouth.sendto(b"!", (ADDRESSES["client1"], 9999))
        ear.settimeout(SILENCE_S if name == "node3" else ANSWER_S)
        with ear, mouth, contextlib.suppress(TimeoutError):
            return ear.recv(9) == b"!"
        return False

    stage.balance(WEB, healthy=BOTH)
    assert heard("node1") and not heard("node3")


def test_a_client_in_another_region_needs_global_access(stage: Stage) -> None:
    # Whose packets a rule takes is for lab.gce.routing to say; the router obeys.
    stage.balance(WEB, healthy=BOTH)
    assert stage.lost("client2")
    stage.balance(WEB, healthy=BOTH, senders=("client1", "client2"))
    assert stage.who("client2") in BOTH


def test_an_external_address_is_for_a_client_outside(stage: Stage) -> None:
    rule = replace(RULE, address=EXTERNAL)
    stage.balance(replace(WEB, scheme="EXTERNAL", rules=(rule,)), healthy=BOTH, senders=("outside1",))
    assert {stage.who("outside1", EXTERNAL) for _each in range(12)} == set(BOTH)
    assert stage.lost("client1", EXTERNAL)
    name = stage.who("outside1", EXTERNAL)
    assert stage.nodes[name].seen[-1] == (ADDRESSES["outside1"], EXTERNAL)


# --- session affinity


def test_an_affinity_chooses_by_less_than_a_connection(stage: Stage) -> None:
    stage.balance(replace(WEB, affinity="CLIENT_IP"), healthy=BOTH)
    assert len(shares(stage, 12)) == 1
    udp = replace(UDP_WEB, name="udp", affinity="CLIENT_IP")
    stage.balance(replace(WEB, affinity="CLIENT_IP"), udp, healthy=BOTH)
    assert {again(stage.ear()) for _each in range(6)} == set(shares(stage, 1)), "the protocol does not matter"


def test_a_client_stays_with_its_backend_when_another_one_goes(stage: Stage) -> None:
    three = replace(WEB, affinity="CLIENT_IP", backends=(*WEB.backends, Backend("node3", "group")))
    stage.balance(three, healthy=vpc_stage.NODES)
    name = stage.who()
    for other in vpc_stage.NODES:
        if other != name:
            stage.balance(three, healthy=[each for each in vpc_stage.NODES if each != other])
            assert stage.who() == name
    stage.balance(three, healthy=[each for each in vpc_stage.NODES if each != name])
    assert stage.who() != name


@pytest.mark.parametrize("tracking", ["PER_CONNECTION", "PER_SESSION"])
def test_a_session_is_remembered_and_a_hash_is_not(stage: Stage, tracking: str) -> None:
    service = replace(WEB, affinity="CLIENT_IP", tracking=tracking)
    stage.balance(service, healthy=BOTH)
    chosen = stage.who()
    stage.balance(service, healthy=[others(chosen)])
    assert stage.who() == others(chosen), "a session does not stay with an unhealthy backend"
    stage.balance(service, healthy=BOTH)
    assert stage.who() == (chosen if tracking == "PER_CONNECTION" else others(chosen))
    stage.balance(service, healthy=[chosen])
    stage.balance(service, healthy=BOTH)
    assert stage.who() == chosen, "what is lost is not remembered"


def test_a_session_that_was_idle_for_too_long_is_forgotten(stage: Stage) -> None:
    service = replace(WEB, affinity="CLIENT_IP", tracking="PER_SESSION", idle_s=2)
    stage.balance(service, healthy=BOTH)
    chosen = stage.who()
    stage.balance(service, healthy=[others(chosen)])
    assert stage.who() == others(chosen)
    stage.balance(service, healthy=BOTH)
    watch = Watch()
    for _each in range(3):
        time.sleep(0.8)
        watch.holds(stage.who() == others(chosen), "it was not idle for so long")
    time.sleep(2.5)
    watch.holds(stage.who() == chosen, "it was idle for longer")


# --- an unhealthy backend


def test_tcp_persists_on_an_unhealthy_backend_and_new_connections_do_not(stage: Stage) -> None:
    stage.balance(WEB, healthy=BOTH)
    with stage.connect() as connection:
        name = again(connection)
        stage.balance(WEB, healthy=[others(name)])
        assert [again(connection) for _each in range(3)] == [name] * 3
        assert set(shares(stage, 8)) == {others(name)}
        stage.balance(WEB, healthy=BOTH)
        assert again(connection) == name


def test_udp_does_not_persist_on_an_unhealthy_backend(stage: Stage) -> None:
    stage.balance(UDP_WEB, healthy=BOTH)
    ears = [stage.ear() for _each in range(16)]
    first = [again(each) for each in ears]
    assert set(first) == set(BOTH)
    stage.balance(UDP_WEB, healthy=["node2"])
    assert [again(each) for each in ears] == ["node2"] * 16
    stage.balance(UDP_WEB, healthy=BOTH)
    assert [again(each) for each in ears] == ["node2"] * 16, "a connection that is known stays"


@pytest.mark.parametrize(
    ("persistence", "protocol", "stays"),
    [("NEVER_PERSIST", "TCP", False), ("ALWAYS_PERSIST", "TCP", True), ("ALWAYS_PERSIST", "UDP", True)],
)
def test_the_persistence_that_was_asked_for(stage: Stage, persistence: str, protocol: str, stays: bool) -> None:
    service = replace(WEB if protocol == "TCP" else UDP_WEB, persistence=persistence)
    stage.balance(service, healthy=BOTH)
    with stage.connect() if protocol == "TCP" else stage.ear() as connection:
        name = again(connection)
        stage.balance(service, healthy=[others(name)])
        assert again(connection) == (name if stays else "reset")


def test_a_connection_that_begins_goes_to_the_healthy_one_when_it_is_known(stage: Stage) -> None:
    stage.do(stage.vpc.set_carrier, "node1", False)
    try:
        connection, watch = stage.socket("client1"), Watch()
        waiting = threading.Thread(target=lambda: connection.connect((VIP, SERVING)), daemon=True)
        stage.balance(WEB, healthy=["node1"])
        waiting.start()
        time.sleep(0.3)
        assert waiting.is_alive(), "it is for node1, which is not there"
        stage.balance(WEB, healthy=["node2"])
        waiting.join(8)
        watch.at_most(8)
        assert again(connection) == "node2", "the next packet of its first ones went to the other backend"
    finally:
        stage.do(stage.vpc.set_carrier, "node1", True)


# --- failover


@pytest.mark.parametrize(
    ("healthy", "drop", "served"),
    [
        (("node1", "node2"), False, {"node1"}),
        (("node2",), False, {"node2"}),
        ((), False, {"node1"}),
        ((), True, set()),
        (("node1",), True, {"node1"}),
    ],
)
def test_the_active_pool(stage: Stage, healthy: tuple[str, ...], drop: bool, served: set[str]) -> None:
    stage.balance(replace(PAIR, failover=Failover(drop=drop)), healthy=healthy)
    assert set(shares(stage, 4)) == served if served else stage.lost()


def test_without_failover_all_unhealthy_backends_are_the_last_resort(stage: Stage) -> None:
    stage.balance(WEB, healthy=())
    assert set(shares(stage)) == set(BOTH)


def test_the_ratio_of_healthy_primary_backends_decides(stage: Stage) -> None:
    backends = (*WEB.backends, Backend("node3", "backup", True))
    for ratio, served in ((0.5, {"node1"}), (0.6, {"node3"})):
        service = replace(WEB, backends=backends, failover=Failover(ratio))
        stage.balance(service, healthy=("node1", "node3"))
        assert set(shares(stage, 6)) == served, ratio
    stage.balance(replace(WEB, backends=backends, failover=Failover(1)), healthy=("node1",))
    assert set(shares(stage, 6)) == {"node1"}, "a backup that is unhealthy takes nothing over"


def test_a_fail_back_takes_new_connections_and_leaves_the_others(stage: Stage) -> None:
    stage.balance(PAIR, healthy=["node2"])
    with stage.connect() as connection:
        assert again(connection) == "node2"
        stage.balance(PAIR, healthy=BOTH)
        assert stage.who() == "node1" and again(connection) == "node2"


def test_a_fail_back_takes_all_that_is_not_tcp(stage: Stage) -> None:
    service = replace(PAIR, rules=UDP_WEB.rules)
    stage.balance(service, healthy=["node2"])
    ear = stage.ear()
    assert again(ear) == "node2"
    stage.balance(service, healthy=BOTH)
    assert again(ear) == "node1"


def test_a_drain_after_a_failover_ends(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(balance, "FAILOVER_DRAIN_S", 1)
    stage.balance(PAIR, healthy=["node2"])
    with stage.connect() as connection:
        again(connection)
        watch = Watch()
        stage.balance(PAIR, healthy=BOTH)
        watch.holds(again(connection) == "node2", "it is drained")
        time.sleep(1.1)
        stage.balance(PAIR, healthy=BOTH)
        assert again(connection) == "reset"


@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
def test_a_failover_without_draining_ends_connections_at_once(stage: Stage, protocol: str) -> None:
    service = replace(PAIR, rules=(replace(RULE, protocol=protocol),), failover=Failover(drain=False))
    stage.balance(service, healthy=["node1"])
    with stage.connect() if protocol == "TCP" else stage.ear() as connection:
        assert again(connection) == "node1"
        stage.balance(service, healthy=["node2"])
        assert again(connection) == ("reset" if protocol == "TCP" else "node2")


def test_a_backend_that_is_removed_is_drained(stage: Stage) -> None:
    service = replace(WEB, drain_s=1)
    stage.balance(service, healthy=BOTH)
    with stage.connect() as connection:
        name = again(connection)
        left = replace(service, backends=tuple(each for each in WEB.backends if each.instance != name))
        watch = Watch()
        stage.balance(left, healthy=[others(name)])
        watch.holds(again(connection) == name, "it is drained")
        assert set(shares(stage, 8)) == {others(name)}
        time.sleep(1.1)
        stage.balance(left, healthy=[others(name)])
        assert again(connection) == "reset"


def test_a_backend_that_is_removed_without_draining_is_gone(stage: Stage) -> None:
    stage.balance(WEB, healthy=BOTH)
    with stage.connect() as connection:
        name = again(connection)
        left = replace(WEB, backends=tuple(each for each in WEB.backends if each.instance != name))
        stage.balance(left, healthy=[others(name)])
        assert again(connection) == "reset"


def test_a_long_download_survives_the_fail_back_byte_by_byte(stage: Stage) -> None:
    sent = b"".join(number.to_bytes(4, "big") for number in range(500_000))

    def give(connection: socket.socket) -> None:
        connection.recv(1)
        for begin in range(0, len(sent), 4000):
            connection.sendall(sent[begin : begin + 4000])
            time.sleep(0.001)

    stage.serve("node2", 8081, give)
    service = replace(PAIR, rules=(replace(RULE, ports=(SERVING, 8081)),))
    stage.balance(service, healthy=["node2"])
    with stage.connect(port=8081) as connection:
        connection.sendall(b"?")
        got = connection.recv(4000)
        stage.balance(service, healthy=BOTH)
        while piece := connection.recv(65536):
            got += piece
    assert got == sent and stage.who() == "node1"


# --- probes


@contextlib.contextmanager
def probing(stage: Stage, *services: Service) -> Iterator[tuple[Probes, dict[tuple[str, str], str]]]:
    """Probes of these services as long as the block lasts, and the health that they find."""
    health: dict[tuple[str, str], str] = {}
    senders = {rule: ("client1",) for each in services for rule in each.rules}
    following = [services]

    def changed() -> None:
        stage.vpc.balance(following[0], dict(health), senders)

    probes = Probes(stage.vpc.probe, health, threading.RLock(), changed)

    def follow() -> None:
        # Threads are in the namespaces of the one that starts them.
        changed()
        probes.follow(of_services(services))

    stage.do(follow)
    try:
        yield probes, health
    finally:
        following[0] = ()
        probes.close()


def states(health: dict[tuple[str, str], str]) -> dict[str, str]:
    return {instance: state for (_service, instance), state in health.items()}


def test_probes_reach_each_backend_at_the_rules_address_at_the_real_interval(stage: Stage) -> None:
    watch = Watch()
    with probing(stage, replace(WEB, health_check=CHECK)) as (_probes, health):
        until(lambda: states(health) == {"node1": "HEALTHY", "node2": "HEALTHY"}, 5)
        until(lambda: all(len(stage.nodes[name].probed) >= 4 for name in BOTH), 6)
    for name in BOTH:
        seen = stage.nodes[name].probed
        assert {each["to"] for each in seen} == {VIP}
        assert [each["from"] for each in seen[:4]] == [*PROBERS["INTERNAL"], *PROBERS["INTERNAL"]]
        steps = [after["at"] - before["at"] for before, after in itertools.pairwise(seen)]
        watch.holds(0.9 < statistics.median(steps) < 1.1, f"the interval is a second: {steps}")
        assert seen[0]["head"].startswith(f"GET /healthz HTTP/1.1\r\nHost: {VIP}\r\n")


def test_a_backend_is_unhealthy_until_enough_probes_were_answered(stage: Stage) -> None:
    watch = Watch()
    with probing(stage, replace(WEB, health_check=replace(FAST, healthy=3))) as (probes, health):
        until(lambda: states(health) == {"node1": "HEALTHY", "node2": "HEALTHY"}, 5)
        found = [each["health"] for each in probes.history if each["instance"] == "node1"]
        watch.holds(found == ["UNHEALTHY", "HEALTHY"], f"the first probes are good: {found}")
        assert len(stage.nodes["node1"].probed) >= 3


@pytest.mark.parametrize(
    ("change", "check", "detected"),
    [
        ({"status": "503 Down"}, FAST, True),
        ({"status": "301 Elsewhere"}, FAST, True),
        ({"silent": True}, FAST, True),
        ({"silent": True}, replace(FAST, kind="TCP"), False),
        ({"body": "bad\n"}, replace(FAST, response="fine"), True),
        ({"body": "x" * 1024 + "fine"}, replace(FAST, response="fine"), True),
        ({"body": "x" * 1000 + "fine"}, replace(FAST, response="fine"), False),
    ],
)
def test_what_a_check_detects(stage: Stage, change: dict[str, Any], check: Check, detected: bool) -> None:
    with probing(stage, replace(WEB, health_check=check)) as (_probes, health):
        until(lambda: states(health) == {"node1": "HEALTHY", "node2": "HEALTHY"}, 5)
        for name, value in change.items():
            setattr(stage.nodes["node1"], name, value)
        if detected:
            until(lambda: states(health)["node1"] == "UNHEALTHY", 5)
            # What the probes find is in force at once.
            until(lambda: set(shares(stage, 6)) == {"node2"}, 5)
        else:
            before = len(stage.nodes["node1"].probed)
            until(lambda: len(stage.nodes["node1"].probed) > before + 5, 5)
        until(lambda: states(health) == {"node1": "UNHEALTHY" if detected else "HEALTHY", "node2": "HEALTHY"}, 5)


def test_a_port_that_is_closed_is_detected_by_a_check_of_tcp(stage: Stage) -> None:
    closed = replace(FAST, kind="TCP", port=1, healthy=1)
    with probing(stage, replace(WEB, health_check=closed)) as (_probes, health):
        until(lambda: states(health) == {"node1": "UNHEALTHY", "node2": "UNHEALTHY"}, 5)


def test_a_changed_check_is_in_force_at_once_and_the_verdict_stays(stage: Stage) -> None:
    slow, watch = replace(CHECK, interval_s=300, healthy=1), Watch()
    with probing(stage, replace(WEB, health_check=slow)) as (probes, health):
        until(lambda: states(health) == {"node1": "HEALTHY", "node2": "HEALTHY"}, 5)
        probes.follow(of_services([replace(WEB, health_check=FAST)]))
        until(lambda: len(stage.nodes["node1"].probed) > 3, 5)
        watch.holds([each["health"] for each in probes.history] == ["HEALTHY"] * 2, "nothing changed")
        probes.follow({})
        assert health == {}


@pytest.mark.parametrize("allowed", [(), ("35.191.0.0/16",), ("35.191.0.0/16", "130.211.0.0/22")])
def test_probes_need_a_firewall_rule_for_all_their_ranges(stage: Stage, allowed: tuple[str, ...]) -> None:
    let_in = (Filter(True, TCP, (str(HEALTH),), allowed),) if allowed else ()
    stage.allow({name: (Filter(True, TCP, (str(SERVING),), ("10.0.0.0/8",)), *let_in) for name in BOTH})
    with probing(stage, WEB) as (_probes, health):
        if len(allowed) == 2:
            until(lambda: states(health) == {"node1": "HEALTHY", "node2": "HEALTHY"}, 5)
            return
        time.sleep(2)
        until(lambda: states(health) == {"node1": "UNHEALTHY", "node2": "UNHEALTHY"})
        assert {each["from"] for each in stage.nodes["node1"].probed} == ({"35.191.0.1"} if allowed else set())
        assert stage.who() in BOTH, "the last resort; what clients need is not what probers need"


def test_an_external_load_balancer_has_other_probers(stage: Stage) -> None:
    service = replace(WEB, scheme="EXTERNAL", rules=(replace(RULE, address=EXTERNAL),))
    with probing(stage, service):
        until(lambda: len(stage.nodes["node1"].probed) >= 3, 5)
    assert {each["from"] for each in stage.nodes["node1"].probed} == set(PROBERS["EXTERNAL"])


def test_whom_no_client_reaches_no_prober_reaches(stage: Stage) -> None:
    everybody = [name for name in ADDRESSES if name not in ("node1", "controller")]
    with probing(stage, WEB) as (_probes, health):
        until(lambda: states(health) == {"node1": "HEALTHY", "node2": "HEALTHY"}, 5)
        stage.do(stage.vpc.cut, "node1", everybody, True)
        try:
            until(lambda: states(health)["node1"] == "UNHEALTHY", 5)
        finally:
            stage.do(stage.vpc.cut, "node1", everybody, False)
        until(lambda: states(health)["node1"] == "HEALTHY", 5)
        stage.do(stage.vpc.cut, "node1", ["node2"], True)
        try:
            before = len(stage.nodes["node1"].probed)
            until(lambda: len(stage.nodes["node1"].probed) > before + 3, 5)
        finally:
            stage.do(stage.vpc.cut, "node1", ["node2"], False)


# --- the firewall


def test_nothing_comes_in_that_no_rule_allows(stage: Stage) -> None:
    assert stage.who(address=ADDRESSES["node1"]) == "node1"
    stage.allow({"node1": ()})
    assert stage.lost(address=ADDRESSES["node1"]) and not stage.pings("client1", ADDRESSES["node1"], SILENCE_S)
    assert stage.who(address=ADDRESSES["node2"]) == "node2"
    assert stage.who("node1", ADDRESSES["node2"]) == "node2", "answers to what it asks come in"
    stage.allow({"node1": (Filter(True, TCP, (f"{SERVING - 1}-{SERVING}",), (f"{ADDRESSES['client1']}/32",)),)})
    assert stage.who(address=ADDRESSES["node1"]) == "node1"
    assert stage.lost("node2", ADDRESSES["node1"]) and stage.lost("client1", ADDRESSES["node1"], HEALTH)
    assert silent(stage.ear(address=ADDRESSES["node1"]))


def test_the_first_rule_that_matches_decides(stage: Stage) -> None:
    stage.allow({"node1": (Filter(False, TCP), Filter(True))})
    assert stage.lost(address=ADDRESSES["node1"])
    assert again(stage.ear(address=ADDRESSES["node1"])) == "node1" and stage.pings("client1", ADDRESSES["node1"])


def test_a_rule_that_goes_ends_no_connection(stage: Stage) -> None:
    stage.balance(WEB, healthy=BOTH)
    with stage.connect() as connection:
        name = again(connection)
        stage.allow(dict.fromkeys(BOTH, ()))
        assert again(connection) == name and stage.lost()


def test_a_rule_may_be_about_the_destination(stage: Stage) -> None:
    stage.allow({each: (Filter(True, destinations=(f"{VIP}/32",)),) for each in BOTH})
    stage.balance(WEB, healthy=BOTH)
    assert stage.who() in BOTH and stage.lost(address=ADDRESSES["node1"])
