# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the options of the keepalived role do: to the kernel of a node, and on the wire, as its neighbour sees it."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
import struct
import subprocess
from pathlib import Path
from subprocess import PIPE

import pytest

from ansible_collections.cloudha.vip.tests.node.real_keepalived import RealKeepalived, written

OBSERVER = Path(__file__).with_name("observer.py")
FUNCTIONS = """
await() {
    for turn in $(seq 150); do
        if eval "$1"; then return; fi
        sleep 0.1
    done
    echo "in vain: $1" >&2
    exit 1
}
priority() { cat "/shared/priority.$1" 2> /dev/null; }
on() { ip -brief address show dev "$1"; }
with() { await "on $1 | grep -q ' $2/'"; }
without() { await "! on $1 | grep -q ' $2/'"; }
"""
RUN = """
BEFORE
# The neighbour takes packets, and need not answer for its address.
ip neighbour add 192.168.7.248 lladdr 02:00:00:00:00:09 dev eth0 nud permanent
python3 /shared/observer.py LINK /shared &
await '[ -e /shared/watching ]'
keepalived --dont-fork --log-console --log-detail --use-file=/shared/keepalived.conf > /shared/log 2>&1 &
pid=$!
STEPS
kill $pid
wait $pid || true
"""
WEB = {"name": "web", "interface": "eth0", "virtual_router_id": 66, "addresses": ["192.168.7.246/22"]}
PEER = {"peers": ["192.168.7.248"], "source_address": "192.168.7.247"}


@pytest.fixture(scope="module")
def keepalived(tmp_path_factory):
    return RealKeepalived(tmp_path_factory.mktemp("keepalived"))


@pytest.fixture
def shared(tmp_path):
    shutil.copy(OBSERVER, tmp_path / "observer.py")
    tmp_path.chmod(0o1777)
    return tmp_path


def observe(keepalived, shared, steps, link="eth1", own=(), before="", **variables):
    """Run keepalived with these variables of the role and take the steps beside it; what the observer of a link saw."""
    text = written(keepalived.version, own=own, **{"keepalived_startup_delay_s": 0, **variables})
    (shared / "keepalived.conf").write_text(text)
    script = FUNCTIONS + RUN.replace("LINK", link).replace("BEFORE", before).replace("STEPS", steps)
    done = keepalived.run(shared, script, timeout=180)
    assert done.returncode == 0, done.stderr + done.stdout + (shared / "log").read_text()
    return [json.loads(line) for line in (shared / "seen").read_text().splitlines()]


def bursts(seen, address):
    """How many announcements of an address came together, and how many seconds after the ones before."""
    times = [packet["at"] for packet in seen if packet["announced"] == address]
    found = [[1, None]]
    for before, at in itertools.pairwise(times):
        if at - before < 1:
            found[-1][0] += 1
        else:
            found.append([1, at - before])
    return found


def note(name):
    """A command that writes its user and its arguments down."""
    return f"/bin/sh -c 'echo $(id -un) $* >> /shared/{name}' sh"


def notes(shared, name):
    path = shared / name
    return path.read_text().splitlines() if path.exists() else []


def test_announcements_come_as_often_as_wished(keepalived, shared):
    seen = observe(
        keepalived,
        shared,
        """
        with eth0 192.168.7.246
        with eth0 192.168.7.245
        await '[ "$(grep -c 192.168.7.246 /shared/seen)" -ge 9 ]'
        # A holder with a lower priority, as after a healed partition.
        python3 /shared/observer.py eth1 /shared lower 192.168.7.248 192.168.7.247 67 192.168.7.245
        await '[ "$(grep -c 192.168.7.245 /shared/seen)" -ge 9 ]'
        """,
        keepalived_instances=[
            {
                **WEB,
                **PEER,
                "garp_master_delay": 2,
                "garp_master_repeat": 3,
                "garp_master_refresh": 4,
                "garp_master_refresh_repeat": 2,
            },
            {
                **WEB,
                **PEER,
                "name": "mail",
                "virtual_router_id": 67,
                "addresses": ["192.168.7.245/22"],
                "garp_master_delay": 0,
                "garp_master_repeat": 1,
                "garp_master_refresh": 0,
                "garp_lower_prio_delay": 3,
                "garp_lower_prio_repeat": 4,
                "notify_master_rx_lower_pri": "/usr/bin/touch /shared/lower",
            },
        ],
        keepalived_script_user="nobody",
    )
    web, mail = bursts(seen, "192.168.7.246"), bursts(seen, "192.168.7.245")
    assert [count for count, _after in web[:4]] == [3, 3, 2, 2][: len(web)] and len(web) >= 3
    # At 2 s, and at 4 s, 8 s and so on.
    assert web[1][1] > 1.8
    assert web[2][1] > 1.8
    assert [count for count, _after in mail] == [1, 4, 4]
    assert mail[2][1] > 2.8
    assert (shared / "lower").exists()


def test_what_follows_an_address_comes_and_goes_with_it(keepalived, shared):
    show = """
        {
            ip -4 -oneline address show dev eth0
            ip route show
            ip rule show
            cat /proc/sys/net/ipv4/conf/eth0/promote_secondaries
        } > /shared/SHOWN
    """
    seen = observe(
        keepalived,
        shared,
        f"""
        with eth0 192.168.7.246
        with eth0 fd00:7::246
        await 'ip rule show | grep -q 203.0.113.7'
        {show.replace("SHOWN", "held")}
        await '[ -s /shared/named ]'
        cat /proc/$(pgrep -x it)/stat > /shared/stat
        ip link set eth1 down
        without eth0 192.168.7.246
        await '[ -s /shared/fault ]'
        kill -USR1 $pid
        await 'grep -q "Router ID" /tmp/keepalived_parent.data'
        cp /tmp/keepalived_parent.data /shared/dump
        await '! ip rule show | grep -q 203.0.113.7'
        {show.replace("SHOWN", "lost")}
        ip link set eth1 up
        with eth0 192.168.7.246
        echo -254 > /shared/drain
        without eth0 192.168.7.246
        """,
        before="ip address add 192.168.7.249/22 dev eth0",
        own=["192.168.7.249/22"],
        keepalived_script_user="daemon",
        keepalived_rt_priority=7,
        keepalived_router_id="node 1",
        keepalived_global_extra=["vrrp_process_name it"],
        keepalived_extra_config="static_routes {\n    198.51.100.0/24 via 192.168.7.1 dev eth0\n}\n",
        keepalived_instances=[
            {
                **WEB,
                "peers": ["192.168.7.248"],
                "source_address": "192.168.7.249",
                "addresses": [{"address": "192.168.7.246/32", "label": "eth0:vip", "scope": "link"}],
                "excluded_addresses": ["fd00:7::246/64"],
                "routes": ["203.0.113.0/24 via 192.168.7.1 dev eth0"],
                "rules": ["from 203.0.113.7 table 7 preference 700"],
                "extra": ["promote_secondaries"],
                "notify_master": note("master"),
                "notify_backup": note("backup"),
                "notify_fault": note("fault"),
                "notify_stop": note("stop"),
                "notify": note("named"),
            }
        ],
    )
    held, lost = ((shared / name).read_text() for name in ("held", "lost"))
    assert "inet 192.168.7.246/32 scope link eth0:vip" in held and "192.168.7.246" not in lost
    assert "203.0.113.0/24 via 192.168.7.1 dev eth0" in held and "203.0.113.0" not in lost
    assert "700:\tfrom 203.0.113.7 lookup 7" in held and "203.0.113.7" not in lost
    assert "198.51.100.0/24" in held and "198.51.100.0/24" in lost
    assert held.splitlines()[-1] == "1"
    # Of proc(5): the real-time priority, and the policy round robin.
    assert (shared / "stat").read_text().rpartition(")")[2].split()[37:39] == ["7", "2"]
    assert "Router ID = node 1\n" in (shared / "dump").read_text()
    assert {(packet["source"], packet["target"]) for packet in seen if packet["announced"] is None} == {
        ("192.168.7.249", "192.168.7.248")
    }
    for name in ("master", "backup", "fault", "stop"):
        assert notes(shared, name)[:1] == ["daemon"]
    assert notes(shared, "named") == [
        *(f"daemon INSTANCE web {state} 254" for state in ("BACKUP", "MASTER", "FAULT", "BACKUP", "MASTER", "FAULT")),
        "daemon INSTANCE web STOP 254",
    ]


def test_version_2_has_its_secret_and_multicast(keepalived, shared):
    seen = observe(
        keepalived,
        shared,
        "with eth0 192.168.7.246\nawait '[ -e /shared/priority.66 ]'",
        keepalived_instances=[
            {**WEB, "version": 2, "detection_ms": 4000, "auth_pass": "s3cr-t_8", "unicast": False, "priority": 77}
        ],
    )
    packet = next(packet for packet in seen if packet["announced"] is None)
    assert packet["version"] == 2
    assert packet["secret"] == "s3cr-t_8"
    assert packet["target"] == "224.0.0.18"
    assert packet["priority"] == 77


def test_a_node_waits_before_it_takes_an_address_back(keepalived, shared):
    observe(
        keepalived,
        shared,
        """
        await '[ -e /shared/backup ]'
        # A holder with a lower priority, which nopreempt would leave alone, until the wait is over.
        for turn in $(seq 1000); do
            python3 /shared/observer.py eth1 /shared lower 192.168.7.248 192.168.7.247 66 192.168.7.246
            if [ -e /shared/master ]; then break; fi
            sleep 0.1
        done
        with eth0 192.168.7.246
        """,
        keepalived_script_user="nobody",
        keepalived_instances=[
            {
                **WEB,
                **PEER,
                "detection_ms": 10000,
                "nopreempt": False,
                "preempt_delay": 3,
                "notify_backup": note("backup"),
                "notify_master": note("master"),
            }
        ],
    )
    waited_s = ((shared / "master").stat().st_mtime_ns - (shared / "backup").stat().st_mtime_ns) / 1e9
    assert waited_s > 2.9


def test_checks_count_as_much_as_wished(keepalived, shared):
    """Each has a weight of its own, so that the priority of a packet tells which of them failed."""
    (shared / "kept").write_text("8\n")
    (shared / "overwritten").write_text("100\n")
    (shared / "ok").touch()
    program = shared / "look"
    program.write_text("#!/bin/sh\necho $(id -un) >> /shared/runs\ntest -e /shared/ok\n")
    program.chmod(0o755)
    scripts = [
        {"name": "looks", "script": "/shared/look", "fall": 3, "rise": 4, "weight": -1, "user": "daemon"},
        {"name": "hangs", "script": "/bin/sleep 600", "interval": 2, "timeout": 1, "weight": -64, "init_fail": False},
    ]
    files = [
        {"name": "kept", "file": "/shared/kept", "weight": 1, "init": 0},
        {"name": "overwritten", "file": "/shared/overwritten", "weight": 2, "init": 4, "overwrite": True},
    ]
    observe(
        keepalived,
        shared,
        """
        # 180, 8 of the first file, twice 4 of the second; less 100 for the script that hangs.
        await '[ "$(priority 66)" = 96 ]'
        ip link set eth3 down
        await '[ "$(priority 66)" = 92 ]'
        echo 0 > /shared/kept
        await '[ "$(priority 66)" = 84 ]'
        rm /shared/ok /shared/runs
        await '[ "$(priority 66)" = 83 ]'
        mv /shared/runs /shared/failures
        touch /shared/ok
        await '[ "$(priority 66)" = 84 ]'
        mv /shared/runs /shared/successes
        """,
        keepalived_script_user="nobody",
        keepalived_track_scripts=scripts,
        keepalived_track_files=files,
        keepalived_instances=[
            {
                **WEB,
                **PEER,
                "priority": 180,
                "track_scripts": ["looks", {"name": "hangs", "weight": -100}],
                "track_files": ["kept", "overwritten"],
                "track_interfaces": [{"name": "eth2", "weight": -4}],
            }
        ],
    )
    assert (shared / "overwritten").read_text() == "4\n"
    failures, successes = notes(shared, "failures"), notes(shared, "successes")
    assert set(failures) == {"daemon"}
    assert len(failures) >= 3
    assert len(successes) >= 4


SMTP = {"name": "mail", "interface": "eth2", "virtual_router_id": 68, "addresses": ["192.0.2.245/24"], "unicast": False}


def test_no_address_is_taken_before_the_first_result_of_a_check(keepalived, shared):
    unknown = {"script": "/bin/sh -c 'until test -e /shared/go; do sleep 0.1; done'", "interval": 3600, "timeout": 3600}
    observe(
        keepalived,
        shared,
        """
        with eth0 192.168.7.245
        await '[ "$(grep -c "id.: 67" /shared/seen)" -ge 10 ]'
        without eth0 192.168.7.246
        without eth2 192.0.2.245
        touch /shared/go
        with eth0 192.168.7.246
        with eth2 192.0.2.245
        """,
        keepalived_script_user="nobody",
        keepalived_track_scripts=[
            {"name": "unknown", **unknown, "init_fail": False},
            {"name": "failed", **unknown, "init_fail": True},
        ],
        keepalived_instances=[
            {**WEB, **PEER, "track_scripts": ["unknown"]},
            {**SMTP, "track_scripts": ["failed"]},
            {**WEB, **PEER, "name": "free", "virtual_router_id": 67, "addresses": ["192.168.7.245/22"]},
        ],
    )


def test_instances_of_a_group_move_together(keepalived, shared):
    (shared / "ok").touch()
    (shared / "fine").touch()
    both = "with eth0 192.168.7.246\nwith eth2 192.0.2.245\n"
    none = "without eth0 192.168.7.246\nwithout eth2 192.0.2.245\n"
    causes = [
        # Of one of its members.
        ("ip link set eth3 down", "ip link set eth3 up"),
        # Of the whole group.
        ("rm /shared/ok", "touch /shared/ok"),
        ("echo 1 > /shared/file", "echo 0 > /shared/file"),
        ("ip link set eth5 down", "ip link set eth5 up"),
    ]
    observe(
        keepalived,
        shared,
        "\n".join(
            [
                both,
                *(f"{fault}\n{none}\n{repair}\n{both}" for fault, repair in causes),
                # One that counts, where a group takes weights.
                "rm /shared/fine",
                "await '[ \"$(priority 66)\" = 249 ]'",
                both,
            ]
        ),
        keepalived_script_user="nobody",
        keepalived_track_scripts=[
            {"name": "ok", "script": "/usr/bin/test -e /shared/ok"},
            {"name": "fine", "script": "/usr/bin/test -e /shared/fine", "weight": -5},
        ],
        keepalived_track_files=[{"name": "file", "file": "/shared/file", "init": 0}],
        keepalived_sync_groups=[
            {
                "name": "group",
                "instances": ["web", "mail"],
                "track_scripts": ["ok"],
                "track_files": ["file"],
                "track_interfaces": ["eth4"],
                "extra": ["sync_group_tracking_weight"],
                "notify_master": note("master"),
                "notify_backup": note("backup"),
                "notify_fault": note("fault"),
                "notify_stop": note("stop"),
                "notify": note("named"),
            }
        ],
        keepalived_instances=[{**WEB, **PEER, "track_scripts": ["fine"]}, SMTP],
    )
    assert set(notes(shared, "named")) == {
        f"nobody GROUP group {state} 0" for state in ("BACKUP", "MASTER", "FAULT", "STOP")
    }
    assert {len(notes(shared, event)) for event in ("master", "fault")} == {5, 4}
    assert notes(shared, "backup") and notes(shared, "stop")


def process_events_work():
    """Whether the kernel tells this process of others, as keepalived asks it: in its first namespaces, if at all."""
    message = struct.pack("=IIIIHHI", 1, 1, 0, 0, 4, 0, 1)  # CN_IDX_PROC, CN_VAL_PROC, PROC_CN_MCAST_LISTEN
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 11) as connector:  # NETLINK_CONNECTOR
            connector.bind((0, 1))
            connector.settimeout(5)
            connector.send(struct.pack("=IHHII", 16 + len(message), 3, 0, 0, os.getpid()) + message)
            return bool(connector.recv(4096))
    except OSError:
        return False


NEIGHBOUR = """
ip link add NAME0 type veth peer name eth0 netns $1
ip address add 192.0.2.241/28 dev NAME0
ip link set NAME0 up
nsenter --net=/proc/$1/ns/net ip link set eth0 up
nsenter --net=/proc/$1/ns/net setpriv --pdeathsig KILL python3 /shared/observer.py eth0 /shared &
observer=$!
await '[ -e /shared/watching ]'
# later KEY NAME ARGUMENTS...: a shell that becomes a process of this name with `now KEY`. keepalived 2.2.7 counts a
# process twice whose exec comes before it has dealt with the fork, or with another exec.
later() {
    key=$1 program=/shared/NAME$2
    shift 2
    cp -n /bin/sleep "$program"
    {
        for turn in $(seq 1200); do
            if [ -e "/shared/now.$key" ]; then exec "$program" "$@"; fi
            sleep 0.1
        done
    } &
    eval "process_$key=$!"
    started="$started $!"
}
now() { touch "/shared/now.$1"; }
LATER
setpriv --pdeathsig KILL keepalived --dont-fork --log-console --log-detail --use-file=/shared/keepalived.conf \
    > /shared/log 2>&1 &
pid=$!
trap 'kill $pid $observer $started 2> /dev/null || true; wait' EXIT
"""


def test_processes_count_as_much_as_wished(keepalived, shared):
    """Of the machine itself: the kernel tells no other network namespace of its processes."""
    if not process_events_work():
        pytest.skip("the kernel does not tell of processes here, as in a container")
    name = f"it{os.getpid()}"
    processes = {
        "two": {"process": f"{name}a", "quorum": 2, "weight": -1},
        "exact": {"process": f"/shared/{name}b 60 1", "weight": -2},
        "initial": {"process": f"/shared/{name}c 60 6", "param_match": "initial", "weight": -4},
        "partial": {"process": f"/shared/{name}d 60", "param_match": "partial", "weight": -8},
        "delayed": {"process": f"{name}e", "delay": 3, "weight": -16},
        "whole": {"process": f"/shared/{name}f", "full_command": True, "weight": -32},
        "group": {"process": f"{name}g"},
    }
    one = {"interface": "eth0", "unicast": False, "source_address": "192.168.7.247"}
    text = written(
        keepalived.version,
        keepalived_startup_delay_s=0,
        keepalived_script_user="nobody",
        keepalived_track_processes=[{"name": key, **process} for key, process in processes.items()],
        keepalived_sync_groups=[{"name": "both", "instances": ["web", "mail"], "track_processes": ["group"]}],
        keepalived_instances=[
            {
                **one,
                "name": "counts",
                "virtual_router_id": 66,
                "addresses": ["192.0.2.242/28"],
                "priority": 100,
                "track_processes": [key for key in processes if key != "group"],
            },
            {**one, "name": "web", "virtual_router_id": 67, "addresses": ["192.0.2.243/28"]},
            {**one, "name": "mail", "virtual_router_id": 68, "addresses": ["192.0.2.244/28"]},
        ],
    )
    (shared / "keepalived.conf").write_text(text.replace("eth0", f"{name}0").replace("192.168.7.247", "192.0.2.241"))
    later = """
        later a a 60
        later again a 60
        later other_b b 60 2
        later b b 60 1
        later other_c c 60 7
        later c c 60 61
        later d d 60 1
        later e e 60
        later f f 60
        later g g 60
    """
    steps = f"""
        await '[ "$(priority 66)" = 37 ]'
        now a
        now other_b
        now other_c
        now d
        await '[ "$(priority 66)" = 45 ]'
        now again
        await '[ "$(priority 66)" = 46 ]'
        kill $process_a
        await '[ "$(priority 66)" = 45 ]'
        now b
        await '[ "$(priority 66)" = 47 ]'
        now c
        await '[ "$(priority 66)" = 51 ]'
        now f
        await '[ "$(priority 66)" = 83 ]'
        now e
        await '[ "$(priority 66)" = 99 ]'
        date +%s%N > /shared/before
        kill $process_e
        await '[ "$(priority 66)" = 83 ]'
        without {name}0 192.0.2.243
        without {name}0 192.0.2.244
        now g
        with {name}0 192.0.2.243
        with {name}0 192.0.2.244
        kill $process_g
        without {name}0 192.0.2.243
        without {name}0 192.0.2.244
        with {name}0 192.0.2.242
    """
    with subprocess.Popen(["unshare", "--net", "sh", "-c", "echo $$; exec cat"], stdin=PIPE, stdout=PIPE) as neighbour:
        assert neighbour.stdin and neighbour.stdout
        holder = neighbour.stdout.readline().decode().strip()
        start = NEIGHBOUR.replace("LATER", later).replace("NAME", name).replace("$1", holder, 3)
        script = FUNCTIONS + start + steps
        done = keepalived.run_in_first_namespaces(shared, script)
        neighbour.stdin.close()
    assert done.returncode == 0, done.stderr + (shared / "log").read_text()
    seen = [json.loads(line) for line in (shared / "seen").read_text().splitlines()]
    counts = [packet for packet in seen if packet.get("id") == 66]
    late = next(packet["at"] for packet in counts if packet["priority"] == 99)
    lost = next(packet["at"] for packet in counts if packet["at"] > late and packet["priority"] == 83)
    assert lost - int((shared / "before").read_text()) / 1e9 > 2.8
