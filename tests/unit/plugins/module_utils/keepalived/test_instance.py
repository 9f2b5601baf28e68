# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.instance import Instance

WEB6 = {"name": "WEB6", "interface": "eth0", "virtual_router_id": 66, "addresses": ["fd00:7::246/64"]}
API6 = {"name": "API6", "interface": "eth0", "virtual_router_id": 67, "addresses": ["fd00:7::245/64"]}
OWN = "fd00:7::247/64"


def source(*addresses, before=(), passing=(), instances=(WEB6, API6), **changes):
    """That of the first instance, on a node with these addresses on its interface."""
    node = {"keepalived_instances": list(instances), "interfaces": {"eth0": list(addresses)}}
    node |= {"before": list(before), "passing": list(passing)}
    return str(Instance("node1", {**node, **changes}, 0, instances[0]).source)


def test_an_unchanged_run_keeps_the_source_address_of_a_holder():
    # The kernel lists the newest IPv6 address first.
    for holds in (["fd00:7::245/64", "fd00:7::246/64"], ["fd00:7::246/64"], ["fd00:7::245/64"], []):
        assert source(*holds, OWN) == "fd00:7::247"


@pytest.mark.parametrize("excluded", [False, True])
def test_an_address_which_is_still_in_force_but_not_wanted_any_more_is_none_of_the_node(excluded):
    option = "excluded_addresses" if excluded else "addresses"
    gone = {"name": "OLD", "interface": "eth0", "virtual_router_id": 68, option: ["fd00:7::244/64"]}
    assert source("fd00:7::244/64", OWN, before=[gone]) == "fd00:7::247"


def test_an_excluded_address_of_another_instance_is_none_of_the_node():
    more = {**API6, "excluded_addresses": [{"address": "fd00:7::243/64", "device": "eth0"}]}
    assert source("fd00:7::243/64", OWN, instances=[WEB6, more]) == "fd00:7::247"


def test_the_source_address_in_force_stays_while_the_node_has_it():
    before = [{**WEB6, "source_address": "fd00:7::247"}]
    assert source("fd00:7::99/64", OWN, before=before) == "fd00:7::247"
    assert source("fd00:7::99/64", before=before) == "fd00:7::99"
    wrong = [{**WEB6, "source_address": "fd00:7::245"}]  # as an earlier version chose it
    assert source("fd00:7::245/64", OWN, before=wrong) == "fd00:7::247"


def test_an_address_that_will_not_stay_is_the_last_choice():
    assert source("fd00:7::a/64", OWN, passing=["fd00:7::a"]) == "fd00:7::247"
    assert source("fd00:7::a/64", passing=["fd00:7::a"]) == "fd00:7::a"


def test_a_given_source_address_counts_before_all():
    assert source(OWN, instances=[{**WEB6, "source_address": "fd00:7::1"}]) == "fd00:7::1"


def test_that_of_a_node_which_cannot_be_asked_is_what_the_others_know():
    assert source(sources={"WEB6": "fd00:7::248"}) == "fd00:7::248"
    assert source(sources={}) == "None"
