# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every field of a load balancer's declaration: one is changed, and the difference says so, and nothing else."""

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import gcp_lb
from ansible_collections.cloudha.vip.tests.contract import lb_api, lb_site
from ansible_collections.cloudha.vip.tests.contract.lb_site import ADDRESS, EXTERNAL, GROUPS, REGION, WHOLE

one_site, site, made = lb_site.one_site, lb_site.site, lb_site.made  # fixtures

A, B = f"{REGION}-a", f"{REGION}-b"
ELSEWHERE = {"name": "else-a", "zone": A, "instances": ["elsewhere"]}
CHECK_OF_HTTP = {("health_check", each) for each in ("path", "host", "response")}

# What is changed in place: the field, the option with its new value, the difference, and what is so before.
IN_PLACE = [
    ("global_access", True),
    ("draining_timeout_s", 300),
    ("session_affinity", "client_ip_proto"),
    ("tracking_mode", "per_session"),
    ("persistence", "always_persist"),
    ("idle_timeout_s", 900),
    ("health_check.port", 6000),
    ("health_check.path", "/health"),
    ("health_check.host", "web.example"),
    ("health_check.response", "ok"),
    ("health_check.interval_s", 9),
    ("health_check.timeout_s", 1),
    ("health_check.healthy_threshold", 5),
    ("health_check.unhealthy_threshold", 3),
    ("health_check.scope", "global"),
    ("health_check.log", True),
    ("failover.ratio", 0.25),
    ("failover.drop_if_unhealthy", True),
    ("failover.drain", False),
    ("firewall.target_tags", ["backend"]),
    ("firewall.target_service_accounts", ["node@lab-project.iam.gserviceaccount.com"]),
]
SESSIONS = {"session_affinity": "client_ip", "tracking_mode": "per_session"}
SPARE = {"name": "spare", "zone": A, "instances": ["spare"]}
GROUPS_IN_PLACE = [
    ("groups.name", [*GROUPS, SPARE], f"{A}/spare"),
    ("groups.zone", [*GROUPS, {"name": "web-a", "zone": f"{REGION}-f", "instances": ["client1"]}], f"{REGION}-f/web-a"),
    ("groups.instances", [{**GROUPS[0], "instances": ["node1", "spare"]}, GROUPS[1]], f"{A}/web-a"),
    ("groups.failover", [GROUPS[0], {**GROUPS[1], "failover": False}], f"{B}/web-b"),
]
# What takes the address down: the field; the options with their new values; what the refusal says about it; and the
# difference, with what follows from the field.
REPLACED = [
    (
        "address",
        {"address": "10.100.9.2"},
        f"address: the forwarding rule web has IPAddress {ADDRESS}, and 10.100.9.2 is wanted",
        {("address", None)},
    ),
    (
        "subnetwork",
        {"subnetwork": "more-subnet", "address": "10.102.9.1"},
        "subnetwork: the forwarding rule web has subnetwork projects/lab-project/regions/us-central1/subnetworks/"
        "ip-failover-subnet, and projects/lab-project/regions/us-central1/subnetworks/more-subnet is wanted",
        {("address", None), ("subnetwork", None)},
    ),
    (
        "network",
        {"network": "other", "subnetwork": "other-subnet", "address": "10.101.9.1", "groups": [ELSEWHERE]},
        "network: the forwarding rule web has network projects/lab-project/global/networks/ip-failover, and"
        " projects/lab-project/global/networks/other is wanted",
        {("address", None), ("network", None), ("subnetwork", None)}
        | {("groups", each) for each in (f"{A}/web-a", f"{B}/web-b", f"{A}/else-a")},
    ),
    (
        "scheme",
        EXTERNAL,
        "scheme: the forwarding rule web has loadBalancingScheme INTERNAL, and EXTERNAL is wanted",
        {("address", None), ("scheme", None), ("network", None), ("subnetwork", None)},
    ),
    (
        "address_name",
        {"address": None, "address_name": "mine"},
        f"address: the forwarding rule web has IPAddress {ADDRESS}, and 10.100.9.7 is wanted",
        {("address", None)},
    ),
    (
        "protocols",
        {"protocols": ["udp"]},
        "protocols: the forwarding rule web has IPProtocol TCP, and UDP is wanted",
        {("protocols", None)},
    ),
    (
        "protocols",
        {"protocols": ["tcp", "udp"]},
        "protocols: the address web has purpose GCE_ENDPOINT, and SHARED_LOADBALANCER_VIP is wanted",
        {("protocols", None)},
    ),
    (
        "protocols",
        {"protocols": ["all"], "ports": ["all"]},
        "protocols: the forwarding rule web has IPProtocol TCP, and L3_DEFAULT is wanted",
        {("protocols", None), ("ports", None)},
    ),
    ("ports", {"ports": ["81"]}, "ports: the forwarding rule web has ports 80, and 81 is wanted", {("ports", None)}),
    (
        "ports",
        {"ports": ["all"]},
        "ports: the forwarding rule web has allPorts 80, and all is wanted",
        {("ports", None)},
    ),
    (
        "health_check.type",
        {"health_check": {"type": "tcp"}},
        "health_check.type: the health check web has type HTTP, and TCP is wanted",
        {("health_check", "type"), *CHECK_OF_HTTP},
    ),
]
# They are about the run, or say which load balancer it is.
NO_FIELDS = {"name", "region", "state", "allow_replace", "exclusive", "timeout"}


def option(field, value):
    """As an option has it."""
    name, _dot, part = field.partition(".")
    return {name: {part: value} if part else value}


def differences(before, after):
    """The fields that differ, and of those with parts, the parts."""
    found = set()
    for name, old in before.items():
        new = after[name]
        if isinstance(old, dict) and isinstance(new, dict):
            found |= {(name, part) for part in {**old, **new} if old.get(part) != new.get(part)}
        elif old != new:
            found.add((name, None))
    return found


def test_no_field_is_forgotten():
    fields = {f"{name}.{part}" for name, spec in gcp_lb.SPEC.items() for part in spec.get("options", ())}
    fields |= {name for name, spec in gcp_lb.SPEC.items() if "options" not in spec} - NO_FIELDS
    tested = {each[0] for each in (*IN_PLACE, *GROUPS_IN_PLACE, *REPLACED)}
    assert tested | {"firewall.manage"} == fields


@pytest.mark.parametrize(
    ("field", "options", "expected"),
    [
        *((field, option(field, value), (*field.split("."), None)[:2]) for field, value in IN_PLACE),
        *((field, {"groups": value}, ("groups", part)) for field, value, part in GROUPS_IN_PLACE),
    ],
)
def test_a_field_that_is_changed_in_place(made, field, options, expected):
    before = SESSIONS if field == "idle_timeout_s" else {}
    if before:
        made.run(**before)
        made.api.requests.clear()
    there, rules = made.there(), made.services()[0].rules
    options = {**WHOLE, **before, **options}
    preview = made.run(**options, _ansible_check_mode=True)
    assert made.mutations() == [] and made.there() == there
    result = made.run(**options)
    assert preview["changed"] and result["changed"], result.get("msg")
    assert preview["diff"] == result["diff"] and differences(**result["diff"]) == {expected}
    assert [step["name"] for step in preview["steps"]] == [step["name"] for step in result["steps"]]
    if "groups" not in options:
        name, part = expected
        shown = result["diff"]["after"][name]
        assert (shown[part] if part else shown) == (options[name][part] if part else options[name])
    # What clients use is not touched, but for what was asked for.
    seen = made.services()[0].rules
    assert seen == rules or (field == "global_access" and seen[0].global_access)
    made.api.requests.clear()
    for again in (options, {}):  # an omitted option keeps it
        result = made.run(**again)
        assert (result["changed"], made.mutations(), differences(**result["diff"])) == (False, [], set())


@pytest.mark.parametrize(("field", "options", "words", "expected"), REPLACED)
def test_a_field_that_takes_the_address_down(made, field, options, words, expected):
    if field == "address_name":
        reserve(made, "mine", "10.100.9.7")
    there = made.there()
    options = {**WHOLE, **options}
    for check_mode in (True, False):
        result = made.run(**options, _ansible_check_mode=check_mode)
        assert result["failed"] and not result["changed"] and words in result["msg"], result["msg"]
        assert all("allow_replace makes it anew" in each for each in result["problems"]), result["problems"]
    assert made.mutations() == [] and made.there() == there
    # The members of one network cannot be behind an address of another.
    options |= {"allow_replace": True, "exclusive": field == "network"}
    preview = made.run(**options, _ansible_check_mode=True)
    assert made.mutations() == [] and made.there() == there
    result = made.run(**options)
    assert preview["changed"] and result["changed"], result.get("msg")
    assert differences(**preview["diff"]) == differences(**result["diff"]) == expected
    assert [step["name"] for step in preview["steps"]] == [step["name"] for step in result["steps"]]
    assert 0 < result["unanswered_ms"] <= result["elapsed_ms"]
    made.api.requests.clear()
    options["allow_replace"] = False
    for again in (options, {}):
        result = made.run(**again)
        assert (result["changed"], made.mutations(), differences(**result["diff"])) == (False, [], set())


def reserve(site, name, address):
    """Somebody reserves an address."""
    lb_api.Balancer(site.api).made(lb_api.ADDRESSES, {**lb_api.RESERVED, "name": name, "address": address})
    site.api.requests.clear()


def test_a_firewall_rule_that_is_not_managed(site):
    """The field firewall.manage: nobody makes the rule, changes it, or deletes it."""
    options = {**WHOLE, "firewall": {"manage": False}}
    result = site.run(**options)
    assert ("firewall", None) not in differences(**result["diff"])
    rules = [each["name"] for each in site.there()["firewalls"]]
    assert "web-probes" not in rules
    preview = site.run(**WHOLE, _ansible_check_mode=True)
    result = site.run(**WHOLE)
    assert preview["diff"] == result["diff"] and differences(**result["diff"]) == {("firewall", None)}
    assert not site.run(**options)["changed"]
    site.run(state="absent", firewall={"manage": False})
    assert [each["name"] for each in site.there()["firewalls"]] == sorted([*rules, "web-probes"])


def test_the_probes_come_in(site):
    """Those of an external load balancer come from other ranges."""
    for options, ranges in (
        (WHOLE, {"35.191.0.0/16", "130.211.0.0/22"}),
        ({**WHOLE, **EXTERNAL}, {"35.191.0.0/16", "209.85.152.0/22", "209.85.204.0/22"}),
    ):
        site.forget()
        site.run(**options)
        (rule,) = (each for each in site.there()["firewalls"] if each["name"] == "web-probes")
        assert set(rule["sourceRanges"]) == ranges
        assert rule["allowed"] == [{"IPProtocol": "tcp", "ports": ["80"]}]
