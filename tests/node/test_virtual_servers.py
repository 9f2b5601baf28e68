# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the options of virtual servers do: to the kernel's table, to the servers that are asked, and what they run.

All of it is seen in one run of a kernel that has IPVS, through which the steps below go.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from busy import BUSY, Inconclusive, Watch

from ansible_collections.cloudha.vip.tests.node import director
from ansible_collections.cloudha.vip.tests.node.director import HTTP, HTTPS
from ansible_collections.cloudha.vip.tests.node.real_keepalived import SPEC, RealKeepalived, written

DIRECTOR = Path(__file__).with_name("director.py")
VIP = "192.168.7.246"
OPTIONS = SPEC["keepalived_virtual_servers"]["options"]
SCHEDULERS = dict(enumerate(OPTIONS["lvs_sched"]["choices"], 100))
METHODS = {"DR": "Route", "NAT": "Masq", "TUN": "Tunnel"}
HOLD, FIRST = "/run/hold", str(director.FIRST)
IPV6 = "[fd00:0007:0000:0000:0000:0000:0000:0{:0>3}]"

SETUP = """
modprobe --all veth ip_vs
ip netns add director
ip link add eth1 type veth peer name eth0 netns director
for number in $(seq 10); do ip address add 192.168.7.$number/22 dev eth1; done
ip address add fd00:7::1/64 dev eth1 nodad
ip link set eth1 up
ip -n director address add 192.168.7.247/22 dev eth0
ip -n director address add fd00:7::247/64 dev eth0 nodad
ip -n director link set lo up
ip -n director link set eth0 up
touch /run/first
mkdir /run/ran
chmod 777 /run/ran
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=web \
    -keyout /run/key -out /run/certificate
exec python3 /shared/director.py /shared ip netns exec director keepalived --dont-fork --log-console --log-detail \
    --use-file=/shared/keepalived.conf
"""


def virtual(port, *servers, **options):
    """Its servers have its port, as keepalived demands; they are asked often, and first without a delay."""
    address = {"address": VIP, "port": port, "delay_loop": 0.2, "extra": ["warmup 0"]}
    return {**address, "real_servers": [{"port": port, **server} for server in servers], **options}


def real(number, check=None, **options):
    return {"address": f"192.168.7.{number}", **({"check": check} if check else {}), **options}


def http(path, **options):
    """Of a check that fails at once."""
    return {"type": "http", "path": path, "connect_port": HTTP, "retry": 0, "timeout": 3600, **options}


def misc(command, **options):
    return {"type": "misc", "command": command, "retry": 0, "timeout": 3600, **options}


def ran(name, word):
    """A command that leaves a word in a file."""
    return f"/bin/sh -c 'echo {word} >> /run/ran/{name}'"


VIRTUAL_SERVERS = [
    # Checks that pass and fail.
    virtual(
        80,
        real(1, http("/good/204?a=b", status_code=204, virtualhost="web.example"), weight=3),
        real(2, http("/wrong/404")),
        real(3, http("/inhibited/500"), weight=5, inhibit_on_failure=True),
        real(4, {"type": "tcp", "connect_port": HTTP}),
        real(5, {"type": "tcp", "retry": 0}),
        real(6, misc(f"/usr/bin/test -e '{FIRST}'")),
        real(7, misc(f"/usr/bin/test -e '{FIRST} one'"), extra=[f'notify_down "{ran("seven", "down")}"']),
        real(8),
        real(9, http("/secret/200", type="ssl", connect_port=HTTPS)),
        real(10, http("/plain/200", type="ssl")),
        lvs_sched="wrr",
        persistence_timeout=30,
    ),
    # The same where a mark is in the place of an address: the check has a port, its entry in the table has none.
    {
        "fwmark": 7,
        "delay_loop": 0.2,
        "quorum": 2,
        "extra": ["warmup 0"],
        "sorry_server": {"address": "192.168.7.9", "port": 80},
        "real_servers": [
            real(1, {"type": "tcp"}, port=HTTP),
            real(2, {"type": "tcp", "retry": 0}, port=80),
            real(3, http("/marked/200/500"), port=80),
        ],
    },
    {
        "address": "fd00:7::246",
        "port": HTTP,
        "delay_loop": 0.2,
        "extra": ["warmup 0"],
        "real_servers": [
            {"address": "fd00:7::1", "port": HTTP, "check": {"type": "tcp"}},
            {"address": "fd00:7::2", "port": HTTP, "check": {"type": "tcp", "retry": 0}},
        ],
    },
    *({"fwmark": mark, "lvs_sched": name, "real_servers": [real(1, port=80)]} for mark, name in SCHEDULERS.items()),
    # Other methods and protocols; a packet at a time.
    *(virtual(90 + n, real(1), lvs_method=method) for n, method in enumerate(METHODS)),
    virtual(53, real(1, port=5353), protocol="UDP", lvs_method="NAT", lvs_sched="rr", extra=["ops"]),
    virtual(5060, real(1), protocol="SCTP"),
    # How often, and for how long.
    virtual(82, real(3, http("/once/200")), delay_loop=3600),
    virtual(
        83,
        real(1, http("/retried/200/500", retry=2, delay_before_retry=0.5)),
        real(2, http("/later/200/500", retry=1, delay_before_retry=3600)),
        real(4, http("/silent/", timeout=0.5)),
        real(5, http("/waiting/")),
        real(6, misc("/bin/sleep 3600", timeout=0.5)),
        real(7, misc("/bin/sleep 3600")),
    ),
    # A server with a weight of 2, and one of 1, which fails in time: then a quorum of 3 is lost, and one of 2 is not.
    virtual(
        84,
        real(1, misc(f"/usr/bin/test -e {FIRST}")),
        real(2, weight=2),
        quorum=3,
        quorum_up=ran("quorum", "up"),
        quorum_down=ran("quorum", "down"),
        sorry_server={"address": "192.168.7.9", "port": 84},
    ),
    virtual(
        85,
        real(1, misc(f"/usr/bin/test -e {FIRST}")),
        real(2, weight=2),
        quorum=2,
        quorum_down=ran("lower_quorum", "down"),
        sorry_server={"address": "192.168.7.9", "port": 85},
    ),
    # Not asked before this node holds the address; with alpha, what was not asked does not serve.
    virtual(86, real(1, http("/resting/200")), ha_suspend=True, extra=["warmup 0", "alpha"]),
]
WEB = {
    "name": "web",
    "interface": "eth0",
    "virtual_router_id": 66,
    "addresses": [f"{VIP}/22"],
    "peers": ["192.168.7.248"],
    "track_files": ["hold"],
    "garp_master_refresh": 0,
    "notify_master": ran("web", "master"),
    "notify_fault": ran("web", "fault"),
}


def entries(port, *numbers, forward="Route 1"):
    return {f"192.168.7.{number}:{port}": forward for number in numbers}


CHECKED = {**entries(80, 1, forward="Route 3"), **entries(80, 3, forward="Route 0"), **entries(80, 4, 6, 8, 9)}
BOTH = {port: {**entries(port, 1), **entries(port, 2, forward="Route 2")} for port in (84, 85)}
GOOD = "/good/204?a=b 204"

# A step waits until these servers are in the table, these commands ran, and so many more requests came.
STEPS = [
    {
        "name": "start",
        "until": {
            "servers": {
                f"TCP {VIP}:80": CHECKED,
                f"TCP {VIP}:83": entries(83, 1, 2, 5, 7),
                "FWM 7": entries(0, 1, 3),
                f"TCP {IPV6.format(246)}:{HTTP}": {f"{IPV6.format(1)}:{HTTP}": "Route 1"},
            },
            "ran": {"seven": "down\n", "quorum": "up\n", "web": "fault\n"},
            "requests": {GOOD: 10, "/later/200/500 200": 1, "/retried/200/500 200": 1, "/once/200 200": 1},
        },
    },
    {
        "name": "held",
        "files": {HOLD: "0"},
        "until": {
            "servers": {f"TCP {VIP}:86": entries(86, 1)},
            "ran": {"web": "fault\nmaster\n"},
            "requests": {"/resting/200 200": 5},
        },
    },
    {
        "name": "lost",
        "files": {FIRST: None},
        "until": {
            "servers": {
                "FWM 7": entries(0, 9),
                f"TCP {VIP}:83": entries(83, 2, 5, 7),
                f"TCP {VIP}:84": entries(84, 9),
                f"TCP {VIP}:85": entries(85, 2, forward="Route 2"),
            },
            "ran": {"quorum": "up\ndown\n"},
        },
    },
    {
        "name": "regained",
        "files": {FIRST: ""},
        "until": {
            "servers": {f"TCP {VIP}:{port}": BOTH[port] for port in BOTH},
            "ran": {"quorum": "up\ndown\nup\n"},
        },
    },
    {"name": "left", "files": {HOLD: "1"}, "until": {"ran": {"web": "fault\nmaster\nfault\n"}}},
    # What was under way has ended.
    {"name": "settled", "until": {"requests": {GOOD: 5}}},
    {"name": "rested", "until": {"requests": {GOOD: 5}}},
]


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What was there at the end of each step."""
    keepalived = RealKeepalived(tmp_path_factory.mktemp("keepalived"))
    shared = tmp_path_factory.mktemp("shared")
    text = written(
        keepalived.version,
        keepalived_startup_delay_s=0,
        keepalived_script_user="nobody",
        keepalived_track_files=[{"name": "hold", "file": HOLD, "weight": 0, "init": 1}],
        keepalived_instances=[WEB],
        keepalived_virtual_servers=VIRTUAL_SERVERS,
    )
    assert keepalived.refuses(shared, text) == ""
    (shared / "steps").write_text(json.dumps(STEPS))
    shutil.copy(DIRECTOR, shared / "director.py")
    watch = Watch()
    done = keepalived.run_with_kernel(shared, SETUP)
    log = shared / "log"
    print(done.stdout, done.stderr, log.read_text() if log.exists() else "", sep="\n")
    assert done.returncode == 0
    found = json.loads((shared / "seen").read_text())
    if len(found) < len(STEPS) and watch.share() > BUSY:
        raise Inconclusive(f"the step {list(found)[-1]!r} came to no end")
    return found


def servers(state, where):
    return state["table"][where]["servers"]


def of_port(state, port):
    return servers(state, f"TCP {VIP}:{port}")


def test_only_servers_that_pass_their_check_are_in_the_table(seen):
    """One that fails keeps its entry, without a weight, where that was asked for."""
    assert of_port(seen["start"], 80) == CHECKED
    assert servers(seen["start"], f"TCP {IPV6.format(246)}:{HTTP}") == {f"{IPV6.format(1)}:{HTTP}": "Route 1"}


def test_a_check_asks_for_what_it_was_given(seen):
    asked = seen["start"]["asked"]
    assert asked["/good/204?a=b"] == {"place": f"192.168.7.1:{HTTP}", "host": "web.example"}
    assert asked["/wrong/404"] == {"place": f"192.168.7.2:{HTTP}", "host": f"192.168.7.2:{HTTP}"}
    assert asked["/secret/200"]["place"] == f"192.168.7.9:{HTTPS}"
    # By the check with tcp.
    assert seen["start"]["connections"][f"192.168.7.4:{HTTP}"] > 0


def test_a_mark_stands_in_the_place_of_an_address(seen):
    assert servers(seen["start"], "FWM 7") == entries(0, 1, 3)
    assert servers(seen["lost"], "FWM 7") == entries(0, 9)


def test_connections_are_spread_as_was_asked_for(seen):
    table = seen["start"]["table"]
    assert {name: table[f"FWM {mark}"]["spread"] for mark, name in SCHEDULERS.items()} == {
        name: name for name in SCHEDULERS.values()
    }
    # In ticks of this kernel, of which 100 are a second.
    assert table[f"TCP {VIP}:80"]["spread"] == "wrr persistent 3000 FFFFFFFF"


def test_packets_are_forwarded_as_was_asked_for(seen):
    found = {method: of_port(seen["start"], 90 + n) for n, method in enumerate(METHODS)}
    assert found == {m: entries(90 + n, 1, forward=f"{METHODS[m]} 1") for n, m in enumerate(METHODS)}


def test_protocols(seen):
    table = seen["start"]["table"]
    # The one with a line of its own for a packet at a time, and with another port of its servers.
    assert table[f"UDP {VIP}:53"] == {"spread": "rr ops", "servers": entries(5353, 1, forward="Masq 1")}
    assert table[f"SCTP {VIP}:5060"] == {"spread": "wlc", "servers": entries(5060, 1)}


def test_lines_of_the_user_are_obeyed(seen):
    """Of a real server; those of a virtual server are ops and alpha."""
    assert seen["start"]["ran"]["seven"] == "down\n"


def test_a_check_is_made_as_often_as_was_asked_for(seen):
    requests = seen["rested"]["requests"]
    assert requests["/once/200 200"] == 1
    assert requests[GOOD] >= 20


def test_a_check_is_waited_for_as_long_as_was_asked_for(seen):
    assert of_port(seen["start"], 83) == entries(83, 1, 2, 5, 7)
    assert seen["start"]["requests"]["/silent/"] >= 1


def test_a_failed_check_is_made_again_as_was_asked_for(seen):
    # Three times, until it was out.
    assert "192.168.7.1:83" in of_port(seen["start"], 83)
    assert "192.168.7.1:83" not in of_port(seen["lost"], 83)
    assert seen["lost"]["requests"]["/retried/200/500 500"] >= 3
    # The second one waits for its second try.
    assert seen["rested"]["requests"]["/later/200/500 500"] == 1
    assert "192.168.7.2:83" in of_port(seen["rested"], 83)


def test_a_quorum_is_of_weights(seen):
    assert of_port(seen["start"], 84) == BOTH[84]
    assert of_port(seen["start"], 85) == BOTH[85]
    assert of_port(seen["lost"], 84) == entries(84, 9)
    assert of_port(seen["lost"], 85) == entries(85, 2, forward="Route 2")
    assert of_port(seen["regained"], 84) == BOTH[84]


def test_commands_of_a_quorum_run(seen):
    assert seen["start"]["ran"]["quorum"] == "up\n"
    assert seen["lost"]["ran"]["quorum"] == "up\ndown\n"
    assert seen["regained"]["ran"]["quorum"] == "up\ndown\nup\n"
    assert "lower_quorum" not in seen["rested"]["ran"]


def test_checks_rest_while_another_node_holds_the_address(seen):
    path = "/resting/200 200"
    assert path not in seen["start"]["requests"]
    assert of_port(seen["start"], 86) == {}
    assert seen["held"]["requests"][path] >= 5
    assert of_port(seen["held"], 86) == entries(86, 1)
    assert seen["rested"]["requests"][path] == seen["settled"]["requests"][path]
