# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A load balancer as a person is told about it, and the obstacles that are found."""

from __future__ import annotations

import re

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import Denied, Unavailable
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.gce_names import full_url
from ansible_collections.cloudha.vip.plugins.module_utils.failover.gcp_preflight import probe_problems
from ansible_collections.cloudha.vip.plugins.module_utils.failover.lb_goal import LbGoal
from ansible_collections.cloudha.vip.plugins.module_utils.failover.lb_inspect import inspect
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.lb_cloud import (
    FIREWALL,
    GROUP_A,
    GROUP_B,
    NAME,
    NETWORK,
    OTHER_NETWORK,
    REGION,
    RULE,
    SERVICE,
    A,
    B,
    C,
    Cloud,
    made,
)

ASKED = LbGoal(NAME, "p", REGION)
RANGES = ("130.211.0.0/22", "35.191.0.0/16")


def healthy(**keys):
    cloud = made(**keys)
    cloud.health = {A: "HEALTHY", B: "HEALTHY"}
    return cloud


def test_all_is_well():
    found = inspect(healthy(), ASKED)
    assert found.problems == [] and found.pool.name == "primary"
    assert [(each.instance, each.failover, each.health) for each in found.backends] == [
        (A, False, "HEALTHY"),
        (B, True, "HEALTHY"),
    ]
    assert [each.instance for each in found.pool.active] == [A]


def test_one_question_for_each_group_with_several_protocols():
    cloud = healthy(protocols=("TCP", "UDP"))
    found = inspect(cloud, ASKED)
    assert [path for verb, path in cloud.requests if verb == "get_health"] == [GROUP_A, GROUP_B]
    assert len(found.backends) == 2


def test_changes_nothing_and_only_reads_without_a_preflight():
    cloud = Cloud()
    assert inspect(cloud, ASKED, preflight=False).problems == []
    assert cloud.mutations == [] and "project_permissions" not in [verb for verb, _path in cloud.requests]


@pytest.mark.parametrize(
    ("keys", "states", "pool", "active"),
    [
        ({}, ("UNHEALTHY", "HEALTHY"), "failover", [B]),
        ({}, ("UNHEALTHY", "UNHEALTHY"), "all_unhealthy_primaries", [A]),
        ({"service": {"drop_if_unhealthy": True}}, ("UNHEALTHY", "UNHEALTHY"), "none", []),
        ({}, (None, None), "all_unhealthy_primaries", [A]),
    ],
)
def test_the_pool_follows_from_health_and_policy(keys, states, pool, active):
    cloud = made(**keys)
    cloud.health = {A: states[0], B: states[1]}
    found = inspect(cloud, ASKED)
    assert (found.pool.name, [each.instance for each in found.pool.active]) == (pool, active)
    words = "has not been probed yet" if states[0] is None else "is not healthy"
    assert any(f"{A} {words}" in problem for problem in found.problems)


def test_a_host_may_be_missing():
    cloud = made()
    cloud.health = {A: "UNHEALTHY", B: "HEALTHY"}
    assert any("set health_check.host" in problem for problem in inspect(cloud, ASKED).problems)
    cloud = made(check={"host": "web.example"})
    cloud.health = {A: "UNHEALTHY", B: "HEALTHY"}
    assert not any("health_check.host" in problem for problem in inspect(cloud, ASKED).problems)


def test_the_probes_of_an_external_one_come_from_elsewhere():
    cloud = healthy(scheme="EXTERNAL", subnetwork=None, address=None, network=NETWORK)
    assert inspect(cloud, ASKED).problems == []
    cloud.resources[FIREWALL]["sourceRanges"] = list(RANGES)
    problems = inspect(cloud, ASKED).problems
    for cidr in ("209.85.152.0/22", "209.85.204.0/22"):
        assert any(f"the probes from {cidr} do not get to {A}" in each for each in problems), problems
    assert not any("35.191" in each for each in problems)


def broken(change):
    cloud = healthy()
    change(cloud)
    return inspect(cloud, ASKED).problems


def no_instance(cloud):
    cloud.members[GROUP_B] = []


def other_network(cloud):
    cloud.resources[GROUP_A]["network"] = full_url(OTHER_NETWORK)


def no_backend(cloud):
    cloud.resources[SERVICE].pop("backends")


def leads_elsewhere(cloud):
    cloud.resources[RULE]["backendService"] = full_url(f"{SERVICE}-old")


def no_firewall(cloud):
    cloud.resources.pop(FIREWALL)


def one_range(cloud):
    cloud.resources[FIREWALL]["sourceRanges"] = ["35.191.0.0/16"]


def denied(cloud):
    cloud.put(
        "projects/p/global/firewalls/deny",
        network=full_url(NETWORK),
        priority=1,
        denied=[{"IPProtocol": "all"}],
        sourceRanges=["35.191.1.0/24"],
    )


def no_permission(cloud):
    cloud.missing = {"compute.instanceGroups.update"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (no_instance, "the group web-b has no instance"),
        (other_network, f"the group web-a is on {OTHER_NETWORK}, and the address on {NETWORK}"),
        (no_backend, "the backend service web has no backend"),
        (leads_elsewhere, "the forwarding rule web leads to .*/web-old, which is not the load balancer's"),
        (no_firewall, "the probes from 35.191.0.0/16 do not get to .*node1 at TCP port 80: no rule allows it"),
        (one_range, "the probes from 130.211.0.0/22 do not get to .*node2 at TCP port 80: no rule allows it"),
        (denied, "the probes from 35.191.0.0/16 do not get to .*node1 at TCP port 80: the rule deny forbids it"),
        (no_permission, "the caller does not have the permission compute.instanceGroups.update on projects/p"),
    ],
)
def test_an_obstacle_is_found(change, words):
    problems = broken(change)
    assert any(re.search(words, each) for each in problems), problems


def test_before_it_is_made():
    cloud = Cloud()
    cloud.quotas = [
        {"metric": "FORWARDING_RULES", "limit": 15, "usage": 15},
        {"metric": "HEALTH_CHECKS", "limit": 75, "usage": 3},
        {"metric": "STATIC_ADDRESSES", "limit": 8, "usage": 8},
        {"metric": "CPUS", "limit": 1, "usage": 1},
    ]
    found = inspect(cloud, ASKED)
    assert found.problems == [
        "there is no forwarding rule of the load balancer web in us-central1: nothing answers",
        "quota: FORWARDING_RULES is used up, 15 of 15: raise it, or delete what is not needed",
    ]
    assert found.backends == [] and found.pool.name == "none"
    cloud.missing = {"compute.addresses.create"}
    problems = "\n".join(inspect(cloud, ASKED, scheme="EXTERNAL").problems)
    assert "STATIC_ADDRESSES is used up, 8 of 8" in problems, "an internal one takes none of these"
    assert "the permission compute.addresses.create on" in problems


@pytest.mark.parametrize("kind", [Denied, Unavailable])
def test_permissions_without_an_answer(kind):
    cloud = healthy()

    def fault(when, verb, path):
        if verb == "project_permissions":
            raise kind("the service is disabled", status=403)

    cloud.fault = fault
    assert inspect(cloud, ASKED).problems == ["the caller's permissions were not checked: the service is disabled"]


# --- the firewall

NODE = {C: {"tags": {"items": ["web"]}}}


def rule(**body):
    return {"name": "r", "network": full_url(NETWORK), "sourceRanges": list(RANGES), **body}


TCP80 = [{"IPProtocol": "tcp", "ports": ["80"]}]


@pytest.mark.parametrize(
    ("rules", "passed"),
    [
        ([], False),
        ([rule(allowed=TCP80)], True),
        ([rule(allowed=[{"IPProtocol": "tcp"}])], True),
        ([rule(allowed=[{"IPProtocol": "all"}])], True),
        ([rule(allowed=[{"IPProtocol": "6", "ports": ["1-100"]}])], True),
        ([rule(allowed=[{"IPProtocol": "tcp", "ports": ["81-100"]}])], False),
        ([rule(allowed=[{"IPProtocol": "udp"}])], False),
        ([rule(allowed=TCP80, sourceRanges=["0.0.0.0/0"])], True),
        ([rule(allowed=TCP80, sourceRanges=["::/0"])], False),
        ([rule(allowed=TCP80, sourceRanges=[])], True),
        ([rule(allowed=TCP80, sourceRanges=[], sourceTags=["client"])], False),
        ([rule(allowed=TCP80, targetTags=["web"])], True),
        ([rule(allowed=TCP80, targetTags=["other"])], False),
        ([rule(allowed=TCP80, disabled=True)], False),
        ([rule(allowed=TCP80, direction="EGRESS")], False),
        ([rule(allowed=TCP80, network=full_url(OTHER_NETWORK))], False),
        ([rule(allowed=TCP80), rule(denied=TCP80, priority=999)], False),
        ([rule(allowed=TCP80), rule(denied=TCP80, priority=1000)], False),
        ([rule(allowed=TCP80), rule(denied=TCP80, priority=1001)], True),
        ([rule(allowed=TCP80), rule(denied=[{"IPProtocol": "udp"}], priority=1)], True),
    ],
)
def test_whether_the_probes_get_through(rules, passed):
    assert (probe_problems(NODE, NETWORK, rules, 80, RANGES) == []) == passed
