# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab itself: it isolates, it breaks what it is told to, and it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from commands import TESTS, cli

from lab import LabError, fabric, inotify, subnet
from lab import lab as lab_module
from lab.groups import Groups, hierarchies
from lab.keeper import enter_network
from lab.lab import STATE, Lab, labs

NODE1, NODE2, VIP = "192.168.7.247", "192.168.7.248", "192.168.7.246"


def traces() -> dict[str, set[str]]:
    """Everything on this machine that a lab could leave behind."""
    own = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in ("net", "mnt", "pid")}
    processes = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            elsewhere = any(os.readlink(entry / "ns" / kind) != link for kind, link in own.items())
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            started = (entry / "stat").read_text().rpartition(")")[2].split()[19]
        except OSError:
            continue
        if words and (elsewhere or "cloudha-lab" in words):
            processes.add(f"{entry.name} {started} {words}")
    files = {
        str(path) for root in ("/run", "/var/lib/machines", "/etc/systemd/nspawn") for path in Path(root).rglob("*")
    }
    return {
        "processes": processes,
        "links": set(os.listdir("/sys/class/net")),
        "mounts": set(Path("/proc/self/mounts").read_text().splitlines()),
        "groups": {str(path) for root in hierarchies() for path in root.rglob("*") if path.is_dir()},
        "files": files,
    }


def left_over(before: dict[str, set[str]]) -> dict[str, set[str]]:
    """What is there now and was not before."""
    now = traces()
    return {kind: now[kind] - before[kind] for kind in now if now[kind] - before[kind]}


def answers(lab: Lab, address: str, machine: str = "client1", count: int = 3) -> bool:
    """Does ``address`` answer a ping from ``machine``?"""
    ping = f"ping -q -c {count} -i 0.05 -W 1 {address}"
    return lab_ssh(lab, machine, ping).returncode == 0


def lab_ssh(lab: Lab, machine: str, script: str) -> subprocess.CompletedProcess[str]:
    return cli("exec", "--name", lab.name, machine, "--", script, check=False)


@pytest.mark.alone
def test_down_leaves_nothing_behind(lab_name: Callable[[str], str]) -> None:
    before = traces()
    lab = Lab(lab_name("down"))
    lab.up("onprem_active_standby")
    # The test sees what it looks for: a running lab shows in processes, groups and files.
    assert {"processes", "groups", "files"} <= set(left_over(before))
    lab.fault("node_hang", "node1", undo_after=600)
    lab.fault("node_power_off", "node2", undo_after=600)
    lab.down()
    assert left_over(before) == {}


@pytest.mark.alone
@pytest.mark.parametrize("after", [0.05, 0.15, 0.25, 0.35, 0.5, 0.8])
def test_a_killed_up_is_mended_by_down(lab_name: Callable[[str], str], after: float) -> None:
    before = traces()
    name = lab_name("killed")
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    starting = subprocess.Popen([sys.executable, "-m", "lab", "up", "--name", name], env=environment)
    time.sleep(after)  # a point in its work, not a wait for anything
    starting.send_signal(signal.SIGKILL)
    starting.wait()
    cli("down", "--name", name)
    assert left_over(before) == {}


@pytest.mark.alone
def test_a_killed_keeper_takes_the_lab_with_it_and_clean_removes_the_rest(lab_name: Callable[[str], str]) -> None:
    if labs():
        pytest.skip("`lab clean` would end the labs that others run on this machine")
    before = traces()
    lab = Lab(lab_name("crash"))
    lab.up("onprem_active_standby")
    keeper = lab.keeper.pid
    assert keeper is not None
    os.kill(keeper, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while left_over(before).get("processes") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "processes" not in left_over(before)
    assert "removed" in cli("clean").stdout
    assert left_over(before) == {}


def test_two_labs_do_not_meet(lab: Lab, lab_name: Callable[[str], str]) -> None:
    other = Lab(lab_name("other"))
    other.up("onprem_active_standby")
    try:
        other.fault("node_power_off", "node1")
        assert answers(lab, NODE1) and answers(other, NODE2)
        assert not answers(other, NODE1), "the other lab's client reached this lab's node1, which has the same address"
    finally:
        other.down()
    assert answers(lab, NODE1)


def test_nothing_leads_out_of_the_controllers_network(lab: Lab) -> None:
    routes = cli("exec", "--name", lab.name, "--", "ip", "-json", "route", "get", "192.0.2.1", check=False)
    assert routes.returncode != 0 and "unreachable" in routes.stderr.lower()
    links = cli("exec", "--name", lab.name, "--", "ip", "-oneline", "link", "show").stdout.splitlines()
    assert len(links) == 2, f"only lo and the port to the fabric: {links}"
    before = os.readlink("/proc/self/ns/net")
    child = os.fork()
    if child == 0:
        enter_network(lab.keeper.network("controller"))
        os._exit(0 if os.readlink("/proc/self/ns/net") != before else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_run_is_mounted_as_on_a_machine_of_debian(lab: Lab) -> None:
    """Debian's initramfs mounts it noexec: a script that lies there has to be handed to a shell."""
    script = "printf '#!/bin/sh\\necho ran\\n' >/run/script; chmod 700 /run/script; sh /run/script; /run/script; "
    script += "grep ' /run ' /proc/mounts"
    done = lab_ssh(lab, "node1", script)
    assert done.stdout.splitlines()[0] == "ran" and "ermission denied" in done.stderr
    assert {"noexec", "nosuid", "nodev"} <= set(done.stdout.split()[4].split(","))


def test_packages_install_with_no_way_out(lab: Lab) -> None:
    done = lab_ssh(lab, "client1", "apt-get update -qq && apt-get install -y -qq keepalived && keepalived --version")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("fault", ["node_power_off", "partition", "link_down"])
def test_a_lost_machine_does_not_answer_until_it_is_repaired(lab: Lab, fault: str) -> None:
    assert answers(lab, NODE1)
    lab.fault(fault, "node1")
    assert not answers(lab, NODE1)
    assert answers(lab, NODE2), "the fault hit the wrong machine as well"
    lab.repair(fault, "node1", wait=True)
    assert answers(lab, NODE1)


def test_a_hung_machine_runs_nothing_until_it_is_repaired(lab: Lab) -> None:
    lab.fault("node_hang", "node1")
    assert lab.status()[0]["state"] == "hung"
    hung = subprocess.run(
        ["ssh", "-F", lab.state / "ssh_config", "-o", "ConnectTimeout=1", "node1", "true"], check=False
    )
    assert hung.returncode == 255
    lab.repair("node_hang", "node1", wait=True)
    assert lab_ssh(lab, "node1", "true").returncode == 0


def test_a_state_can_be_asked_while_a_machine_goes(lab_name: Callable[[str], str]) -> None:
    groups = Groups(lab_name("groups"))
    said: list[str] = []
    gone = threading.Event()

    def ask() -> None:
        while not gone.is_set():
            said.append(groups.state("node1"))

    with ThreadPoolExecutor() as pool:
        asking = pool.submit(ask)
        try:
            for _ in range(50):
                with subprocess.Popen(["sleep", "60"], preexec_fn=lambda: groups.join("node1")):
                    groups.kill("node1")
        finally:
            gone.set()
            groups.remove()
        asking.result()
    assert set(said) == {"running", "off"}


def test_a_partition_cuts_only_between_the_chosen(lab: Lab) -> None:
    # They know each other's MAC before: a request for it that fails is not repeated at once.
    assert answers(lab, NODE2, machine="node1")
    lab.fault("partition", "node1", peers=["node2"])
    try:
        assert not answers(lab, NODE2, machine="node1")
        assert answers(lab, NODE1) and answers(lab, NODE2)
    finally:
        lab.repair("partition", "node1", peers=["node2"])
    assert answers(lab, NODE2, machine="node1")


@pytest.mark.parametrize("fault", ["node_power_off", "node_hang", "partition", "link_down"])
def test_an_armed_undo_heals_with_nobody_there(lab: Lab, fault: str) -> None:
    lab.fault(fault, "node2", undo_after=0.5)
    lab.wait_for_ssh(["node2"], timeout=20)
    assert lab.status()[1]["state"] == "running"
    assert answers(lab, NODE2)


def test_a_repair_disarms_the_undo(lab: Lab) -> None:
    lab.fault("link_down", "node2", undo_after=1.0)
    lab.repair("link_down", "node2")
    lab.fault("link_down", "node2")
    time.sleep(1.2)  # past the moment at which the disarmed undo would have repaired
    try:
        assert not answers(lab, NODE2)
    finally:
        lab.repair("link_down", "node2", wait=True)


def test_a_machine_comes_back_with_its_disk(lab: Lab) -> None:
    lab_ssh(lab, "node1", "echo kept > /root/note; sync")
    lab.fault("node_power_off", "node1")
    lab.repair("node_power_off", "node1", wait=True)
    assert lab_ssh(lab, "node1", "cat /root/note").stdout == "kept\n"


def test_port_security_passes_only_what_is_allowed(lab: Lab) -> None:
    hold = f"ip address replace {VIP}/22 dev eth0"
    assert lab_ssh(lab, "node1", hold).returncode == 0
    try:
        assert answers(lab, VIP), "an open port lets any address pass"
        forget = "ip neigh flush dev eth0"
        lab.secure("node1", [])
        lab_ssh(lab, "client1", forget)
        assert answers(lab, NODE1), "its own address always passes"
        assert not answers(lab, VIP)
        lab.secure("node1", [VIP])
        assert answers(lab, VIP)
        lab.secure("node1", [])
        assert not answers(lab, VIP), "a permission that was taken away is gone"
        lab.secure("node1", None)
        assert answers(lab, VIP)
    finally:
        lab.secure("node1", None)
        lab_ssh(lab, "node1", f"ip address delete {VIP}/22 dev eth0")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["status", "--name", "nosuch"], "up --name nosuch"),
        (["fault", "--name", "nosuch", "link_down", "node1"], "there is no lab 'nosuch'"),
        (["up", "--name", "No Such"], "is no name for a lab"),
        (["exec", "--name", "nosuch"], "needs a command"),
    ],
)
def test_bad_input_says_what_to_do(words: list[str], says: str) -> None:
    done = cli(*words, check=False)
    assert done.returncode == 1 and says in done.stderr
    assert not (STATE / "nosuch").exists()


def test_an_unknown_machine_is_named_with_those_there_are(lab: Lab) -> None:
    with pytest.raises(LabError, match=r"no machine 'node9' here: there are node1, node2, client1"):
        lab.fault("link_down", "node9")


def test_a_second_up_does_not_disturb_the_first(lab: Lab) -> None:
    with pytest.raises(LabError, match="is running already"):
        lab.up("onprem_active_standby")
    assert Groups(lab.name).state("node1") == "running"
    assert answers(lab, NODE1)


@pytest.mark.alone
def test_a_lab_is_refused_where_keepalived_would_get_no_inotify_instance() -> None:
    before = inotify.LIMIT.read_text()
    # In a process that may have few descriptors: to use up the machine's would harm others.
    script = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20)); from lab import inotify; "
    ask = [sys.executable, "-c", script + "inotify.reserve(int(__import__('sys').argv[1]))"]
    done = subprocess.run([*ask, "3"], cwd=TESTS, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "LabError" in done.stderr
    assert "3 machines need" in done.stderr and "sysctl fs.inotify.max_user_instances=" in done.stderr
    assert subprocess.run([*ask, "0"], cwd=TESTS, check=False).returncode == 0
    assert inotify.LIMIT.read_text() == before, "where raising the limit does not help, it stays"


def test_a_lab_may_begin_while_the_last_other_one_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(lab_module, "STATE", tmp_path / "labs")
    for name in ("LIMIT", "FOUND"):
        monkeypatch.setattr(inotify, name, tmp_path / name)

    def begin_and_end(name: str) -> None:
        this = Lab(name)
        for _ in range(300):
            this._claim(0)
            assert this.state.is_dir()
            this._give_back()

    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(begin_and_end, name) for name in ("one", "two", "three")]:
            done.result()
    assert not (tmp_path / "labs").exists()


@pytest.mark.parametrize("peers", [["node2", "outside1"], ["node2"]])
def test_a_partition_begins_and_heals_everywhere_at_once(monkeypatch: pytest.MonkeyPatch, peers: list[str]) -> None:
    ran: list[str] = []
    monkeypatch.setattr(subnet, "run", lambda *_words, stdin="": ran.append(stdin))
    monkeypatch.setattr(fabric, "run", lambda *_words, stdin="": ran.append(stdin))
    outside = subnet.Outside("10.0.0.1/24", "198.51.100.1/24", "203.0.113.0/24", {"outside1": "198.51.100.10"})
    uplinks = {"node1": subnet.Uplink("198.51.100.11/24", "02:00:00:00:00:01")}
    for on in (True, False):
        ran.clear()
        subnet.Subnet(outside, "10.0.0.2", uplinks).cut("node1", peers, on)
        # The gateway must not be deaf to a node that the other ones hear again.
        (rules,) = ran
        assert ("delete element" in rules) is not on
        assert '"node1.eth1" . "node2"' in rules and ("unheard" in rules) is ("outside1" in peers)
