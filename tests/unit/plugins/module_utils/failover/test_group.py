# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The procedure for autohealing groups, against one in memory that heals by its clock."""

from __future__ import annotations

import copy

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import Denied, Unavailable
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.gce_names import full_url, last_part
from ansible_collections.cloudha.vip.plugins.module_utils.failover import engine, group
from ansible_collections.cloudha.vip.plugins.module_utils.failover.group_goal import Member
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.managed_cloud import (
    BROKEN,
    CHECK,
    FIREWALL,
    GROUP,
    IMAGE,
    IP_A,
    IP_B,
    NETWORK,
    NEW,
    PAIR,
    PLACE,
    SUBNET,
    A,
    Cloud,
    apply,
    goal,
    gone,
    made,
    only,
    preview,
)

RESERVED_A, RESERVED_B = f"{PLACE}/addresses/node1-10-0-0-11", f"{PLACE}/addresses/node2-10-0-0-12"
ONE = (Member("node1", IP_A),)


def steps(outcome):
    return [f"{each.name} {each.resource}" for each in outcome.steps]


def templates(cloud):
    return [each for each in cloud.resources if "/instanceTemplates/" in each]


def test_it_is_made_and_a_second_run_changes_nothing():
    cloud = Cloud()
    planned, before, after = preview(cloud, goal())
    assert cloud.mutations == []
    outcome = apply(cloud, goal())
    (template,) = templates(cloud)
    assert steps(outcome) == [
        "create firewall rule web-probes",
        "create address node1-10-0-0-11",
        "create address node2-10-0-0-12",
        "create health check web",
        f"create instance template {last_part(template)}",
        "create managed instance group web",
        "create instance node1",
        "create instance node2",
    ]
    assert [each.partition(": ")[0] for each in planned] == [f"Step({each.name}" for each in outcome.steps]
    assert (before, after) == (outcome.before.to_diff(), outcome.after.to_diff())
    assert cloud.serving() == ["node1", "node2"] and cloud.address_of("node1") == IP_A
    group_body = cloud.resources[GROUP]
    assert group_body["updatePolicy"]["replacementMethod"] == "RECREATE" and group_body["targetSize"] == 0
    assert group_body["autoHealingPolicies"] == [{"healthCheck": full_url(CHECK), "initialDelaySec": 120}]
    there = cloud.snapshot()
    for wanted in (goal(), only()):
        cloud.requests.clear()
        outcome = apply(cloud, wanted)
        assert (outcome.changed, cloud.mutations) == (False, [])
        assert outcome.before.to_diff() == outcome.after.to_diff() and cloud.snapshot() == there


def test_a_spare_place_has_all_but_instances():
    cloud = Cloud()
    spare = goal(empty=True)
    planned = preview(cloud, spare)
    outcome = apply(cloud, spare)
    assert len(planned[0]) == len(outcome.steps) == 6 and planned[2] == outcome.after.to_diff()
    assert GROUP in cloud.resources and cloud.machines == {}
    assert {cloud.resources[path]["address"] for path in (RESERVED_A, RESERVED_B)} == {IP_A, IP_B}
    assert not apply(cloud, spare).changed
    ready = cloud.snapshot()
    assert steps(apply(cloud, goal())) == ["create instance node1", "create instance node2"]
    assert cloud.serving() == ["node1", "node2"] and cloud.address_of("node1") == IP_A
    # And back: the addresses stay.
    assert steps(apply(cloud, spare)) == ["delete instance node1", "delete instance node2"]
    assert cloud.machines == {} and cloud.snapshot() == ready and not apply(cloud, spare).changed
    # Another image is ready there, too.
    assert "create instance node1" not in steps(apply(cloud, goal(empty=True, template={"image": NEW})))
    apply(cloud, only(members=PAIR))
    assert cloud.image_of("node1") == NEW


def test_both_instances_boot_at_once():
    cloud = Cloud()
    apply(cloud, goal())
    assert cloud.clock.now - 1000 < 60


def test_a_new_image_is_rolled_out_one_after_the_other():
    cloud = made()
    outcome = apply(cloud, only(template={"image": NEW}))
    new, old = templates(cloud)[-1], [each.split()[-1] for each in steps(outcome)][-1]
    assert steps(outcome) == [
        f"create instance template {last_part(new)}",
        "update managed instance group web",
        "replace instance node1",
        "replace instance node2",
        f"delete instance template {old}",
    ]
    assert {cloud.image_of(name) for name in ("node1", "node2")} == {NEW}
    assert [cloud.address_of(name) for name in ("node1", "node2")] == [IP_A, IP_B] and cloud.made == 2
    assert not apply(cloud, only(template={"image": NEW})).changed


def test_a_broken_image_stops_the_roll():
    cloud = made()
    with pytest.raises(engine.Failed) as failed:
        apply(cloud, only(template={"image": BROKEN}))
    said = str(failed.value)
    assert "node1 (" in said and "does not serve after 24" in said and "made of the image broken; node2 serves" in said
    assert "with a good image, or with the former one" in said and failed.value.changed
    assert cloud.serving() == ["node2"] and cloud.image_of("node2") == IMAGE
    # The next run does not go on, either; its wait is its own.
    cloud.requests.clear()
    with pytest.raises(engine.Refused) as refused:
        apply(cloud, only())
    assert "node1" in str(refused.value) and cloud.mutations == []
    # And back, or forward.
    for image in (IMAGE, NEW):
        outcome = apply(cloud, only(template={"image": image}))
        assert outcome.changed and cloud.serving() == ["node1", "node2"]
        assert {cloud.image_of(name) for name in ("node1", "node2")} == {image}
    assert len(templates(cloud)) == 1


def test_one_that_does_not_serve_is_the_first_to_be_replaced():
    cloud = made(members=(*PAIR, Member("node3", "10.0.0.13")))
    cloud.errors["node2"] = ("ZONE_RESOURCE_POOL_EXHAUSTED", "none left")
    cloud.machines["node2"].began = cloud.clock.now
    wanted = only(template={"image": NEW})

    def heal(phase, verb, path):
        if (phase, verb) == ("after", "recreate"):
            cloud.errors.clear()

    cloud.fault = heal
    apply(cloud, wanted)
    assert [last_part(path) for verb, path in cloud.log if verb in ("recreate", "replace")] == [
        "node2",
        "node1",
        "node3",
    ]


def test_the_only_one_of_a_group():
    cloud = made(members=ONE)
    outcome = apply(cloud, only(template={"image": NEW}, rolling=False))
    assert outcome.changed and cloud.image_of("node1") == IMAGE and cloud.made == 0
    # Its template stays as long as an instance is made of it.
    assert len(templates(cloud)) == 2 and not apply(cloud, only(rolling=False)).changed
    outcome = apply(cloud, only())
    assert steps(outcome)[0] == "replace instance node1" and len(templates(cloud)) == 1
    assert cloud.image_of("node1") == NEW


def test_progress_and_the_bound():
    cloud = made()
    events, procedure = [], group.Procedure()
    wanted = only(template={"image": BROKEN}, healthy_within_s=60.0)
    with pytest.raises(engine.Failed):
        apply(cloud, wanted, notify=events.append, procedure=procedure)
    waits = [each["reason"] for each in events if each["event"] == "wait" and "serves" in each["reason"]]
    assert "node1 (not there yet, health UNKNOWN, RECREATING) for 0 s of 60 s" in waits[0]
    assert "node1 (RUNNING, health UNHEALTHY) for 5" in waits[-1] and waits[-1].endswith("s of 60 s")
    assert list(procedure.waits) == ["node1"] and 60 <= procedure.waits["node1"] < 64


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("ZONE_RESOURCE_POOL_EXHAUSTED", "the zone has no such machine left: wait, or give another machine_type"),
        ("QUOTA_EXCEEDED", "raise the quota"),
        ("PERMISSIONS_ERROR", "give the Google APIs service agent of the project the permission"),
        ("RESOURCE_NOT_FOUND", "correct what it says"),
    ],
)
def test_what_keeps_the_group_from_making_an_instance(code, words):
    cloud = made()
    cloud.errors["node1"] = (code, "It cannot be.")
    with pytest.raises(engine.Failed) as failed:
        apply(cloud, only(template={"image": NEW}))
    assert f"{code}: It cannot be: {words}" in str(failed.value) and "node2 serves" in str(failed.value)
    assert cloud.clock.now - 1000 < 150
    cloud.errors.clear()
    assert apply(cloud, only(template={"image": NEW})).changed and len(cloud.serving()) == 2


def test_an_instance_that_is_healed_meanwhile_is_waited_for():
    cloud = made()
    cloud.machines["node1"].began = cloud.clock.now
    assert not apply(cloud, only()).changed and cloud.serving() == ["node1", "node2"]


# --- names and addresses


def test_another_address_replaces_the_instance():
    cloud = made()
    outcome = apply(cloud, only(members=(Member("node1", "10.0.0.21"), PAIR[1])))
    assert steps(outcome) == [
        "create address node1-10-0-0-21",
        "keep the address of instance node1",
        "replace instance node1",
        "delete address node1-10-0-0-11",
    ]
    assert cloud.address_of("node1") == "10.0.0.21" and cloud.made == 1


def test_a_reservation_is_adopted_and_never_deleted():
    theirs = f"{PLACE}/addresses/theirs"
    cloud = Cloud().put(theirs, address=IP_A, addressType="INTERNAL", subnetwork=full_url(SUBNET))
    apply(cloud, goal())
    assert RESERVED_A not in cloud.resources and RESERVED_B in cloud.resources
    outcome = apply(cloud, gone())
    assert theirs in cloud.resources and RESERVED_B not in cloud.resources
    assert group.Procedure.kept(outcome.after) == []


def test_addresses_that_nobody_chose():
    cloud = Cloud()
    wanted = goal(members=(Member("node1"), Member("node2")))
    apply(cloud, wanted)
    addresses = [cloud.address_of(name) for name in ("node1", "node2")]
    assert addresses == ["10.0.0.50", "10.0.0.51"] and not apply(cloud, wanted).changed
    apply(cloud, only(template={"image": NEW}))
    assert [cloud.address_of(name) for name in ("node1", "node2")] == addresses


def test_an_instance_more_and_one_less():
    cloud = made(members=ONE)
    outcome = apply(cloud, only(members=PAIR))
    assert steps(outcome) == ["create address node2-10-0-0-12", "create instance node2"]
    assert not apply(cloud, only(members=ONE)).changed, "others stay"
    outcome = apply(cloud, only(members=ONE, exclusive=True))
    assert steps(outcome) == ["delete instance node2", "delete address node2-10-0-0-12"]
    assert not apply(cloud, only(members=ONE, exclusive=True)).changed


def test_instances_and_addresses_of_others():
    cloud = Cloud()
    cloud.strangers[A] = {"selfLink": full_url(A)}
    with pytest.raises(engine.Refused, match="node1 is there, and is not the group's: delete it"):
        apply(cloud, goal())
    cloud = made()
    with pytest.raises(engine.Refused, match=r"the address 10.0.0.11 of node3 is in use by .*instances/node1"):
        apply(cloud, only(members=(Member("node3", IP_A),)))
    assert cloud.mutations == []


def test_addresses_of_others_that_are_not_reserved():
    cloud = Cloud()
    interface = {"name": "nic0", "network": full_url(NETWORK), "networkIP": IP_B}
    cloud.strangers["other"] = {"selfLink": full_url(f"{A}0"), "networkInterfaces": [interface]}
    with pytest.raises(engine.Refused, match=r"the address 10.0.0.12 of node2 is in use by .*instances/node10: choose"):
        apply(cloud, goal())
    assert cloud.mutations == []
    interface["network"] = full_url("projects/p/global/networks/another")
    assert apply(cloud, goal()).changed


def test_whoever_may_not_look_is_not_refused():
    cloud = Cloud()

    def denied(phase, verb, path):
        if verb == "list_instances" or "/machineTypes/" in path:
            raise Denied("not for you")

    cloud.fault = denied
    assert apply(cloud, goal()).changed


# --- adoption


def by_others(**changes):
    """A group that somebody made with gcloud."""
    cloud = made()
    for path, body in list(cloud.resources.items()):
        if path != IMAGE and "/images/" not in path:
            body["description"] = ""
    cloud.configs.clear()
    for each in cloud.machines.values():
        each.kept = {}
    for path in (RESERVED_A, RESERVED_B, FIREWALL):
        cloud.resources.pop(path)
    body = cloud.resources[GROUP]
    body["updatePolicy"] = {
        "type": "PROACTIVE",
        "minimalAction": "REPLACE",
        "replacementMethod": "SUBSTITUTE",
        "maxSurge": {"fixed": 1, "calculated": 1},
        "maxUnavailable": {"fixed": 1},
        **changes,
    }
    return cloud


def test_a_group_of_others_is_adopted():
    cloud = by_others()
    cloud.clock.now += 100
    outcome = apply(cloud, only(members=(Member("node1"),)))
    assert steps(outcome) == [
        "create firewall rule web-probes",
        "create address node1-10-0-0-99",
        "update managed instance group web",
        "keep the address of instance node1",
        "replace instance node1",
    ]
    assert not apply(cloud, only(members=(Member("node1"),))).changed
    outcome = apply(cloud, gone())
    assert GROUP in cloud.resources and FIREWALL in cloud.resources
    assert any(
        "the managed instance group web stays: it was not made" in each for each in group.Procedure.kept(outcome.after)
    )


def test_percentages_of_others():
    cloud = by_others(maxUnavailable={"percent": 50})
    apply(cloud, only())
    assert cloud.resources[GROUP]["updatePolicy"]["maxUnavailable"] == {"fixed": 1}


def test_drift_is_seen_and_mended():
    cloud = made()
    cloud.resources[GROUP]["updatePolicy"]["replacementMethod"] = "SUBSTITUTE"
    cloud.resources[FIREWALL]["sourceRanges"] = ["10.0.0.0/8"]
    seen = preview(cloud, only())
    assert seen[1]["update_policy"]["replacement"] == "SUBSTITUTE" and seen[1]["firewall"]["lets_probes_in"] is False
    assert seen[2]["update_policy"]["replacement"] == "RECREATE" and seen[2]["firewall"]["lets_probes_in"] is True
    assert steps(apply(cloud, only())) == ["update firewall rule web-probes", "update managed instance group web"]


# --- the health check


def test_another_health_check():
    cloud = made()
    outcome = apply(cloud, only(check={"port": 6000}))
    assert steps(outcome) == [
        "update firewall rule web-probes",
        "update health check web",
        "update firewall rule web-probes",
    ]
    assert cloud.resources[FIREWALL]["allowed"][0]["ports"] == ["6000"]
    outcome = apply(cloud, only(check_kind="TCP"))
    assert steps(outcome) == [
        "create health check web-tcp",
        "update managed instance group web",
        "delete health check web",
    ]
    assert cloud.resources[f"{CHECK}-tcp"]["tcpHealthCheck"]["port"] == 6000 and not apply(cloud, only()).changed
    apply(cloud, only(check_kind="HTTP"))
    assert CHECK in cloud.resources and f"{CHECK}-tcp" not in cloud.resources


def test_the_initial_delay():
    cloud = made()
    assert steps(apply(cloud, only(initial_delay_s=0))) == ["update managed instance group web"]
    assert cloud.resources[GROUP]["autoHealingPolicies"][0]["initialDelaySec"] == 0
    assert not apply(cloud, only()).changed and not apply(cloud, only(initial_delay_s=0)).changed


# --- what is taken away


def test_all_is_taken_away():
    cloud = made()
    (template,) = templates(cloud)
    images = {path: body for path, body in cloud.resources.items() if "/images/" in path}
    planned = preview(cloud, gone())
    outcome = apply(cloud, gone())
    assert steps(outcome) == [
        "delete managed instance group web",
        f"delete instance template {last_part(template)}",
        "delete health check web",
        "delete firewall rule web-probes",
        "delete address node1-10-0-0-11",
        "delete address node2-10-0-0-12",
    ]
    assert len(planned[0]) == 6 and planned[2] == outcome.after.to_diff()
    assert cloud.resources == images and cloud.machines == {} and not apply(cloud, gone()).changed


def other_zone(cloud):
    """A group of the same name, in another zone."""
    body = copy.deepcopy(cloud.resources[GROUP])
    path = GROUP.replace("-f/", "-b/")
    return cloud.put(path, **{**body, "selfLink": full_url(path), "description": f"{body['description'][:-1]}b"})


def test_what_a_group_in_another_zone_shares_stays():
    cloud = other_zone(made())
    outcome = apply(cloud, gone())
    assert {each.name for each in outcome.steps} == {"delete managed instance group", "delete address"}
    notes = group.Procedure.kept(outcome.after)
    assert len(notes) == 3 and all("it is used by projects/p/zones/us-central1-b" in each for each in notes)


def test_zones_that_do_not_answer():
    cloud = made()
    cloud.silent = ["us-central1-b"]
    outcome = apply(cloud, gone())
    assert {each.name for each in outcome.steps} == {"delete managed instance group", "delete address"}
    assert "there is no answer from there" in group.Procedure.kept(outcome.after)[0]
    cloud.silent = ["us-central1-f"]
    with pytest.raises(engine.Failed, match="no answer for the zone us-central1-f"):
        apply(cloud, goal(), timeout=20)


def test_without_the_firewall_rule():
    cloud = made(firewall=False)
    assert FIREWALL not in cloud.resources
    apply(cloud, only())
    assert FIREWALL in cloud.resources
    apply(cloud, gone(firewall=False))
    assert FIREWALL in cloud.resources


# --- what cannot be


def member(**keys):
    return {"members": (Member(**keys),)}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"name": "w" * 53}, "use 1 to 52 of a-z"),
        ({"members": ()}, "instances: give at least one"),
        ({"members": (PAIR[0], PAIR[0])}, "instances: node1 is there twice"),
        ({"members": (PAIR[0], Member("node2", IP_A))}, "instances: 10.0.0.11 is there twice"),
        (member(name="Node"), "instances: 'Node' is no name of an instance"),
        (member(name="n" * 50), "use at most 49 characters"),
        (member(name="node1", address="10.0.0"), "instances: '10.0.0' is not an IPv4 address"),
        (member(name="node1", address="10.1.0.1"), "10.1.0.1 is outside of 10.0.0.0/24"),
        (member(name="node1", address="10.0.0.1"), "10.0.0.1 is one of the four that Google keeps"),
        (
            {"template": {"image": "projects/p/global/images/none"}},
            "image: projects/p/global/images/none does not exist",
        ),
        (
            {"template": {"image": "projects/p/global/images/family/x"}},
            "image: 'projects/p/global/images/family/x' is no",
        ),
        ({"template": {"machine_type": "E2"}}, "machine_type: 'E2' is no name"),
        ({"template": {"machine_type": "z9-huge"}}, "machine_type: there is no z9-huge in us-central1-f"),
        ({"template": {"tags": ["a b"]}}, "tags: 'a b' is no network tag"),
        ({"template": {"service_account": "x"}}, "service_account: 'x' is neither"),
        ({"template": {"service_account": "", "service_account_scopes": ["x"]}}, "only with a service account"),
        ({"template": {"disk_size_gb": 0}}, "disk_size_gb: 0 is not from 1 to 65536"),
        ({"template": {"labels": {"A": "b"}}}, "labels: 'A' is no key: use 1 to 63"),
        ({"template": {"metadata": {"a b": "c"}}}, "metadata: 'a b' is no key"),
        ({"template": {"metadata": {"a": "s3cret" * 50000}}}, "metadata: the value of a is longer than 256 KiB"),
        ({"template": {"subnetwork": f"{PLACE}/subnetworks/none"}}, "subnetwork: .*none does not exist"),
        ({"template": {"network": "projects/p/global/networks/other"}}, "network: the subnetwork subnet is on"),
        ({"template": {"subnetwork": SUBNET.replace("us-central1", "europe-west1")}}, "does not exist"),
        ({"check": {"timeout_s": 6}}, "health_check.timeout_s: 6 s is longer than the interval of 5 s"),
        ({"check": {"path": "x"}}, "health_check.path: 'x' does not begin with /"),
        ({"check_kind": "TCP", "check": {"path": "/"}}, "health_check.path: only with health_check.type=http"),
        ({"check": {"port": 0}}, "health_check.port: 0 is not from 1 to 65535"),
        ({"targets": {"targetTags": ("a@b",)}}, "firewall.target_tags: 'a@b' is no network tag"),
        ({"initial_delay_s": 3601}, "initial_delay_s: 3601 is not from 0 to 3600"),
        ({"healthy_within_s": 0.5}, "healthy_within_s: 0.5 is not from 1 to 86400"),
        ({"zone": "mars-central1-a"}, "zone: mars-central1-a does not exist|is not in the region"),
    ],
)
def test_bad_goals(keys, words):
    cloud = Cloud()
    with pytest.raises(engine.Refused, match=words):
        apply(cloud, goal(**keys))
    assert cloud.mutations == []


def test_what_is_missing():
    cloud = Cloud()
    with pytest.raises(engine.Refused) as refused:
        apply(cloud, only())
    assert [each.partition(":")[0] for each in refused.value.problems] == ["image", "subnetwork", "instances"]


def test_an_image_that_is_not_ready():
    cloud = Cloud()
    cloud.resources[IMAGE]["status"] = "PENDING"
    with pytest.raises(engine.Refused, match=r"image: .*one is PENDING, and the API makes no instance"):
        apply(cloud, goal())


def test_what_was_made_for_another_group():
    cloud = Cloud()
    cloud.put(FIREWALL, network=full_url(NETWORK), direction="INGRESS")
    cloud.resources[FIREWALL]["description"] = "cloudha.vip: autohealing group other"
    with pytest.raises(engine.Refused, match="the firewall rule web-probes was made for the group other"):
        apply(cloud, goal())


def test_what_cannot_be_changed():
    cloud = made()
    cloud.resources[FIREWALL]["network"] = full_url("projects/p/global/networks/other")
    with pytest.raises(engine.Refused, match="network: the firewall rule web-probes has network projects/p/global"):
        apply(cloud, only())


def test_permissions_are_asked_for_before_the_first_change():
    cloud = Cloud()
    cloud.missing = {"compute.instanceTemplates.create"}
    with pytest.raises(engine.Failed, match=r"does not have the permission compute.instanceTemplates.create"):
        apply(cloud, goal())
    assert cloud.mutations == []

    def unanswered(phase, verb, path):
        if verb == "project_permissions":
            raise Denied("no such API")

    cloud.missing, cloud.fault, procedure = set(), unanswered, group.Procedure()
    assert apply(cloud, goal(), procedure=procedure).changed
    assert procedure.notes == ["the caller's permissions were not checked: no such API"]


def test_the_time_is_over():
    cloud = made()
    with pytest.raises(engine.Failed, match="not done within 20 s: until it serves: node1") as failed:
        apply(cloud, only(template={"image": NEW}), timeout=20)
    assert failed.value.changed and "run it again" in str(failed.value)
    assert apply(cloud, only()).changed and {cloud.image_of(each) for each in cloud.machines} == {NEW}


def test_failures_pass():
    cloud, seen = Cloud(), set()

    def once(phase, verb, path):
        if (phase, verb) not in seen:
            seen.add((phase, verb))
            raise Unavailable("not now", status=503)

    cloud.fault = once
    assert apply(cloud, goal()).changed and cloud.serving() == ["node1", "node2"]
