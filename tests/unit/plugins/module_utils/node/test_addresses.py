# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.node.addresses import held, of_clients, parse_links

NODE = json.dumps(
    [
        {
            "ifname": "lo",
            "address": "00:00:00:00:00:00",
            "addr_info": [
                {"family": "inet", "local": "127.0.0.1", "prefixlen": 8, "scope": "host"},
                {"family": "inet6", "local": "::1", "prefixlen": 128},
                {"family": "inet", "local": "192.0.2.9", "prefixlen": 32},
            ],
        },
        {
            "ifname": "eth0",
            "address": "52:54:00:00:00:01",
            "addr_info": [
                {"family": "inet", "local": "192.168.7.247", "prefixlen": 22},
                {"family": "inet", "local": "192.168.7.246", "prefixlen": 22, "secondary": True},
                {"family": "inet6", "local": "fd00:7::246", "prefixlen": 64},
                {"family": "inet6", "local": "fd00:7::66", "prefixlen": 64, "dadfailed": True, "tentative": True},
                {"family": "inet6", "local": "fe80::1", "prefixlen": 64},
            ],
        },
        {
            "ifname": "tun0",
            "addr_info": [{"family": "inet", "local": "10.0.0.1", "address": "10.0.0.2", "prefixlen": 32}],
        },
        {"ifname": "eth1", "address": "52:54:00:00:00:02", "addr_info": []},
    ]
)


def test_interfaces_in_the_order_of_the_kernel():
    links = parse_links(NODE)
    assert links["eth0"].mac == "52:54:00:00:00:01"
    assert links["eth0"].addresses == ["192.168.7.247/22", "192.168.7.246/22", "fd00:7::246/64", "fe80::1/64"]
    assert links["tun0"] == ("", ["10.0.0.1/32"], [], {})
    assert links["lo"].scopes == {"127.0.0.1": "host"}
    assert links["eth1"].addresses == []


@pytest.mark.parametrize("flag", ["temporary", "deprecated", "tentative"])
def test_addresses_which_will_not_stay_are_told_apart(flag):
    entries = [{"local": "fd00:7::a", "prefixlen": 64, flag: True}, {"local": "fd00:7::1", "prefixlen": 64}]
    links = parse_links(json.dumps([{"ifname": "eth0", "addr_info": entries}]))
    assert links["eth0"].addresses == ["fd00:7::a/64", "fd00:7::1/64"]
    assert links["eth0"].passing == ["fd00:7::a/64"]


def test_held_whatever_the_prefix_length_and_spelling():
    wanted = ["192.168.7.246", "192.168.7.246/32", "FD00:7:0::246/64", "192.168.7.245/22", "fd00:7::66"]
    assert held(wanted, parse_links(NODE)) == [
        {"address": "192.168.7.246", "held": True, "interface": "eth0"},
        {"address": "192.168.7.246/32", "held": True, "interface": "eth0"},
        {"address": "FD00:7:0::246/64", "held": True, "interface": "eth0"},
        {"address": "192.168.7.245/22", "held": False, "interface": None},
        {"address": "fd00:7::66", "held": False, "interface": None},
    ]


def test_what_clients_can_reach():
    assert of_clients(parse_links(NODE)) == [
        "192.0.2.9/32",
        "192.168.7.247/22",
        "192.168.7.246/22",
        "fd00:7::246/64",
        "10.0.0.1/32",
    ]


def test_not_an_address():
    with pytest.raises(ValueError, match="'web' does not appear to be"):
        held(["web"], parse_links(NODE))


def test_a_node_without_interfaces():
    assert parse_links("") == {}
