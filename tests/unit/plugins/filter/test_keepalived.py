# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filters are thin: what they compute is tested with the functions behind them."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.cloudha.vip.plugins.filter.keepalived_addresses import FilterModule as Addresses
from ansible_collections.cloudha.vip.plugins.filter.keepalived_closer_looks import FilterModule as CloserLooks
from ansible_collections.cloudha.vip.plugins.filter.keepalived_problems import FilterModule as Problems
from ansible_collections.cloudha.vip.plugins.filter.keepalived_secrets import FilterModule as Secrets

addresses = Addresses().filters()["keepalived_addresses"]
secrets = Secrets().filters()["keepalived_secrets"]
closer_looks = CloserLooks().filters()["keepalived_closer_looks"]
problems = Problems().filters()["keepalived_problems"]


def test_problems_are_passed_on():
    assert problems({"node1": {}}) == ["node1: keepalived_instances is empty; describe at least one instance"]


@pytest.mark.parametrize("nodes", [[], "node1", {"node1": []}])
def test_nodes_which_are_no_dictionary(nodes):
    with pytest.raises(AnsibleFilterError, match="must be a dictionary of hosts"):
        problems(nodes)


def test_only_what_hosts_of_this_play_said_is_known_of_now():
    its = {
        "__keepalived_look": {"drain": 0, "addresses": []},
        "__keepalived_vrrp": {"instances": {}, "heard": []},
        "__keepalived": {"keepalived_instances": [{"name": "VI_1"}]},
    }
    # One of another play may have no settings of its own yet.
    hostvars = {"node1": its, "node2": its, "node3": {"__keepalived_look": its["__keepalived_look"]}}
    assert closer_looks(["node1", "node2", "node3"], hostvars, ["node1"]) == {
        "node1": {
            "drain": 0,
            "addresses": [],
            "vrrp": {"instances": {}, "heard": []},
            "voices": [{"name": "VI_1"}],
        },
        "node2": {"drain": 0, "addresses": [], "vrrp": {}, "voices": []},
        "node3": {"drain": 0, "addresses": [], "vrrp": {}, "voices": []},
    }


def test_the_addresses_of_instances_in_every_spelling():
    one = {"name": "web", "addresses": ["192.0.2.1/24", {"address": "fd00::1/64"}], "excluded_addresses": None}
    two = {"name": "api", "excluded_addresses": ["192.0.2.2"]}
    assert addresses([one, two]) == ["192.0.2.1", "fd00::1", "192.0.2.2"]
    assert addresses(None) == addresses([]) == []


def test_a_fresh_secret_is_another_one_each_time_and_fits():
    nodes = {"node1": {"keepalived_instances": [{"name": "web", "version": 2}]}}
    found = {secrets(nodes)["web"] for _each in range(9)}
    assert len(found) == 9 and all(len(each) == 8 and each.isalnum() and each.isascii() for each in found)
    assert secrets(nodes, {"web": "kept"}) == {"web": "kept"}
