# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is refused before anything is changed, and in which words."""

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import Denied, NotFound
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.gce_names import full_url
from ansible_collections.cloudha.vip.plugins.module_utils.failover import engine
from ansible_collections.cloudha.vip.plugins.module_utils.failover.lb_goal import Group, goal_problems
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.lb_cloud import (
    CHECK,
    GROUP_A,
    GROUP_B,
    GROUP_C,
    IP,
    NETWORK,
    OTHER_NETWORK,
    PLACE,
    SERVICE,
    SUBNET,
    A,
    B,
    C,
    Cloud,
    apply,
    goal,
    gone,
    group,
    instance,
    made,
)

L3 = {"protocols": ("L3_DEFAULT",)}
EXTERNAL = {"scheme": "EXTERNAL", "subnetwork": None, "address": None, "network": NETWORK}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"name": "Web"}, "name: 'Web' is no name of a load balancer"),
        ({"name": "w" * 57}, "name: .* is too long"),
        ({"address": "10.0.0"}, "address: '10.0.0' is not an IPv4 address"),
        ({"address_name": "A"}, "address_name: 'A' is no name"),
        ({"ports": (1, 2, 3, 4, 5, 6)}, "ports: 6 are too many: a forwarding rule takes at most 5, or all"),
        ({"ports": ()}, "ports: give at least one"),
        ({"ports": (80, 80)}, "ports: one is there twice"),
        ({"ports": (0,)}, "ports: 0 is not from 1 to 65535"),
        ({**L3, "ports": (80,)}, "ports: with protocols=all there can be no single ports"),
        ({"protocols": ()}, "protocols: give at least one"),
        ({"protocols": ("TCP", "TCP")}, "protocols: one is there twice"),
        ({"protocols": ("TCP", "L3_DEFAULT")}, "protocols: all is for all protocols"),
        ({**EXTERNAL, "global_access": True}, "global_access: only with scheme=internal"),
        ({**EXTERNAL, "subnetwork": SUBNET}, "subnetwork: only with scheme=internal"),
        ({**EXTERNAL, "check_global": True}, "health_check.scope: an external load balancer needs a regional"),
        ({"check": {"port": 65536}}, "health_check.port: 65536 is not from 1 to 65535"),
        ({"check": {"interval_s": 301}}, "health_check.interval_s: 301 is not from 1 to 300"),
        ({"check": {"timeout_s": 0}}, "health_check.timeout_s: 0 is not from 1 to 300"),
        ({"check": {"healthy_threshold": 11}}, "health_check.healthy_threshold: 11 is not from 1 to 10"),
        ({"check": {"unhealthy_threshold": 0}}, "health_check.unhealthy_threshold: 0 is not from 1 to 10"),
        ({"check": {"path": "health"}}, "health_check.path: 'health' does not begin with /"),
        ({"check": {"path": "/a b"}}, "health_check.path: '/a b' .* has a blank"),
        ({"check": {"path": "/\u00f6"}}, "health_check.path: .* a letter beyond ASCII"),
        ({"check": {"host": "a b"}}, "health_check.host: 'a b' has a blank"),
        ({"check_kind": "TCP", "check": {"host": "h"}}, "health_check.host: only with health_check.type=http"),
        ({"service": {"ratio": 1.5}}, "failover.ratio: 1.5 is not from 0 to 1"),
        ({"service": {"draining_timeout_s": 3601}}, "draining_timeout_s: 3601 is not from 0 to 3600"),
        ({"service": {"idle_timeout_s": 599}}, "idle_timeout_s: 599 is not from 600 to 57600"),
        ({"check": {"response": "o" * 1025}}, "health_check.response: it has to be ASCII, of at most 1024 characters"),
        ({"check": {"response": "\u00f6"}}, "health_check.response: it has to be ASCII"),
        ({"targets": {"targetTags": ("No Tag",)}}, "firewall.target_tags: 'No Tag' is no network tag"),
        ({"targets": {"targetTags": ("a@p.iam",)}}, "firewall.target_tags: 'a@p.iam' is no network tag"),
        ({"targets": {"targetServiceAccounts": ("web",)}}, "firewall.target_service_accounts: 'web' is no e-mail"),
        ({"groups": (Group(GROUP_A), Group(GROUP_A))}, "groups: web-a is there twice"),
        ({"groups": (Group(GROUP_A, (B,)),)}, "is not in the zone us-central1-a of its group web-a"),
        ({"groups": (Group(GROUP_A, (A,)), Group(GROUP_C, (A,)))}, "is in web-a and in theirs"),
        (
            {"groups": (Group(GROUP_A, (A.replace("projects/p/", "projects/q/"),)),)},
            "groups: the instance projects/q/.* is not in the project p of the load balancer",
        ),
        (
            {"groups": (Group("projects/p/zones/europe-west1-b/instanceGroups/g", ()),)},
            "groups: the zone europe-west1-b of g is not in the region us-central1",
        ),
    ],
)
def test_a_goal_that_can_never_be_reached_is_refused_before_anything_is_read(keys, words):
    cloud = Cloud()
    with pytest.raises(engine.Refused, match=words) as refused:
        apply(cloud, goal(**keys))
    assert cloud.requests == [] and len(refused.value.problems) == 1


def test_a_goal_that_can_be_reached():
    assert goal_problems(goal(ports=("all",), check={"timeout_s": 1, "interval_s": 1})) == []


def with_rule(cloud, address=IP, protocol="TCP", purpose=None, **rule):
    """Somebody else's load balancer."""
    other = f"{PLACE}/backendServices/other"
    if purpose:
        cloud.put(
            f"{PLACE}/addresses/other",
            addressType="INTERNAL",
            address=address,
            subnetwork=full_url(SUBNET),
            purpose=purpose,
        )
    cloud.put(other, loadBalancingScheme="INTERNAL", protocol=protocol, backends=[], healthChecks=[])
    body = {"loadBalancingScheme": "INTERNAL", "IPProtocol": protocol, "IPAddress": address, "ports": ["80"]}
    where = {"backendService": full_url(other), "network": full_url(NETWORK), "subnetwork": full_url(SUBNET)}
    return cloud.put(f"{PLACE}/forwardingRules/other", **body, **where, **rule)


def balanced(cloud):
    """Somebody else's group, with node1, is a backend."""
    cloud.put(GROUP_C, members=[A])
    backend = {"group": full_url(GROUP_C), "balancingMode": "CONNECTION"}
    return cloud.put(SERVICE + "-x", loadBalancingScheme="INTERNAL", protocol="TCP", backends=[backend])


SHARED = "SHARED_LOADBALANCER_VIP"


@pytest.mark.parametrize(
    ("start", "keys", "words"),
    [
        (Cloud, {"subnetwork": None}, "subnetwork: give it, as there is no load balancer web in us-central1 that has"),
        (Cloud, {"address": None}, "address: give it, as there is no load balancer web"),
        (Cloud, {"address": None, "address_name": "x"}, "address_name: there is no address x in us-central1"),
        (Cloud, {**EXTERNAL, "address": "203.0.113.9"}, "address: 203.0.113.9 is not reserved in us-central1"),
        (Cloud, {**EXTERNAL, "network": None}, "network: give it, for the firewall rule"),
        (Cloud, {"address": "10.9.9.9"}, "address: 10.9.9.9 is outside of 10.0.0.0/24, the primary range of .* subnet"),
        (
            Cloud,
            {"network": OTHER_NETWORK},
            f"network: the subnetwork subnet is on {NETWORK}, and not on {OTHER_NETWORK}",
        ),
        (Cloud, {"address": "10.0.0.2"}, f"address: 10.0.0.2 is in use by {A}"),
        (lambda: with_rule(Cloud()), {}, "address: 10.0.0.9 is in use by the forwarding rule other .of .*/other., and"),
        (
            lambda: with_rule(Cloud(), purpose=SHARED),
            {"address_name": "other"},
            "is in use by the forwarding rule other .*, for the same protocol and ports",
        ),
        (
            lambda: with_rule(Cloud(), purpose=SHARED, allPorts=True),
            {"address_name": "other", "ports": (81,)},
            "is in use by the forwarding rule other .*, for the same protocol and ports",
        ),
        (
            lambda: with_rule(made(), "10.0.0.10", purpose="GCE_ENDPOINT"),
            {"address": "10.0.0.10", "allow_replace": True},
            "address: 10.0.0.10 is reserved as other: give address_name=other",
        ),
        (Cloud, {"check": {"timeout_s": 9}}, "health_check.timeout_s: 9 s is longer than the interval of 5 s"),
        (made, {"check": {"interval_s": 1}}, "health_check.timeout_s: 5 s is longer than the interval of 1 s"),
        (
            lambda: made(check_kind="TCP"),
            {"check": {"path": "/"}},
            "health_check.path: the health check web has the type",
        ),
        (
            lambda: made(check_kind="TCP"),
            {"check": {"path": "/"}, "check_global": True},
            "health_check.path: the health check web has the type tcp",
        ),
        (
            lambda: made(check={"interval_s": 9, "timeout_s": 9}),
            {"check": {"interval_s": 6}, "check_global": True},
            "health_check.timeout_s: 9 s is longer than the interval of 6 s",
        ),
        (
            Cloud,
            {"groups": (Group(GROUP_A, (A,)),), "service": {"ratio": 0.5}},
            "failover: it needs a backup: give a group with failover=true",
        ),
        (Cloud, {"groups": (Group(GROUP_A, (A,), True),)}, "groups: all are backups"),
        (
            Cloud,
            {"protocols": ("UDP",), "service": {"drain": True}},
            "failover.drain: the API does not take it for udp",
        ),
        (Cloud, {"service": {"idle_timeout_s": 900}}, "idle_timeout_s: only with tracking_mode=per_session"),
        (
            Cloud,
            {"service": {"idle_timeout_s": 900, "tracking_mode": "PER_SESSION"}},
            "idle_timeout_s: only with tracking_mode=per_session and a session_affinity that is",
        ),
        (
            Cloud,
            {
                **EXTERNAL,
                "service": {"idle_timeout_s": 900, "tracking_mode": "PER_SESSION", "session_affinity": "CLIENT_IP"},
            },
            "idle_timeout_s: only with scheme=internal",
        ),
        (
            Cloud,
            {**EXTERNAL, "service": {"session_affinity": "CLIENT_IP_NO_DESTINATION"}},
            "session_affinity: client_ip_no_destination only with scheme=internal",
        ),
        (
            lambda: Cloud().put(GROUP_A, members=[], network=None),
            {"groups": (Group(GROUP_A, ()),)},
            "groups: web-a has no instance, and therefore no network",
        ),
        (
            Cloud,
            {"groups": (Group(GROUP_A, (instance("elsewhere"),)),)},
            f"groups: the instance .*/elsewhere is on {OTHER_NETWORK}, and not on {NETWORK}",
        ),
        (Cloud, {"groups": (Group(GROUP_A, (instance("no"),)),)}, "groups: the instance .*/no does not exist"),
        (
            lambda: balanced(Cloud()),
            {"groups": (Group(GROUP_A, (A,)),)},
            "is in the group theirs of the backend service web-x: the API takes it in one load-balanced group only",
        ),
        (
            lambda: Cloud().put(GROUP_A, members=[instance("elsewhere")]),
            {"network": OTHER_NETWORK, "groups": (Group(GROUP_A, (A,)),)},
            f"and not on {OTHER_NETWORK}",
        ),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_changed(start, keys, words):
    cloud = start()
    cloud.requests.clear()
    before = cloud.snapshot()
    with pytest.raises(engine.Refused, match=words):
        apply(cloud, goal(**keys))
    assert cloud.mutations == [] and cloud.snapshot() == before


def test_a_group_on_another_network():
    cloud = Cloud().put(GROUP_A, members=[])
    cloud.resources[GROUP_A]["network"] = full_url(OTHER_NETWORK)
    with pytest.raises(engine.Refused, match=f"groups: the group web-a is on {OTHER_NETWORK}, and not on {NETWORK}"):
        apply(cloud, goal())


def test_other_protocols_and_ports_on_a_shared_address_are_fine():
    cloud = with_rule(Cloud(), purpose=SHARED)
    apply(cloud, goal(address_name="other", ports=(81,)))
    apply(cloud, goal(name="dns", address_name="other", protocols=("UDP",), groups=()))
    assert len([path for path in cloud.resources if "/forwardingRules/" in path]) == 3


def test_more_rules_than_an_address_can_have():
    cloud = with_rule(Cloud(), purpose=SHARED)
    rule = cloud.resources[f"{PLACE}/forwardingRules/other"]
    for number in range(9):
        path = f"{PLACE}/forwardingRules/other{number}"
        cloud.resources[path] = {**rule, "selfLink": full_url(path), "ports": [str(1000 + number)]}
    with pytest.raises(engine.Refused, match=r"address: 10\.0\.0\.9 would have more than 10 forwarding rules"):
        apply(cloud, goal(address_name="other", ports=(81,)))


def test_the_same_address_in_another_network_is_nobodys():
    cloud = with_rule(Cloud())
    where = {"network": full_url(OTHER_NETWORK), "subnetwork": full_url(f"{PLACE}/subnetworks/o")}
    cloud.resources[f"{PLACE}/forwardingRules/other"].update(where)
    assert apply(cloud, goal()).changed


def test_an_address_of_an_alias_range():
    cloud = Cloud()
    cloud.add_instance(C, "10.0.0.4", aliasIpRanges=[{"ipCidrRange": "10.0.0.8/30"}])
    with pytest.raises(engine.Refused, match=f"address: 10.0.0.9 is in use by {C}"):
        apply(cloud, goal())


def test_who_may_not_see_instances_is_told_by_the_api():
    cloud = Cloud()

    def fault(when, verb, path):
        if verb == "list_instances":
            raise Denied("Required 'compute.instances.list' permission", status=403)

    cloud.fault = fault
    with pytest.raises(engine.Failed, match="IP_IN_USE_BY_ANOTHER_RESOURCE"):
        apply(cloud, goal(address="10.0.0.2"), timeout=60)
    assert apply(cloud, goal()).changed


def test_a_region_that_there_is_not():
    cloud = Cloud()

    def fault(when, verb, path):
        raise NotFound("Cannot read: 400 invalid: Invalid value for field 'region': 'x'. Unknown region.", status=400)

    cloud.fault = fault
    for wanted in (goal(), gone()):
        with pytest.raises(engine.Failed, match=r"Unknown region; nothing was changed"):
            apply(cloud, wanted)


def test_a_zone_that_there_is_not():
    cloud = Cloud()
    with pytest.raises(engine.Refused, match="does not exist"):
        apply(cloud, goal(groups=(Group(group("g", "x"), (instance("node1", "x"),)),)))
    assert cloud.mutations == []
    unknown = NotFound("400 invalid: Invalid value for field 'zone': 'us-central1-x'. Unknown zone.", status=400)

    def fault(when, verb, path):
        if "us-central1-x" in path:
            raise unknown

    cloud.fault = fault
    with pytest.raises(engine.Refused, match=r"groups: the zone us-central1-x of g does not exist .*Unknown zone"):
        apply(cloud, goal(groups=(Group(group("g", "x"), ()),)))
    assert cloud.mutations == [] and apply(cloud, goal(groups=(Group(GROUP_A, ()),))).changed


def test_what_is_new_to_a_group_is_asked_for_only():
    """A member that is there already needs no look."""
    cloud = made()
    apply(cloud, goal())
    assert "get_instance" not in [verb for verb, _path in cloud.requests]
    assert CHECK in cloud.resources and GROUP_B in cloud.resources
