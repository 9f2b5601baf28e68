# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.settings import secrets_of, settings

ROLE = Path(__file__).parents[5] / "roles" / "keepalived"
SPEC = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
WEB = {"name": "web", "interface": "eth0", "virtual_router_id": 66, "addresses": ["192.0.2.1/24"]}


def group(*addresses, **changes):
    return {
        f"node{number}": {"keepalived_instances": [{**WEB, **changes}], "interfaces": {"eth0": [address]}}
        for number, address in enumerate(addresses, 1)
    }


def first(nodes, host="node1", **kwargs):
    return settings(nodes, host, SPEC, **kwargs)["keepalived_instances"][0]


def test_the_defaults_of_the_role_are_those_of_its_specification():
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
    assert defaults.pop("keepalived_router_id") == "{{ inventory_hostname }}"
    assert defaults == {name: option["default"] for name, option in SPEC.items() if "default" in option}


def test_what_is_left_out_comes_from_the_group():
    nodes = group("192.0.2.11/24", "192.0.2.12/24")
    one, two = first(nodes), first(nodes, "node2")
    assert (one["priority"], one["source_address"], one["peers"]) == (254, "192.0.2.11", ["192.0.2.12"])
    assert (two["priority"], two["source_address"], two["peers"]) == (253, "192.0.2.12", ["192.0.2.11"])
    assert one["advert_int_s"] == two["advert_int_s"] == 0.19
    assert one["worst_detection_ms"] == 573
    assert one["addresses"] == [{"address": "192.0.2.1/24", "device": "eth0"}]


def test_how_long_a_node_that_starts_alone_may_take():
    nodes = group("192.0.2.11/24", "192.0.2.12/24")
    assert first(nodes)["worst_start_ms"] == 573 + 4000
    for node in nodes.values():
        node["keepalived_startup_delay_s"] = "0.5"  # as by -e
    assert first(nodes)["worst_start_ms"] == 573 + 500


def test_how_long_a_check_that_fails_now_may_count_as_passed():
    nodes = group("192.0.2.11/24", "192.0.2.12/24")
    assert settings(nodes, "node1", SPEC)["worst_verdict_s"] == 0
    quick = {"name": "quick", "script": "/bin/true"}
    slow = {"name": "slow", "script": "/bin/true", "interval": "5", "fall": 3, "timeout": 4}
    nodes["node1"]["keepalived_track_scripts"] = [slow, quick]
    assert settings(nodes, "node1", SPEC)["worst_verdict_s"] == 19


def test_the_greatest_times_of_all_instances():
    nodes = group("192.0.2.11/24", "192.0.2.12/24")
    for node in nodes.values():
        node["keepalived_instances"].append({**WEB, "name": "slow", "virtual_router_id": 67, "detection_ms": 3000})
    found = settings(nodes, "node1", SPEC)
    quick, slow = found["keepalived_instances"]
    assert quick["worst_detection_ms"] < slow["worst_detection_ms"] == found["worst_detection_ms"]
    assert found["worst_start_ms"] == slow["worst_start_ms"] and found["restart_ms"] == slow["worst_detection_ms"] + 100
    alone = settings({"node1": {"keepalived_instances": []}}, "node1", SPEC)
    assert (alone["worst_detection_ms"], alone["worst_start_ms"], alone["restart_ms"]) == (0, 0, 700)


def test_where_to_ask_for_the_addresses():
    more = {"excluded_addresses": [{"address": "192.0.2.3/24", "device": "eth1"}, "192.0.2.2/24"]}
    found = settings(group("192.0.2.11/24", "192.0.2.12/24", **more), "node1", SPEC)
    assert found["probes"] == [
        {"interface": "eth0", "addresses": ["192.0.2.1/24", "192.0.2.2/24"]},
        {"interface": "eth1", "addresses": ["192.0.2.3/24"]},
    ]
    # Nobody else can have what is on lo.
    assert settings(group("192.0.2.11/24", "192.0.2.12/24", addresses=[]), "node1", SPEC)["probes"] == []


@pytest.mark.parametrize("version", [2, "2"])
def test_the_secret_is_the_one_in_force_or_known_or_fresh(version):
    nodes = group("192.0.2.11/24", "192.0.2.12/24", version=version)
    assert secrets_of(nodes, {}, lambda: "fresh") == {"web": "fresh"}
    assert secrets_of(nodes, {"web": "known"}, lambda: "fresh") == {"web": "known"}
    nodes["node1"]["before"] = [{"name": "web", "auth_pass": "1111"}, {"name": "api", "auth_pass": "another"}]
    assert secrets_of(nodes, {"web": "known"}, lambda: "fresh") == {"web": "known"}
    nodes["node2"]["before"] = [{"name": "web", "auth_pass": "in force"}]
    assert secrets_of(nodes, {"web": "known"}, lambda: "fresh") == {"web": "in force"}
    nodes["node1"]["before"] = None  # not understood
    assert secrets_of(nodes, {}, lambda: "fresh") == {"web": "in force"}


def test_version_3_has_no_secret():
    nodes = group("192.0.2.11/24", "192.0.2.12/24")
    nodes["node1"]["before"] = [{"name": "web", "auth_pass": "of version 2"}]
    assert secrets_of(nodes, {"web": "known"}, lambda: "fresh") == {}


def test_an_instance_without_addresses_marks_its_holder():
    one = first(group("192.0.2.11/24", "192.0.2.12/24", addresses=[]))
    assert one["addresses"] == [{"address": "169.254.112.66/32", "device": "lo", "scope": "host"}]
    assert (one["source_address"], one["peers"]) == ("192.0.2.11", ["192.0.2.12"])


def test_defaults_are_filled_in_at_every_depth():
    server = {
        "address": "192.0.2.1",
        "port": 80,
        "real_servers": [{"address": "192.0.2.21", "port": 80, "check": {"type": "tcp"}}],
    }
    nodes = {"node1": {"keepalived_virtual_servers": [server]}}
    (found,) = settings(nodes, "node1", SPEC)["keepalived_virtual_servers"]
    assert found["lvs_method"] == "DR"
    assert found["real_servers"][0]["check"]["retry"] == 1


def test_an_address_has_one_spelling():
    nodes = group("fd00:7::11/64", "fd00:7::12/64", addresses=["FD00:7::0246/64"], peers=["FD00:7::0012"])
    nodes["node1"]["keepalived_instances"][0]["excluded_addresses"] = [{"address": "FD00:7::0247/64", "label": "x"}]
    one = first(nodes)
    assert one["addresses"] == [{"address": "fd00:7::246/64", "device": "eth0"}]
    assert one["excluded_addresses"] == [{"address": "fd00:7::247/64", "device": "eth0", "label": "x"}]
    assert one["peers"] == ["fd00:7::12"]


def test_a_null_is_a_default():
    assert first(group("192.0.2.11/24", "192.0.2.12/24", priority=None))["priority"] == 254


def test_multicast_has_no_peers():
    assert first(group("192.0.2.11/24", "192.0.2.12/24", unicast=False))["peers"] == []


def test_a_peer_whose_address_is_not_known_is_an_error():
    nodes = group("192.0.2.11/24", "192.0.2.12/24")
    nodes["node2"]["interfaces"] = {}
    with pytest.raises(ValueError, match="node2 is not known"):
        first(nodes)
    nodes["node1"]["keepalived_instances"][0] = {**WEB, "peers": ["192.0.2.12"]}
    assert first(nodes)["peers"] == ["192.0.2.12"]


def test_only_version_2_has_a_secret():
    nodes = group("192.0.2.11/24", "192.0.2.12/24", version=2, detection_ms=4000)
    assert first(nodes, secrets={"web": "kept"})["auth_pass"] == "kept"
    assert "auth_pass" not in first(group("192.0.2.11/24", "192.0.2.12/24"), secrets={"web": "kept"})
