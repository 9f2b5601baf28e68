# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several operators at once, by the real Ansible, on nodes whose systemd has one unit: the lock."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from busy import until

# The unit is a directory, which one of several makes. It is there until its processes have ended.
SYSTEMD_RUN = """#!/bin/sh
echo "$*" >> "$NODE/started"
while :; do case $1 in
    --description=*) name=${1#*=} ;;
    --setenv=*) environment=${1#*=} ;;
    --*) ;;
    *) break ;;
esac; shift; done
mkdir "$NODE/unit" 2>/dev/null || { echo 'Unit cloudha-vip-drill.service was already loaded' >&2; exit 1; }
echo "$name" > "$NODE/unit/name"
echo "$environment" > "$NODE/unit/environment"
setsid sh -c 'trap : TERM; echo $$ > "$NODE/unit/pid"; env "$@" & while kill -0 $! 2>/dev/null; do wait $!; done
    trap "" TERM; /bin/rm -rf "$NODE/unit"' \\
    sh "$environment" "$@" </dev/null >/dev/null 2>&1 &
# It may have ended already.
tries=3000
while [ -d "$NODE/unit" ] && [ ! -s "$NODE/unit/pid" ] && [ $((tries -= 1)) -gt 0 ]; do sleep 0.01; done
"""
SYSTEMCTL = """#!/bin/sh
case $* in
    *is-active*) [ -s "$NODE/unit/pid" ] || exit 3 ;;
    show*Description*) cat "$NODE/unit/name" ;;
    show*Environment*) cat "$NODE/unit/environment" ;;
    stop*)
        # systemd looks for processes, and sends the signal, until it finds no other one.
        tries=500
        while [ -d "$NODE/unit" ] && [ $((tries -= 1)) -gt 0 ]; do
            /bin/kill -TERM -- -"$(cat "$NODE/unit/pid")" 2>/dev/null
            sleep 0.02
        done ;;
    *) exit 1 ;;
esac
"""
ALICE, BOB = {"SUDO_USER": "alice"}, {"SUDO_USER": "bob"}
HOST = os.uname().nodename


def role(entry: str, **variables: object) -> dict[str, Any]:
    paths = {
        "switchover_lock_dir": "{{ site }}/{{ switchover_lock_node }}/lock",
        "switchover_undo": "{{ site }}/{{ inventory_hostname }}/undo",
    }
    return {
        "ansible.builtin.include_role": {"name": "cloudha.vip.switchover", "tasks_from": entry},
        "vars": {**paths, **variables},
    }


# What a playbook that deploys does.
IDLE, KEEP, FREE = role("idle"), {**role("keep"), "run_once": True}, {**role("free"), "run_once": True}


def lock(name: str, nodes: list[str], seconds: int = 100, **more: object) -> dict[str, Any]:
    more |= {"switchover_lock_name": f"{name} {{{{ switchover_lock_by }}}}", "switchover_lock_nodes": nodes}
    return role("lock", switchover_lock_s=seconds, **more)


def unlock(name: str, nodes: list[str]) -> dict[str, Any]:
    more = {"switchover_lock_name": f"{name} {{{{ switchover_lock_by }}}}", "switchover_lock_nodes": nodes}
    return role("unlock", **more)


class Site:
    """Two nodes, which are directories, for as many operators as you like."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.nodes = ["node1", "node2"]
        for node in self.nodes:
            (directory / node).mkdir()
            for name, text in {"systemctl": SYSTEMCTL, "systemd-run": SYSTEMD_RUN}.items():
                self.script(node, name, text)
            path = f"export NODE={directory / node} PATH={directory / node}:$PATH"
            self.script(node, "python", f'#!/bin/sh\n{path}\nexec {sys.executable} "$@"\n')

    def script(self, node: str, name: str, text: str) -> None:
        (self.directory / node / name).write_text(text)
        (self.directory / node / name).chmod(0o755)

    def run(self, who: dict[str, str], *tasks: dict[str, Any], off: str = "", **variables: Any) -> Any:
        """As the operator ``who``, on both nodes, of which ``off`` does not answer."""
        scratch = self.directory / f"{who['SUDO_USER']}-{time.monotonic_ns()}"
        scratch.mkdir()
        away = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
        hosts = {
            node: away if node == off else {"ansible_python_interpreter": str(self.directory / node / "python")}
            for node in self.nodes
        }
        for host in hosts.values():
            host.setdefault("ansible_connection", "local")
        play = {"hosts": "vip_nodes", "gather_facts": False, "tasks": list(tasks)}
        inventory = {"all": {"children": {"vip_nodes": {"hosts": hosts}}, "vars": {"site": str(self.directory)}}}
        inventory["all"]["vars"] |= variables
        (scratch / "inventory.json").write_text(json.dumps(inventory))
        (scratch / "plays.json").write_text(json.dumps([play]))
        done = subprocess.run(
            ["ansible-playbook", f"--inventory={scratch}/inventory.json", f"{scratch}/plays.json"],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1", "COLUMNS": "1000", "ANSIBLE_TIMEOUT": "3", **who},
        )
        # Some releases of ansible-core break long lines.
        done.stdout = " ".join(done.stdout.split())
        return done

    def holders(self) -> list[str]:
        """Who has each node; nobody is an empty name."""
        names = (self.directory / node / "unit/name" for node in self.nodes)
        return [name.read_text().strip() if name.exists() else "" for name in names]

    def started(self, node: str) -> int:
        file = self.directory / node / "started"
        return len(re.findall("--unit=cloudha-vip-drill", file.read_text())) if file.exists() else 0

    def leases(self) -> list[int]:
        """How many each node has."""
        return [len(list((self.directory / node / "lock").glob("*"))) for node in self.nodes]

    def environment(self, node: str) -> dict[str, str]:
        return {**os.environ, "NODE": str(self.directory / node)}

    def end(self) -> None:
        for node in self.nodes:
            file = self.directory / node / "unit/pid"
            if file.exists():
                os.killpg(int(file.read_text()), signal.SIGKILL)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    this = Site(tmp_path)
    yield this
    this.end()


OWNER = {**role("owner"), "run_once": True}
ONCE = {"run_once": True}


def test_of_two_at_once_one_has_all_nodes_and_the_other_is_told_by_whom(site: Site) -> None:
    """Each names the nodes in another order."""
    orders = {"alice": ["node1", "node2"], "bob": ["node2", "node1"]}
    with ThreadPoolExecutor() as pool:
        runs = {
            who: pool.submit(site.run, {"SUDO_USER": who}, OWNER, lock(f"the drill of {who}", order) | ONCE)
            for who, order in orders.items()
        }
        done = {who: run.result() for who, run in runs.items()}
    (winner,) = (who for who, run in done.items() if run.returncode == 0)
    (loser,) = (who for who, run in done.items() if run.returncode != 0)
    (name,) = set(site.holders())
    assert name.startswith(f"the drill of {winner} by {winner} on {HOST} (since ")
    said = done[loser].stdout
    found = re.search(rf"{re.escape(name)} is under way on node1; its lock ends at (\S+) unless it goes on", said)
    assert found, said
    assert 0 < datetime.fromisoformat(found[1]).timestamp() - time.time() <= 100
    assert "if it was killed: systemctl stop cloudha-vip-drill, on each node" in said
    # The loser stopped at the first node, left nothing on it, and gives back what is its own only.
    assert site.started("node2") == 1 and site.leases() == [1, 1]
    assert site.run({"SUDO_USER": loser}, OWNER, unlock(f"the drill of {loser}", site.nodes) | ONCE).returncode == 0
    assert site.holders() == [name, name] and site.leases() == [1, 1]


def test_who_is_refused_by_the_first_node_does_not_try_the_next(site: Site) -> None:
    """Else two could take a node each, and neither would go on."""
    assert site.run(ALICE, OWNER, lock("the drill 1", ["node1"]) | ONCE).returncode == 0
    refused = site.run(BOB, OWNER, lock("the switchover 2", ["node2", "node1"]) | ONCE)
    assert refused.returncode != 0 and "the drill 1 by alice" in refused.stdout, refused.stdout
    assert site.started("node2") == 0


def test_a_lock_is_kept_and_given_back_by_its_name_and_names_the_job_of_awx(site: Site) -> None:
    awx = {"awx_job_id": "17", "awx_user_name": "O'Neill $(id) (x"}
    twice = [lock("the drill 1", site.nodes) | ONCE] * 2
    assert site.run(ALICE, OWNER, *twice, **awx).returncode == 0
    (name,) = set(site.holders())
    assert re.fullmatch(r"the drill 1 by O.Neill \?\?id\? \?x on AWX \(since \S+Z, AWX job 17\)", name)
    assert [site.started(node) for node in site.nodes] == [1, 1], "it goes on, and does not begin anew"
    for node in site.nodes:
        assert (site.directory / node / "lock").stat().st_mode & 0o777 == 0o700
    given_back = {"switchover_lock_name": name, "switchover_lock_nodes": site.nodes}
    assert site.run(BOB, role("unlock", **given_back) | ONCE).returncode == 0
    assert site.holders() == ["", ""] and site.leases() == [0, 0]


def test_a_node_that_does_not_answer_is_told_apart(site: Site) -> None:
    told = {"ansible.builtin.debug": {"msg": "silent: {{ switchover_lock_silent | join(' ') }}"}, "run_once": True}
    done = site.run(ALICE, OWNER, lock("the switchover 1", site.nodes) | ONCE, told, off="node2")
    assert done.returncode == 0 and "silent: node2" in done.stdout, done.stdout
    assert site.holders()[0].startswith("the switchover 1 by alice") and site.holders()[1] == ""


def test_a_deployment_is_kept_apart_from_others_and_goes_on_after_its_own(site: Site) -> None:
    killed = site.run(ALICE, IDLE, KEEP)
    assert killed.returncode == 0, killed.stdout
    (first,) = set(site.holders())
    assert first.startswith(f"a deployment or teardown by alice on {HOST} (since ")
    for tasks in ((IDLE,), (OWNER, lock("the drill 1", site.nodes) | ONCE)):
        refused = site.run(BOB, *tasks)
        assert refused.returncode != 0 and f"{first} is under way on node1" in refused.stdout, refused.stdout
        assert site.holders() == [first, first]
    time.sleep(1)  # names tell seconds
    again = site.run(ALICE, IDLE, KEEP, IDLE, KEEP)
    assert again.returncode == 0, again.stdout
    (second,) = set(site.holders())
    assert second != first and [site.started(node) for node in site.nodes] == [2, 2]
    assert site.leases() == [1, 1]
    # What was killed and is back after all takes nothing away.
    late = {"switchover_work_name": first}
    assert site.run(ALICE, FREE, **late).returncode == 0
    assert site.holders() == [second, second]
    assert site.run(ALICE, FREE, switchover_work_name=second).returncode == 0
    assert site.holders() == ["", ""]


def test_a_deployment_that_works_is_kept_apart_from_its_own_user_until_it_was_killed(site: Site) -> None:
    works = {"ansible.builtin.wait_for": {"path": f"{site.directory}/over", "timeout": 100}, "run_once": True}
    with ThreadPoolExecutor() as pool:
        first = pool.submit(site.run, ALICE, IDLE, KEEP, works)
        try:
            until(lambda: all(site.holders()), 60)
            (name,) = set(site.holders())
            owner = rf"a deployment or teardown by alice on {HOST} \(since \S+Z, process (\d+), run \S+\)"
            found = re.fullmatch(owner, name)
            assert found, name
            second = site.run(ALICE, IDLE, KEEP)
            assert second.returncode != 0 and f"{name} is under way on node1; its lock ends at " in second.stdout
            assert f"It runs as process {found[1]} on this host" in second.stdout, second.stdout
            assert f"end it (kill {found[1]}); then run this again" in second.stdout
            assert "systemctl stop" not in second.stdout
            assert site.holders() == [name, name] and [site.started(node) for node in site.nodes] == [1, 1]
            os.kill(int(found[1]), signal.SIGKILL)
        finally:
            (site.directory / "over").touch()
        assert first.result().returncode == -signal.SIGKILL
    refused = site.run(BOB, IDLE)
    assert refused.returncode != 0 and "if it was killed: systemctl stop cloudha-vip-drill" in refused.stdout
    again = site.run(ALICE, IDLE, KEEP)
    assert again.returncode == 0, again.stdout
    assert name not in site.holders() and [site.started(node) for node in site.nodes] == [2, 2]


def test_of_two_that_take_over_from_a_killed_one_only_one_goes_on(site: Site) -> None:
    """Both find the killed one's lock, and stop it: the later one would stop the lock of the other."""
    assert site.run(ALICE, IDLE, KEEP).returncode == 0
    slow = 'if mkdir "$NODE/stopped" 2>/dev/null; then sleep 2; else sleep 4; fi'
    for node in site.nodes:
        site.script(node, "systemctl", SYSTEMCTL.replace("    stop*)\n", f"    stop*)\n{slow}\n"))
    both = f"mkdir {site.directory}/$PPID.idle; while set -- {site.directory}/*.idle; [ $# -lt 2 ]; do sleep 0.1; done"
    meet = {"ansible.builtin.shell": both, "run_once": True}
    with ThreadPoolExecutor() as pool:
        done = [run.result() for run in [pool.submit(site.run, ALICE, IDLE, meet, KEEP) for _run in range(2)]]
    winner, loser = sorted(done, key=lambda run: run.returncode)
    assert winner.returncode == 0 and loser.returncode != 0, winner.stdout + loser.stdout
    (name,) = set(site.holders())
    assert f"{name} is under way on node1" in loser.stdout, loser.stdout


def test_a_deployment_keeps_all_of_its_nodes_or_none(site: Site) -> None:
    """A node that does not answer for a moment would be changed without a lock."""
    away = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    goes = {"ansible.builtin.set_fact": away, "when": "inventory_hostname == 'node2'"}
    done = site.run(ALICE, IDLE, goes, KEEP)
    assert done.returncode != 0 and "node2 does not answer any more; run this again" in done.stdout, done.stdout
    assert site.holders() == ["", ""] and site.leases() == [0, 0]


def test_a_deployment_that_meets_a_drill_gives_back_what_it_took(site: Site) -> None:
    assert site.run(BOB, OWNER, lock("the drill 1", ["node2"]) | ONCE).returncode == 0
    go_on = {"ansible.builtin.debug": {"msg": "it deploys"}}
    refused = site.run(ALICE, KEEP, go_on, switchover_work_name="a deployment or teardown by alice (since now)")
    assert refused.returncode != 0 and "the drill 1 by bob" in refused.stdout and "it deploys" not in refused.stdout
    assert site.holders()[0] == "" and site.holders()[1].startswith("the drill 1") and site.leases() == [0, 1]


@pytest.mark.parametrize("seconds", [5, 1000])
def test_a_lock_leaves_nothing_when_it_ends_and_when_somebody_stops_it(site: Site, seconds: int) -> None:
    assert site.run(ALICE, OWNER, lock("the drill 1", site.nodes, seconds) | ONCE).returncode == 0
    if seconds > 100:
        for node in site.nodes:
            subprocess.run([site.directory / node / "systemctl", "stop"], env=site.environment(node), check=True)
    until(lambda: site.holders() == ["", ""], 20)
    assert site.leases() == [0, 0] and site.run(BOB, IDLE).returncode == 0


def test_a_lock_that_is_stopped_leaves_nothing_though_systemd_stops_its_last_process(site: Site) -> None:
    for node in site.nodes:
        site.script(node, "rm", '#!/bin/sh\nsleep 0.5\nexec /bin/rm "$@"\n')
    assert site.run(ALICE, OWNER, lock("the drill 1", site.nodes) | ONCE).returncode == 0
    for node in site.nodes:
        subprocess.run([site.directory / node / "systemctl", "stop"], env=site.environment(node), check=True)
    assert site.holders() == ["", ""] and site.leases() == [0, 0]


def test_what_is_not_mended_is_told(site: Site) -> None:
    (site.directory / "node2/undo").touch()
    refused = site.run(ALICE, IDLE)
    assert refused.returncode != 0 and f"run this there: sh {site.directory}/node2/undo" in refused.stdout
    assert site.run(ALICE, role("idle", switchover_unmended_ok=True)).returncode == 0
