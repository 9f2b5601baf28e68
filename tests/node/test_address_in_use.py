# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module address_in_use on a real network: two network namespaces and a cable, with no way out."""

from __future__ import annotations

import json

import pytest
from busy import Watch

NODE_MAC, OTHER_MAC, THIRD_MAC = (f"02:00:00:00:00:0{n}" for n in (1, 2, 3))


@pytest.fixture
def network(new_namespace):
    """A node and another machine; the node's addresses are 10.0.0.1 and fd00::1, the other's 10.0.0.2 and fd00::2."""
    node, other = new_namespace(), new_namespace()
    node.run(*f"ip link add eth0 address {NODE_MAC} type veth peer name eth1".split())
    node.run(*f"ip link set eth1 address {OTHER_MAC} netns {other.pid} name eth0".split())
    for number, namespace in enumerate((node, other), 1):
        # Without duplicate address detection, the link-local address can be used at once.
        namespace.run("sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad")
        namespace.run("ip", "link", "set", "eth0", "up")
        namespace.run("ip", "address", "add", f"10.0.0.{number}/24", "dev", "eth0")
        namespace.run("ip", "address", "add", f"fd00::{number}/64", "dev", "eth0", "nodad")
    return node, other


def ask(network, *prefix, **options):
    """The module's result on the node, and the watch that ran from its start."""
    watch = Watch()
    return network[0].module("address_in_use", {"interface": "eth0", **options}, *prefix), watch


def test_a_stranger_answers_and_the_others_are_free(network):
    result, _watch = ask(network, addresses=["10.0.0.2/24", "10.0.0.9/24", "fd00::2/64", "fd00::9"])
    answers = sorted(result["answers"], key=lambda answer: answer["address"])
    assert answers == [{"address": address, "mac": OTHER_MAC} for address in ("10.0.0.2/24", "fd00::2/64")]
    assert result["in_use"] is True
    assert result["changed"] is False


def test_all_are_asked_at_once_and_the_wait_is_bounded(network):
    free = [f"10.0.0.{n}" for n in range(100, 200)] + [f"fd00::{n}" for n in range(100, 200)]
    startup_s = ask(network, addresses=["10.0.0.2"])[1].took_s
    result, watch = ask(network, addresses=free, timeout_ms=500)
    took_s = watch.took_s
    assert result["answers"] == []
    assert result["in_use"] is False
    assert took_s >= 0.5
    watch.at_most(startup_s + 0.5 + 1, took_s)


def test_it_ends_once_all_have_answered(network):
    _result, watch = ask(network, addresses=["10.0.0.2", "fd00::2"], timeout_ms=10000)
    watch.at_most(8)


def test_own_addresses_do_not_count(network):
    result, _watch = ask(network, addresses=["10.0.0.1", "fd00::1"], timeout_ms=300)
    assert result["answers"] == []


def test_an_ignored_machine_does_not_count(network):
    result, _watch = ask(network, addresses=["10.0.0.2", "fd00::2"], timeout_ms=300, ignore_macs=[OTHER_MAC.upper()])
    assert result["answers"] == []


def test_a_stranger_is_found_beside_an_ignored_machine(network, new_namespace):
    """The other machine is a bridge and has the address; a third one behind it has the same."""
    other, third = network[1], new_namespace()
    other.run("ip", "link", "add", "port", "type", "veth", "peer", "name", "eth0", "netns", third.pid)
    other.run("ip", "link", "add", "br0", "address", OTHER_MAC, "type", "bridge")
    for link in ("eth0", "port"):
        other.run("ip", "link", "set", link, "master", "br0", "up")
    other.run("ip", "link", "set", "br0", "up")
    other.run("ip", "address", "add", "10.0.0.9/24", "dev", "br0")
    third.run("ip", "link", "set", "eth0", "address", THIRD_MAC, "up")
    third.run("ip", "address", "add", "10.0.0.9/24", "dev", "eth0")
    result, _watch = ask(network, addresses=["10.0.0.9"], ignore_macs=[OTHER_MAC], timeout_ms=3000)
    assert result["answers"] == [{"address": "10.0.0.9", "mac": THIRD_MAC}]


def test_it_leaves_no_trace_in_a_neighbour_s_table(network):
    other = network[1]
    other.run("ip", "neighbour", "flush", "all")
    ask(network, addresses=["10.0.0.2", "10.0.0.9"], timeout_ms=300)
    assert other.run("ip", "-4", "neighbour") == ""


def test_two_nodes_that_ask_at_once_do_not_take_each_other_for_strangers(network):
    options = {"interface": "eth0", "addresses": ["10.0.0.9"], "timeout_ms": 1500}
    asking = [namespace.start("address_in_use", options) for namespace in network]
    results = [json.loads(process.communicate(timeout=30)[0]) for process in asking]
    assert [result["answers"] for result in results] == [[], []]


@pytest.mark.parametrize(
    ("commands", "options", "message"),
    [
        ([], {"interface": "eth7"}, "there is no interface eth7; the node has eth0, lo"),
        (["ip link set eth0 down"], {}, "eth0 is down, so that nothing can answer"),
        ([], {"interface": "lo"}, "lo is no Ethernet interface"),
        (["ip tuntap add tun0 mode tun"], {"interface": "tun0"}, "tun0 is no Ethernet interface"),
        (["ip tuntap add tun0 mode tun", "ip link set tun0 up"], {"interface": "tun0"}, "keepalived_stranger_check"),
        ([], {"addresses": ["web"]}, "addresses: 'web' does not appear to be an IPv4 or IPv6"),
        ([], {"timeout_ms": 20000}, "timeout_ms is 20000; use 50 to 10000"),
        ([], {"probes": 0}, "probes is 0; use 1 to 10"),
        (
            ["sysctl -q net.ipv6.conf.eth0.disable_ipv6=1"],
            {"addresses": ["fd00::2"]},
            "eth0 has no usable link-local address to ask for fd00::2 with; enable IPv6 on it",
        ),
    ],
)
def test_it_says_why_it_cannot_ask(network, commands, options, message):
    for command in commands:
        network[0].run(*command.split())
    result, _watch = ask(network, **{"addresses": ["10.0.0.2"], **options})
    assert result["failed"] is True
    assert message in result["msg"]


def test_no_carrier(network):
    network[1].run("ip", "link", "set", "eth0", "down")
    result, _watch = ask(network, addresses=["10.0.0.2"])
    assert "eth0 has no carrier" in result["msg"]
    assert "keepalived_stranger_check" in result["msg"]


def test_without_the_right_to_raw_sockets(network):
    result, _watch = ask(network, "setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", addresses=["10.0.0.2"])
    assert "raw sockets need root" in result["msg"]
