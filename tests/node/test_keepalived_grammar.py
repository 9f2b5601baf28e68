# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the keepalived role writes, given to the real keepalived: every option once, and every hostile word."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.problems import find_problems
from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.settings import settings
from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.values import commands
from ansible_collections.cloudha.vip.tests.node.real_keepalived import SPEC, RealKeepalived, written

# Of the role itself, not of what it writes.
OF_THE_ROLE = {"keepalived_group", "keepalived_stranger_check", "keepalived_settle_timeout"}
OF_THE_ROLE |= {"keepalived_absent_ok", "keepalived_removed_peers", "keepalived_python"}

ADDRESS = {"address": "192.168.7.246/22", "device": "eth0", "label": "eth0:vip", "scope": "global"}
WEB = {"name": "web", "interface": "eth0", "virtual_router_id": 66, "addresses": ["192.168.7.246/22"]}
PEER = {"peers": ["192.168.7.248"], "source_address": "192.168.7.247"}
EVENTS = ["notify_master", "notify_backup", "notify_fault", "notify_stop", "notify_master_rx_lower_pri", "notify"]
EVERYTHING = {
    "keepalived_detection_ms": 500,
    "keepalived_router_id": "node 1",
    "keepalived_script_user": "nobody",
    "keepalived_notify_fifo": "/shared/a fifo",
    "keepalived_startup_delay_s": 0.5,
    "keepalived_rt_priority": 1,
    "keepalived_global_extra": ["vrrp_garp_interval 0.001"],
    "keepalived_extra_config": "static_routes {\n    198.51.100.0/24 via 192.168.7.1 dev eth0\n}\n",
    "keepalived_track_scripts": [
        {
            "name": "script",
            "script": "/usr/bin/test -e /",
            "interval": 2,
            "timeout": 3,
            "rise": 3,
            "fall": 4,
            "weight": -3,
            "user": "daemon daemon",
            "init_fail": False,
        }
    ],
    "keepalived_track_files": [{"name": "file", "file": "/shared/a file", "weight": 0, "init": 0, "overwrite": True}],
    "keepalived_track_processes": [
        {
            "name": "process",
            "process": "/usr/sbin/nginx -g 'daemon off;'",
            "weight": -4,
            "quorum": 2,
            "delay": 0.5,
            "full_command": True,
        },
        {"name": "parameters", "process": "nginx -g", "param_match": "initial"},
    ],
    "keepalived_sync_groups": [
        {
            "name": "group",
            "instances": ["web", "mail"],
            "track_scripts": ["script"],
            "track_files": ["file"],
            "track_interfaces": ["eth2"],
            "track_processes": ["process"],
            "extra": ["sync_group_tracking_weight"],
            **dict.fromkeys((event for event in EVENTS if "lower" not in event), "/usr/bin/true it"),
        }
    ],
    "keepalived_instances": [
        {
            **WEB,
            **PEER,
            "addresses": [ADDRESS],
            "excluded_addresses": ["fd00:7::246/64"],
            "priority": 200,
            "detection_ms": 600,
            "version": 3,
            "unicast": True,
            "nopreempt": False,
            "preempt_delay": 1,
            "track_scripts": [{"name": "script", "weight": -2}],
            "track_files": ["file"],
            "track_interfaces": [{"name": "eth1", "weight": 0}],
            "track_processes": ["process", "parameters"],
            "routes": ["203.0.113.0/24 via 192.168.7.1 dev eth0"],
            "rules": ["from 203.0.113.7 table 7 preference 700"],
            "extra": ["no_accept"],
            **dict.fromkeys((f"garp_{of}" for of in ("master_delay", "master_refresh", "lower_prio_delay")), 7),
            **dict.fromkeys((f"garp_{of}_repeat" for of in ("master", "master_refresh", "lower_prio")), 3),
            **dict.fromkeys(EVENTS, "/usr/bin/true it"),
        },
        {
            **WEB,
            "name": "mail",
            "virtual_router_id": 67,
            "addresses": ["192.168.7.245/22"],
            "version": 2,
            "detection_ms": 4000,
            "auth_pass": "s3cr-t_8",
            "unicast": False,
        },
    ],
    "keepalived_virtual_servers": [
        {
            "address": "192.168.7.246",
            "port": 80,
            "protocol": "TCP",
            "delay_loop": 3,
            "lvs_sched": "rr",
            "lvs_method": "DR",
            "persistence_timeout": 30,
            "ha_suspend": True,
            "quorum": 1,
            "quorum_up": "/usr/bin/true up",
            "quorum_down": "/usr/bin/true down",
            "sorry_server": {"address": "127.0.0.1", "port": 80},
            "extra": ["alpha"],
            "real_servers": [
                {
                    "address": "192.168.7.1",
                    "port": 80,
                    "weight": 2,
                    "inhibit_on_failure": True,
                    "check": {
                        "type": "http",
                        "path": "/healthz?a b",
                        "status_code": 204,
                        "virtualhost": "web.example",
                        "connect_port": 8080,
                        "timeout": 2,
                        "retry": 2,
                        "delay_before_retry": 2,
                    },
                    "extra": ["notify_up /usr/bin/true"],
                },
                {"address": "192.168.7.2", "port": 80, "check": {"type": "misc", "command": "/usr/bin/true 'a b'"}},
            ],
        },
        {"fwmark": 7, "real_servers": [{"address": "192.168.7.1", "port": 80, "check": {"type": "tcp"}}]},
    ],
}


@pytest.fixture(scope="module")
def keepalived(tmp_path_factory):
    return RealKeepalived(tmp_path_factory.mktemp("keepalived"))


def options(spec, where=""):
    for name, option in spec.items():
        yield f"{where}{name}"
        yield from options(option.get("options") or {}, f"{where}{name}.")


def given(variables, where=""):
    for name, value in variables.items():
        yield f"{where}{name}"
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                yield from given(item, f"{where}{name}.")


def test_every_option_is_given_to_keepalived_once(keepalived, tmp_path):
    assert set(options(SPEC)) - OF_THE_ROLE <= set(given(EVERYTHING))
    assert keepalived.refuses(tmp_path, written(keepalived.version, **EVERYTHING)) == ""


def test_every_command_is_looked_at_before_it_is_needed():
    nodes = {"node1": {**EVERYTHING, "interfaces": {"eth0": ["192.168.7.247/22"], "eth1": [], "eth2": []}}}
    found = {command.option: command.words[0] for command in commands(settings(nodes, "node1", SPEC))}
    its_own = {f"keepalived_instances[web].{event}" for event in EVENTS}
    its_group = {f"keepalived_sync_groups[group].{event}" for event in EVENTS if "lower" not in event}
    assert {option for option in found if ".notify" in option} == its_own | its_group
    server = "keepalived_virtual_servers[192.168.7.246]"
    others = {f"{server}.quorum_up", f"{server}.quorum_down", f"{server}.real_servers[192.168.7.2].check.command"}
    assert set(found) - its_own - its_group == {*others, "keepalived_track_scripts[script].script"}
    assert set(found.values()) == {"/usr/bin/true", "/usr/bin/test"}


def test_a_keyword_which_keepalived_does_not_know_would_be_seen(keepalived, tmp_path):
    text = written(keepalived.version, **EVERYTHING).replace("vrrp_track_process process", "track_process process")
    assert "Unknown keyword 'track_process'" in keepalived.refuses(tmp_path, text)


# Words


HOSTILE = [
    '"', '""', 'say "hi"', "it's", "'", "''", """'"'"'""", ";", "a;b", "#", "a #b", "!", "a !b",
    "{", "}", "{ a }", "} }", "$(id)", "$_PWD", "${_PWD}", "$_HASH ", "$HOME", "a$",
    "%d%s%n", "*", "~SEQ(A, 1, 2)", "@node1", "", " ", "  a  ",
    "a\nb", "\n}\n", "a\tb", "\r", "\x01", "\x7f", "é", "日本", "a=b", "<>|&", "include x", "\u00a0", "a,b", "x" * 800,
]  # fmt: skip
BACKSLASHES = ["\\", "a\\", "\\n", "\\\\", 'a\\"b', "\\x41"]
TOO_LONG = ["x" * 10_000, "é" * 600]

RECORD = """#!/bin/sh
name=$1
shift
printf '%s\\0' "$@" > "/shared/$name.$$"
mv "/shared/$name.$$" "/shared/out/$name"
"""


def record(number, *words):
    """A command, as a user writes it, that records its arguments."""
    return shlex.join(["/shared/record", str(number), *words])


@pytest.fixture
def shared(tmp_path):
    program = tmp_path / "record"
    program.write_text(RECORD)
    program.chmod(0o755)
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o777)
    tmp_path.chmod(0o1777)
    return tmp_path


WAIT = """
keepalived --dont-fork --log-console --use-file=/shared/keepalived.conf > /shared/log 2>&1 &
pid=$!
for turn in $(seq 200); do
    if {condition}; then break; fi
    sleep 0.1
done
{then}
kill $pid
wait $pid || true
"""


def test_a_command_gets_exactly_its_arguments(keepalived, shared):
    """Of a check, and of every notification that one node can see."""
    short, long = [word for word in HOSTILE if len(word) < 100], [word for word in HOSTILE if len(word) >= 100]
    # Each word goes to a check and to a notification, some at a time, with a last one behind which ends them.
    checks = {f"check{n}": [*words, "last"] for n, words in enumerate([short[0::3], short[1::3], short[2::3], long])}
    events = ["notify_master", "notify_backup", "notify_stop", "notify"]
    notified = {event: [*short[n::4], "last"] for n, event in enumerate(events)}
    # They run once: the others on this machine need its processor, too.
    slow = {"rise": 1, "interval": 3600, "timeout": 60}
    text = written(
        keepalived.version,
        keepalived_script_user="nobody",
        keepalived_startup_delay_s=0,
        keepalived_track_scripts=[{"name": n, "script": record(n, *words), **slow} for n, words in checks.items()],
        keepalived_instances=[
            {
                **WEB,
                **PEER,
                "track_scripts": list(checks),
                **{event: record(event, *words) for event, words in notified.items()},
            }
        ],
    )
    assert keepalived.refuses(shared, text) == ""
    condition = " && ".join(f"[ -e /shared/out/{name} ]" for name in (*checks, "notify_master", "notify"))
    stopped = "for turn in $(seq 100); do if [ -e /shared/out/notify_stop ]; then break; fi; sleep 0.1; done"
    done = keepalived.run(shared, WAIT.format(condition=condition, then="") + stopped)
    got = {path.name: path.read_bytes().decode().split("\0")[:-1] for path in (shared / "out").iterdir()}
    for name, words in {**checks, **notified}.items():
        # To notify, keepalived adds arguments of its own.
        assert got.get(name, [])[: len(words)] == words, done.stderr + (shared / "log").read_text()


def test_commands_of_virtual_servers_are_taken(keepalived, tmp_path):
    """They are read by the same function, and cannot run here without IPVS."""
    words = [word for word in HOSTILE if len(word) < 100]
    servers = [
        {
            "address": "192.168.7.246",
            "port": number + 1,
            "quorum_up": record(number, word),
            "quorum_down": record(number, word),
            "real_servers": [
                {
                    "address": "192.168.7.1",
                    "port": number + 1,
                    "check": {"type": "misc", "command": record(number, word)},
                }
            ],
        }
        for number, word in enumerate(words)
    ]
    text = written(keepalived.version, keepalived_script_user="nobody", keepalived_virtual_servers=servers)
    assert keepalived.refuses(tmp_path, text) == ""


def test_a_plain_word_is_read_as_it_is_or_refused(keepalived, shared):
    """The path of a file, among others: keepalived makes the files that it is told of."""
    words = [word for word in (*HOSTILE, *BACKSLASHES, *TOO_LONG) if word and "/" not in word]
    files = [{"name": f"file{n}", "file": f"/shared/out/{n} {word}", "init": 0} for n, word in enumerate(words)]
    nodes = {"node1": {"keepalived_instances": [{**WEB, "unicast": False}], "keepalived_track_files": files}}
    refused = {problem.partition("[")[2].partition("]")[0] for problem in find_problems(nodes, SPEC)}
    # The file system takes no longer names.
    taken = [item for item in files if item["name"] not in refused and len(item["file"].encode()) < 250]
    assert len(taken) > 15
    router_id = taken[-1]["file"].rpartition("/")[2]
    text = written(
        keepalived.version,
        keepalived_instances=[{**WEB, **PEER, "track_files": [item["name"] for item in taken]}],
        keepalived_startup_delay_s=0,
        keepalived_script_user="nobody",
        keepalived_track_files=taken,
        keepalived_router_id=router_id,
        keepalived_notify_fifo="/shared/it's a #fifo; {!}",
    )
    assert keepalived.refuses(shared, text) == ""
    names = [Path(item["file"]).name for item in taken]
    condition = f'[ $(ls /shared/out | wc -l) -ge {len(taken)} ] && [ -e "/shared/it\'s a #fifo; {{!}}" ]'
    dump = """
        kill -USR1 $pid
        for turn in $(seq 100); do
            if grep -q 'Router ID' /tmp/keepalived_parent.data; then break; fi
            sleep 0.1
        done
        cp /tmp/keepalived*.data /shared/
    """
    done = keepalived.run(shared, WAIT.format(condition=condition, then=dump))
    assert sorted(path.name for path in (shared / "out").iterdir()) == sorted(names), (
        done.stderr + (shared / "log").read_text()
    )
    data = "".join(path.read_text() for path in shared.glob("*.data"))
    assert f"Router ID = {router_id}\n" in data


def test_a_node_which_was_just_started_waits_before_it_takes_an_address(keepalived, shared):
    text = written(
        keepalived.version,
        keepalived_startup_delay_s=3,
        keepalived_script_user="nobody",
        keepalived_instances=[{**WEB, **PEER, "notify_master": record("master")}],
    )
    (shared / "keepalived.conf").write_text(text)
    script = WAIT.format(condition="[ -e /shared/out/master ]", then="") + "[ -e /shared/out/master ]"
    done = keepalived.run(shared, "date +%s%N > /shared/started\n" + script)
    assert done.returncode == 0, done.stderr + (shared / "log").read_text()
    waited_s = ((shared / "out/master").stat().st_mtime_ns - int((shared / "started").read_text())) / 1e9
    assert waited_s > 3
