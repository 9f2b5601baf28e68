# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The on-premises pair on real machines: deployed, changed, misconfigured, drilled, taken away; seen by a client."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator

import pytest
from pair import Pair, changes

from lab.lab import Lab

VIP, SECOND = "192.168.7.246", "192.168.7.245"
PATIENCE_MS = 5000  # a busy machine is slow; how fast the pair is, is measured elsewhere
PATHS = (
    "/etc/keepalived/keepalived.conf",
    "/etc/vip-agent",
    "/usr/local/lib/vip-agent",
    "/run/cloudha-vip",
    "/var/lib/cloudha-vip",
)


class OnPremises(Pair):
    """Where a node that has the address on an interface holds it."""

    def holders(self, address: str = VIP) -> list[str]:
        return [node for node in ("node1", "node2") if f" {address}/" in self.ssh(node, "ip -oneline address show")]


@pytest.fixture(scope="module")
def pair(lab_name: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnPremises]:
    lab = Lab(lab_name("onprem"))
    lab.up("onprem_active_standby")
    try:
        this = OnPremises(lab, tmp_path_factory.mktemp("pair"), "onprem_active_standby", VIP)
        # A dry run on fresh nodes passes, and leaves them fresh.
        this.deploy("--check")
        for node in ("node1", "node2"):
            assert this.ssh(node, f"ls -d {' '.join(PATHS)} 2>/dev/null || true") == ""
        this.deploy()
        yield this
    finally:
        lab.down()


def test_one_node_holds_the_address_and_answers(pair: OnPremises) -> None:
    assert len(pair.holders()) == 1
    with pair.client() as seen:
        pass
    assert seen.answered_by == set(pair.holders())
    assert pair.status().returncode == 0


def test_a_second_run_changes_nothing(pair: OnPremises) -> None:
    assert changes(pair.deploy()) == {"node1": 0, "node2": 0}


def test_a_dry_run_says_what_would_change_and_changes_nothing(pair: OnPremises) -> None:
    assert changes(pair.deploy("--check", "--diff")) == {"node1": 0, "node2": 0}
    output = pair.deploy("--check", "--diff", vip_addresses=[f"{VIP}/22", f"{SECOND}/22"])
    assert f"+        {SECOND}/22" in output
    assert not pair.holders(SECOND)


def test_an_address_is_added_and_removed_without_a_second_holder(pair: OnPremises) -> None:
    before = pair.holders()
    for addresses in ([f"{VIP}/22", f"{SECOND}/22"], [f"{VIP}/22"]):
        with pair.client() as seen:
            pair.deploy(vip_addresses=addresses)
        assert seen.answered_by == set(before), "the address stays where it is"
        assert seen.split_brain_ms == 0 and seen.gap_ms < PATIENCE_MS
        assert pair.holders() == before
        assert pair.holders(SECOND) == (before if len(addresses) == 2 else [])


def test_a_reload_is_done_though_keepalived_is_slow_to_begin(pair: OnPremises) -> None:
    (holder,) = pair.holders()
    reload = """
        vrrp=$(pgrep --parent "$(systemctl show --property=MainPID --value keepalived)")
        kill -STOP "$vrrp"
        systemctl reload keepalived &
        for i in $(seq 500); do
            pending=0x$(awk '$1 == "ShdPnd:" {print $2}' "/proc/$vrrp/status")
            [ $((pending & 0x801)) != $((0x801)) ] || break # SIGHUP and SIGUSR2 wait
            sleep 0.01
        done
        kill -CONT "$vrrp"
        [ "$i" != 500 ] && wait $!"""
    pair.ssh("node2" if holder == "node1" else "node1", reload)


def test_a_change_of_nginx_reaches_clients_without_moving_the_address(pair: OnPremises) -> None:
    before = pair.holders()
    with pair.client() as seen:
        pair.deploy(nginx_page="changed\n")
    assert seen.answered_by == set(before) and seen.gap_ms < PATIENCE_MS
    page = "import urllib.request; print(urllib.request.urlopen('http://192.168.7.246/').read())"
    assert "changed" in pair.ssh("client1", f'python3 -c "{page}"')
    pair.deploy()


def test_an_upgrade_of_the_agent_does_not_move_the_address(pair: OnPremises) -> None:
    before = pair.holders()
    code = pair.ssh("node1", "find /usr/local/lib/vip-agent -name verdict.py").strip()
    for node in ("node1", "node2"):
        pair.ssh(node, f"echo '# an older version' >> {code}")
    with pair.client() as seen:
        assert all(count > 0 for count in changes(pair.deploy()).values())
    assert seen.answered_by == set(before) and seen.gap_ms < PATIENCE_MS
    assert "older" not in pair.ssh("node1", f"cat {code}")


def test_another_port_and_path_reach_checks_and_clients(pair: OnPremises) -> None:
    before = pair.holders()
    # Without clients in the inventory a standby asks.
    output = pair.deploy(nginx_port=8080, nginx_health_path="/ready", vip_served_from=[])
    assert "Nobody has asked the address" not in output
    assert pair.holders() == before
    page = f"import urllib.request; print(urllib.request.urlopen('http://{VIP}:8080/ready').read())"
    assert "ok" in pair.ssh("client1", f'python3 -c "{page}"')
    assert "8080/ready" in pair.ssh("node1", "cat /etc/vip-agent/config.json")


def test_a_run_that_serves_nobody_fails_and_says_what_it_found(pair: OnPremises) -> None:
    try:
        # A service of the operator's own, which does not run.
        done = pair.play(pair.topology, vip_service="mine", vip_check_url="http://127.0.0.1:8088/ready")
        assert done.returncode != 0
        found = re.search(r"Clients are not served.*", done.stdout)
        assert found, done.stdout[-3000:]
        said = found.group()
        assert f"http://{VIP}:8088/ready, asked from client1" in said and "held by no node" in said
        assert "node1: check mine FAILED" in said and "node2: check mine FAILED" in said
        assert "keepalived.conf" in said and "cloudha.vip.teardown" in said
        told = pair.status()
        assert told.returncode != 0 and "held by no node; node1: check mine FAILED" in told.stdout
    finally:
        pair.deploy()
    assert len(pair.holders()) == 1


def test_a_switchover_moves_the_address_and_back(pair: OnPremises) -> None:
    (before,) = pair.holders()
    with pair.client() as seen:
        done = pair.play("switchover")
        assert done.returncode == 0, done.stdout
    (after,) = pair.holders()
    assert after != before
    assert seen.answered_by == {before, after} and seen.split_brain_ms == 0 and seen.gap_ms < PATIENCE_MS
    done = pair.play("switchover", switchover_to=before)
    assert done.returncode == 0 and pair.holders() == [before]


def test_a_switchover_to_a_node_that_cannot_serve_is_refused(pair: OnPremises) -> None:
    (holder,) = pair.holders()
    other = "node2" if holder == "node1" else "node1"
    pair.ssh(other, "systemctl stop keepalived")
    try:
        done = pair.play("switchover")
        assert done.returncode != 0 and other in done.stdout and "keepalived" in done.stdout
        assert pair.holders() == [holder]
        told = pair.status()
        assert told.returncode != 0 and f"no redundancy: {other}: keepalived does not run" in told.stdout
        told = pair.play("status", status_redundancy=False)
        assert told.returncode == 0, "one holder, though a node is down"
        assert f"no redundancy: {other}: keepalived does not run" in told.stdout
    finally:
        pair.ssh(other, "systemctl start keepalived")


INSTANCE = {"name": "VI_1", "interface": "eth0", "virtual_router_id": 66, "addresses": [f"{VIP}/22"]}


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"vip_address": "192.168.7.300/22"}, "192.168.7.300/22"),
        ({"vip_address": "192.168.99.10/24"}, "vip_address_offlink"),
        ({"nginx_listen_addresses": ["192.168.7.247"]}, "without 192.168.7.246: nobody would answer"),
        ({"vip_service": "haproxy"}, "vip_check_url"),
        ({"vip_interface": "eth9"}, "eth0"),
        ({"vip_router_id": 256}, "255"),
        ({"keepalived_detection_ms": 10}, "keepalived_detection_ms"),
        ({"keepalived_instances": [{**INSTANCE, "peers": ["192.168.7.247", "192.168.7.248"]}]}, "own address"),
        ({"keepalived_instances": [{**INSTANCE, "peers": []}]}, "peers"),
        ({"keepalived_instances": [{**INSTANCE, "priority": 200}]}, "priority"),
        ({"keepalived_instances": [{**INSTANCE, "adresses": []}]}, "adresses"),
        (
            {"keepalived_instances": [INSTANCE, {**INSTANCE, "name": "VI_2", "addresses": [f"{SECOND}/22"]}]},
            "virtual_router_id",
        ),
        ({"vip_address": "192.168.4.10/22"}, "already answered for by 02:00:00:00:07:10"),
        ({"health_check_kind": "guess"}, "health_check_kind"),
    ],
)
def test_bad_input_is_refused_before_anything_changes(
    pair: OnPremises, variables: dict[str, object], says: str
) -> None:
    look = "sha256sum /etc/keepalived/keepalived.conf; ip -oneline address; systemctl show -p MainPID keepalived"
    before = [pair.ssh(node, look) for node in ("node1", "node2")]
    done = pair.play("onprem_active_standby", **variables)
    assert done.returncode != 0, "this must be refused"
    assert says in done.stdout, done.stdout[-3000:]
    assert set(changes(done.stdout).values()) == {0}, done.stdout[-3000:]
    assert [pair.ssh(node, look) for node in ("node1", "node2")] == before


def test_an_unknown_fault_is_refused_with_those_there_are(pair: OnPremises) -> None:
    done = pair.play("drill", drill_faults=["service_kil"])
    assert done.returncode != 0 and "service_kill" in done.stdout
    assert set(changes(done.stdout).values()) == {0}


@pytest.mark.parametrize(
    ("fault", "broken"),
    [
        ("service_hang", "ps -C nginx -o state= | grep -q T"),
        ("keepalived_stop", "! systemctl --quiet is-active keepalived"),
        ("service_kill", "! systemctl --quiet is-active nginx"),
    ],
)
def test_a_killed_drill_heals_by_itself(pair: OnPremises, fault: str, broken: str) -> None:
    (target,) = pair.holders()
    with pair.killed_drill(fault):
        pair.ssh(target, f"for i in $(seq 600); do {{ {broken}; }} && exit 0; sleep 0.1; done; exit 1")
    pair.ssh(target, f"for i in $(seq 600); do {{ {broken}; }} || exit 0; sleep 0.1; done; exit 1")
    refused = pair.play("drill", drill_faults=[fault])
    assert refused.returncode != 0 and "another drill" in refused.stdout
    for machine in ("node1", "node2", "client1"):
        pair.ssh(machine, "systemctl stop cloudha-vip-drill cloudha-vip-drill-prober 2>/dev/null; true")
    deadline = time.monotonic() + 30
    while pair.status().returncode != 0:
        assert time.monotonic() < deadline, pair.status().stdout
    with pair.client() as seen:
        pass
    assert seen.gap_ms < PATIENCE_MS


def test_a_killed_drill_gives_a_hung_machine_back(pair: OnPremises) -> None:
    (target,) = pair.holders()
    with pair.killed_drill("node_hang"):
        pair.wait_for_state("hung")
    pair.lab.wait_for_ssh([target], timeout=30)
    for machine in ("node1", "node2", "client1"):
        pair.ssh(machine, "systemctl stop cloudha-vip-drill cloudha-vip-drill-prober 2>/dev/null; true")
    assert len(pair.holders()) == 1


def test_a_drill_is_refused_where_the_topology_is_not_well(pair: OnPremises) -> None:
    (holder,) = pair.holders()
    other = "node2" if holder == "node1" else "node1"
    pair.ssh(other, "systemctl stop keepalived")
    try:
        done = pair.play("drill", drill_faults=["service_kill"])
        assert done.returncode != 0 and f"{other}: keepalived does not run" in done.stdout
        assert pair.ssh(holder, "systemctl is-active nginx") == "active\n"
    finally:
        pair.ssh(other, "systemctl start keepalived")


def test_a_drill_ends_where_it_could_not_mend_what_it_broke(pair: OnPremises) -> None:
    hooks = {"node_hang": {"inject": "true", "undo": "false"}}
    faults, report = ["node_hang", "service_kill"], pair.scratch / "unmended"
    done = pair.play("drill", drill_faults=faults, drill_hooks=hooks, drill_recover_s=3, drill_report_dir=str(report))
    assert done.returncode != 0
    (begun,) = json.loads((report / "report.json").read_text())["faults"]
    assert (begun["fault"], begun["verdict"], begun["rolled_back"]) == ("node_hang", "failed", False)


def test_the_script_health_check_moves_the_address_too(pair: OnPremises) -> None:
    pair.deploy(health_check_kind="script")
    try:
        (holder,) = pair.holders()
        with pair.client() as seen:
            pair.ssh(holder, "systemctl kill --kill-who=all --signal=STOP nginx")
            pair.ssh(holder, f"for i in $(seq 200); do ip -o a | grep -q {VIP} || exit 0; sleep 0.1; done; exit 1")
        assert len(seen.answered_by) == 2
        pair.ssh(holder, "systemctl kill --kill-who=all --signal=CONT nginx")
    finally:
        pair.deploy()


def test_a_dry_run_of_teardown_passes_and_takes_nothing_away(pair: OnPremises) -> None:
    before = pair.holders()
    done = pair.play("teardown", "--check")
    assert done.returncode == 0, done.stdout[-3000:]
    assert "vip_real_servers" not in done.stdout + done.stderr
    assert pair.holders() == before and len(before) == 1


def test_status_says_that_nobody_holds_the_address(pair: OnPremises) -> None:
    for node in ("node1", "node2"):
        pair.ssh(node, "systemctl stop keepalived")
    told = pair.status()
    assert told.returncode != 0 and "held by no node; node1: keepalived does not run" in told.stdout
    assert "Error while resolving" not in told.stdout + told.stderr


def test_teardown_takes_everything_away(pair: OnPremises) -> None:
    done = pair.play("teardown")
    assert done.returncode == 0, done.stdout[-3000:]
    for node in ("node1", "node2"):
        assert VIP not in pair.ssh(node, "ip -oneline address")
        left = pair.ssh(node, f"ls -d {' '.join(PATHS)} 2>/dev/null || true")
        assert left == ""
        assert "active" not in pair.ssh(node, "systemctl is-active keepalived vip-agent nginx || true").split()
    assert changes(pair.play("teardown").stdout) == {"node1": 0, "node2": 0}
