# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.problems import find_problems

SPECIFICATION = Path(__file__).resolve().parents[5] / "roles/keepalived/meta/argument_specs.yml"
VIP = "192.168.7.246/22"


@pytest.fixture(scope="module")
def spec():
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load(SPECIFICATION.read_text())["argument_specs"]["main"]["options"]


def instance(**options):
    return {"name": "web", "interface": "eth0", "virtual_router_id": 66, "addresses": [VIP], **options}


def pair(first=None, second=None, **variables):
    """Two nodes which work; first and second are more options of each one's instance, variables are for both."""
    nodes = {}
    for host, last, options in (("node1", 247, first), ("node2", 248, first if second is None else second)):
        nodes[host] = {
            "interfaces": {"lo": ["127.0.0.1/8"], "eth0": [f"192.168.7.{last}/22", f"fd00:7::{last}/64"]},
            "keepalived_instances": [instance(**(options or {}))],
            **copy.deepcopy(variables),
        }
    return nodes


def only(nodes, spec=None):
    problems = find_problems(nodes, spec)
    assert len(problems) == 1, problems
    return problems[0]


def balanced(real_servers=(), **options):
    server = {"address": "192.0.2.1", "port": 80, "real_servers": list(real_servers), **options}
    return pair(keepalived_virtual_servers=[server])


GOOD = {
    "a scope that the node's own address has, too": pair(
        {"addresses": [{"address": VIP, "scope": "link"}]}, scopes={"192.168.7.247": "link", "192.168.7.248": "link"}
    ),
    "a scope on a device of its own": pair({"addresses": [{"address": VIP, "scope": "link"}], "extra": ["use_vmac"]}),
    "the port of the virtual server": balanced(
        [{"address": "10.0.0.1", "port": 0}], sorry_server={"address": "10.0.0.9", "port": 0}
    ),
    "servers with a method of their own": balanced(
        [{"address": "10.0.0.1", "port": 8080, "extra": ["lvs_method NAT"]}],
        sorry_server={"address": "10.0.0.9", "port": 8080},
        extra=["sorry_server_lvs_method NAT"],
    ),
    "text for no": pair(keepalived_virtual_servers=[{"fwmark": 7, "ha_suspend": "False"}]),
    "servers of a mark": pair(
        keepalived_virtual_servers=[
            {
                "fwmark": 7,
                "real_servers": [
                    {"address": "10.0.0.1", "port": 0, "check": {"type": "tcp", "connect_port": 80}},
                    {"address": "10.0.0.2", "port": 8080, "check": {"type": "tcp"}},
                ],
            }
        ]
    ),
    "servers with NAT": balanced(
        [{"address": "10.0.0.1", "port": 8080}, {"address": "10.0.0.1", "port": 8081}], lvs_method="NAT"
    ),
    "defaults": pair(),
    "peers": pair({"peers": ["192.168.7.248"]}, {"peers": ["192.168.7.247"]}),
    "ipv6": pair({"addresses": ["fd00:7::246/64"], "excluded_addresses": [VIP]}),
    "dictionary": pair({"addresses": [{"address": VIP, "device": "eth0", "label": "eth0:vip", "scope": "global"}]}),
    "point to point": pair({"addresses": ["192.0.2.1/32"]}),
    "something else moves the addresses": pair({"addresses": []}),
    "version 2": pair({"version": 2, "auth_pass": "s3cret"}, keepalived_detection_ms=4000),
    "preemption": pair({"nopreempt": False, "preempt_delay": 5}),
    "half a second": pair({"nopreempt": False, "preempt_delay": "0.5"}),
    "a machine that is off": pair(keepalived_absent_ok=["node2"], keepalived_removed_peers=["fd00::1", "192.0.2.9"]),
    "multicast from a link-local address": {
        **pair({"unicast": False, "addresses": ["fd00:7::246/64"]}),
        "node2": {
            **pair({"unicast": False, "addresses": ["fd00:7::246/64"]})["node2"],
            "interfaces": {"eth0": ["fe80::1/64"]},
        },
    },
    "drain file": pair({"track_files": ["drain"]}),
    "weight": pair(
        {"nopreempt": False, "track_scripts": ["http"]},
        keepalived_track_scripts=[{"name": "http", "script": "/bin/true", "weight": -2}],
    ),
    "one multicast node": {"node1": pair({"unicast": False})["node1"]},
    "holds the address": {
        host: {**node, "interfaces": {"eth0": [*node["interfaces"]["eth0"], VIP]}} for host, node in pair().items()
    },
    "only virtual servers": {
        "node1": {"keepalived_virtual_servers": [{"fwmark": 1}, {"address": "192.0.2.1", "port": 80}]},
    },
    "same number on another interface": {
        host: {
            **node,
            "interfaces": {**node["interfaces"], "eth1": [f"10.0.0.{position}/24"]},
            "keepalived_instances": [
                *node["keepalived_instances"],
                instance(name="db", interface="eth1", addresses=["10.0.0.9/24"]),
            ],
        }
        for position, (host, node) in enumerate(pair().items(), 1)
    },
    "a command in quotes": pair(
        {"notify_master": "/bin/sh -c 'echo \"a b\" > /run/x; exit 1'"},
        keepalived_track_scripts=[
            {"name": "x", "script": '/bin/bash -c "echo > /dev/tcp/127.0.0.1/80"', "user": "a b"}
        ],
    ),
    "one route in a sync group": {
        "node1": {
            "keepalived_instances": [
                instance(unicast=False, routes=["203.0.113.0/24 via 192.168.4.2"]),
                instance(
                    name="db",
                    virtual_router_id=67,
                    addresses=["192.168.7.245/22"],
                    unicast=False,
                    routes=["203.0.113.0/24 via 192.168.4.2"],
                ),
            ],
            "keepalived_sync_groups": [{"name": "g", "instances": ["web", "db"]}],
        }
    },
    "user's own variable": pair(keepalived_password_file="x"),
}


@pytest.mark.parametrize("nodes", GOOD.values(), ids=GOOD)
def test_nothing_to_complain_about(nodes, spec):
    assert find_problems(nodes, spec) == []


BOTH = "node1, node2: "
WEB = "keepalived_instances[web]"
BAD = [
    (pair({"addresses": ["nonsense"]}), f"{BOTH}{WEB}.addresses: 'nonsense' is not an address"),
    (pair({"addresses": [42]}), f"{BOTH}{WEB}.addresses: 42 is not an address"),
    (
        pair({"addresses": ["192.168.7.246"]}),
        "192.168.7.246 has no prefix length; add it, for example 192.168.7.246/24",
    ),
    (pair({"addresses": ["192.168.4.0/22"]}), "192.168.4.0/22 is the network's own or its broadcast address"),
    (pair({"addresses": ["224.0.0.18/24"]}), "224.0.0.18/24 is not an address which clients can reach"),
    (pair({"addresses": None}), f"{WEB}.addresses is missing; list them, or write []"),
    (pair({"addresses": []}, {}), f"{BOTH}{WEB}.addresses differs"),
    (
        pair({"addresses": [], "source_address": "fd00:7::247"}, {"addresses": []}),
        f"node1: {WEB}.source_address is fd00:7::247; without addresses the nodes talk IPv4",
    ),
    (
        {
            host: {
                **node,
                "interfaces": {**node["interfaces"], "eth1": [f"10.0.0.{position}/24"]},
                "keepalived_instances": [instance(addresses=[]), instance(name="b", interface="eth1", addresses=[])],
            }
            for position, (host, node) in enumerate(pair().items(), 1)
        },
        "virtual_router_id 66 on lo is used by b and web",
    ),
    (
        pair({"addresses": [VIP, "fd00:7::246/64"]}),
        "fd00:7::246/64 is not of family IPv4, as the first address is; put it into",
    ),
    (pair({"addresses": [{"address": VIP, "dev": "eth0"}]}), "unknown key dev; did you mean device?"),
    (pair({"addresses": [VIP, VIP]}), f"{BOTH}{WEB}: 192.168.7.246 is listed 2 times; list it once"),
    (pair({"excluded_addresses": [VIP]}), f"{BOTH}{WEB}: 192.168.7.246 is listed 2 times; list it once"),
    (pair({"virtual_router_id": 0}), f"{BOTH}{WEB}.virtual_router_id is 0; use 1 to 255"),
    (pair({"virtual_router_id": 256}), f"{BOTH}{WEB}.virtual_router_id is 256; use 1 to 255"),
    (pair({"priority": 200}), f"{BOTH}{WEB}.priority is 200 on each of them; give every node its own"),
    (pair({}, {"priority": 254}), f"{BOTH}{WEB}.priority is 254 on each of them"),
    (pair({"priority": 255}, {}), f"node1: {WEB}.priority is 255; use 1 to 254"),
    (pair({"priority": "high"}, {}), f"node1: {WEB}.priority is high; use 1 to 254"),
    (pair({"version": 4}), f"{BOTH}{WEB}.version is 4; use 2 or 3"),
    (
        pair({"interface": "eth1"}, {}),
        f"node1: {WEB}.interface names eth1, which the node does not have; it has eth0, lo",
    ),
    (pair({"interface": "lo"}), f"{BOTH}{WEB}.interface is lo"),
    (pair({"track_interfaces": ["bond0"]}), f"{WEB}.track_interfaces names bond0, which the node does not have"),
    (pair({"addresses": [{"address": VIP, "device": "eth9"}]}), f"{WEB}.addresses names eth9, which the node does not"),
    (
        pair({"addresses": [{"address": VIP, "scope": "link"}]}, {}),
        f"node1: {WEB}.addresses: {VIP} has the scope link, and the kernel refuses it beside 192.168.7.247 of the same "
        "network, which has the scope global; write the same scope, or 192.168.7.246/32",
    ),
    (
        pair({"excluded_addresses": ["10.7.0.1/24", {"address": "10.7.0.2/24", "scope": 253}]}),
        f"{BOTH}{WEB}.excluded_addresses: 10.7.0.2/24 has the scope link, and the kernel refuses it beside 10.7.0.1",
    ),
    (
        pair({"peers": []}),
        f"{BOTH}{WEB}.peers is empty; add a host to the group, list the peers, or set unicast to false",
    ),
    ({"node1": pair()["node1"]}, f"node1: {WEB}.peers is empty; add a host to the group"),
    (
        pair({}, {"name": "other", "virtual_router_id": 67, "addresses": ["192.0.2.1/32"], "unicast": False}),
        "no other host of the group has",
    ),
    (
        pair({"peers": ["192.168.7.247", "192.168.7.248"]}, {}),
        f"node1: {WEB}.peers: 192.168.7.247 is the node's own address; list the other nodes only",
    ),
    (pair({"peers": ["node2", "192.168.7.248"]}, {}), f"node1: {WEB}.peers: 'node2' is not an address"),
    (pair({"peers": ["fd00:7::248", "192.168.7.248"]}, {}), "fd00:7::248 is not of family IPv4"),
    (pair({"peers": ["192.168.7.248", "192.168.7.248"]}, {}), "192.168.7.248 is listed twice"),
    (pair({"peers": ["192.168.7.246", "192.168.7.248"]}, {}), "192.168.7.246 is a virtual address of the instance"),
    (
        pair({"peers": ["192.168.7.249"]}, {}),
        f"node1: {WEB}.peers lacks 192.168.7.248, the source address of node2; add it",
    ),
    (
        pair({"source_address": "10.0.0.1"}, {}),
        "source_address is 10.0.0.1, which the node does not have; it has 192.168.7.247",
    ),
    (pair({"source_address": "192.168.7.247/22"}, {}), "source_address: '192.168.7.247/22' is not an address"),
    (
        pair({"virtual_router_id": 1}, {"virtual_router_id": 2}),
        f"{BOTH}{WEB}.virtual_router_id differs (1 on node1; 2 on node2)",
    ),
    (pair({"addresses": [VIP]}, {"addresses": ["192.168.7.245/22"]}), f"{BOTH}{WEB}.addresses differs"),
    (pair({"unicast": False}, {}), f"{BOTH}{WEB}.unicast differs (False on node1; True on node2)"),
    (pair({"detection_ms": 500}, {}), f"{BOTH}{WEB}.detection_ms differs (500 on node1; 600 on node2)"),
    (
        pair(keepalived_detection_ms=30),
        "keepalived_detection_ms: 30 ms is less than VRRP version 3 can do with priority 253; use at",
    ),
    (pair({"detection_ms": 5}), f"{BOTH}{WEB}.detection_ms: 5 ms is less than"),
    (
        pair({"version": 2}),
        "600 ms is less than VRRP version 2 can do with priority 253; use at least 3012 ms, or version 3",
    ),
    (pair({"auth_pass": "secret"}), f"{WEB}.auth_pass is set, but VRRP version 3 has no passwords"),
    (
        pair({"version": 2, "auth_pass": "1111"}, keepalived_detection_ms=4000),
        f"{WEB}.auth_pass is the password of every example",
    ),
    (pair({"nopreempt": True, "preempt_delay": 5}), f"{WEB}.preempt_delay has no effect while nopreempt is true"),
    (pair({"nopreempt": False, "preempt_delay": 1001}), f"{WEB}.preempt_delay is 1001; use 0 to 1000"),
    (
        pair({"track_scripts": ["htpt"]}, keepalived_track_scripts=[{"name": "http", "script": "/x"}]),
        "did you mean http?",
    ),
    (
        pair({"track_files": ["x"]}),
        f"{WEB}.track_files names x, which is not in keepalived_track_files; none is defined",
    ),
    (
        pair(keepalived_track_scripts=[{"name": "x", "script": "pgrep nginx"}]),
        "keepalived_track_scripts[x].script is no absolute path",
    ),
    (
        pair(keepalived_track_files=[{"name": "drain", "file": "/x"}]),
        "keepalived_track_files defines drain, which is the role's own",
    ),
    (pair(keepalived_track_files=[{"name": "a", "file": "/x"}] * 2), "keepalived_track_files defines a 2 times"),
    (
        pair(
            {"track_processes": ["nginx"]},
            keepalived_track_processes=[{"name": "nginx", "process": "nginx"}],
            container=True,
        ),
        f"{WEB}.track_processes cannot work in a container",
    ),
    (
        pair({"track_interfaces": [{"name": "eth0", "weight": -300}]}),
        "track_interfaces[eth0].weight is -300; use -253 to 253",
    ),
    (
        pair({"track_interfaces": [{"name": "eth0", "weight": -20}]}),
        "no weight moves an address while nopreempt is true",
    ),
    (
        pair({"nopreempt": False, "track_interfaces": [{"name": "eth0", "weight": -1}]}),
        f"node1: {WEB}.track_interfaces[eth0].weight is -1, and the next node's priority is lower by 1",
    ),
    (
        pair({"nopreempt": False, "priority": 99, "track_interfaces": [{"name": "eth0", "weight": 156}]}, {}),
        "weight is 156, and would raise the priority 99 above 254, where it is cut off",
    ),
    (
        pair(keepalived_sync_groups=[{"name": "g", "instances": ["wbe"]}]),
        "keepalived_sync_groups[g].instances names wbe, which is no instance; did you mean web?",
    ),
    (
        pair(keepalived_sync_groups=[{"name": "g", "instances": ["web"]}, {"name": "h", "instances": ["web"]}]),
        "keepalived_sync_groups[h].instances names web, which is already in g",
    ),
    (pair(keepalived_rt_priority=100), "keepalived_rt_priority is 100; use 1 to 99"),
    (pair({"name": "a b"}), "keepalived_instances[a b].name breaks the syntax"),
    (pair({"priorty": 200}), f"{BOTH}{WEB}.priorty is unknown; did you mean priority?"),
    (
        pair(keepalived_detecton_ms=100),
        f"{BOTH}keepalived_detecton_ms is unknown; did you mean keepalived_detection_ms?",
    ),
    (pair(keepalived_virtual_servers=[{"port": 80}]), "needs either address and port, or fwmark"),
    (
        pair(keepalived_virtual_servers=[{"address": VIP, "port": 80}]),
        f"keepalived_virtual_servers[{VIP}].address is not an address",
    ),
    (pair(keepalived_virtual_servers=[{"address": "192.0.2.1"}]), ".port is missing"),
    (
        balanced([{"address": "10.0.0.1", "port": 8080}]),
        "keepalived_virtual_servers[192.0.2.1].real_servers[10.0.0.1].port is 8080, and with lvs_method DR the servers "
        "get the packets as they are; write 80, or use NAT",
    ),
    (
        balanced(sorry_server={"address": "10.0.0.9", "port": 81}, lvs_method="TUN"),
        "keepalived_virtual_servers[192.0.2.1].sorry_server.port is 81, and with lvs_method TUN",
    ),
    (
        balanced([{"address": "10.0.0.1", "port": 80}, {"address": "10.0.0.1", "port": "80"}]),
        "keepalived_virtual_servers[192.0.2.1].real_servers has 2 of 10.0.0.1; list each server once",
    ),
    (
        balanced([{"address": "10.0.0.1", "port": 80, "weight": 2}, {"address": "10.0.0.2", "port": 80}], quorum=4),
        "keepalived_virtual_servers[192.0.2.1].quorum is 4, and all servers together have the weight 3; write",
    ),
    (
        balanced([{"address": "10.0.0.1", "port": 80, "weight": 0}]),
        "keepalived_virtual_servers[192.0.2.1].quorum is 1, and all servers together have the weight 0; give one",
    ),
    (
        balanced([{"address": "10.0.0.1", "port": 81, "extra": ["lvs_method DR"]}], lvs_method="NAT"),
        "keepalived_virtual_servers[192.0.2.1].real_servers[10.0.0.1].port is 81, and with lvs_method DR",
    ),
    (
        pair(
            keepalived_virtual_servers=[
                {"fwmark": 7, "real_servers": [{"address": "10.0.0.1", "port": 0, "check": {"type": "tcp"}}]}
            ]
        ),
        "keepalived_virtual_servers[7].real_servers[10.0.0.1].check.connect_port is missing; with fwmark, the check",
    ),
    (
        pair(keepalived_virtual_servers=[{"fwmark": 7, "ha_suspend": "yes"}]),
        "keepalived_virtual_servers[7].ha_suspend has no effect with fwmark",
    ),
    (
        pair(
            keepalived_virtual_servers=[
                {"fwmark": 1, "real_servers": [{"address": "10.0.0.1", "port": 80, "check": {"type": "http"}}]}
            ]
        ),
        "real_servers[10.0.0.1].check.path is missing; it is required with type http",
    ),
    ({"node1": {}}, "node1: keepalived_instances is empty"),
    # The source address of a node
    (
        pair({"addresses": ["192.168.7.247/22"]}),
        f"node1: {WEB}.source_address is not known, as 192.168.7.247 is all that eth0 of node1 has, and that",
    ),
    (
        {**pair(), "node2": {**pair()["node2"], "interfaces": {"eth0": ["fe80::1/64"]}}},
        f"node2: {WEB}.source_address is not known, as eth0 of node2 has no IPv4 address; give it one",
    ),
    (
        {**pair({"unicast": False}), "node2": {**pair({"unicast": False})["node2"], "interfaces": {"eth0": []}}},
        f"node2: {WEB}.source_address is not known, as eth0 of node2 has no IPv4 address; give it one",
    ),
    (
        {**pair(), "node2": {**pair()["node2"], "interfaces": {}}},
        f"node1: {WEB}.peers: the address of node2 is not known, as it cannot be reached; bring it back, or set",
    ),
    # Types
    (
        pair(keepalived_sync_groups={"web": {"instances": ["VI_1"]}}),
        f"{BOTH}keepalived_sync_groups is a dictionary; write a list",
    ),
    (pair(keepalived_instances="web"), f"{BOTH}keepalived_instances is a text; write a list"),
    (pair(keepalived_instances=["web"]), f"{BOTH}keepalived_instances[0] is a text; write a dictionary"),
    (pair({"peers": "192.168.7.248"}), f"{BOTH}{WEB}.peers is a text; write a list"),
    (pair({"peers": [{"a": 1}]}), f"{BOTH}{WEB}.peers[0] is a dictionary; write a single value"),
    (
        pair({"addresses": [["192.168.7.246/22"]]}),
        f"{BOTH}{WEB}.addresses[0] is a list; write a single value or a dict",
    ),
    (pair({"auth_pass": ["hunter2"]}), f"{BOTH}{WEB}.auth_pass is a list; write a single value"),
    (pair({"interface": None}), f"{BOTH}{WEB}.interface is missing; add it"),
    (pair(keepalived_track_files=[{"file": "/x"}]), f"{BOTH}keepalived_track_files[0].name is missing; add it"),
    (
        pair(keepalived_virtual_servers=[{"fwmark": 1, "sorry_server": "x"}]),
        ".sorry_server is a text; write a dictionary",
    ),
    (pair({"garp_master_delay": "1 }"}), f"{BOTH}{WEB}.garp_master_delay is 1 }}; write a whole number"),
    (pair({"nopreempt": "perhaps"}), f"{BOTH}{WEB}.nopreempt is perhaps; write true or false"),
    (
        pair(keepalived_track_processes=[{"name": "x", "process": "x", "delay": "soon"}]),
        f"{BOTH}keepalived_track_processes[x].delay is soon; write a number",
    ),
    (
        pair(keepalived_virtual_servers=[{"fwmark": 1, "lvs_sched": "best"}]),
        "keepalived_virtual_servers[0].lvs_sched is best; choose one of rr, wrr",
    ),
    # Numbers
    *((pair({"virtual_router_id": n}), f"{WEB}.virtual_router_id is {n}; use 1 to 255") for n in (6.6, True, "66 ")),
    (pair({"priority": "1_00"}, {}), f"node1: {WEB}.priority is 1_00; use 1 to 254"),
    (pair({"nopreempt": False, "preempt_delay": "1_0"}), f"{BOTH}{WEB}.preempt_delay is 1_0; use 0 to 1000"),
    *((pair(keepalived_rt_priority=n), f"{BOTH}keepalived_rt_priority is {n}; use 1 to 99") for n in ("x", "5.5", 5.5)),
    (pair(keepalived_startup_delay_s="1_0"), f"{BOTH}keepalived_startup_delay_s is 1_0; use 0 to 59"),
    (pair(keepalived_settle_timeout="-5"), f"{BOTH}keepalived_settle_timeout is -5; use 0 or more"),
    *(
        (
            pair(keepalived_track_scripts=[{"name": "x", "script": "/x", option: n}]),
            f"{BOTH}keepalived_track_scripts[x].{option} is {n}; use 1 or more",
        )
        for option, n in (("interval", 0), ("interval", -1), ("timeout", 0), ("rise", 0), ("fall", "0"))
    ),
    *(
        (pair({f"garp_{option}": -1}), f"{BOTH}{WEB}.garp_{option} is -1; use 0 or more")
        for option in ("master_delay", "master_repeat", "master_refresh", "lower_prio_delay", "lower_prio_repeat")
    ),
    (
        pair(keepalived_virtual_servers=[{"address": "192.0.2.1", "port": 80000}]),
        "keepalived_virtual_servers[0].port is 80000; use 0 to 65535",
    ),
    (
        pair(keepalived_virtual_servers=[{"fwmark": 1, "delay_loop": 0}]),
        "keepalived_virtual_servers[0].delay_loop is 0; use 0.001 or more",
    ),
    (
        pair({"addresses": ["192.168.7.246/255.255.252.0"]}),
        "192.168.7.246/255.255.252.0 has a netmask in place of a prefix length; write 192.168.7.246/22",
    ),
    (
        pair({"addresses": ["192.168.7.246/0"]}),
        f"{BOTH}{WEB}.addresses: 192.168.7.246/0 would be in one network with all addresses; write",
    ),
    *(
        (
            pair({"addresses": [each]}),
            f"{BOTH}{WEB}.addresses: {each} is not an address which clients can reach; choose",
        )
        for each in ("240.0.0.1/8", "0.0.0.1/8")
    ),
    # Who is not there
    (
        pair(keepalived_absent_ok=["node3"]),
        f"{BOTH}keepalived_absent_ok names node3, which is no host of the group; did you mean node",
    ),
    (pair(keepalived_removed_peers=["foo"]), f"{BOTH}keepalived_removed_peers[0] is not an address; write it"),
    (
        pair(keepalived_removed_peers=["FD00::01"]),
        f"{BOTH}keepalived_removed_peers[0] is not in the usual spelling; write fd00::1",
    ),
    (pair(keepalived_startup_delay_s=60), f"{BOTH}keepalived_startup_delay_s is 60; use 0 to 59"),
    (pair(keepalived_startup_delay_s=-1), f"{BOTH}keepalived_startup_delay_s is -1; use 0 to 59"),
    (pair(keepalived_startup_delay_s="long"), f"{BOTH}keepalived_startup_delay_s is long; use 0 to 59"),
    # Syntax
    (pair({"notify": "tell"}), f"{BOTH}{WEB}.notify is no absolute path, and keepalived would not run it; write the"),
    (
        pair({"notify_master": "/x 'y"}),
        f"{BOTH}{WEB}.notify_master cannot be split into words (no closing quotation); put",
    ),
    (
        pair(keepalived_track_scripts=[{"name": "x", "script": "/bin/grep '\\.' /x"}]),
        "keepalived_track_scripts[x].script has a backslash, which the versions of keepalived read differently;",
    ),
    (
        pair(keepalived_track_scripts=[{"name": "x", "script": "/x", "user": "a b c"}]),
        "keepalived_track_scripts[x].user is no user; write its name, and by choice that of a group",
    ),
    (pair(keepalived_track_scripts=[{"name": "x {", "script": "/x"}]), "keepalived_track_scripts[x {].name breaks the"),
    (pair(keepalived_track_files=[{"name": "x", "file": 'a"b'}]), "keepalived_track_files[x].file has a double quote;"),
    (
        pair(keepalived_track_files=[{"name": "x", "file": "run/x"}]),
        "keepalived_track_files[x].file is no absolute path;",
    ),
    (
        pair(keepalived_track_processes=[{"name": "x", "process": ""}]),
        "keepalived_track_processes[x].process is empty;",
    ),
    (pair(keepalived_notify_fifo="fifo"), f"{BOTH}keepalived_notify_fifo is no absolute path; write the path in full"),
    (pair(keepalived_router_id="$_PWD"), f"{BOTH}keepalived_router_id has a $ which keepalived takes for a parameter;"),
    (pair(keepalived_script_user="root }"), f"{BOTH}keepalived_script_user is no user; write its name"),
    (
        pair({"addresses": [{"address": VIP, "label": "eth0 {"}]}),
        f"{WEB}.addresses[{VIP}].label is no name of an interface; use at most 15",
    ),
    (
        pair({"addresses": [{"address": VIP, "scope": "a b"}]}),
        f"{WEB}.addresses[{VIP}].scope is no scope; use host, link, global, or a number",
    ),
    (pair({"addresses": ["fe80::1%x }/64"]}), f"{WEB}.addresses: 'fe80::1%x }}/64' is not an address"),
    (
        pair({"routes": ["203.0.113.0/24 }"]}),
        f"{BOTH}{WEB}.routes[0] has a line break, a control character, or one of {{ }} \" ' \\ # ! $;",
    ),
    (
        pair({"routes": ["203.0.113.0/24 # by hand"]}),
        f"{BOTH}{WEB}.routes[0] has a line break, a control character, or one of {{ }} \" ' \\ # ! $;",
    ),
    (pair({"routes": [" "]}), f"{BOTH}{WEB}.routes[0] is empty; remove it"),
    (
        pair(keepalived_sync_groups=[{"name": "G", "instances": ["web"], "track_scripts": ["nobody"]}]),
        f"{BOTH}keepalived_sync_groups[G].track_scripts names nobody, which is not in keepalived_track_scripts;",
    ),
    (
        pair(keepalived_sync_groups=[{"name": "G", "instances": ["web"], "track_interfaces": [{"name": "eth9"}]}]),
        f"{BOTH}keepalived_sync_groups[G].track_interfaces names eth9, which is not in the node;",
    ),
    (
        pair({"extra": ["x" * 2000]}),
        f"{BOTH}{WEB}.extra[0] has a line of 2000 bytes, and keepalived reads at most 1000;",
    ),
    (pair(keepalived_extra_config="a\0"), f"{BOTH}keepalived_extra_config has a NUL character; remove it"),
    (
        pair(keepalived_virtual_servers=[{"fwmark": 1, "quorum_up": "up"}]),
        "keepalived_virtual_servers[1].quorum_up is no absolute path",
    ),
    (
        pair(keepalived_virtual_servers=[{"fwmark": 1, "sorry_server": {"address": "sorry", "port": 1}}]),
        "keepalived_virtual_servers[1].sorry_server.address is not an address;",
    ),
    (
        pair(
            keepalived_virtual_servers=[
                {
                    "fwmark": 1,
                    "real_servers": [
                        {"address": "10.0.0.1", "port": 80, "check": {"type": "http", "path": "/", "virtualhost": 'a"'}}
                    ],
                }
            ]
        ),
        "keepalived_virtual_servers[1].real_servers[10.0.0.1].check.virtualhost has a double quote;",
    ),
]


@pytest.mark.parametrize(("nodes", "message"), BAD, ids=[message for _nodes, message in BAD])
def test_each_mistake_gives_one_clear_message(nodes, message, spec):
    problem = only(nodes, spec)
    assert message in problem
    assert ";" in problem or "needs" in problem or "?" in problem  # what to do


def test_a_secret_is_never_shown():
    nodes = pair(
        {"version": 2, "auth_pass": "first-longer-than-8"},
        {"version": 2, "auth_pass": "second-longer-than-8"},
        keepalived_detection_ms=4000,
    )
    problems = "\n".join(find_problems(nodes))
    assert f"{WEB}.auth_pass differs; make it the same on all nodes" in problems
    assert "longer than 8 characters" in problems
    assert "first" not in problems
    assert "second" not in problems


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        ("123456789", "longer than 8 characters"),
        ("pass#1", "characters which mean something else"),
        ("a b", "use letters"),
    ],
)
def test_a_password_which_would_be_cut(secret, message):
    problem = only(pair({"version": 2, "auth_pass": secret}, keepalived_detection_ms=4000))
    assert message in problem
    assert secret not in problem


def test_two_instances_with_one_number_within_a_host_and_across_hosts():
    other = instance(name="db", addresses=["192.168.7.245/22"])
    message = "keepalived_instances: virtual_router_id 66 on eth0 is used by db and web; give each its own"
    nodes = pair()
    for node in nodes.values():
        node["keepalived_instances"].append(other)
    assert only(nodes) == f"node1, node2: {message}"
    nodes = pair({"unicast": False})
    nodes["node2"]["keepalived_instances"] = [{**other, "unicast": False}]
    assert only(nodes) == f"node1, node2: {message}"


def test_an_address_in_two_instances():
    nodes = pair()
    for node in nodes.values():
        node["keepalived_instances"].append(instance(name="db", virtual_router_id=67))
    assert (
        only(nodes) == "node1, node2: keepalived_instances: 192.168.7.246 is in db and in web; leave it in one of them"
    )


def test_one_name_twice():
    nodes = pair()
    nodes["node1"]["keepalived_instances"] *= 2
    assert any("has 2 instances named web" in problem for problem in find_problems(nodes))


def test_ipv6_needs_version_3():
    nodes = pair({"version": 2, "addresses": ["fd00:7::246/64"]}, keepalived_detection_ms=4000)
    assert "version is 2, which does not know IPv6; use 3" in only(nodes)


def test_a_number_in_a_file_may_be_multiplied_by_anything():
    nodes = pair({"track_files": ["web"]}, keepalived_track_files=[{"name": "web", "file": "/x", "weight": -1000}])
    assert find_problems(nodes) == []
    nodes = pair(
        {"track_files": [{"name": "web", "weight": -255}]}, keepalived_track_files=[{"name": "web", "file": "/x"}]
    )
    assert "track_files[web].weight is -255; use -254 to 254" in only(nodes)


def test_unknown_interfaces_are_not_checked():
    nodes = pair({"interface": "anything"})
    for node in nodes.values():
        del node["interfaces"]
    assert find_problems(nodes) == []


def test_priorities_follow_the_order_of_the_group():
    nodes = pair({"priority": 252}, {})
    nodes["node3"] = copy.deepcopy(nodes["node2"])
    nodes["node3"]["interfaces"] = {"eth0": ["192.168.7.249/22"]}
    assert "node1, node3: keepalived_instances[web].priority is 252 on each of them" in only(nodes)


@pytest.mark.parametrize(
    ("option", "first", "second"),
    [
        ("routes", "203.0.113.0/24 via 192.168.4.2 dev eth0", "203.0.113.0/24  via 192.168.4.2 dev eth0"),
        ("routes", "203.0.113.0/24 via 192.168.4.2", "to 203.0.113.0/24 via 192.168.4.3"),
        ("routes", "203.0.113.0/24 via 192.168.4.2 table 7", "src 192.168.7.246 203.0.113.0/24 table 7 dev eth0"),
        ("rules", "from 203.0.113.7 table 7", "from 203.0.113.7 table 7"),
    ],
)
def test_a_route_or_rule_of_two_instances_would_be_lost_with_one_of_them(option, first, second):
    nodes = pair({option: [first]})
    for node in nodes.values():
        more = {"name": "db", "virtual_router_id": 67, "addresses": ["192.168.7.245/22"], option: [second]}
        node["keepalived_instances"].append(instance(**more))
    problem = only(nodes)
    assert problem.startswith(f"node1, node2: keepalived_instances: of {option}, ")
    assert (
        "is in db and in web, and would be gone once one of them gives it up; put these instances into one of"
        in problem
    )
    assert f"static_{option} in keepalived_extra_config" in problem
    for node in nodes.values():
        node["keepalived_sync_groups"] = [{"name": "g", "instances": ["db", "web"]}]
    assert find_problems(nodes) == []


def test_routes_of_two_tables_are_two():
    nodes = pair({"routes": ["203.0.113.0/24 via 192.168.4.2 table 7"]})
    for node in nodes.values():
        more = {"name": "db", "virtual_router_id": 67, "addresses": ["192.168.7.245/22"]}
        node["keepalived_instances"].append(instance(**more, routes=["203.0.113.0/24 via 192.168.4.2 table 8"]))
    assert find_problems(nodes) == []


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"interfaces": {}, "sources": {}}, "it cannot be reached; bring it back"),
        ({"interfaces": {"eth0": ["fe80::1/64"]}}, "its eth0 has no address to send from; repair it"),
        ({"interfaces": {"eth1": ["10.0.0.1/24"]}}, "its eth0 has no address to send from; repair it"),
    ],
)
def test_a_peer_of_unknown_address_that_is_not_part_of_the_run_is_told_of_one_that_is(facts, why, spec):
    nodes = pair()
    nodes["node2"].update(facts, absent=True)
    assert only(nodes, spec) == (
        f"node1: {WEB}.peers: the address of node2 is not known, as {why}, or set source_address in its "
        "keepalived_instances"
    )
    nodes["node2"]["keepalived_instances"] = [instance(source_address="192.168.7.248")]
    nodes["node2"].pop("interfaces")
    assert find_problems(nodes, spec) == []


def test_a_node_which_nobody_knows_is_no_problem_while_there_are_other_peers(spec):
    nodes = pair()
    nodes["node3"] = {**pair()["node2"], "interfaces": {}, "sources": {}, "absent": True}
    assert find_problems(nodes, spec) == []


def test_a_node_which_cannot_be_reached_is_no_problem_when_all_others_list_their_peers():
    nodes = pair({"peers": ["192.168.7.248"]}, {})
    nodes["node2"]["interfaces"] = {}
    assert find_problems(nodes) == []


def test_a_wrong_type_shows_no_secret(spec):
    assert "hunter2" not in str(find_problems(pair({"auth_pass": {"a": "hunter2"}}), spec))


def test_variables_as_text_are_understood():
    assert (
        find_problems(pair({"virtual_router_id": "66", "version": "3", "unicast": "yes", "nopreempt": "false"})) == []
    )


MACS = {"lo": "00:00:00:00:00:00", "eth0": "52:54:00:00:00:01"}
TWINS = "if one machine has two names, correct ansible_host or remove one of them"


def under_two_names(**changes):
    """node2 is node1, looked at once more."""
    nodes = pair({"source_address": "192.168.7.247"}, {"source_address": "192.168.7.250"})
    for node in nodes.values():
        node["interfaces"] = {"lo": ["127.0.0.1/8"], "eth0": ["192.168.7.247/22", "192.168.7.250/22"]}
        node["macs"] = MACS
    nodes["node2"].update(changes)
    return nodes


def test_one_machine_under_two_names_is_refused(spec):
    problem = only(under_two_names(), spec)
    assert problem.startswith("node1, node2: node1 and node2 are one machine, which has 192.168.7.247 and 52:54:00:")
    assert TWINS in problem


def test_one_machine_is_told_of_the_host_that_is_part_of_the_run(spec):
    assert only(under_two_names(absent=True), spec).startswith("node1: node1 and node2 are one machine")


@pytest.mark.parametrize("facts", [{}, {"macs": {**MACS, "eth0": "52:54:00:00:00:02"}}])
def test_two_hosts_with_one_source_address_are_refused(facts, spec):
    nodes = pair(macs=MACS if facts else {})
    nodes["node2"] = {**copy.deepcopy(nodes["node1"]), **facts}
    problem = only(nodes, spec)
    assert problem.startswith(f"node1, node2: {WEB}.source_address is 192.168.7.247 on node1 and node2; ")
    assert TWINS in problem


@pytest.mark.parametrize(
    "interfaces",
    [
        {"lo": ["10.0.0.9/32"], "eth0": ["192.168.7.248/22"]},  # an address that all nodes have
        {"eth0": ["192.168.7.248/22", "fe80::1/64"]},  # as all have on a link
        {"eth0": ["192.168.7.250/22", VIP]},  # a container with the hardware address of its parent
    ],
)
def test_what_nodes_share_by_design_does_not_make_them_one(interfaces, spec):
    nodes = pair(macs=MACS)
    nodes["node1"]["interfaces"] = {"lo": ["10.0.0.9/32"], "eth0": ["192.168.7.247/22", "fe80::1/64", VIP]}
    nodes["node2"]["interfaces"] = interfaces
    assert find_problems(nodes, spec) == []
