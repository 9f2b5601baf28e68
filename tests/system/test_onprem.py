# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The on-premises pair on real machines: deployed, changed, misconfigured, drilled, taken away; seen by a client."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import statistics
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime

import killed
import pytest
from busy import short_enough, until
from commands import cli
from logs import kept
from pair import Pair, changes

from lab.lab import Lab

VIP, SECOND, SIX = "192.168.7.246", "192.168.7.245", "fd00:7::246"
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

    begun = ""
    # With which variables it was deployed last.
    deployed: dict[str, object]

    def deploy(self, *words: str, **variables: object) -> str:
        output = super().deploy(*words, **variables)
        self.deployed = variables
        return output

    def holders(self, address: str = VIP) -> list[str]:
        return [node for node in ("node1", "node2") if f" {address}/" in self.ssh(node, "ip -oneline address show")]


@pytest.fixture(scope="module")
def pair(lab_name: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnPremises]:
    with kept(Lab(lab_name("onprem"))) as lab:
        lab.up("onprem_active_standby")
        this = OnPremises(lab, tmp_path_factory.mktemp("pair"), "onprem_active_standby", VIP)
        # A dry run on fresh nodes passes, and leaves them fresh.
        dry = killed.run(this, this.topology, "--check")
        assert dry.done.returncode == 0, dry.done.stdout[-6000:] + dry.done.stderr
        for node in ("node1", "node2"):
            assert this.ssh(node, f"ls -d {' '.join(PATHS)} 2>/dev/null || true") == ""
        # The first run is killed at one of its tasks, another one each time; the second converges, and the third, of
        # the second test, changes nothing. bench/killed.py does it at each.
        at = os.environ.get("KILLED_AT") or random.randint(2, len(dry.tasks))
        first = killed.run(this, this.topology, at=at)
        this.begun = f"KILLED_AT={at}: the first run was killed at {first.tasks[-1]!r}"
        print(this.begun)
        assert first.done.returncode < 0, first.done.stdout[-6000:]
        this.deploy()
        yield this


def test_one_node_holds_the_address_and_answers(pair: OnPremises) -> None:
    assert len(pair.holders()) == 1, pair.begun
    with pair.client() as seen:
        pass
    assert seen.answered_by == set(pair.holders())
    assert pair.status().returncode == 0


def test_a_second_run_changes_nothing_and_says_what_it_found_where_nobody_is_served(pair: OnPremises) -> None:
    """It fails in its last task that could: all the others have found nothing to do."""
    url = f"http://{VIP}:8088/ready"
    done = pair.play(pair.topology, drill_url=url)
    assert changes(done.stdout) == {"node1": 0, "node2": 0}, f"{pair.begun}\n{done.stdout[-6000:]}"
    assert done.returncode != 0
    found = re.search(r"Clients are not served.*", done.stdout)
    assert found, done.stdout[-3000:]
    said, (holder,) = found.group(), pair.holders()
    assert f"{url}, asked from client1" in said and f"the address is held by {holder}" in said
    assert "node1: " in said and "node2: " in said and "cloudha.vip.teardown" in said


def test_a_dry_run_says_what_would_change_and_changes_nothing(pair: OnPremises) -> None:
    """An address that others answer for is accepted when told so."""
    taken = "192.168.4.10"
    addresses = [f"{VIP}/22", f"{SECOND}/22", f"{taken}/22"]
    dry = killed.run(pair, pair.topology, "--check", "--diff", vip_addresses=addresses, keepalived_stranger_check=False)
    output = dry.done.stdout
    assert dry.done.returncode == 0 and "already answered for" not in output, output[-3000:]
    # Nothing else differs, on neither node.
    before, _, compared = output.partition("[cloudha.vip.keepalived : Compare the configuration]")
    agent, keepalived = (re.findall(r"^[+-](?!\+\+ |-- ).*", part, re.MULTILINE) for part in (before, compared))
    assert all(any(f'"{each}/22"' in line for each in (VIP, SECOND, taken)) for line in agent), agent
    lines = [f"        {each}/22 dev eth0" for each in (SECOND, taken)]
    block = ["    virtual_ipaddress_excluded {", *lines, "    }"]
    assert sorted(keepalived) == sorted(2 * [f"+{line}" for line in block]), keepalived
    # What is as it should be, is not told. The agent knows the addresses, too.
    assert [dry.tasks[number - 1] for number in dry.changed] == [
        "cloudha.vip.vip_agent : Install the agent",
        "cloudha.vip.vip_agent : Restart the agent",
        "cloudha.vip.keepalived : Compare the configuration",
        "cloudha.vip.keepalived : Reload keepalived",
    ]
    assert not pair.holders(SECOND) and not pair.holders(taken)


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


def test_a_switchover_moves_the_address_and_back(pair: OnPremises) -> None:
    (before,) = pair.holders()
    with pair.client() as seen:
        done = pair.play("switchover")
        assert done.returncode == 0, done.stdout
    (after,) = pair.holders()
    assert after != before
    assert seen.answered_by == {before, after} and seen.split_brain_ms == 0
    done = pair.play("switchover", switchover_to=before)
    assert done.returncode == 0 and pair.holders() == [before]
    short_enough(seen.gap_ms, PATIENCE_MS, seen.waited_ms)


@pytest.mark.parametrize("service", ["keepalived", "vip-agent"])
def test_a_switchover_and_a_drill_are_refused_where_the_other_node_cannot_serve(pair: OnPremises, service: str) -> None:
    (holder,) = pair.holders()
    other = "node2" if holder == "node1" else "node1"
    pair.ssh(other, f"systemctl stop {service}")
    says = f"{other}: {service} does not run"
    try:
        done = pair.play("switchover")
        assert done.returncode != 0 and says in done.stdout, done.stdout[-3000:]
        assert f"No other node can take over from {holder}. Nothing was changed" in done.stdout
        assert pair.holders() == [holder]
        told = pair.status()
        assert told.returncode != 0 and f"no redundancy: {says}" in told.stdout
        told = pair.play("status", status_redundancy=False)
        assert told.returncode == 0, "one holder, though a node is down"
        assert f"no redundancy: {says}" in told.stdout
        done = pair.play("drill", drill_faults=["service_kill"])
        assert done.returncode != 0 and says in done.stdout, done.stdout[-3000:]
        assert pair.ssh(holder, "systemctl is-active nginx") == "active\n"
    finally:
        pair.ssh(other, f"systemctl start {service}")


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"switchover_group": "vip_clients"}, "the group vip_clients has 1"),
        ({"switchover_addresses": ["192.0.2.1/32"]}, "192.0.2.1/32: held by no node"),
        ({"switchover_to": "client1"}, "client1 is not in the group vip_nodes"),
    ],
)
def test_a_switchover_of_what_is_not_there_is_refused(
    pair: OnPremises, variables: dict[str, object], says: str
) -> None:
    before = pair.holders()
    done = pair.play("switchover", **variables)
    assert done.returncode != 0 and says in done.stdout, done.stdout
    assert set(changes(done.stdout).values()) == {0} and pair.holders() == before


def test_a_switchover_to_a_node_that_hangs_is_given_up_in_time(pair: OnPremises) -> None:
    (holder,) = pair.holders()
    other = "node2" if holder == "node1" else "node1"
    pair.ssh(other, "systemctl kill --kill-who=all --signal=STOP keepalived")
    try:
        done = pair.play("switchover", switchover_timeout=3)
    finally:
        pair.ssh(other, "systemctl kill --kill-who=all --signal=CONT keepalived")
    assert done.returncode != 0 and "after 3 s" in done.stdout, done.stdout
    pair.until_well(30)


INSTANCE = {"name": "VI_1", "interface": "eth0", "virtual_router_id": 66, "addresses": [f"{VIP}/22"]}


# An assertion, the filter of all settings, and what the network says; tests/contract/test_refused.py has the others.
@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"health_check_kind": "guess"}, "health_check_kind"),
        ({"keepalived_instances": [{**INSTANCE, "peers": ["192.168.7.247", "192.168.7.248"]}]}, "own address"),
        ({"vip_address": "192.168.4.10/22"}, "already answered for by 02:00:00:00:07:10"),
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
        pair.until(target, broken)
    pair.until(target, f"! {{ {broken}; }}")
    let_drills_in(pair)
    pair.until_well(30)
    with pair.client() as seen:
        pass
    short_enough(seen.gap_ms, PATIENCE_MS, seen.waited_ms)


def test_a_killed_drill_gives_a_hung_machine_back_and_keeps_the_next_one_away(pair: OnPremises) -> None:
    (target,) = pair.holders()
    with pair.killed_drill("node_hang"):
        pair.until_state("hung")
    pair.lab.wait_for_ssh([target], timeout=30)
    refused = pair.play("drill", drill_faults=["node_hang"])
    assert refused.returncode != 0 and "is under way on node1" in refused.stdout
    let_drills_in(pair)
    assert len(pair.holders()) == 1


def let_drills_in(pair: OnPremises) -> None:
    """As whoever knows that a drill was killed does it."""
    for machine in ("node1", "node2", "client1"):
        pair.ssh(machine, "systemctl stop cloudha-vip-drill 'cloudha-vip-drill-prober*' 2>/dev/null; true")


def test_a_repair_that_finds_no_undo_is_an_error(pair: OnPremises) -> None:
    (target,) = pair.holders()
    gone = "rm -f /run/cloudha-vip-drill/undo && systemctl stop cloudha-vip-drill-undo.timer"
    injected = "[ -f /run/cloudha-vip-drill/inject ] && ! systemctl --quiet is-active nginx"
    thief = f"for i in $(seq 1200); do {injected} && exit 0; sleep 0.1; done"
    pair.ssh(target, f"systemd-run --quiet --collect --unit=test-thief sh -c '({thief}); {gone}'")
    done = pair.play("drill", drill_faults=["service_kill"], drill_report_dir=str(pair.scratch / "no-undo"))
    pair.ssh(
        target,
        "find /run/systemd/system -name zz-cloudha-vip-drill.conf -delete; systemctl daemon-reload; "
        "systemctl reset-failed nginx; systemctl start nginx; systemctl stop test-thief 2>/dev/null; true",
    )
    assert done.returncode != 0 and "there is no /run/cloudha-vip-drill/undo" in done.stdout, done.stdout[-3000:]


def test_a_drill_and_a_switchover_keep_out_of_each_others_way(pair: OnPremises) -> None:
    lock = "systemd-run --quiet --collect --unit=cloudha-vip-drill --description='{} 1 of x' sleep 300"
    before = pair.holders()
    for name, playbook in (("the drill", "switchover"), ("the switchover", "drill")):
        pair.ssh("node2", lock.format(name))
        try:
            done = pair.play(playbook)
        finally:
            pair.ssh("node2", "systemctl stop cloudha-vip-drill")
        assert done.returncode != 0 and f"{name} 1 of x is under way on node2" in done.stdout
        assert pair.holders() == before
        assert pair.ssh("node1", "systemctl is-active cloudha-vip-drill || true") == "inactive\n"


def test_nothing_is_deployed_or_taken_away_in_the_middle_of_a_drill(pair: OnPremises) -> None:
    before = pair.holders()
    pair.ssh(
        "node2", "systemd-run --quiet --collect --unit=cloudha-vip-drill --description='the drill 1 of x' sleep 300"
    )
    try:
        for playbook in (pair.topology, "teardown"):
            done = pair.play(playbook)
            assert done.returncode != 0 and "the drill 1 of x is under way on node2" in done.stdout, done.stdout[-3000:]
            assert "systemctl stop cloudha-vip-drill" in done.stdout and set(changes(done.stdout).values()) == {0}
    finally:
        pair.ssh("node2", "systemctl stop cloudha-vip-drill")
    assert pair.holders() == before


LEFT = "/run/cloudha-vip-drill /run/cloudha-vip-lock /run/cloudha-vip-drill-2*"


def at_work(pair: OnPremises) -> dict[str, str]:
    """What drills have on each machine. A client keeps the record of one that was killed for a day."""
    units = "systemctl list-units --plain --no-legend 'cloudha-vip-drill*'"
    return {each: pair.ssh(each, f"ls -d {LEFT} 2>/dev/null; {units}") for each in ("node1", "node2", "client1")}


def test_a_drill_whose_clients_are_not_served_stops_to_ask(pair: OnPremises) -> None:
    before = at_work(pair)
    nowhere = {"drill_url": f"http://{VIP}:81/", "drill_recover_s": 1}
    done = pair.play("drill", drill_faults=["service_kill"], **nowhere)
    assert done.returncode != 0 and "Wait until clients get good answers" in done.stdout, done.stdout[-3000:]
    assert set(changes(done.stdout)) == {"node1"} and "Break, measure, mend" not in done.stdout
    assert at_work(pair) == before


def test_a_drill_with_a_node_that_does_not_answer_says_so_and_leaves_no_lock(pair: OnPremises) -> None:
    (holder,) = pair.holders()
    other = "node2" if holder == "node1" else "node1"
    cli("fault", "--name", pair.lab.name, "link_down", other)
    try:
        done = pair.play("drill", drill_faults=["service_kill"])
    finally:
        cli("repair", "--name", pair.lab.name, "link_down", other)
    assert done.returncode != 0 and f"{other}: does not answer" in done.stdout, done.stdout[-3000:]
    assert pair.ssh(holder, "systemctl is-active cloudha-vip-drill || true") == "inactive\n"
    pair.lab.wait_for_ssh([other], timeout=30)


def test_a_drill_ends_where_it_could_not_mend_what_it_broke(pair: OnPremises) -> None:
    hooks = {"node_hang": {"inject": "true", "undo": "false"}}
    faults, report = ["node_hang", "service_kill"], pair.scratch / "unmended"
    done = pair.play("drill", drill_faults=faults, drill_hooks=hooks, drill_recover_s=3, drill_report_dir=str(report))
    assert done.returncode != 0
    (begun,) = json.loads((report / "report.json").read_text())["faults"]
    assert (begun["fault"], begun["verdict"], begun["rolled_back"]) == ("node_hang", "failed", False)


def test_status_says_that_nobody_holds_the_address(pair: OnPremises) -> None:
    nodes = ("node1", "node2")
    for node in nodes:
        pair.ssh(node, "systemctl stop keepalived")
    try:
        told = pair.status()
    finally:
        for node in nodes:
            pair.ssh(node, "systemctl start keepalived")
    pair.until("node1", f"ip -o a | grep -q ' {VIP}/'", 20)
    assert told.returncode != 0 and "held by no node; node1: keepalived does not run" in told.stdout
    assert "Error while resolving" not in told.stdout + told.stderr


def test_a_guard_that_hangs_is_told_and_takes_no_service_down(pair: OnPremises) -> None:
    (holder,) = pair.holders()
    says = "the guard of keepalived is silent"
    pair.ssh(holder, "systemctl kill --signal=STOP cloudha-vip-guard")
    try:
        pair.until(holder, f"vip-agent status | grep -q '{says}'", 20)
        looked = pair.module(holder, "cloudha.vip.vip_info")["keepalived"]
        assert looked["guard_silent"] and looked["guard_age_s"] > 10 and says in looked["problems"][0]
        assert pair.holders() == [holder]
    finally:
        pair.ssh(holder, "systemctl kill --signal=CONT cloudha-vip-guard")
    pair.until(holder, "vip-agent status > /dev/null", 10)
    assert pair.module(holder, "cloudha.vip.vip_info")["keepalived"]["problems"] == []


def test_what_a_reload_cannot_change_is_changed_and_an_interface_made_anew_is_heard_on(pair: OnPremises) -> None:
    def put_in_force(edit: str) -> None:
        """The holder last; then one of them holds the address, and answers."""
        before = pair.holders()
        for node in sorted(("node1", "node2"), key=lambda node: node in before):
            pair.ssh(node, f"sed -i {edit} {PATHS[0]} && systemctl reload keepalived")
        serves()

    def serves() -> None:
        until(lambda: len(pair.holders()) == 1, 20, "not one holder")
        ask = f"import urllib.request; print(urllib.request.urlopen('http://{VIP}/healthz', timeout=10).status)"
        assert pair.ssh("client1", f'python3 -c "{ask}"') == "200\n"

    def link(node: str) -> str:
        number = {"node1": 1, "node2": 2}[node]
        return (
            "ip link add beat link eth0 type macvlan mode bridge && ip link set beat up && "
            f"ip address add 10.77.0.{number}/24 dev beat"
        )

    for node in ("node1", "node2"):
        pair.ssh(node, f"cp -p {PATHS[0]} /root/keepalived.conf && {link(node)}")
    try:
        put_in_force("'s/^    interface eth0/&\\n    use_vmac\\n    vmac_xmit_base/'")
        put_in_force("/vmac/d")
        # To a network of its own for the heartbeat.
        put_in_force(
            "'s/^    interface eth0/    interface beat/; s/192.168.7.247/10.77.0.1/; s/192.168.7.248/10.77.0.2/'"
        )
        for node in ("node1", "node2"):
            pair.ssh(node, f"ip link delete beat && {link(node)}")
            links = """[ "$(awk '$1 == "beat" {print $2}' /run/cloudha-vip/keepalived.links)" = """
            pair.until(node, links + '"$(cat /sys/class/net/beat/ifindex)" ]', 20)
            serves()
        (holder,) = pair.holders()
        pair.ssh(holder, "systemctl stop keepalived")
        serves()
        pair.ssh(holder, "systemctl start keepalived")
    finally:
        holders = pair.holders()
        for node in sorted(("node1", "node2"), key=lambda node: node in holders):
            pair.ssh(node, f"mv /root/keepalived.conf {PATHS[0]}; systemctl reload keepalived; ip link delete beat")
    serves()
    with pair.client() as seen:
        pass
    assert seen.answered_by == set(pair.holders())


# From here on each test begins with what the one before it has deployed.
ADDRESSES = [f"{VIP}/22", f"{SECOND}/22", f"{SIX}/64"]


@pytest.mark.in_order
def test_addresses_and_a_page_reach_clients_without_a_second_holder(pair: OnPremises) -> None:
    before = pair.holders()
    with pair.client() as seen:
        pair.deploy(vip_addresses=ADDRESSES, nginx_page="changed\n")
    assert seen.answered_by == set(before), "the address stays where it is"
    assert seen.split_brain_ms == 0
    assert pair.holders() == pair.holders(SECOND) == pair.holders(SIX) == before
    page = "import urllib.request; print(urllib.request.urlopen('http://192.168.7.246/').read())"
    assert "changed" in pair.ssh("client1", f'python3 -c "{page}"')
    short_enough(seen.gap_ms, PATIENCE_MS, seen.waited_ms)


LISTEN = """
import socket, struct, sys
# Frames of one machine that say where an address is, or come from it: what nobody behind a cut cable would hear.
mac, addresses = bytes.fromhex(sys.argv[1].replace(":", "")), [socket.inet_pton(
    socket.AF_INET6 if ":" in each else socket.AF_INET, each) for each in sys.argv[2:]]
heard = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
heard.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS: when the frame came, however late it is read
while True:
    frame, ((_level, _kind, stamp),), _flags, _sender = heard.recvmsg(65535, 64)
    if frame[6:12] == mac and any(each in frame[14:] for each in addresses):
        seconds, nanoseconds = struct.unpack("qq", stamp)
        print(seconds * 10**9 + nanoseconds, frame[12:14].hex(), flush=True)
"""
# When the kernel has rules in force.
RULES = "stdbuf -oL nft monitor | while read -r line; do echo $(date +%s%N) $line; done"


@pytest.mark.in_order
def test_of_two_drills_at_once_one_isolates_a_node_and_heals_it_and_the_other_is_told_who_drills(
    pair: OnPremises,
) -> None:
    """On machines as Debian makes them, with addresses of each family; the faults are the role's own."""
    before, (target,) = at_work(pair), pair.holders()
    assert (before["node1"], before["node2"]) == ("", "") and ".service" not in before["client1"], before
    mac = pair.ssh(target, "cat /sys/class/net/eth0/address").strip()
    drills = {}
    try:
        pair.ssh("client1", f"cat > /run/test-listen.py <<'LISTEN'\n{LISTEN}\nLISTEN")
        pair.ssh(
            "client1",
            "systemd-run --quiet --collect --unit=test-listen --property=StandardOutput=truncate:/run/test-heard "
            f"python3 /run/test-listen.py {mac} {VIP} {SIX}",
        )
        pair.ssh(target, f"cat > /run/test-rules.sh <<'RULES'\n{RULES}\nRULES")
        pair.ssh(
            target,
            "systemd-run --quiet --collect --unit=test-rules --property=StandardOutput=truncate:/run/test-rules "
            "sh /run/test-rules.sh",
        )
        for who in ("alice", "bob"):
            drills[who] = subprocess.Popen(
                pair.command(
                    "drill",
                    vip_addresses=[f"{VIP}/22", f"{SIX}/64"],
                    drill_faults=["partition", "link_down", "keepalived_stop"],
                    drill_hooks={},
                    drill_rto_ms=PATIENCE_MS,
                    drill_report_dir=str(pair.scratch / f"drill-of-{who}"),
                ),
                cwd=pair.scratch,
                env={**os.environ, "ANSIBLE_NOCOLOR": "1", "COLUMNS": "1000", "SUDO_USER": who},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        said = {who: drill.communicate(timeout=300)[0] for who, drill in drills.items()}
        heard = [line.split() for line in pair.ssh("client1", "cat /run/test-heard").splitlines()]
        rules = pair.ssh(target, "cat /run/test-rules").splitlines()
    finally:
        pair.ssh(target, "systemctl stop test-rules; rm -f /run/test-rules /run/test-rules.sh")
        pair.ssh("client1", "systemctl stop test-listen; rm -f /run/test-listen.py /run/test-heard")
    won = [who for who, drill in drills.items() if drill.returncode == 0]
    assert len(won) == 1, [output[-6000:] for output in said.values()]
    (lost,) = {*drills} - {*won}
    assert re.search(
        rf"the drill \S+ of {pair.topology} by {won[0]} on .* is under way on node1; its lock ends", said[lost]
    )
    assert f"by {lost} on" not in said[won[0]]
    report = json.loads((pair.scratch / f"drill-of-{won[0]}" / "report.json").read_text())
    assert report["addresses"] == [VIP, SIX]
    for fault in report["faults"]:
        assert (fault["verdict"], fault["rolled_back"]) == ("passed", True)
        assert [each["client"] for each in fault["clients"]] == [f"client1, {VIP}", f"client1, [{SIX}]"]
        # A fault that acts at once leaves no answer of the old holder in its time.
        for each in fault["clients"]:
            assert {each["holder_before"], *each["served"]} == {"node1", "node2"}, (fault["fault"], each)
    assert heard, "it is heard before and after"
    (partition,) = (fault for fault in report["faults"] if fault["fault"] == "partition")
    begin = int(datetime.fromisoformat(partition["injected_at"]).timestamp() * 1e9)
    end = begin + int(partition["repaired_ms"] * 1e6)
    (in_force,) = (int(line.split()[0]) for line in rules if line.endswith("add table netdev cloudha_vip_drill"))
    # From then on until the repair begins, nothing passes.
    silent = range(in_force, end)
    assert begin < in_force < end
    assert [words for words in heard if int(words[0]) in silent] == []
    for node in ("node1", "node2"):
        assert pair.ssh(node, "ls -d /run/cloudha-vip-drill* /run/cloudha-vip-lock 2>/dev/null; true") == ""
    assert at_work(pair) == before


# Without the addresses and the page.
CHANGED: dict[str, object] = {
    "nginx_http_extra": ["add_header X-Interrupted yes always;"],
    "vip_agent_verdict_lasts_s": 12,
}


@pytest.mark.in_order
def test_nothing_is_moved_or_drilled_in_the_middle_of_a_deployment(
    pair: OnPremises, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = pair.holders()
    killed_at(pair, monkeypatch, "nginx : Let the changes take effect")
    for playbook in ("switchover", "drill", pair.topology):
        done = pair.play(playbook)
        said = r"a deployment or teardown by alice on .* is under way on node1; its lock ends at \S+Z unless"
        assert done.returncode != 0 and re.search(said, done.stdout), done.stdout[-3000:]
    assert pair.holders() == before


def killed_at(pair: OnPremises, monkeypatch: pytest.MonkeyPatch, task: str) -> None:
    """A deployment of alice's is killed."""
    with monkeypatch.context() as patch:
        patch.setenv("SUDO_USER", "alice")
        run = killed.run(pair, pair.topology, at=f"cloudha.vip.{task}", **CHANGED)
    assert run.done.returncode < 0, run.done.stdout[-3000:]


def headers(pair: OnPremises, node: str) -> str:
    ask = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1/healthz').headers)"
    return pair.ssh(node, f'python3 -c "{ask}"')


@pytest.mark.in_order
def test_what_interrupted_runs_wrote_is_read_in_the_next_one(pair: OnPremises, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ansible forgets which handlers were notified: one run was killed where nginx' handlers come, another one now.

    Whoever was killed goes on at once. Addresses are removed without a second holder.
    """
    nodes = ("node1", "node2")
    holders = pair.holders()
    assert pair.holders(SECOND) == pair.holders(SIX) == holders
    for node in nodes:
        assert "X-Interrupted" in pair.ssh(node, "cat /etc/nginx/nginx.conf"), "written before the kill"
        assert "X-Interrupted" not in headers(pair, node), "the handler was lost"
    started = "systemctl show --property=ActiveEnterTimestampMonotonic vip-agent"
    before = {node: pair.ssh(node, started) for node in nodes}
    killed_at(pair, monkeypatch, "vip_agent : Restart the agent now, before keepalived is told to use it")
    monkeypatch.setenv("SUDO_USER", "alice")
    with pair.client() as seen:
        pair.deploy(**CHANGED)
    for node in nodes:
        assert pair.ssh(node, started) != before[node]
        assert "vip-agent/watch 12" in pair.ssh(node, "pgrep --full --list-full vip-agent/watch")
        assert "X-Interrupted: yes" in headers(pair, node)
        assert pair.ssh(
            node, "systemctl is-active cloudha-vip-drill || true; ls /run/cloudha-vip-lock 2>&1 || true"
        ) == ("inactive\nls: cannot access '/run/cloudha-vip-lock': No such file or directory\n")
    assert seen.answered_by == set(holders), "the address stays where it is"
    assert seen.split_brain_ms == 0
    assert pair.holders() == holders
    assert pair.holders(SECOND) == pair.holders(SIX) == []
    short_enough(seen.gap_ms, PATIENCE_MS, seen.waited_ms)


BLIND = "/etc/systemd/system/keepalived.service.d/blind.conf"


@pytest.mark.in_order
def test_a_keepalived_that_got_no_inotify_is_seen_by_everybody_and_serves_on(pair: OnPremises) -> None:
    (holder,) = pair.holders()
    other = "node2" if holder == "node1" else "node1"
    says = "fs.inotify.max_user_instances"
    # As on a host that has none left, for this service alone.
    pair.ssh(
        other,
        f"""printf '[Service]\\nSystemCallFilter=~inotify_init inotify_init1:EMFILE\\n' > {BLIND}
            systemctl daemon-reload && systemctl restart keepalived""",
    )
    try:
        assert pair.ssh(other, "systemctl is-active keepalived") == "active\n", "the only node must serve, blind or not"
        pair.until(other, f"vip-agent status | grep -q {says}", 10)
        reload = "systemctl reload keepalived && exit 0; systemctl --quiet is-active keepalived && echo refused"
        assert "refused" in pair.ssh(other, reload), "a reload that leaves it blind fails"
        looked = pair.module(other, "cloudha.vip.vip_info")
        assert looked["keepalived"]["unwatched"] == ["/run/cloudha-vip/drain", "/run/cloudha-vip/check/nginx"]
        assert says in looked["keepalived"]["problems"][0]
        assert f"no redundancy: {other}: keepalived does not watch" in pair.status().stdout
        done = pair.play(pair.topology, **pair.deployed, keepalived_settle_timeout=5)
        assert done.returncode != 0 and f"{other}: keepalived does not watch" in done.stdout, done.stdout[-3000:]
        assert says in done.stdout and pair.holders() == [holder]
        # Until then it has found nothing to do, also where the last run was made after some that were interrupted.
        assert changes(done.stdout) == {"node1": 0, "node2": 0}, done.stdout[-6000:]
    finally:
        pair.ssh(other, f"rm {BLIND}; systemctl daemon-reload; systemctl restart keepalived")
    pair.until(other, f"! vip-agent status | grep -q {says}", 10)
    assert pair.module(other, "cloudha.vip.vip_info")["keepalived"]["problems"] == []


@pytest.mark.in_order
def test_a_service_that_does_not_run_anywhere_does_not_take_the_address_down(pair: OnPremises) -> None:
    (holder,) = pair.holders()
    with pair.client() as seen:
        # The operator's own, to which the checks go.
        done = pair.play(pair.topology, vip_service="mine", vip_check_url="http://127.0.0.1:8088/ready")
        assert done.returncode != 0
        assert "in FAULT as of file mine" in done.stdout and "the holder keeps the old one" in done.stdout
    assert seen.answered_by == {holder}
    assert pair.holders() == [holder]
    short_enough(seen.gap_ms, PATIENCE_MS, seen.waited_ms)


@pytest.mark.in_order
def test_another_port_and_path_reach_checks_and_clients(pair: OnPremises) -> None:
    """The standby is still in FAULT as of the run before, and this one repairs it."""
    before = pair.holders()
    other = "node2" if before == ["node1"] else "node1"

    def states() -> set[str]:
        return set(pair.module(other, "cloudha.vip.vip_info")["instances"].values())

    assert states() == {"FAULT"}
    # Without clients in the inventory a standby asks.
    output = pair.deploy(nginx_port=8080, nginx_health_path="/ready", vip_served_from=[])
    assert "Nobody has asked the address" not in output
    assert pair.holders() == before
    assert states() == {"BACKUP"}
    page = f"import urllib.request; print(urllib.request.urlopen('http://{VIP}:8080/ready').read())"
    assert "ok" in pair.ssh("client1", f'python3 -c "{page}"')
    assert "8080/ready" in pair.ssh("node1", "cat /etc/vip-agent/config.json")


def faults(pair: OnPremises) -> list[str]:
    """How often each node was in FAULT so far."""
    count = "journalctl --sync; journalctl --unit=keepalived | grep -c 'Entering FAULT STATE' || true"
    return [pair.ssh(node, count) for node in ("node1", "node2")]


def status(pair: OnPremises, node: str, path: str) -> str:
    ask = f"import http.client as h; c = h.HTTPConnection('127.0.0.1', 8080); c.request('GET', '{path}')"
    return pair.ssh(node, f'python3 -c "{ask}; print(c.getresponse().status)"').strip()


@pytest.mark.in_order
def test_clients_are_served_while_the_path_of_checks_changes_also_by_a_run_that_is_killed(pair: OnPremises) -> None:
    """All agents ask at the former path until each is told the new one, which takes several tasks, or the next run."""
    before, had = pair.holders(), faults(pair)
    moved = {**pair.deployed, "nginx_health_path": "/alive"}
    with pair.client(":8080/") as seen:
        told = "cloudha.vip.vip_agent : Record the state from before this role"
        assert killed.run(pair, pair.topology, at=told, **moved).done.returncode < 0
        for node in ("node1", "node2"):
            assert [status(pair, node, path) for path in ("/alive", "/ready", "/none")] == ["200", "200", "404"]
            assert "8080/ready" in pair.ssh(node, "cat /etc/vip-agent/config.json"), "the agents ask the former path"
        pair.deploy(**moved)
    assert faults(pair) == had
    assert seen.answered_by == set(before) == set(pair.holders()) and seen.split_brain_ms == 0
    short_enough(seen.gap_ms, PATIENCE_MS, seen.waited_ms)
    for node in ("node1", "node2"):
        assert "8080/alive" in pair.ssh(node, "cat /etc/vip-agent/config.json")
        assert status(pair, node, "/ready") == "404", "nobody asks there any more"
    done = pair.play(pair.topology, **moved)
    assert changes(done.stdout) == {"node1": 0, "node2": 0}, done.stdout[-6000:]


SCRIPTS = {
    "health_check_kind": "script",
    "health_check_user": "vip_checker",
    "health_check_checks": [
        {"name": "web", "process": "nginx", "url": "http://127.0.0.1/healthz", "timeout_ms": 1500, "timeout": 2},
        {"name": "port", "tcp": "127.0.0.1:80"},
        {
            "name": "counted",
            "url": "http://127.0.0.1/counted",
            "status": 204,
            "timeout_ms": 900,
            "restart": "bystander.service",
            "interval": 2,
            "timeout": 3,
            "rise": 3,
            "fall": 4,
            "weight": -100,
        },
    ],
    "keepalived_settle_timeout": 60,
    "vip_nopreempt": False,  # a lower priority gives the address away
    "nginx_http_extra": ["log_format counted '$msec $status';"],
    "nginx_server_extra": [
        "location = /counted { access_log /run/counted.log counted; if (-f /run/broken) { return 503; } return 204; }"
    ],
}
ADDRESS_IS_BACK = f"ip -o a | grep -q {VIP}"
ADDRESS_IS_GONE = f"! {ADDRESS_IS_BACK}"


def test_the_script_health_check_moves_the_address_too(pair: OnPremises) -> None:
    had = faults(pair)
    pair.deploy(**SCRIPTS)
    assert faults(pair) == had, "no check asks where nginx is gone: the port changes, too"
    try:
        pair.until("node1", ADDRESS_IS_BACK, 40)  # it has the highest priority
        with pair.client() as seen:
            pair.ssh("node1", "systemctl kill --kill-who=all --signal=STOP nginx")
            pair.until("node1", ADDRESS_IS_GONE, 40)
        assert len(seen.answered_by) == 2
        pair.ssh("node1", "systemctl kill --kill-who=all --signal=CONT nginx")
        pair.until("node1", ADDRESS_IS_BACK, 40)

        # keepalived counts as often as the options say, and does to the priority what they say.
        main = "systemctl show --property=MainPID --value bystander"
        bystander = pair.ssh("node1", f"systemd-run --quiet --unit=bystander sleep infinity; {main}")
        pair.ssh("node1", "touch /run/broken")
        pair.until("node1", ADDRESS_IS_GONE, 40)
        assert pair.ssh("node1", "stat --format=%U /run/cloudha-vip-health-check/counted.tried") == "vip_checker\n"
        pair.until("node1", f'[ "$({main})" != {bystander.strip()} ]', 10)
        pair.ssh("node1", "rm /run/broken")
        pair.until("node1", ADDRESS_IS_BACK, 40)
        lines = [line.split() for line in pair.ssh("node1", "cat /run/counted.log").splitlines()]
        asked = [(float(at), status) for at, status in lines]
        journal = pair.ssh("node1", "journalctl --sync; journalctl --unit=keepalived --output=short-unix")
        changed = re.findall(r"^(\S+) .*effective priority from (\d+) to (\d+)", journal, re.MULTILINE)
        (fell, high, low), (rose, low_again, high_again) = changed[-2:]
        assert int(high) - int(low) == 100 and (low_again, high_again) == (low, high)
        failed = [at for at, status in asked if status == "503"]
        assert sum(at <= float(fell) for at in failed) == 4, (asked, changed)
        assert sum(failed[-1] < at <= float(rose) for at, _status in asked) == 3, (asked, changed)
        pauses = [later - at for (at, _), (later, _) in itertools.pairwise(asked)]
        assert statistics.median(pauses) > 1.5, asked
    finally:
        pair.ssh("node1", "systemctl kill --kill-who=all --signal=CONT nginx; true")
        for node in ("node1", "node2"):
            pair.ssh(node, "systemctl stop bystander 2>/dev/null; rm -f /run/broken /run/counted.log")


def test_a_dry_run_of_teardown_passes_and_takes_nothing_away(pair: OnPremises) -> None:
    before = pair.holders()
    done = pair.play("teardown", "--check")
    assert done.returncode == 0, done.stdout[-3000:]
    assert "vip_real_servers" not in done.stdout + done.stderr
    assert pair.holders() == before and len(before) == 1


def test_teardown_takes_everything_away(pair: OnPremises) -> None:
    # Also what drills that were killed have left; of a drill of another topology nothing.
    pair.ssh(
        "node1",
        """mkdir -p /run/cloudha-vip-lock /run/cloudha-vip-drill && cd /run/cloudha-vip-drill &&
           echo 'touch /run/mended && rm /run/cloudha-vip-drill/undo' > undo""",
    )
    for number, url in ((1, f"http://{VIP}/healthz"), (2, "http://192.0.2.9/")):
        unit = f"cloudha-vip-drill-prober-200{number}-client1"
        pair.ssh(
            "client1", f"mkdir /run/cloudha-vip-drill-200{number}; systemd-run --unit={unit} tail -f /dev/null {url}"
        )
    refused = pair.play(pair.topology)
    assert refused.returncode != 0 and "run this there: sh /run/cloudha-vip-drill/undo" in refused.stdout
    done = pair.play("teardown")
    assert done.returncode == 0, done.stdout[-3000:]
    assert pair.ssh("node1", f"ls -d /run/mended {LEFT} 2>/dev/null || true") == "/run/mended\n"
    assert pair.ssh("client1", f"ls -d {LEFT} 2>/dev/null || true") == "/run/cloudha-vip-drill-2002\n"
    assert (
        pair.ssh("client1", "systemctl list-units --plain --no-legend '*-prober-*'")
        .split()[0]
        .endswith("2002-client1.service")
    )
    for node in ("node1", "node2"):
        assert VIP not in pair.ssh(node, "ip -oneline address")
        left = pair.ssh(node, f"ls -d {' '.join(PATHS)} 2>/dev/null || true")
        assert left == ""
        assert "active" not in pair.ssh(node, "systemctl is-active keepalived vip-agent nginx || true").split()
    assert changes(pair.play("teardown").stdout) == {"node1": 0, "node2": 0}
