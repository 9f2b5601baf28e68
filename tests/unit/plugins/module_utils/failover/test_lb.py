# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs of the procedure for passthrough load balancers: made, changed, adopted, taken away."""

from __future__ import annotations

import copy
import itertools

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import (
    Denied,
    Invalid,
    Stale,
    Unavailable,
)
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.gce_names import full_url
from ansible_collections.cloudha.vip.plugins.module_utils.failover import engine, lb
from ansible_collections.cloudha.vip.plugins.module_utils.failover.lb_goal import Group
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.lb_cloud import (
    ADDRESS,
    BOTH,
    CHECK,
    EXTERNAL,
    FIREWALL,
    GLOBAL_CHECK,
    GROUP_A,
    GROUP_B,
    GROUP_C,
    IP,
    NAME,
    NETWORK,
    OTHER_NETWORK,
    PLACE,
    PROBES,
    REGION,
    RULE,
    SERVICE,
    SUBNET,
    A,
    B,
    C,
    Cloud,
    apply,
    goal,
    gone,
    instance,
    made,
    preview,
    theirs,
)

ALL = {"protocols": ("L3_DEFAULT",), "ports": ("all",)}


def steps(outcome):
    return [f"{step.name} {step.resource}" for step in outcome.steps]


def backends(cloud, path=SERVICE):
    found = cloud.resources[path].get("backends", ())
    return {each["group"].partition("v1/")[2]: bool(each.get("failover")) for each in found}


# --- made


def test_is_made_from_the_bottom_to_the_top():
    cloud = Cloud()
    outcome = apply(cloud, goal())
    assert outcome.changed and steps(outcome) == [
        "create address web",
        "create firewall rule web-probes",
        "create health check web",
        "create instance group web-a",
        "add instances to instance group web-a",
        "create instance group web-b",
        "add instances to instance group web-b",
        "create backend service web",
        "create forwarding rule web",
    ]
    rule, service, firewall = (cloud.resources[each] for each in (RULE, SERVICE, FIREWALL))
    assert (rule["IPAddress"], rule["IPProtocol"], rule["ports"]) == (IP, "TCP", ["80"])
    assert (rule["network"], rule["subnetwork"]) == (full_url(NETWORK), full_url(SUBNET))
    assert (service["protocol"], service["loadBalancingScheme"]) == ("TCP", "INTERNAL")
    assert service["healthChecks"] == [full_url(CHECK)] and backends(cloud) == {GROUP_A: False, GROUP_B: True}
    assert set(firewall["sourceRanges"]) == PROBES["INTERNAL"]
    assert firewall["allowed"] == [{"IPProtocol": "tcp", "ports": ["80"]}]
    assert cloud.members == {GROUP_A: [A], GROUP_B: [B]}
    assert cloud.resources[ADDRESS]["purpose"] == "GCE_ENDPOINT"
    assert {each["description"] for each in cloud.resources.values()} == {f"cloudha.vip: load balancer web in {REGION}"}


@pytest.mark.parametrize("keys", [{}, BOTH, ALL, EXTERNAL, {**EXTERNAL, **BOTH}, {"check_global": True}])
def test_a_second_run_changes_nothing(keys):
    cloud = made(**keys)
    outcome = apply(cloud, goal(**keys))
    assert (outcome.changed, outcome.steps, cloud.mutations) == (False, [], [])
    assert outcome.before.to_diff() == outcome.after.to_diff()


@pytest.mark.parametrize("keys", [{}, BOTH, ALL, EXTERNAL])
def test_a_run_without_options_changes_nothing(keys):
    cloud = made(**keys)
    before = cloud.snapshot()
    more = {"scheme": None} if keys is EXTERNAL else {}
    outcome = apply(cloud, goal(subnetwork=None, address=None, groups=None, **more))
    assert not outcome.changed and cloud.snapshot() == before


def test_several_protocols_share_an_address():
    cloud = made(**BOTH, ports=(53, 443))
    rules = {each["IPProtocol"]: each for path, each in cloud.resources.items() if "/forwardingRules/" in path}
    assert {name: each["name"] for name, each in rules.items()} == {"TCP": "web-tcp", "UDP": "web-udp"}
    assert {each["IPAddress"] for each in rules.values()} == {IP}
    assert {tuple(each["ports"]) for each in rules.values()} == {("53", "443")}
    assert cloud.resources[ADDRESS]["purpose"] == "SHARED_LOADBALANCER_VIP"
    assert {cloud.resources[f"{SERVICE}-{each}"]["protocol"] for each in ("tcp", "udp")} == {"TCP", "UDP"}


def test_all_protocols_have_one_rule():
    cloud = made(**ALL)
    assert (cloud.resources[RULE]["IPProtocol"], cloud.resources[RULE]["allPorts"]) == ("L3_DEFAULT", True)
    assert cloud.resources[SERVICE]["protocol"] == "UNSPECIFIED"


def test_an_external_one_gets_an_address():
    cloud = Cloud()
    outcome = apply(cloud, goal(**EXTERNAL))
    address = cloud.resources[ADDRESS]["address"]
    assert cloud.resources[RULE]["IPAddress"] == address == outcome.after.to_diff()["address"]
    assert "subnetwork" not in cloud.resources[RULE] and cloud.resources[RULE]["networkTier"] == "PREMIUM"
    assert set(cloud.resources[FIREWALL]["sourceRanges"]) == PROBES["EXTERNAL"]
    assert apply(cloud, goal(**EXTERNAL)).after.to_diff()["firewall"]["also"] == []


def test_the_probes_of_another_scheme_come_from_elsewhere():
    """The difference says what the present rule does, and not what the wanted load balancer would need of it."""
    cloud = made()
    _foreseen, before, after = preview(cloud, goal(**EXTERNAL, allow_replace=True))
    for shown in (before, after):
        assert shown["firewall"]["lets_probes_in"] and shown["firewall"]["also"] == []
    apply(cloud, goal(**EXTERNAL, allow_replace=True))
    assert set(cloud.resources[FIREWALL]["sourceRanges"]) == PROBES["EXTERNAL"]


def test_a_backend_service_of_another_kind_of_load_balancer():
    """It has the name, and cannot be used; nothing of it counts as a default."""
    cloud = Cloud()
    cloud.put(SERVICE, loadBalancingScheme="INTERNAL_MANAGED", protocol="HTTP", backends=[], healthChecks=[])
    with pytest.raises(engine.Refused) as refused:
        apply(cloud, goal())
    text = "the backend service web has loadBalancingScheme INTERNAL_MANAGED, and INTERNAL is wanted"
    assert any(text in each for each in refused.value.problems), refused.value.problems


# --- changed in place

CHANGES = {
    "global_access": ({"global_access": True}, "global_access"),
    "health_check.port": ({"check": {"port": 6000}}, "health_check.port"),
    "health_check.path": ({"check": {"path": "/health"}}, "health_check.path"),
    "health_check.host": ({"check": {"host": "web.example"}}, "health_check.host"),
    "health_check.response": ({"check": {"response": "ok"}}, "health_check.response"),
    "health_check.interval_s": ({"check": {"interval_s": 9}}, "health_check.interval_s"),
    "health_check.timeout_s": ({"check": {"timeout_s": 1}}, "health_check.timeout_s"),
    "health_check.healthy_threshold": ({"check": {"healthy_threshold": 1}}, "health_check.healthy_threshold"),
    "health_check.unhealthy_threshold": ({"check": {"unhealthy_threshold": 3}}, "health_check.unhealthy_threshold"),
    "health_check.log": ({"check": {"log": True}}, "health_check.log"),
    "health_check.scope": ({"check_global": True}, "health_check.scope"),
    "groups.instances": (
        {"groups": (Group(GROUP_A, (A, C)), Group(GROUP_B, (B,), True))},
        "groups.us-central1-a/web-a.instances",
    ),
    "groups.failover": (
        {"groups": (Group(GROUP_A, (A,)), Group(GROUP_B, (B,), False))},
        "groups.us-central1-b/web-b.failover",
    ),
    "groups": (
        {"groups": (Group(GROUP_A, (A,)), Group(GROUP_B, (B,), True), Group(GROUP_C, (C,)))},
        "groups.us-central1-a/theirs",
    ),
    "failover.ratio": ({"service": {"ratio": 0.5}}, "failover.ratio"),
    "failover.drop_if_unhealthy": ({"service": {"drop_if_unhealthy": True}}, "failover.drop_if_unhealthy"),
    "failover.drain": ({"service": {"drain": True}}, "failover.drain"),
    "draining_timeout_s": ({"service": {"draining_timeout_s": 30}}, "draining_timeout_s"),
    "session_affinity": ({"service": {"session_affinity": "CLIENT_IP"}}, "session_affinity"),
    "tracking_mode": ({"service": {"tracking_mode": "PER_SESSION"}}, "tracking_mode"),
    "persistence": ({"service": {"persistence": "NEVER_PERSIST"}}, "persistence"),
    "idle_timeout_s": ({"service": {"idle_timeout_s": 900}}, "idle_timeout_s"),
    "firewall.target_tags": ({"targets": {"targetTags": ("web",)}}, "firewall.target_tags"),
    "firewall.target_service_accounts": (
        {"targets": {"targetServiceAccounts": ("a@p.iam",)}},
        "firewall.target_service_accounts",
    ),
}
# Of these the address is made anew.
REPLACED = {
    "address": ({"address": "10.0.0.10"}, "address"),
    "protocols": ({"protocols": ("UDP",)}, "protocols.0"),
    "ports": ({"ports": (81,)}, "ports.0"),
    "health_check.type": ({"check_kind": "TCP"}, "health_check.type"),
    "subnetwork": ({"subnetwork": f"{SUBNET}2", "address": "10.2.0.9"}, "subnetwork"),
    "scheme": ({"scheme": "EXTERNAL", "subnetwork": None, "address": None, "network": NETWORK}, "scheme"),
}


def differences(before, after, path=""):
    """The fields that differ; a whole part, where one side has none."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [*before, *(key for key in after if key not in before)]
        found = [differences(before.get(key), after.get(key), f"{path}.{key}") for key in keys]
        return list(itertools.chain.from_iterable(found))
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after) == 1:
        return differences(before[0], after[0], f"{path}.0")
    return [] if before == after else [path[1:]]


SESSIONS = {"session_affinity": "CLIENT_IP", "tracking_mode": "PER_SESSION"}


@pytest.mark.parametrize("field", CHANGES)
def test_each_field_is_changed_in_place_and_is_the_only_difference(field):
    keys, difference = CHANGES[field]
    cloud = made(service=SESSIONS if field == "idle_timeout_s" else {})
    foreseen, before, after = preview(cloud, goal(**keys))
    assert cloud.mutations == [], "a preview changed something"
    assert differences(before, after) == [difference]
    outcome = apply(cloud, goal(**keys))
    assert outcome.changed and (outcome.before.to_diff(), outcome.after.to_diff()) == (before, after)
    assert [f"Step({each.name}: {each.resource})" for each in outcome.steps] == foreseen
    cloud.requests.clear()
    assert not apply(cloud, goal(**keys)).changed and cloud.mutations == []
    # An omitted option keeps it.
    if "groups" not in keys:
        assert not apply(cloud, goal()).changed


@pytest.mark.parametrize("field", REPLACED)
def test_what_takes_the_address_down_is_refused_and_named(field):
    keys, difference = REPLACED[field]
    cloud = made()
    before = cloud.snapshot()
    with pytest.raises(engine.Refused) as refused:
        apply(cloud, goal(**keys))
    assert cloud.snapshot() == before and cloud.mutations == []
    text = str(refused.value)
    option = {"scheme": "scheme", "subnetwork": "subnetwork"}.get(field, field)
    assert f"{option}: the " in text and "allow_replace" in text
    _foreseen, was, then = preview(cloud, goal(**keys, allow_replace=True))
    assert difference in differences(was, then)


@pytest.mark.parametrize("field", REPLACED)
def test_what_takes_the_address_down_is_done_when_it_is_asked_for(field):
    keys, _difference = REPLACED[field]
    cloud = made()
    wanted = goal(**keys, allow_replace=True)
    foreseen, _was, then = preview(cloud, wanted)
    outcome = apply(cloud, wanted)
    assert [f"Step({each.name}: {each.resource})" for each in outcome.steps] == foreseen
    if field != "scheme":  # nobody knows yet which address it will be
        assert outcome.after.to_diff() == then
    assert not apply(cloud, goal(**keys)).changed
    assert cloud.live()


def test_only_the_rule_is_made_anew_for_other_ports():
    cloud = made()
    assert steps(apply(cloud, goal(ports=(81, 82), allow_replace=True))) == [
        "delete forwarding rule web",
        "create forwarding rule web",
    ]


OMITTED = {"subnetwork": None, "address": None, "groups": None}


def test_other_ports_need_no_other_option():
    cloud = made(ports=(80, 443), service={"session_affinity": "CLIENT_IP"})
    before = apply(cloud, goal()).before.to_diff()
    after = apply(cloud, goal(**OMITTED, ports=(81,), allow_replace=True)).after.to_diff()
    assert differences(before, after) == ["ports"] and after["ports"] == [81]


@pytest.mark.parametrize(
    ("had", "keys", "lost"),
    [
        ({}, {**OMITTED, "address": "10.0.0.10"}, ["subnetwork"]),
        ({"ports": (443,)}, {"address": "10.0.0.10"}, ["ports"]),
        ({"global_access": True}, {"ports": (81,)}, ["global_access"]),
        ({}, {"check_kind": "TCP", "groups": None}, ["groups"]),
        ({}, {"check_kind": "TCP", "groups": None, "exclusive": True}, ["groups"]),
        (
            {"check": {"interval_s": 9}, "service": {"session_affinity": "CLIENT_IP", "ratio": 0.5}},
            {"check_kind": "TCP"},
            ["health_check", "failover", "session_affinity"],
        ),
        (BOTH, {**OMITTED, "address": "10.0.0.10", "subnetwork": SUBNET}, []),
        ({"targets": {"targetTags": ("web",)}}, {"other network": True}, ["firewall"]),
    ],
)
def test_what_only_the_deleted_objects_tell_has_to_be_given(had, keys, lost):
    """Else a run that is killed in between could not be gone on with, and defaults would take its place."""
    cloud = made(**had)
    if keys == {"other network": True}:
        cloud.resources[FIREWALL]["network"], keys = full_url(OTHER_NETWORK), {}
    before = cloud.snapshot()
    wanted = goal(**keys, allow_replace=True)
    if not lost:
        assert apply(cloud, wanted).changed
        return
    with pytest.raises(engine.Refused) as refused:
        apply(cloud, wanted)
    assert [problem.partition(": give it, too")[0] for problem in refused.value.problems] == lost
    assert cloud.mutations == [] and cloud.snapshot() == before


def test_others_backends_are_not_lost_either():
    cloud = theirs(made())
    with pytest.raises(engine.Refused, match="groups: give it, too"):
        apply(cloud, goal(check_kind="TCP", allow_replace=True))
    apply(cloud, goal(check_kind="TCP", allow_replace=True, exclusive=True))
    assert backends(cloud) == {GROUP_A: False, GROUP_B: True}


def test_a_second_protocol_needs_a_shared_address():
    cloud = made()
    with pytest.raises(engine.Refused, match="purpose GCE_ENDPOINT, and SHARED_LOADBALANCER_VIP is wanted"):
        apply(cloud, goal(**BOTH))
    assert cloud.mutations == []
    apply(cloud, goal(**BOTH, allow_replace=True))
    assert set(cloud.live()) == {f"{RULE}-tcp", f"{RULE}-udp"}


def test_a_protocol_less_is_refused():
    cloud = made(**BOTH)
    with pytest.raises(engine.Refused, match="protocols: the forwarding rule web-udp is for UDP, and tcp is wanted"):
        apply(cloud, goal(protocols=("TCP",)))
    assert cloud.mutations == []
    outcome = apply(cloud, goal(protocols=("TCP",), allow_replace=True))
    assert steps(outcome) == ["delete forwarding rule web-udp", "delete backend service web-udp"]


def test_the_probes_pass_while_the_port_of_the_health_check_changes():
    """The cloud looks after each change whether they do."""
    cloud = made()
    assert steps(apply(cloud, goal(check={"port": 6000}))) == [
        "update firewall rule web-probes",
        "update health check web",
        "update firewall rule web-probes",
    ]


def test_the_last_backend_goes():
    cloud = made()
    apply(cloud, goal(groups=(), exclusive=True))
    assert cloud.resources[SERVICE].get("backends", []) == [] and cloud.members == {}
    assert not apply(cloud, goal(groups=(), exclusive=True)).changed


def test_a_policy_goes_with_the_last_backup():
    cloud = made(service={"ratio": 0.5})
    apply(cloud, goal(groups=(Group(GROUP_A, (A,)), Group(GROUP_B, (B,), False))))
    assert "failoverPolicy" not in cloud.resources[SERVICE] and backends(cloud) == {GROUP_A: False, GROUP_B: False}


def test_an_idle_timeout_goes_with_the_sessions():
    cloud = made(service={**SESSIONS, "idle_timeout_s": 900})
    assert not apply(cloud, goal()).changed
    apply(cloud, goal(service={"tracking_mode": "PER_CONNECTION"}))
    assert cloud.resources[SERVICE]["connectionTrackingPolicy"] == {"trackingMode": "PER_CONNECTION"}
    assert not apply(cloud, goal(service={"tracking_mode": "PER_CONNECTION"})).changed


def test_udp_has_nothing_to_drain():
    cloud = made(**BOTH, service={"drain": True, "ratio": 0.5})
    policies = [cloud.resources[f"{SERVICE}-{each}"]["failoverPolicy"] for each in ("tcp", "udp")]
    assert policies == [{"disableConnectionDrainOnFailover": True, "failoverRatio": 0.5}, {"failoverRatio": 0.5}]


# --- others


def test_others_backends_and_members_stay():
    cloud = theirs(made())
    assert not apply(cloud, goal()).changed
    cloud.instances[instance("node4")] = copy.deepcopy(cloud.instances[C])
    apply(cloud, goal(groups=(Group(GROUP_A, (A, instance("node4"))), Group(GROUP_B, (B,), False))))
    assert backends(cloud) == {GROUP_A: False, GROUP_B: False, GROUP_C: False}
    assert cloud.members[GROUP_A] == [A, C, instance("node4")]
    assert any(each.get("description") == "theirs" for each in cloud.resources[SERVICE]["backends"])


def test_others_go_when_it_is_asked_for():
    cloud = theirs(made())
    outcome = apply(cloud, goal(exclusive=True))
    assert steps(outcome) == ["update backend service web", "remove instances from instance group web-a"]
    assert backends(cloud) == {GROUP_A: False, GROUP_B: True} and cloud.members[GROUP_A] == [A]
    assert GROUP_C in cloud.resources, "it is not ours"


def test_a_managed_group_of_the_region_is_a_backend_like_others():
    cloud = made()
    managed = f"{PLACE}/instanceGroups/managed"
    cloud.put(managed, network=full_url(NETWORK))
    backend = {"group": full_url(managed), "balancingMode": "CONNECTION"}
    cloud.resources[SERVICE]["backends"].append(backend)
    assert not apply(cloud, goal()).changed
    apply(cloud, goal(service={"draining_timeout_s": 9}, groups=(Group(GROUP_B, (B,), False),)))
    assert backends(cloud) == {GROUP_A: False, GROUP_B: False, managed: False}
    assert ("list_members", managed) not in cloud.requests


def test_what_exists_and_fits_is_adopted():
    cloud = made()
    for body in cloud.resources.values():
        body["description"] = "made by hand"
    before = cloud.snapshot()
    assert not apply(cloud, goal()).changed
    apply(cloud, goal(check={"interval_s": 9}))
    assert cloud.resources[CHECK]["checkIntervalSec"] == 9 and cloud.resources[CHECK]["description"] == "made by hand"
    after = cloud.snapshot()
    assert {path for path in before[0] if before[0][path] != after[0][path]} == {CHECK}
    # And it is not taken away.
    outcome = apply(cloud, gone())
    assert not outcome.changed and cloud.snapshot() == after
    notes = lb.Procedure.kept(outcome.after)
    assert "the forwarding rule web stays: it was not made for this load balancer" in notes


def test_what_exists_and_does_not_fit_is_refused_and_never_deleted():
    cloud = made()
    cloud.resources[RULE]["description"] = "made by hand"
    for allowed in (False, True):
        with pytest.raises(engine.Refused, match="ports: the forwarding rule web has ports 80, and 81 is wanted"):
            apply(cloud, goal(ports=(81,), allow_replace=allowed))
    with pytest.raises(engine.Refused, match="the forwarding rule web uses web, which would have to be made anew"):
        apply(cloud, goal(check_kind="TCP", allow_replace=True))
    assert cloud.mutations == []


def test_an_address_that_is_reserved_already_is_adopted():
    cloud = Cloud()
    body = {"addressType": "INTERNAL", "address": IP, "subnetwork": full_url(SUBNET), "purpose": "GCE_ENDPOINT"}
    cloud.put(f"{PLACE}/addresses/mine", **body)
    for keys in ({}, {"address": None, "address_name": "mine"}, {"address_name": "mine"}):
        apply(cloud, goal(**keys))
        assert cloud.resources[RULE]["IPAddress"] == IP and ADDRESS not in cloud.resources
        apply(cloud, gone(**keys))
        assert list(cloud.resources) == [f"{PLACE}/addresses/mine"]


def test_a_rule_that_leads_elsewhere_is_turned_and_keeps_its_address():
    cloud = made()
    cloud.put(
        f"{SERVICE}-old", loadBalancingScheme="INTERNAL", protocol="TCP", backends=[], healthChecks=[full_url(CHECK)]
    )
    cloud.resources[RULE]["backendService"] = full_url(f"{SERVICE}-old")
    cloud.served = {}
    assert steps(apply(cloud, goal())) == ["set the target of forwarding rule web"]
    assert cloud.resources[RULE]["backendService"] == full_url(SERVICE)


def test_what_belongs_to_another_load_balancer_is_not_touched():
    cloud = made()
    cloud.resources[FIREWALL]["description"] = "cloudha.vip: load balancer web in europe-west1"
    with pytest.raises(engine.Refused, match="was made for the load balancer web in europe-west1: choose another name"):
        apply(cloud, goal())


def test_names_of_others_are_not_taken_for_its_own():
    """web-tcp is a load balancer, and a name of a part of web."""
    cloud = made(name="web-tcp")
    apply(cloud, goal(address="10.0.0.12", groups=None))
    assert {RULE, f"{RULE}-tcp"} <= cloud.resources.keys()
    assert cloud.resources[RULE]["IPAddress"] == "10.0.0.12" and cloud.resources[f"{RULE}-tcp"]["IPAddress"] == IP
    with pytest.raises(engine.Refused, match="web-tcp was made for the load balancer web-tcp in us-central1"):
        apply(cloud, goal(name="web", address="10.0.0.13", groups=None, **BOTH, allow_replace=True))
    apply(cloud, gone())
    assert f"{RULE}-tcp" in cloud.resources and RULE not in cloud.resources


def test_a_health_check_of_another_type():
    cloud = made()
    cloud.resources[CHECK].update(type="HTTPS", httpsHealthCheck=cloud.resources[CHECK].pop("httpHealthCheck"))
    cloud.served = {}
    with pytest.raises(engine.Refused, match=r"health_check.type: the health check web has type HTTPS, and HTTP is"):
        engine.apply(lb.Procedure(), cloud, goal(), timeout=300, sleep=cloud.clock.sleep, clock=cloud.clock)


def test_two_load_balancers_side_by_side():
    cloud = made()
    other = Group(GROUP_C, (C,))
    apply(cloud, goal(name="db", address="10.0.0.11", groups=(other,)))
    before = cloud.snapshot(f"{PLACE}/forwardingRules/db", f"{PLACE}/backendServices/db", GROUP_C)
    apply(cloud, gone())
    assert cloud.snapshot(f"{PLACE}/forwardingRules/db", f"{PLACE}/backendServices/db", GROUP_C) == before
    assert not apply(cloud, goal(name="db", address="10.0.0.11", groups=(other,))).changed


# --- taken away


def test_is_taken_away_from_the_top_to_the_bottom():
    cloud = made(**BOTH)
    outcome = apply(cloud, gone())
    assert steps(outcome) == [
        "delete forwarding rule web-tcp",
        "delete forwarding rule web-udp",
        "delete backend service web-tcp",
        "delete backend service web-udp",
        "delete health check web",
        "delete instance group web-a",
        "delete instance group web-b",
        "delete firewall rule web-probes",
        "delete address web",
    ]
    assert (cloud.resources, cloud.members) == ({}, {})
    assert not apply(cloud, gone()).changed


def test_what_others_use_stays():
    cloud = made()
    other = f"{PLACE}/backendServices/other"
    backend = {"group": full_url(GROUP_A), "balancingMode": "CONNECTION"}
    cloud.put(other, loadBalancingScheme="INTERNAL", protocol="TCP", healthChecks=[full_url(CHECK)], backends=[backend])
    outcome = apply(cloud, gone())
    assert set(cloud.resources) == {other, CHECK, GROUP_A} and cloud.members == {GROUP_A: [A]}
    notes = lb.Procedure.kept(outcome.after)
    assert f"the health check web stays: it is used by {other}" in notes
    assert f"the instance group web-a stays: it is used by {other}" in notes


def test_others_members_stay():
    cloud = theirs(made())
    outcome = apply(cloud, gone(groups=(Group(GROUP_A, (A,)), Group(GROUP_B, (B,)))))
    assert cloud.members == {GROUP_A: [C], GROUP_C: []} and set(cloud.resources) == {GROUP_A, GROUP_C}
    assert "the instance group web-a stays: node3 are still in it" in lb.Procedure.kept(outcome.after)
    apply(cloud, gone(groups=(Group(GROUP_A, (A,)),), exclusive=True))
    assert set(cloud.resources) == {GROUP_C}


def test_a_firewall_rule_that_is_not_managed_is_neither_made_nor_deleted():
    cloud = Cloud()
    apply(cloud, goal(firewall=False))
    assert FIREWALL not in cloud.resources
    apply(cloud, goal())
    apply(cloud, gone(firewall=False))
    assert list(cloud.resources) == [FIREWALL]


# --- errors


def test_somebody_else_was_faster():
    """412: a new look merges both."""
    cloud = made()
    wanted = goal(service={"session_affinity": "CLIENT_IP"}, groups=(Group(GROUP_B, (B,), False),))
    cloud.put(GROUP_C, members=[C])
    found = []

    def fault(when, verb, path):
        if (when, verb, path) == ("before", "patch", SERVICE) and not found:
            found.append(path)
            service = cloud.resources[SERVICE]
            service["backends"].append({"group": full_url(GROUP_C), "balancingMode": "CONNECTION"})
            service["fingerprint"] = "another"

    cloud.fault = fault
    apply(cloud, wanted)
    assert found and backends(cloud) == {GROUP_A: False, GROUP_B: False, GROUP_C: False}
    assert cloud.resources[SERVICE]["sessionAffinity"] == "CLIENT_IP"


def test_a_permission_that_is_missing_changes_nothing():
    cloud = Cloud()
    cloud.missing = {"compute.forwardingRules.create"}
    with pytest.raises(
        engine.Failed, match=r"does not have the permission compute.forwardingRules.create on projects/p"
    ):
        apply(cloud, goal())
    assert cloud.mutations == []
    cloud.missing = {"compute.subnetworks.use"}
    with pytest.raises(engine.Failed, match=f"compute.subnetworks.use on {SUBNET}"):
        apply(cloud, goal())
    assert cloud.mutations == []


@pytest.mark.parametrize("kind", [Denied, Unavailable])
def test_a_question_for_permissions_without_an_answer_is_a_note(kind):
    cloud = Cloud()

    def fault(when, verb, path):
        if verb == "project_permissions":
            raise kind("the service is disabled", resource=path, status=403)

    cloud.fault = fault
    procedure = lb.Procedure()
    outcome = engine.apply(procedure, cloud, goal(), timeout=300, sleep=cloud.clock.sleep, clock=cloud.clock)
    assert outcome.changed and "permissions were not checked: the service is disabled" in procedure.notes[0]


def test_a_refusal_that_does_not_pass_is_told():
    cloud = made()

    def fault(when, verb, path):
        if verb == "delete":
            raise Invalid("it is already being used by another project", resource=path, status=400)

    cloud.fault = fault
    with pytest.raises(engine.Failed, match="it is already being used by another project"):
        apply(cloud, gone())


def test_a_fingerprint_that_is_never_right_ends_with_the_time():
    cloud = made()

    def fault(when, verb, path):
        if verb == "patch":
            raise Stale("Invalid fingerprint.", resource=path, status=412)

    cloud.fault = fault
    with pytest.raises(engine.Failed, match="Invalid fingerprint"):
        apply(cloud, goal(service={"session_affinity": "CLIENT_IP"}), timeout=20)


def test_a_zone_that_does_not_answer():
    cloud = made()
    cloud.silent = [f"{REGION}-c"]
    assert not apply(cloud, goal()).changed
    cloud.silent = [f"{REGION}-a"]
    with pytest.raises(engine.Failed, match=f"no answer for {REGION}-a"):
        apply(cloud, goal(), timeout=5)
    assert cloud.mutations == []


def test_a_health_check_of_a_former_scope_is_tidied_up():
    cloud = made(check_global=True)
    apply(cloud, goal(check_global=False))
    assert CHECK in cloud.resources and GLOBAL_CHECK not in cloud.resources
    assert NAME in cloud.resources[SERVICE]["healthChecks"][0]
