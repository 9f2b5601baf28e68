# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The procedure for an image: what it does, what it refuses, and runs that are killed and run again."""

from __future__ import annotations

import itertools

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import Denied, Exhausted, Lost
from ansible_collections.cloudha.vip.plugins.module_utils.failover import engine, image
from ansible_collections.cloudha.vip.plugins.module_utils.failover.image_goal import (
    BUILDING,
    PRESENT,
    builder_name,
)
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover import runs
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.image_cloud import (
    BASE,
    BUILDER,
    DISK,
    IMAGE,
    NAME,
    NEWER,
    READS,
    ZONE,
    Cloud,
    apply,
    build,
    building,
    goal,
    gone,
    made,
    ready_to_become,
)

LABELS = {"cloudha-vip-image": NAME}


def names(outcome):
    return [f"{step.name} {step.resource}" for step in outcome.steps]


def test_from_nothing_to_the_image():
    cloud = Cloud()
    assert names(apply(cloud, goal(BUILDING))) == [f"create instance {NAME}-builder"]
    assert cloud.left() == {BUILDER: "RUNNING", DISK: "READY"}
    builder = cloud.prepare()
    assert not apply(cloud, goal(BUILDING)).changed
    outcome = apply(cloud, goal(expected_builder=builder, family="node", labels={"team": "a"}))
    assert names(outcome) == [
        f"stop instance {NAME}-builder",
        f"create image {NAME}",
        f"delete instance {NAME}-builder",
    ]
    assert cloud.left() == {IMAGE: "READY"}
    found = cloud.resources[IMAGE]
    assert (found["family"], found["labels"]) == ("node", {"team": "a", **LABELS})
    cloud.requests.clear()
    for wanted in (goal(BUILDING), goal(PRESENT), goal(BUILDING, labels={"team": "b"}, machine_type="n2-standard-2")):
        assert not apply(cloud, wanted).changed
    assert cloud.mutations == []
    assert names(apply(cloud, goal(PRESENT))) == []
    cloud.may_vanish = True
    assert names(apply(cloud, gone())) == [f"delete image {NAME}"]
    assert cloud.left() == {} and not apply(cloud, gone()).changed


@pytest.mark.parametrize("start", [Cloud, building, ready_to_become, made])
@pytest.mark.parametrize("wanted", [goal(BUILDING), goal(PRESENT), gone()], ids=lambda each: each.state)
def test_a_preview_is_what_a_run_does(start, wanted):
    cloud = start()
    cloud.may_vanish = wanted.state == "absent"
    procedure = image.Procedure()
    if start is Cloud and wanted.state == PRESENT:
        for way in (apply, lambda *given: engine.preview(procedure, *given)):
            with pytest.raises(engine.Refused, match="run state=building first"):
                way(cloud, wanted)
        return
    before, steps = engine.preview(procedure, cloud, wanted)
    if start is building and wanted.state == PRESENT:
        cloud.prepare()  # else the cloud finds fault with the image
    cloud.requests.clear()
    outcome = apply(cloud, wanted)
    assert [step.name for step in steps] == [step.name for step in outcome.steps]
    assert procedure.wanted_diff(before) == outcome.after.to_diff()


# --- killed


def run_again(cloud, wanted):
    if wanted.state == "absent":
        apply(cloud, wanted)
        return {}
    build(cloud)
    return {IMAGE: "READY"}


def other_recipe():
    cloud = building(machine_type="n1-standard-1")
    cloud.builders_may_go = True
    return cloud


def failed_image():
    cloud = building()
    return cloud.put(IMAGE, status="FAILED", labels=LABELS)


def builder_without_power():
    cloud = building()
    cloud.resources[BUILDER]["status"] = "TERMINATED"
    return cloud


def disk_left():
    return Cloud().put(DISK, status="READY", labels=LABELS)


def builder_left():
    """The image is ready, and its run was killed before the builder went."""
    cloud = ready_to_become()
    disk = cloud.resources[DISK]["id"]
    return cloud.put(IMAGE, status="READY", labels=LABELS, sourceDiskId=disk)


KILLED = {
    "from nothing": (Cloud, goal(BUILDING)),
    "made otherwise": (other_recipe, goal(BUILDING)),
    "half an image": (failed_image, goal(BUILDING)),
    "a builder without power": (builder_without_power, goal(BUILDING)),
    "a disk is left": (disk_left, goal(BUILDING)),
    "captured": (ready_to_become, goal(PRESENT)),
    "captured after a failure": (lambda: (c := failed_image(), c.prepare())[0], goal(PRESENT)),
    "a builder is left": (builder_left, goal(PRESENT)),
    "taken away": (made, gone()),
    "taken away with its builder": (builder_left, gone()),
    "a builder taken away": (building, gone()),
    "a disk taken away": (disk_left, gone()),
}
PHASES = ("before", "during", "after")


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "later"])
@pytest.mark.parametrize("case", KILLED)
def test_killed_at_each_change_and_run_again(case, at_once):
    start, wanted = KILLED[case]
    calm = start()
    calm.may_vanish = wanted.state == "absent"
    changes = len(apply(calm, wanted).steps)
    assert changes
    for number, phase in itertools.product(range(changes), PHASES):
        cloud = start()
        cloud.may_vanish = wanted.state == "absent"
        cloud.fault = runs.Fault(number, phase, runs.Crash())
        with pytest.raises(runs.Crash):
            apply(cloud, wanted)
        cloud.fault = lambda *_: None
        if not at_once:
            cloud.settle()
        assert run_again(cloud, wanted) == cloud.left(), (number, phase)
        cloud.requests.clear()
        assert not apply(cloud, wanted).changed and cloud.mutations == []


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("case", KILLED)
def test_lost_answers(case, phase):
    start, wanted = KILLED[case]
    calm = start()
    calm.may_vanish = wanted.state == "absent"
    expected = apply(calm, wanted)
    for number in range(len(expected.steps)):
        cloud = start()
        cloud.may_vanish = wanted.state == "absent"
        cloud.fault = runs.Fault(number, phase, Lost("the connection was lost"))
        outcome = apply(cloud, wanted)
        assert outcome.changed and cloud.left() == calm.left(), number


# --- what is there


def test_a_builder_is_made_anew_when_its_source_has_a_successor():
    cloud = building()
    first = cloud.resources[BUILDER]["id"]
    cloud.builders_may_go = True
    cloud.put(NEWER, status="READY", family="debian-12")
    assert names(apply(cloud, goal(BUILDING))) == [f"delete instance {NAME}-builder", f"create instance {NAME}-builder"]
    assert cloud.resources[DISK]["sourceImage"].endswith(NEWER) and cloud.resources[BUILDER]["id"] != first


def test_the_source_is_resolved_once():
    """A new image of the family, which appears during a run, does not change its mind."""
    cloud = Cloud()

    def appears(phase, verb, _path):
        if (phase, verb) == ("after", "insert"):
            cloud.put(NEWER, status="READY", family="debian-12")

    cloud.fault = appears
    assert names(apply(cloud, goal(BUILDING))) == [f"create instance {NAME}-builder"]
    assert cloud.resources[DISK]["sourceImage"].endswith(BASE)


@pytest.mark.parametrize("status", ["PROVISIONING", "STAGING", "REPAIRING", "STOPPING", "SUSPENDING", "DEPROVISIONING"])
@pytest.mark.parametrize("state", [BUILDING, PRESENT])
def test_what_the_api_does_by_itself_is_waited_for(status, state):
    becomes = {"STOPPING": "TERMINATED", "SUSPENDING": "SUSPENDED", "DEPROVISIONING": None}.get(status, "RUNNING")
    cloud = ready_to_become()
    cloud.resources[BUILDER]["status"] = status
    if becomes == "SUSPENDED":
        cloud.builders_may_go = True

    def effect():
        if becomes:
            cloud.resources[BUILDER]["status"] = becomes
        else:
            cloud.resources.pop(BUILDER)
            cloud.resources.pop(DISK)

    cloud.due.append((cloud.clock.now + 30, effect))
    if state == PRESENT and becomes in (None, "SUSPENDED"):
        with pytest.raises((engine.Failed, engine.Refused), match=r"no builder|resume it"):
            apply(cloud, goal(state))
        return
    apply(cloud, goal(state))
    assert cloud.left() == ({IMAGE: "READY"} if state == PRESENT else {BUILDER: "RUNNING", DISK: "READY"})


def test_an_image_that_somebody_is_making_is_waited_for():
    for state in (BUILDING, PRESENT):
        cloud = ready_to_become()
        cloud.put(IMAGE, status="PENDING", labels=LABELS, sourceDiskId=cloud.resources[DISK]["id"])
        cloud.due.append((cloud.clock.now + 30, lambda c=cloud: c._become(IMAGE, "READY")))
        apply(cloud, goal(state))
        assert cloud.resources[IMAGE]["status"] == "READY"


def test_what_others_made_and_is_ready_is_used():
    cloud = Cloud().put(IMAGE, status="READY", labels={"team": "b"}).put(BUILDER, status="RUNNING", labels={})
    for state in (BUILDING, PRESENT):
        assert not apply(cloud, goal(state)).changed
    assert set(cloud.left()) == {IMAGE, BUILDER}


def test_what_has_its_names_and_is_not_its_own_stays():
    for cloud in (
        Cloud().put(DISK, status="READY", labels={}),
        Cloud().put(BUILDER, status="RUNNING", labels={}).put(DISK, status="READY", labels=LABELS),
    ):
        assert not apply(cloud, gone()).changed and cloud.mutations == []


def test_a_builder_that_is_stopping_is_left_in_peace():
    """Until it has stopped, the API would refuse to delete it."""
    cloud = builder_left()
    cloud.resources[BUILDER]["status"] = "STOPPING"
    cloud.due.append((cloud.clock.now + 30, lambda: cloud._become(BUILDER, "TERMINATED")))
    apply(cloud, goal(PRESENT))
    assert cloud.mutations.count("delete") == 1 and cloud.left() == {IMAGE: "READY"}


class AnotherRun:
    """Makes the image, and takes the builder away, before the read of a number, from 0."""

    def __init__(self, cloud, number):
        self.cloud, self.left = cloud, number

    def __call__(self, _phase, verb, _path):
        self.left -= verb in READS
        if self.left == -1:
            self.left = -2
            apply(self.cloud, goal(PRESENT))


@pytest.mark.parametrize("state", [BUILDING, PRESENT])
def test_another_run_ends_in_the_middle_of_a_look(state):
    """Whatever was read before, this one is content with the image."""
    for number in range(12):
        cloud = ready_to_become()
        cloud.fault = AnotherRun(cloud, number)
        apply(cloud, goal(state))
        if cloud.fault.left < -1:
            assert cloud.left() == {IMAGE: "READY"}, number
        else:
            assert cloud.left() == {BUILDER: "RUNNING", DISK: "READY"}, number


def test_absent_without_a_zone_looks_for_no_builder():
    cloud = builder_left()
    cloud.may_vanish = True
    assert names(apply(cloud, gone(zone=None))) == [f"delete image {NAME}"]
    assert set(cloud.left()) == {BUILDER, DISK}


# --- refused

OTHER = {
    "network": "projects/p/global/networks/net",
    "networkIP": "10.100.2.9",
    "aliasIpRanges": [{"ipCidrRange": "10.100.3.0/28"}],
}
FOREIGN = {"labels": {"cloudha-vip-image": "other"}}
REFUSED = {
    "a foreign builder": (
        lambda: Cloud().put(BUILDER, status="RUNNING", **FOREIGN),
        goal(BUILDING),
        f"builder: the instance {NAME}-builder in us-central1-a was not made for the image {NAME}",
    ),
    "a foreign builder to capture": (
        lambda: Cloud().put(BUILDER, status="TERMINATED", labels={}),
        goal(PRESENT),
        "was not made for the image",
    ),
    "a foreign disk": (lambda: Cloud().put(DISK, status="READY"), goal(BUILDING), f"builder: the disk {NAME}-builder"),
    "a foreign failed image": (
        lambda: building().put(IMAGE, status="FAILED", **FOREIGN),
        goal(BUILDING),
        f"name: the image {NAME} is FAILED, and it was not made here",
    ),
    "no builder": (Cloud, goal(PRESENT), f"there is no image {NAME}, and no builder"),
    "another builder": (ready_to_become, goal(PRESENT, expected_builder="999"), "expected_builder: the builder .* has"),
    "suspended": (
        lambda: Cloud().put(BUILDER, status="SUSPENDED", labels=LABELS),
        goal(PRESENT),
        "is SUSPENDED: resume it",
    ),
    "no source": (
        Cloud,
        goal(BUILDING, source="projects/p/global/images/none"),
        "source_image: .*projects/p/global/images/none.*not found",
    ),
    "a source that is not ready": (
        lambda: Cloud().put(NEWER, status="PENDING"),
        goal(BUILDING, source=NEWER),
        "source_image: .* is PENDING",
    ),
    "an obsolete source": (
        lambda: Cloud().put(NEWER, status="READY", deprecated={"state": "OBSOLETE"}),
        goal(BUILDING, source=NEWER),
        "source_image: .* is OBSOLETE",
    ),
    "an obsolete image": (
        lambda: Cloud().put(IMAGE, status="READY", deprecated={"state": "OBSOLETE"}),
        goal(PRESENT),
        "is deprecated as OBSOLETE",
    ),
    "a machine type that the zone does not have": (
        Cloud,
        goal(BUILDING, machine_type="z9-huge"),
        "machine_type: there is no z9-huge in us-central1-a",
    ),
    "an address that another instance has": (
        lambda: Cloud().put(f"projects/p/zones/{ZONE}/instances/other", networkInterfaces=[OTHER]),
        goal(BUILDING, address="10.100.2.9"),
        f"address: the address 10.100.2.9 of {NAME}-builder is in use by projects/p/zones/{ZONE}/instances/other",
    ),
    "an address in a range that another instance has": (
        lambda: Cloud().put(f"projects/p/zones/{ZONE}/instances/other", networkInterfaces=[OTHER]),
        goal(BUILDING, address="10.100.3.7"),
        "address: the address 10.100.3.7 of",
    ),
    "used": (
        lambda: made().template("t-1", IMAGE).template("t-2", IMAGE).template("t-3", BASE),
        gone(),
        f"the image {NAME} is used by the instance templates t-1, t-2: delete them first",
    ),
    "used once": (lambda: made().template("t-1", IMAGE), gone(), "template t-1: delete it first"),
    "a foreign image": (lambda: Cloud().put(IMAGE, status="READY"), gone(), "was not made here, and it stays"),
    **{
        f"the goal: {message}": (Cloud, goal(state, **wrong), message)
        for state, wrong, message in (
            (BUILDING, {"name": "A"}, "name: 'A' is no name"),
            (BUILDING, {"name": "a" * 64}, "name: .* is no name"),
            (BUILDING, {"builder": "x-"}, "builder: 'x-' is no name"),
            (BUILDING, {"family": "x_"}, "family: 'x_' is no name"),
            (PRESENT, {"expected_builder": "node"}, "expected_builder: 'node' is not the id"),
            (PRESENT, {"labels": {"cloudha-vip-image": "x"}}, "labels: 'cloudha-vip-image' is reserved"),
            (PRESENT, {"labels": {"Team": "x"}}, "labels: 'Team' is no key"),
            (PRESENT, {"labels": {"team": "A B"}}, "labels: 'A B' of 'team' is no value"),
            (PRESENT, {"labels": {f"k{i}": "" for i in range(61)}}, "labels: 61 are too many"),
            (BUILDING, {"source": None}, "source_image: state=building needs it"),
            (BUILDING, {"subnetwork": None}, "subnetwork: state=building needs it"),
            (BUILDING, {"machine_type": "zones/x"}, "machine_type: 'zones/x' is no"),
            (BUILDING, {"address": "10.0.0"}, "address: '10.0.0' is not an IPv4"),
            (BUILDING, {"service_account": "me"}, "service_account: 'me' is no e-mail"),
            (BUILDING, {"service_account": "me@x"}, "service_account_scopes: give at least one"),
            (BUILDING, {"disk_size_gb": 0}, "disk_size_gb: 0 is not from 1"),
            (BUILDING, {"tags": ("A",)}, "tags: 'A' is no network tag"),
            (BUILDING, {"metadata": {"a b": "x"}}, "metadata: 'a b' is no key"),
        )
    },
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_and_nothing_changed(case):
    start, wanted, message = REFUSED[case]
    cloud = start()
    cloud.requests.clear()
    with pytest.raises(engine.Refused, match=message):
        apply(cloud, wanted)
    assert cloud.mutations == []


def test_a_builder_that_is_replaced_meanwhile_does_not_become_the_image():
    """Whoever made it anew has not prepared it."""
    cloud = building()
    mine = cloud.prepare()
    cloud.builders_may_go = True
    apply(cloud, goal(BUILDING, machine_type="n1-standard-1"))
    with pytest.raises(engine.Refused, match=rf"has the id .*, and not {mine}"):
        apply(cloud, goal(PRESENT, expected_builder=mine))


def test_permissions_that_only_the_second_half_needs_are_asked_for_first():
    for missing in ("compute.images.create", "compute.instances.delete", "compute.disks.useReadOnly"):
        cloud = Cloud()
        cloud.missing = {missing}
        with pytest.raises(engine.Failed, match=missing) as failed:
            apply(cloud, goal(BUILDING))
        assert isinstance(failed.value.error, Denied) and cloud.mutations == []
    cloud = Cloud()
    cloud.missing = {
        "compute.images.delete",
        "compute.instances.setServiceAccount",
        "compute.subnetworks.useExternalIp",
    }
    assert apply(cloud, goal(BUILDING)).changed


def test_an_error_that_no_repetition_mends_ends_the_run():
    cloud = Cloud()
    cloud.fault = runs.Fault(0, "before", Exhausted("the zone has none left"))
    with pytest.raises(engine.Failed, match=r"create instance .*the zone has none left; there is no image"):
        apply(cloud, goal(BUILDING))
    assert cloud.mutations == ["insert"] and cloud.left() == {}


def test_what_a_builder_is_made_with():
    given = {
        "network": "projects/host/global/networks/net",
        "address": "10.0.0.9",
        "external": True,
        "tags": ("ssh",),
        "service_account": "builder@p.iam",
        "scopes": ("scope",),
        "metadata": {"ssh-keys": "me:key", "enable-oslogin": "false"},
        "disk_size_gb": 20,
        "labels": {"team": "a"},
    }
    body = goal(BUILDING, **given).builder_body(BASE)
    url = "https://www.googleapis.com/compute/v1/"
    recipe = body["labels"].pop("cloudha-vip-recipe")
    disk = {
        "diskName": f"{NAME}-builder",
        "sourceImage": url + BASE,
        "labels": {"team": "a", **LABELS},
        "diskSizeGb": "20",
    }
    assert body == {
        "name": f"{NAME}-builder",
        "description": f"becomes the image {NAME}",
        "labels": {"team": "a", **LABELS},
        "machineType": f"{url}projects/p/zones/us-central1-a/machineTypes/e2-small",
        "disks": [{"boot": True, "autoDelete": True, "initializeParams": disk}],
        "networkInterfaces": [
            {
                "network": f"{url}projects/host/global/networks/net",
                "subnetwork": f"{url}projects/p/regions/us-central1/subnetworks/subnet",
                "networkIP": "10.0.0.9",
                "accessConfigs": [{"type": "ONE_TO_ONE_NAT", "name": "External NAT"}],
            }
        ],
        "tags": {"items": ["ssh"]},
        "metadata": {"items": [{"key": "enable-oslogin", "value": "false"}, {"key": "ssh-keys", "value": "me:key"}]},
        "serviceAccounts": [{"email": "builder@p.iam", "scopes": ["scope"]}],
    }
    plain = goal(BUILDING).builder_body(BASE)
    assert "accessConfigs" not in plain["networkInterfaces"][0]
    assert not {"serviceAccounts", "tags", "metadata"} & set(plain)
    recipes = {
        goal(BUILDING, **{**given, key: value}).builder_body(BASE)["labels"]["cloudha-vip-recipe"]
        for key, value in {"address": None, "external": False, "tags": (), "metadata": {}, "disk_size_gb": 30}.items()
    }
    assert len(recipes | {recipe}) == 6


def test_the_name_of_a_builder():
    assert builder_name("node-abc") == "node-abc-builder"
    assert builder_name("n" * 63) == "n" * 55 + "-builder"
    assert builder_name("n" * 54 + "-" + "m" * 8) == "n" * 54 + "-builder"
