# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The drill's own faults, as a shell runs them on a node: what they break is mended."""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import subprocess
import time
from pathlib import Path

import jinja2
import pytest
import yaml
from busy import Watch

from ansible_collections.cloudha.vip.plugins.module_utils.drill import choice

ROOT = Path(__file__).resolve().parents[2]
VARIABLES = yaml.safe_load((ROOT / "roles/drill/vars/main.yml").read_text())

# systemctl of a node whose units are files in a directory, with what was done to them.
SYSTEMCTL = """#!/bin/sh
echo "$*" >> calls
verb= unit= signal=
for word in "$@"; do case $word in
    --signal=*) signal=${word#*=} ;;
    --*) ;;
    *) if [ -z "$verb" ]; then verb=$word; else unit=${word%.service}; case $verb in
        is-active) [ -e units/$unit ] || exit 3 ;;
        kill)
            [ -e units/$unit ] || { echo "Unit $unit.service not loaded." >&2; exit 1; }
            echo $signal > units/$unit ;;
    esac; fi ;;
esac; done
"""


def render(text, **given):
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    environment.filters["regex_replace"] = lambda value, pattern, new: re.sub(pattern, new, value)
    names = {"drill_interface": "eth0", "drill_service": "nginx", "drill_target": "node1", "hostvars": {"node1": {}}}
    names.update(given)
    environment.filters["quote"] = shlex.quote
    environment.filters["cloudha.vip.drill_deafness"] = choice.deaf_rules
    for name in ("drill_unit", "drill_unit_dir", "drill_continue", "drill_keep_addresses", "drill_drain_file"):
        names[name] = environment.from_string(VARIABLES[name]).render(names)
    return environment.from_string(text).render(names)


class Fault:
    """Runs each part of a fault as the node does, in a directory of its own."""

    def __init__(self, directory, name, enter=(), **given):
        self.directory, self.enter = directory, enter
        self.parts = {
            part: render(text, **given)
            for part, text in VARIABLES["drill_catalog"][name].items()
            if part in ("prepare", "inject", "undo")
        }

    def __call__(self, part):
        done = subprocess.run(
            [*self.enter, "sh", "-eu", "-c", self.parts[part]],
            cwd=self.directory,
            env={"PATH": f"{self.directory}:/usr/sbin:/usr/bin:/sbin:/bin"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def routes(namespace):
    """All of them, but what changes by itself."""
    text = "".join(namespace.run("ip", family, "-oneline", "route", "show", "table", "all") for family in ("-4", "-6"))
    its = [line for line in text.splitlines() if not re.search("dev peer|local fe80|^multicast", line)]
    return sorted(re.sub(r" expires \d+sec", " expires", line).strip() for line in its)


def awaited(look, wanted):
    """The kernel brings what belongs to a link when that is up."""
    watch = Watch()
    while look() != wanted and watch.took_s < 5:
        time.sleep(0.1)
    if (seen := look()) != wanted:
        watch.holds(False, f"{seen} is not {wanted}")


@pytest.mark.parametrize(("interface", "gateway"), [("eth0", "192.168.4.1"), ("eth0.100", "10.9.0.1")])
def test_a_link_comes_back_with_the_routes_of_all_tables(new_namespace, tmp_path, interface, gateway):
    namespace = new_namespace()
    for command in (
        "link add eth0 type veth peer name peer",
        "link set peer up",
        "link set lo up",
        "link set eth0 up",
        "link add eth0.100 type veth peer name peer.100",
        "link set peer.100 up",
        "link set eth0.100 up",
        "address add 192.168.7.247/22 dev eth0",
        "address add fd00:7::247/64 dev eth0 nodad",
        "address add 10.9.0.2/24 dev eth0.100",
        "address add fd00:9::2/64 dev eth0.100 nodad",
        "route add default via 192.168.4.1",
        "route add 10.60.0.0/16 via 192.168.4.2 dev eth0 table 60",
        "route add 10.20.0.0/16 via 10.9.0.1 dev eth0.100 proto static metric 50 mtu 1400",
        "route add default via 10.9.0.1 dev eth0.100 table 100",
        "route add 10.30.0.0/16 table 100 nexthop via 10.9.0.1 dev eth0.100 nexthop via 10.9.0.3 dev eth0.100",
        "route add local 10.40.0.1 dev eth0.100 proto 66 table local",
        "route add blackhole 10.50.0.0/16",
        "-6 route add default via fd00:9::1 dev eth0.100 table 100",
        "-6 route add fd00:20::/64 via fd00:9::1 dev eth0.100 expires 3000",
        "-6 route add fd00:30::/64 via fe80::1 dev eth0",
    ):
        namespace.run("ip", *command.split())
    fault = Fault(tmp_path, "link_down", namespace.enter, drill_interface=interface)
    before = routes(namespace)
    keep = "/proc/sys/net/ipv6/conf/all/keep_addr_on_down"
    assert namespace.run("cat", keep) == "0\n"
    # Of the holder: when it comes back, the address and its way out are another one's.
    namespace.run("ip", "address", "add", "10.8.0.99/24", "dev", interface)
    namespace.run("ip", *f"route add default via {gateway} dev {interface} metric 7 proto keepalived".split())
    fault("prepare")
    fault("inject")
    namespace.run("ip", "address", "delete", "10.8.0.99/24", "dev", interface)
    assert len(routes(namespace)) < len(before)
    for _time in range(2):
        fault("undo")
        awaited(lambda: routes(namespace), before)
    assert namespace.run("cat", keep) == "0\n"


@pytest.mark.parametrize("service", ["nginx", "nginx.service"])
@pytest.mark.parametrize("running", [["keepalived", "nginx", "vip-agent"], ["keepalived"]])
def test_a_node_hangs_and_goes_on_whatever_runs_there(tmp_path, running, service):
    node(tmp_path, *running)
    fault = Fault(tmp_path, "node_hang", drill_service=service)
    fault("inject")
    assert units(tmp_path) == dict.fromkeys(running, "STOP")
    fault("undo")
    assert units(tmp_path) == dict.fromkeys(running, "CONT")


@pytest.mark.parametrize("name", ["node_hang", "service_hang"])
def test_what_ended_meanwhile_is_mended(tmp_path, name):
    node(tmp_path, "keepalived", "nginx")
    fault = Fault(tmp_path, name)
    fault("inject")
    (tmp_path / "units/nginx").unlink()
    fault("undo")


def node(directory, *running):
    (directory / "units").mkdir()
    for each in running:
        (directory / "units" / each).touch()
    (directory / "systemctl").write_text(SYSTEMCTL)
    (directory / "systemctl").chmod(0o755)


def units(directory):
    return {file.name: file.read_text().strip() for file in (directory / "units").iterdir()}


def test_a_service_named_with_its_suffix_has_one_directory_of_settings():
    told = {service: render("{{ drill_unit }}", drill_service=service) for service in ("web", "web.service", "php8.2")}
    assert told == {"web": "web.service", "web.service": "web.service", "php8.2": "php8.2.service"}


def test_a_real_server_has_a_drain_file_of_its_own():
    drains = render(
        VARIABLES["drill_catalog"]["real_server_drain"]["inject"],
        hostvars={"node1": {"vip_drain_file": "/run/its"}},
    )
    assert drains == "touch /run/its"


def test_what_is_done_to_a_node_names_its_own_interface():
    """A task that sets both facts would take the commands for the target before."""
    facts = [set(task.get("ansible.builtin.set_fact", ())) for task in tasks("fault")]
    (target,), (fault,) = (
        [n for n, its in enumerate(facts) if name in its] for name in ("drill_target", "drill_fault")
    )
    assert target < fault


def test_a_node_that_lost_its_power_is_locked_again_once_it_is_mended():
    tasks = yaml.safe_load((ROOT / "roles/drill/tasks/repair.yml").read_text())
    done = [task.get("ansible.builtin.include_tasks") or next(key for key in task if "." in key) for task in tasks]
    assert done[-3:] == ["mend.yml", "lease.yml", "settle.yml"]
    (power_off, lease) = VARIABLES["drill_catalog"]["node_power_off"], tasks[-2]
    assert power_off["isolated"] and lease["when"] == "drill_fault.isolated | default(false) or drill_recreates"


def test_what_is_done_everywhere_is_mended_everywhere():
    (inject,) = [task for task in tasks("inject") if task["name"].startswith("Arm the undo")]
    (repair,) = [task for task in tasks("mend") if task["name"].startswith("Repair it, and disarm")]
    assert all("drill_victims" in task["loop"] and task["delegate_to"] == "{{ item }}" for task in (inject, repair))
    for fault, victims in (({"everywhere": True}, "['node2', 'node1', 'node3']"), ({}, "['node2']")):
        nodes = {"drill_target": "node2", "drill_nodes": ["node1", "node2", "node3"], "hostvars": {"node2": {}}}
        assert render(VARIABLES["drill_victims"], drill_fault=fault, **nodes) == victims


PROBERS = """#!/bin/sh
case "$*" in
    *is-active*) [ -e locked ] || exit 3 ;;
    *property=Id*-2001-*) echo of-2001 ;;
    *property=Id*-2002-*) echo of-2002 ;;
    *ExecStart*of-2001) echo '{ argv[]=python3 prober.py --url http://192.0.2.1/healthz --client a ; }' ;;
    *ExecStart*of-2002) echo '{ argv[]=python3 prober.py --url http://192.0.2.1/healthz2 --client a ; }' ;;
    stop*) echo "$2" >> stopped ;;
esac
"""


def test_teardown_removes_what_killed_drills_left_and_nothing_of_others(tmp_path):
    tasks = yaml.safe_load((ROOT / "roles/drill/tasks/absent.yml").read_text())
    (tmp_path / "systemctl").write_text(PROBERS)
    (tmp_path / "systemctl").chmod(0o755)
    for name in ("drill", "lock", "drill-2001", "drill-2002", "drill-2003"):
        (tmp_path / f"run/cloudha-vip-{name}").mkdir(parents=True)
    undo = tmp_path / "run/cloudha-vip-drill/undo"

    def run(task):
        environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined)
        environment.filters["quote"] = shlex.quote
        names = {"drill_node_dir": undo.parent, "drill_undo": undo, "drill_asked_by": ["http://192.0.2.1/healthz"]}
        text = environment.from_string(task["ansible.builtin.shell"]["cmd"]).render(names)
        return subprocess.run(
            ["sh", "-c", re.sub(r"(?<=[ \"])/run/", f"{tmp_path}/run/", text)],
            cwd=tmp_path,
            env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    undo.write_text("exit 1")
    failed = run(tasks[0])
    assert failed.returncode != 0 and f"remove {undo.parent}" in failed.stderr and undo.exists()
    undo.write_text(f"touch {tmp_path}/mended")
    # The lock of whoever takes away.
    (tmp_path / "locked").touch()
    assert run(tasks[0]).returncode == 0 and (tmp_path / "mended").exists()
    assert (tmp_path / "run/cloudha-vip-lock").is_dir()
    (tmp_path / "locked").unlink()
    assert run(tasks[0]).returncode == 0
    assert run(tasks[1]).returncode == 0
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["cloudha-vip-drill-2002"]
    assert (tmp_path / "stopped").read_text() == "of-2001\n"
    assert run(tasks[0]).stdout == run(tasks[1]).stdout == "", "a second run changes nothing"


def tasks(name):
    return yaml.safe_load((ROOT / f"roles/drill/tasks/{name}.yml").read_text())


def test_two_drills_may_share_a_client(tmp_path):
    """Each ends its own probers, and removes its own files and what is a day old."""
    (drill,) = [task for task in tasks("main") if task["name"] == "Drill"]
    (stop,) = [task for task in drill["always"] if task["name"] == "Stop asking"]
    its, others = ({"drill_id": f"2026-01-01T00000{number}Z-abcdef"} for number in (1, 2))
    names = {}
    for drill_id in (its, others):
        for name in ("drill_client_dir", "drill_client_unit"):
            names[name, drill_id["drill_id"]] = render(VARIABLES[name], **drill_id).replace("/run", str(tmp_path))
    mine = {name: names[name, its["drill_id"]] for name in ("drill_client_dir", "drill_client_unit")}
    kept = Path(names["drill_client_dir", others["drill_id"]])
    old = tmp_path / "cloudha-vip-drill-2025-01-01T000000Z-abcdef"
    for directory in (Path(mine["drill_client_dir"]), kept, old):
        directory.mkdir()
    # The other one began long ago, and has just renewed its lease.
    (kept / "lease").touch()
    for directory in (kept, old):
        os.utime(directory, (0, 0))
    (tmp_path / "systemctl").write_text(SYSTEMCTL)
    (tmp_path / "systemctl").chmod(0o755)
    for task in (stop, *tasks("clean")):
        command = render(task["ansible.builtin.shell"]["cmd"], **mine).replace("/run", str(tmp_path))
        path = f"{tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin"
        subprocess.run(["sh", "-eu", "-c", command], cwd=tmp_path, env={"PATH": path}, timeout=30, check=True)
    (stopped,) = (tmp_path / "calls").read_text().split()[1:]
    assert fnmatch.fnmatch(mine["drill_client_unit"] + "-client1.service", stopped + ".service")
    assert not fnmatch.fnmatch(
        names["drill_client_unit", others["drill_id"]] + "-client1.service", stopped + ".service"
    )
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [kept]


# A connection from one address to another; it fails if nobody answers in time.
CONNECT = "import socket, sys; socket.create_connection((sys.argv[2], 80), 1, (sys.argv[1], 0))"


def test_who_asks_for_the_health_of_a_node_gets_no_answer_and_its_clients_do(new_namespace, tmp_path):
    node, others = new_namespace(), new_namespace()
    node.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", others.pid)
    for namespace, addresses in ((node, ["192.0.2.1/24"]), (others, ["192.0.2.2/24", "35.191.7.7/32"])):
        for device in ("lo", "eth0"):
            namespace.run("ip", "link", "set", device, "up")
        for address in addresses:
            namespace.run("ip", "address", "add", address, "dev", "eth0")
    node.run("ip", "route", "add", "default", "via", "192.0.2.2")
    servers = [
        subprocess.Popen(
            [*each.enter, "/usr/bin/python3", "-m", "http.server", "80"], cwd=tmp_path, stderr=subprocess.DEVNULL
        )
        for each in (node, others)
    ]

    def heard(namespace, source, target, *prefix):
        command = [*namespace.enter, *prefix, "/usr/bin/python3", "-c", CONNECT, source, target]
        return subprocess.run(command, stderr=subprocess.DEVNULL, timeout=30, check=False).returncode == 0

    def all_heard():
        agent = ("setpriv", "--reuid=daemon", "--regid=daemon", "--clear-groups")
        return {
            "the agent": heard(node, "127.0.0.1", "127.0.0.1", *agent),
            "the agent by the address": heard(node, "192.0.2.1", "192.0.2.1", *agent),
            "the agent elsewhere": heard(node, "192.0.2.1", "192.0.2.2", *agent),
            "another program": heard(node, "127.0.0.1", "127.0.0.1"),
            "the load balancer": heard(others, "35.191.7.7", "192.0.2.1"),
            "a client": heard(others, "192.0.2.2", "192.0.2.1"),
        }

    fault = Fault(
        tmp_path,
        "health_endpoint_broken",
        node.enter,
        drill_node_dir=tmp_path,
        drill_askers=["daemon", "no-such-user"],
        holder_topology={"probes_from": ["35.191.0.0/16", "130.211.0.0/22"]},
    )
    try:
        before = dict.fromkeys(all_heard(), True)
        awaited(all_heard, before)
        fault("prepare")
        assert all_heard() == before, "nothing is broken yet"
        fault("inject")
        deaf = dict.fromkeys(["the agent", "the agent by the address", "the load balancer"], False)
        assert all_heard() == {**before, **deaf}
        for _time in range(2):
            fault("undo")
            assert all_heard() == before
    finally:
        for server in servers:
            server.kill()
            server.wait()
