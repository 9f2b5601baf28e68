# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every field of an autohealing group's declaration: one is changed, and the difference says so, and nothing else."""

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import gcp_group
from ansible_collections.cloudha.vip.tests.contract import group_site
from ansible_collections.cloudha.vip.tests.contract.group_site import ACCOUNT, CHECK, IP_A, PAIR, WHOLE

site, made = group_site.site, group_site.made  # fixtures

ONE = {
    **WHOLE,
    "instances": PAIR[:1],
    "service_account": ACCOUNT,
    "metadata": {"a": "b"},
    "health_check": {**CHECK, "type": "http"},
}
CHECK_OF_HTTP = {("health_check", each) for each in ("type", "path", "host", "response")}
SCOPE = "https://www.googleapis.com/auth/"
# The field, the option with its new value, the difference, and whether the instance is made anew.
FIELDS = [
    ("image", "two", {("image", None)}, True),
    ("machine_type", "e2-medium", {("machine_type", None)}, True),
    ("disk_size_gb", 20, {("disk_size_gb", None)}, True),
    ("can_ip_forward", True, {("can_ip_forward", None)}, True),
    ("tags", ["backend"], {("tags", None)}, True),
    ("service_account", "", {("service_account", None), ("service_account_scopes", None)}, True),
    ("service_account_scopes", ["compute"], {("service_account_scopes", None)}, True),
    ("metadata", {"a": "c", "d": "e"}, {("metadata", "a"), ("metadata", "d")}, True),
    ("labels", {"tier": "web"}, {("labels", "tier")}, True),
    ("instances.name", [PAIR[0], {"name": "web3"}], {("instances", "web3")}, False),
    ("instances.address", [{"name": "web1", "address": "10.100.7.8"}], {("instances", "web1")}, True),
    ("health_check.port", 6000, {("health_check", "port")}, False),
    ("health_check.path", "/health", {("health_check", "path")}, False),
    ("health_check.host", "web.example", {("health_check", "host")}, False),
    ("health_check.response", "ok", {("health_check", "response")}, False),
    ("health_check.interval_s", 2, {("health_check", "interval_s")}, False),
    ("health_check.timeout_s", 1, set(), False),
    ("health_check.healthy_threshold", 2, {("health_check", "healthy_threshold")}, False),
    ("health_check.unhealthy_threshold", 3, {("health_check", "unhealthy_threshold")}, False),
    ("health_check.log", True, {("health_check", "log")}, False),
    ("health_check.type", "tcp", CHECK_OF_HTTP, False),
    ("initial_delay_s", 60, {("initial_delay_s", None)}, False),
    ("firewall.target_tags", ["backend"], {("firewall", "target_tags")}, False),
    ("firewall.target_service_accounts", [ACCOUNT], {("firewall", "target_service_accounts")}, False),
]
# Both follow from each other, and from the address.
NETWORKS = [
    ("subnetwork", {"subnetwork": "more-subnet"}, {("subnetwork", None), ("instances", "web1")}),
]
# They are about the run, or say which group it is.
NO_FIELDS = {"name", "zone", "state", "replace", "healthy_within_s", "exclusive", "timeout", "wait"}


def options_of(field, value):
    """As the options have it."""
    name, _dot, part = field.partition(".")
    if name == "instances" or not part:
        return {name: value}
    return {name: {**(CHECK if name == "health_check" and value != "tcp" else {}), part: value}}


def differences(before, after):
    """The fields that differ, and of those with parts, the parts."""
    found = set()
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            found |= {(name, part) for part in {**old, **new} if old.get(part) != new.get(part)}
        elif old != new:
            found.add((name, None))
    return found


def test_no_field_is_forgotten():
    fields = {f"{name}.{part}" for name, spec in gcp_group.SPEC.items() for part in spec.get("options", ())}
    fields |= {name for name, spec in gcp_group.SPEC.items() if "options" not in spec} - NO_FIELDS
    tested = {each[0] for each in (*FIELDS, *NETWORKS)}
    assert tested | {"firewall.manage", "network"} == fields


def test_each_field(site):
    """One after the other, each beginning with the same group; and back again."""
    site.run(**ONE)
    for field, value, expected, anew in FIELDS:
        result = site.run(**ONE, exclusive=True, firewall={"target_tags": []})
        assert not result.get("failed"), (field, result["msg"])
        id_before, there = site.members()["web1"].get("id"), site.there()
        site.api.requests.clear()
        options = options_of(field, value)
        preview = site.run(**options, _ansible_check_mode=True)
        assert site.mutations() == [] and site.there() == there, field
        result = site.run(**options)
        assert not result.get("failed"), (field, result["msg"])
        assert preview["changed"] == result["changed"] == bool(expected), field
        if value != [PAIR[0], {"name": "web3"}]:  # the API chooses an address
            assert preview["diff"] == result["diff"], field
        assert differences(**result["diff"]) == expected, (field, differences(**result["diff"]))
        assert [each["name"] for each in preview["steps"]] == [each["name"] for each in result["steps"]], field
        assert (site.members()["web1"]["id"] != id_before) == anew, field
        site.api.requests.clear()
        for again in (options, {}):  # an omitted option keeps it
            result = site.run(**again)
            assert (result["changed"], site.mutations(), differences(**result["diff"])) == (False, [], set()), field
        if field == "health_check.type":
            assert site.kinds()["healthChecks"] == {"web-tcp"}
    assert site.addresses()["web1"] == IP_A


@pytest.mark.parametrize(("field", "options", "expected"), NETWORKS)
def test_another_subnetwork(site, field, options, expected):
    site.run(**ONE)
    result = site.run(**options)
    assert "is outside of" not in result.get("msg", "")
    options = {**options, "instances": [{"name": "web1", "address": "10.102.0.9"}]}
    preview = site.run(**options, _ansible_check_mode=True)
    result = site.run(**options)
    assert not result.get("failed"), result["msg"]
    assert preview["diff"] == result["diff"] and differences(**result["diff"]) >= {("instances", "web1")}
    assert site.addresses()["web1"] == "10.102.0.9" and expected and field
    assert not site.run(**options)["changed"]


def test_a_firewall_rule_that_is_not_managed(site):
    """The field firewall.manage: nobody makes the rule, changes it, or deletes it."""
    options = {**ONE, "firewall": {"manage": False}}
    result = site.run(**options)
    assert ("firewall", None) not in differences(**result["diff"]) and "firewalls" not in site.kinds()
    preview = site.run(**ONE, _ansible_check_mode=True)
    result = site.run(**ONE)
    assert preview["diff"] == result["diff"] and differences(**result["diff"]) == {("firewall", None)}
    assert not site.run(**options)["changed"]
    site.run(state="absent", firewall={"manage": False})
    assert site.kinds() == {"firewalls": {"web-probes"}}
