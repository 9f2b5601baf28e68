# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to a group of nodes in its life. Each case begins with one holder, and leaves one.

It may leave more, which its docstring tells: other settings, or a standby that is not well. No run mends that but the
first one of the next case, which so proves two things.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from busy import short_enough
from nodes import CONFIG, LOADED, VIP, Nodes, Row
from pair import changes

PATIENCE_MS = 5000  # a busy machine is slow; how fast a group is, is measured elsewhere
FAST = {"keepalived_detection_ms": 700}
IT_HOLDS = f"ip -o a | grep -q ' {VIP}/'"
NOBODY_SENDS = "nft add table inet test; nft 'add chain inet test in { type filter hook input priority 0; }'; "
NOBODY_SENDS += "nft add rule inet test in meta l4proto 112 drop"

STRAY = "vrrp_instance STRAY { interface eth0; virtual_router_id 77; virtual_ipaddress { 192.168.7.200/22 }; }"
STRAY = STRAY.replace(" {", " {\n").replace(";", "\n")

CHECK = {"name": "slow", "script": "/usr/bin/true", "interval": 2, "fall": 3}
# Not by vrrp_interface: it also has eth0 tracked, which keepalived refuses for an interface made on top of eth0.
BEAT = {
    "name": "VI_1",
    "interface": "beat",
    "virtual_router_id": 66,
    "addresses": [{"address": f"{VIP}/22", "device": "eth0"}],
}
SIX = ["fd00:7::246", "fd00:7::245"]
BOTH_FAMILIES = [
    {"name": "VI_1", "interface": "eth0", "virtual_router_id": 66, "addresses": [f"{VIP}/22"]},
    {"name": "WEB6", "interface": "eth0", "virtual_router_id": 67, "addresses": [f"{SIX[0]}/64"]},
    {"name": "API6", "interface": "eth0", "virtual_router_id": 68, "addresses": [f"{SIX[1]}/64"]},
]

Case = Callable[[Nodes], None]


def well(nodes: Nodes, done: subprocess.CompletedProcess[str], *, unreachable: bool = False) -> None:
    assert done.returncode == (4 if unreachable else 0), done.stdout[-8000:]
    assert len(nodes.holders()) == 1


def undisturbed(row: Row, limit_ms: float = PATIENCE_MS) -> None:
    assert row.two_holders_ms == 0, row
    short_enough(row.gap_ms, limit_ms, row.waited_ms)


def standbys(nodes: Nodes, members: list[str]) -> list[str]:
    (holder,) = nodes.holders()
    return [host for host in members if host != holder]


def in_force_is_on_disk(nodes: Nodes, host: str) -> bool:
    return nodes.ssh(host, f"cmp {CONFIG} {LOADED} && echo same || true") == "same\n"


def one_node_is_down(nodes: Nodes) -> None:
    """It is back at the end, with its old settings."""
    members = nodes.everybody[:-1]
    down = standbys(nodes, members)[-1]
    nodes.power_off(down)
    try:
        with nodes.case("one node is down while the others change") as row:
            done = nodes.run(members, nginx_page="while one is down\n", **FAST)
            well(nodes, done, unreachable=True)
            assert all(changes(done.stdout)[host] > 0 for host in members if host != down), done.stdout[-4000:]
            (holder,) = nodes.holders()
            address = nodes.lab.topology.machine(down).address
            assert f" {address}\n" in nodes.ssh(holder, f"cat {CONFIG}"), "it stays a peer"
    finally:
        nodes.power_on(down)
    undisturbed(row)


def a_node_is_added(nodes: Nodes) -> None:
    """First in a dry run, which finds a node without anything beside others that run all of it.

    One of them was down, is back, and has old settings.
    """
    done = nodes.run(nodes.everybody, "--check", "--diff")
    assert done.returncode == 0, done.stdout[-8000:]
    assert nodes.ssh(nodes.everybody[-1], "ls /etc/keepalived 2>/dev/null || true") == ""
    with nodes.case("one node is back, and another one is added") as row:
        well(nodes, nodes.run(nodes.everybody))
    undisturbed(row)


def a_node_is_not_forgotten_while_it_runs(nodes: Nodes) -> None:
    """The group has one more node now."""
    gone = standbys(nodes, nodes.everybody)[-1]
    rest = [host for host in nodes.everybody if host != gone]
    with nodes.case("a running node is gone from the inventory (refused)") as row:
        done = nodes.run(rest)
    assert done.returncode != 0 and "keepalived_removed_peers" in done.stdout, done.stdout[-4000:]
    undisturbed(row, limit_ms=1000)  # nothing was changed


def a_node_is_removed(nodes: Nodes) -> None:
    gone = nodes.everybody[-1]
    rest = nodes.everybody[:-1]
    with nodes.case("a node is removed") as row:
        nodes.remove(gone)
        well(nodes, nodes.run(rest))
    undisturbed(row)


def an_unchanged_run_changes_nothing(nodes: Nodes) -> None:
    done = nodes.run(nodes.everybody[:-1])
    well(nodes, done)
    assert set(changes(done.stdout).values()) == {0}


def a_node_is_repaired_with_limit(nodes: Nodes) -> None:
    """It comes back without keepalived, and the playbook runs for it alone."""
    members = nodes.everybody[:-1]
    broken = standbys(nodes, members)[-1]
    files = "/etc/keepalived /run/cloudha-vip/keepalived.conf"
    nodes.ssh(broken, f"systemctl stop keepalived && apt-get purge --yes keepalived && rm -rf {files}")
    nodes.ssh(broken, f"mkdir /etc/keepalived && echo '{STRAY}' > {CONFIG} && journalctl --rotate")
    with nodes.case("a node is repaired (--limit)") as row:
        well(nodes, nodes.run(members, f"--limit={broken}"))
        assert nodes.ssh(broken, "systemctl is-active keepalived") == "active\n"
    undisturbed(row)
    told = nodes.ssh(broken, "journalctl --unit keepalived --identifier Keepalived_vrrp")
    assert "(VI_1)" in told and "(STRAY)" not in told, "the package does not start what lies there"


def a_node_is_replaced(nodes: Nodes) -> None:
    """A standby dies; another machine takes its place."""
    members = nodes.everybody[:-1]
    dead = standbys(nodes, members)[-1]
    new = nodes.everybody[-1]
    nodes.ssh(dead, "systemctl disable keepalived")  # so that it does not come back with it below
    nodes.power_off(dead)
    try:
        with nodes.case("a dead node is replaced") as row:
            well(nodes, nodes.run([new if host == dead else host for host in members]))
        undisturbed(row)
    finally:
        nodes.power_on(dead)
    with nodes.case("and back") as row:
        nodes.remove(new)
        well(nodes, nodes.run(members))
    undisturbed(row)


def a_node_is_added_while_another_one_is_down(nodes: Nodes) -> None:
    """The group has one more node afterwards."""
    members = nodes.everybody[:-1]
    down = standbys(nodes, members)[-1]
    nodes.power_off(down)
    try:
        with nodes.case("a node is added while another one is down (refused)") as row:
            done = nodes.run(nodes.everybody)
        assert "keepalived_absent_ok" in done.stdout, done.stdout[-4000:]
        undisturbed(row)
        with nodes.case("the same, with keepalived_absent_ok") as row:
            well(nodes, nodes.run(nodes.everybody, keepalived_absent_ok=[down]), unreachable=True)
            assert nodes.ssh(nodes.everybody[-1], "systemctl is-active keepalived") == "active\n"
        undisturbed(row)
    finally:
        nodes.power_on(down)
    with nodes.case("that node is back, and the playbook runs") as row:
        well(nodes, nodes.run(nodes.everybody))
    undisturbed(row)


def a_machine_that_says_nothing_is_forgotten(nodes: Nodes) -> None:
    """The group has one more node now. Its keepalived is stopped, but nobody can see that over the network.

    The machine is forgotten, and its keepalived stays off.
    """
    gone = nodes.everybody[-1]
    rest = nodes.everybody[:-1]
    if gone in nodes.holders():
        nodes.ssh(gone, "systemctl restart keepalived")
    nodes.ssh(gone, f"systemctl stop keepalived; {NOBODY_SENDS}")
    with nodes.case("a machine that says nothing is gone from the inventory (refused)") as row:
        done = nodes.run(rest)
    assert done.returncode != 0 and "keepalived_removed_peers" in done.stdout, done.stdout[-4000:]
    undisturbed(row)
    with nodes.case("the same, with keepalived_removed_peers") as row:
        address = nodes.lab.topology.machine(gone).address
        well(nodes, nodes.run(rest, keepalived_removed_peers=[address]))
    undisturbed(row)
    nodes.ssh(gone, "nft delete table inet test")


def a_check_that_fails_everywhere(nodes: Nodes) -> None:
    """It never reaches the holder. On a group without one, the run says which check fails where, and is not green."""
    members = nodes.everybody[:-1]
    app = {"keepalived_track_scripts": [{"name": "app", "script": "/usr/bin/false"}], "keepalived_settle_timeout": 5}
    (holder,) = nodes.holders()
    with nodes.case("a check that fails everywhere (refused)") as row:
        done = nodes.run(members, **app)
    assert done.returncode != 0 and "VI_1 is in FAULT as of script app" in done.stdout, done.stdout[-3000:]
    assert nodes.holders() == [holder]
    undisturbed(row)
    for host in members:
        nodes.ssh(host, "systemctl stop keepalived")
    done = nodes.run(members, **app)
    assert done.returncode != 0
    for host in members:
        assert f"{host} has VI_1 in FAULT as of script app" in done.stdout, done.stdout[-3000:]
    well(nodes, nodes.run(members))


def the_first_node_is_in_fault(nodes: Nodes) -> None:
    """Its check fails when nobody holds the address yet: the next one gets it. The check passes at the end."""
    members = nodes.everybody[:-1]
    sick, second = members[:2]
    for host in members:
        nodes.ssh(host, f"systemctl stop keepalived; {'rm -f' if host == sick else 'touch'} /run/app")
    app = {"keepalived_track_scripts": [{"name": "app", "script": "/usr/bin/test -e /run/app"}]}
    done = nodes.run(members, **app)
    well(nodes, done)
    assert nodes.holders() == [second]
    assert f"{sick} has VI_1 in FAULT as of script app" in done.stdout, "it says why the first one is passed over"
    for host in members:
        nodes.ssh(host, "rm -f /run/app")
    done = nodes.run(members, keepalived_settle_timeout=5, **app)
    assert set(changes(done.stdout).values()) == {0}
    assert done.returncode != 0 and "is held by nobody" in done.stdout, "it looks also where nothing changes"
    nodes.ssh(second, "touch /run/app")
    nodes.until(second, IT_HOLDS, 20)
    for host in members[2:]:
        nodes.ssh(host, "touch /run/app")
    with nodes.case("one node is in FAULT while the others change") as row:
        well(nodes, nodes.run(members, **FAST, **app))
    undisturbed(row)
    nodes.ssh(sick, "touch /run/app")


def a_node_that_hears_nobody_does_not_start(nodes: Nodes) -> None:
    """The refused run would have changed the others. Its keepalived stays off."""
    members = nodes.everybody[:-1]
    deaf = standbys(nodes, members)[-1]
    nodes.ssh(deaf, f"systemctl stop keepalived; {NOBODY_SENDS}")
    try:
        with nodes.case("VRRP does not pass to a node (refused)") as row:
            done = nodes.run(members)
        assert done.returncode != 0 and "protocol 112" in done.stdout, done.stdout[-4000:]
        undisturbed(row)
        (holder,) = nodes.holders()
        assert in_force_is_on_disk(nodes, holder), "what was refused is not what a restart would read"
    finally:
        nodes.ssh(deaf, "nft delete table inet test")


def a_check_that_begins_to_fail_spares_the_holder(nodes: Nodes) -> None:
    """keepalived takes it for good at a reload, and needs some runs to find out. The standbys stay in FAULT.

    A standby does not run before, as it heard nobody. VRRP passes to it again, so the first run starts it.
    """
    members = nodes.everybody[:-1]
    with nodes.case("VRRP passes to the node again, and a check is new") as row:
        well(nodes, nodes.run(members, keepalived_track_scripts=[CHECK]))
    undisturbed(row)
    for host in members:
        nodes.ssh(host, "systemctl is-active keepalived")
    (holder,) = nodes.holders()
    with nodes.case("a check begins to fail with the new configuration (refused)") as row:
        done = nodes.run(members, keepalived_track_scripts=[{**CHECK, "script": "/usr/bin/false"}])
    assert done.returncode != 0 and "VI_1 is in FAULT as of script slow" in done.stdout, done.stdout[-3000:]
    assert nodes.holders() == [holder]
    undisturbed(row)


def a_reload_that_fails_spares_the_holder(nodes: Nodes) -> None:
    """The standby has the new configuration on its disk and not in force, and is in FAULT as of the old one's check."""
    members = nodes.everybody[:-1]
    broken = standbys(nodes, members)[0]
    (holder,) = nodes.holders()
    before = nodes.ssh(holder, f"sha256sum {CONFIG}")
    drop_in = "/etc/systemd/system/keepalived.service.d/zz-test.conf"
    nodes.ssh(
        broken, f"printf '[Service]\\nExecReload=\\nExecReload=/bin/false\\n' >{drop_in}; systemctl daemon-reload"
    )
    try:
        with nodes.case("a standby cannot load the new configuration (refused)") as row:
            done = nodes.run(members, keepalived_instances=BOTH_FAMILIES)
        assert done.returncode != 0 and f"{broken} did not take the new configuration" in done.stdout, done.stdout[
            -4000:
        ]
        assert nodes.ssh(holder, f"sha256sum {CONFIG}") == before, "a restart must not read what was never tried"
        assert in_force_is_on_disk(nodes, holder)
        assert nodes.holders() == [holder]
    finally:
        nodes.ssh(broken, f"rm {drop_in}; systemctl daemon-reload")
    undisturbed(row)


def an_unchanged_run_keeps_addresses_of_both_families_where_they_are(nodes: Nodes) -> None:
    """The kernel lists an address of IPv6 that keepalived added before the node's own ones.

    A standby is in FAULT before, and did not take the instances of these addresses. The first run mends that.
    """
    members = nodes.everybody[:-1]
    with nodes.case("two instances of IPv6 are added") as row:
        well(nodes, nodes.run(members, keepalived_instances=BOTH_FAMILIES))
    undisturbed(row)
    assert all(in_force_is_on_disk(nodes, host) for host in members)
    done = nodes.run(members, keepalived_instances=BOTH_FAMILIES)
    well(nodes, done)
    assert set(changes(done.stdout).values()) == {0}
    for address in SIX:
        has = [host for host in members if f" {address}/" in nodes.ssh(host, "ip -o -6 address")]
        assert len(has) == 1, (address, has)
    with nodes.case("and removed") as row:
        well(nodes, nodes.run(members))
    undisturbed(row)


def a_split_group_is_mended(nodes: Nodes) -> None:
    """Only the deaf node gets another configuration."""
    members = nodes.everybody[:-1]
    deaf = standbys(nodes, members)[-1]
    wrong_peer = f"sed -i '/unicast_peer/,/}}/s/192.168.7.2../192.168.7.199/' {CONFIG}"
    # Within its delay after the start, a packet that it rejects keeps it from taking the address. So it gets none.
    nodes.ssh(deaf, f"{wrong_peer} && {NOBODY_SENDS} && systemctl restart keepalived")
    try:
        nodes.until(deaf, IT_HOLDS, 20)
    finally:
        nodes.ssh(deaf, "nft delete table inet test")
    assert len(nodes.holders()) == 2
    before = {host: nodes.ssh(host, f"sha256sum {CONFIG}") for host in members}
    with nodes.case("split at the start") as row:
        well(nodes, nodes.run(members))
    undisturbed(row)
    assert [host for host in members if nodes.ssh(host, f"sha256sum {CONFIG}") != before[host]] == [deaf]


def the_heartbeat_moves_to_a_network_of_its_own(nodes: Nodes) -> None:
    """And returns, while all nodes run."""
    members = nodes.everybody[:-1]
    for number, host in enumerate(members, 1):
        link = "ip link add beat link eth0 type macvlan mode bridge; ip link set beat up"
        # Both interfaces are on one segment: each answers for its own address only.
        arp = "sysctl -q net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2"
        nodes.ssh(host, f"{arp}; {link}; ip address add 10.77.0.{number}/24 dev beat")
    try:
        with nodes.case("the heartbeat moves to another interface") as row:
            well(nodes, nodes.run(members, keepalived_instances=[BEAT]))
        undisturbed(row)
        with nodes.case("and returns") as row:
            well(nodes, nodes.run(members))
        undisturbed(row)
    finally:
        for host in members:
            nodes.ssh(host, f"ip link delete beat; {arp.replace('=1', '=0').replace('=2', '=0')}")


def an_address_of_somebody_else_is_not_taken(nodes: Nodes) -> None:
    members = nodes.everybody[:-1]
    other = standbys(nodes, members)[-1]
    nodes.ssh(other, "ip address add 192.168.7.244/22 dev eth0")
    try:
        done = nodes.run(members, vip_addresses=["192.168.7.246/22", "192.168.7.244/22"])
        assert done.returncode != 0, "there would be two holders"
        assert "ip address delete 192.168.7.244/22 dev eth0" in done.stdout, done.stdout[-3000:]
    finally:
        nodes.ssh(other, "ip address delete 192.168.7.244/22 dev eth0")


# The first ones need the whole deployment, which the others do without.
WHOLE: list[Case] = [
    one_node_is_down,
    a_node_is_added,
    a_node_is_not_forgotten_while_it_runs,
    a_node_is_removed,
    an_unchanged_run_changes_nothing,
    a_node_is_repaired_with_limit,
]
CASES: list[Case] = [
    *WHOLE,
    a_node_is_replaced,
    a_node_is_added_while_another_one_is_down,
    a_machine_that_says_nothing_is_forgotten,
    a_check_that_fails_everywhere,
    the_first_node_is_in_fault,
    a_node_that_hears_nobody_does_not_start,
    a_check_that_begins_to_fail_spares_the_holder,
    a_reload_that_fails_spares_the_holder,
    an_unchanged_run_keeps_addresses_of_both_families_where_they_are,
    a_split_group_is_mended,
    the_heartbeat_moves_to_a_network_of_its_own,
    an_address_of_somebody_else_is_not_taken,
]
# The daily work of a group, which bench/nodes.py measures in groups of other sizes, too.
DAILY: list[Case] = [
    one_node_is_down,
    a_node_is_added,
    a_node_is_removed,
    a_node_is_repaired_with_limit,
    a_node_is_replaced,
    a_split_group_is_mended,
    the_first_node_is_in_fault,
]
# Several runs each; the rest has what they have in common. Each leaves the group as it found it.
LONG: list[Case] = [
    an_unchanged_run_changes_nothing,
    a_node_is_replaced,
    a_check_that_fails_everywhere,
]
