# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A group gets its members, its one VIP and its one EIP, from any state; and falls into none of the service's traps."""

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import (
    Denied,
    Lost,
    NotFound,
    Quota,
    Unavailable,
)
from ansible_collections.cloudha.vip.plugins.module_utils.failover import engine, instancegroup, plan
from ansible_collections.cloudha.vip.plugins.module_utils.failover.instancegroup_decide import warnings
from ansible_collections.cloudha.vip.plugins.module_utils.failover.instancegroup_goal import Eip, GroupGoal, Vip
from ansible_collections.cloudha.vip.plugins.module_utils.failover.instancegroup_look import look
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.group_cloud import (
    VIP,
    Groups,
    apply,
    created,
    goal,
)
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.runs import Crash

MEMBERS = ["vm1", "vm2"]
EIP = "203.0.113.10"
NOBODY = {"members": None, "vip": None}
EIP_ABSENT = Eip(present=False)
RELEASED = Eip(present=False, release=True)


@pytest.fixture
def cloud():
    return Groups()


def names(outcome):
    return [step.name for step in outcome.steps]


def refused(cloud, wanted, *words):
    """It is refused in these words, and nothing was changed."""
    with pytest.raises(engine.Refused) as caught:
        apply(cloud, wanted)
    for word in words:
        assert word in str(caught.value), str(caught.value)
    assert cloud.mutations == []


# --- what comes


def test_all_from_nothing(cloud):
    outcome = apply(cloud, goal(eip=created()))
    assert names(outcome) == ["create group", "bind guests", "attach VIP", "create EIP"]
    assert cloud.has() == (MEMBERS, [VIP], "203.0.113.21") and cloud.leftovers == []
    (group,) = cloud.groups.values()
    assert (group["granularity"], group["force_dispersion"]) == (1, True)
    # Only what was asked for, and with it that another address will not do; the EIP is for that VIP.
    bodies = dict(cloud.requests)
    assert bodies["attach_network"] == {"ip_addr": VIP, "require_designated_ip": True, "network_id": "net1-id"}
    assert bodies["create_eip"] == {
        "bandwidth": 10,
        "charge_type": "bandwidth",
        "bgp_type": "BGP",
        "auto_dellocate": False,
    }
    assert bodies["bind_guests"] == ["vm1-id", "vm2-id"]
    cloud.requests.clear()
    again = apply(cloud, goal(eip=created()))
    assert not again.changed and cloud.mutations == []
    assert again.after.to_diff() == {
        "holder": "web",
        "group": {"name": "web", "granularity": 1, "force_dispersion": True},
        "members": MEMBERS,
        "vips": [VIP],
        "eip": "203.0.113.21",
    }


def test_what_is_left_out_stays(cloud):
    cloud.group(members=["vm1"], vips=[VIP]).bind_eip()
    for wanted in (
        goal(**NOBODY),
        goal(["vm1"], None),
        goal(["vm1-id"], None, group="web-gid"),
        goal(None, VIP),
        goal(None, Vip()),
        goal(None, None, "e2"),
        goal(None, None, "e2-id"),
        goal(None, None, created(bandwidth=5)),
        goal([], None),
    ):
        assert not apply(cloud, wanted).changed
    assert cloud.has() == (["vm1"], [VIP], EIP) and cloud.mutations == []


def test_members_are_added_and_with_exclusive_they_are_all(cloud):
    cloud.group(members=["vm1", "vm3"])
    assert names(apply(cloud, goal(["vm2"], None))) == ["bind guests"]
    assert cloud.has()[0] == ["vm1", "vm2", "vm3"]
    assert names(apply(cloud, goal(["vm2", "vm1"], None, exclusive=True))) == ["unbind guests"]
    assert cloud.has()[0] == MEMBERS
    assert names(apply(cloud, goal(["vm2", "vm9"], None, members_present=False))) == ["unbind guests"]
    assert not apply(cloud, goal(["vm2", "vm9"], None, members_present=False)).changed
    assert cloud.has()[0] == ["vm1"]
    apply(cloud, goal([], None, exclusive=True))
    assert cloud.has()[0] == []


def test_settings_of_the_group(cloud):
    cloud.group()
    assert names(apply(cloud, goal(**NOBODY, granularity=2, force_dispersion=False))) == ["update group"]
    assert not apply(cloud, goal(**NOBODY, granularity=2)).changed
    apply(cloud, goal(**NOBODY, group="db", granularity=3, force_dispersion=False))
    assert [(row["granularity"], row["force_dispersion"]) for row in cloud.groups.values()] == [(2, False), (3, False)]


def test_a_vip_of_a_group_without_members(cloud):
    apply(cloud, goal([], Vip(network="net1", alloc_dir="stepdown")))
    assert cloud.has() == ([], ["192.168.1.253"], None)
    assert dict(cloud.requests)["attach_network"] == {"network_id": "net1-id", "alloc_dir": "stepdown"}
    assert not apply(cloud, goal([], Vip(network="net1-id"))).changed
    apply(cloud, goal(["vm1"], Vip()))
    assert cloud.has()[0] == ["vm1"]


def test_an_address_that_is_only_a_proposal(cloud):
    wanted = goal(vip=Vip("192.168.1.11", designated=False))
    apply(cloud, wanted)
    assert cloud.has()[1] == ["192.168.1.253"]
    assert not apply(cloud, wanted).changed


def test_a_reserved_address_uses_up_the_reservation(cloud):
    refused(cloud, goal(vip="192.168.1.60"), "ip_addr: 192.168.1.60", "is reserved", "reserved=true")
    apply(cloud, goal(vip=Vip("192.168.1.60", reserved=True)))
    assert cloud.has()[1] == ["192.168.1.60"] and cloud.reserved == set()


def test_an_existing_eip(cloud):
    cloud.group(members=MEMBERS, vips=[VIP])
    assert names(apply(cloud, goal(eip="e2"))) == ["associate EIP"]
    assert cloud.has() == (MEMBERS, [VIP], EIP)


# --- what the service would do without a word


NAMES = [
    ("n" * 129, "has 129 characters, and the service keeps 128"),
    (" lead", "begins or ends with a blank"),
    ("trail\u3000", "begins or ends with a blank"),
    (" ", "begins or ends with a blank"),
    ("emoji\U0001f600", "does not keep \U0001f600 of the name"),
    ("a/b", "a character that the service refuses"),
    ("a\\b", "a character that the service refuses"),
    ("a;b", "a character that the service refuses"),
    ("a\tb", "a character that the service refuses"),
    ("12345678-1234-1234-1234-123456789012", "there is no group with the id 12345678-1234-1234-1234-123456789012"),
]


@pytest.mark.parametrize(("name", "words"), NAMES)
def test_a_group_that_would_not_be_found_again_is_not_created(cloud, name, words):
    for wanted in (goal(group=name), goal(**NOBODY, group=name)):
        refused(cloud, wanted, "group: ", words)
    assert cloud.groups == {}


@pytest.mark.parametrize("name", ["n" * 128, "双网", "Café Ω", "a b", "x" * 32])
def test_other_names_are_kept(cloud, name):
    """Each makes one group, one VIP and one EIP, and the next run changes nothing."""
    wanted = goal(group=name, eip=created())
    apply(cloud, wanted)
    assert cloud.mutations == ["create_group", "bind_guests", "attach_network", "create_eip"]
    assert not apply(cloud, wanted).changed
    assert not apply(cloud, GroupGoal("12345678-1234-1234-1234-123456789012", present=False)).changed


def test_a_name_that_another_group_has_in_other_letters(cloud):
    cloud.group("Web")
    failed(cloud, goal(), "Duplicate name", changed=False)
    assert cloud.mutations == 3 * ["create_group"] and list(cloud.groups) == ["Web-gid"]


def test_what_is_there_and_not_listed_is_not_made_again(cloud):
    """Of another project's group that the caller may get, and whose parts are not in the lists."""
    cloud.group(project="p2", members=["theirs"], vips=[VIP]).seen |= {"p2"}
    for wanted in (
        goal(None, Vip(network="net1"), group="web-gid"),
        goal(None, Vip(present=False), group="web-gid"),
        GroupGoal("web-gid", present=False),
    ):
        cloud.listed = {"p1"}
        refused(cloud, wanted, f"has VIP {VIP}, which the service does not list for this user", "other")
    cloud.listed = {"p1", "p2"}
    assert not apply(cloud, goal(None, Vip(network="net1"), group="web-gid")).changed
    apply(cloud, GroupGoal("web-gid", present=False))
    assert cloud.groups == {}


def test_a_vip_that_goes_between_two_requests_is_not_taken_for_a_hidden_one(cloud):
    cloud.group(members=MEMBERS, vips=["192.168.1.5"])

    def fault(phase, verb, what):
        if (phase, verb) == ("after", "get_group") and cloud.vips[0]["ip_addr"] != VIP:
            cloud.vips.clear()
            cloud.fault = lambda *_: None

    cloud.fault = fault
    assert names(apply(cloud, goal(None, VIP, exclusive=True))) == ["attach VIP"]


def test_an_eip_of_another_project(cloud):
    """An administrator may have bound one; who does not see it cannot take it away."""
    cloud.group(members=MEMBERS, vips=[VIP]).add_eip("k1", "203.0.113.44", tenant_id="p2")
    cloud.bind_eip("k1").add_eip("e3", "203.0.113.11")
    for wanted in (
        goal(None, None, EIP_ABSENT),
        GroupGoal("web", present=False),
        goal(eip="e3", exclusive=True),
        goal(None, Vip(present=False), EIP_ABSENT),
    ):
        refused(cloud, wanted, "has an EIP of another project", "administrator")
    assert not apply(cloud, goal()).changed
    seen = look(cloud, "web")
    assert "has an EIP of another project" in " ".join(warnings(seen))
    cloud.seen = {"p1", "p2"}
    apply(cloud, GroupGoal("web", present=False))
    assert cloud.groups == {} and sorted(cloud.eips) == ["e2-id", "e3-id", "k1-id"]


def test_an_eip_that_comes_between_two_requests_is_not_taken_for_a_hidden_one(cloud):
    cloud.group(members=MEMBERS, vips=[VIP])

    def fault(phase, verb, what):
        if (phase, verb) == ("after", "list_group_eips"):
            cloud.bind_eip()
            cloud.fault = lambda *_: None

    cloud.fault = fault
    assert names(apply(cloud, GroupGoal("web", present=False))) == [
        "dissociate EIP",
        "unbind guests",
        "detach VIP",
        "delete group",
    ]


def test_a_vpc_without_access_from_outside(cloud):
    for eip in ("e2", created()):
        refused(cloud, goal(["vm6"], Vip(), eip), "network inner is of the VPC vpcnone", "external_access_mode is none")
    cloud.group(members=["vm6"], vips=["10.1.1.7"], network="inner")
    refused(cloud, goal(["vm6"], Vip(), created()), "external_access_mode is none")
    # Who may not see the VPC hears it from the service.
    del cloud.vpcs["vpcnone"]
    failed(cloud, goal(["vm6"], Vip(), created()), "does not support EIP association", changed=False)


def test_a_member_that_got_another_interface(cloud):
    """Nothing is attached or detached while it is a member: it goes first, and where it is to stay it is told."""
    cloud.group(members=["vm1", "vm4"], vips=[VIP, "192.168.1.5"])
    words = ("the guest vm4 has 2 network interfaces (net1, net2)",)
    for wanted in (
        goal(None, Vip(present=False)),
        goal(None, Vip("192.168.1.5", present=False)),
        goal(None, exclusive=True),
        goal(None, "192.168.1.9", exclusive=True),
    ):
        refused(cloud, wanted, *words)
    cloud.vips.pop()
    refused(cloud, goal(None, VIP, "e2"), *words)
    refused(cloud, goal(None, VIP, created()), *words)
    assert not apply(cloud, goal(["vm1"])).changed
    apply(cloud, goal(["vm1"], "192.168.1.9", exclusive=True))
    assert cloud.has() == (["vm1"], ["192.168.1.9"], None)
    cloud.members.append(("web-gid", "vm4-id"))
    assert names(apply(cloud, GroupGoal("web", present=False))) == ["unbind guests", "detach VIP", "delete group"]


def test_members_that_came_to_different_networks(cloud):
    cloud.group(members=["vm1", "vm3"], vips=[VIP])
    refused(
        cloud, goal(None, Vip(present=False)), "the guest vm1 on net1; the guest vm3 on net2", "or they are unbound"
    )
    refused(cloud, goal(None, VIP, "e2"), "the guest vm3 on net2")
    assert names(apply(cloud, goal(["vm1"], Vip(present=False), exclusive=True))) == ["unbind guests", "detach VIP"]


def test_the_own_address_is_in_nobodys_way(cloud):
    """Another run with the same wish attached it between two requests."""

    def fault(phase, verb, what):
        if (phase, verb) == ("before", "list_address_users") and cloud.groups and not cloud.vips:
            cloud.add_vip(VIP)

    cloud.fault = fault
    apply(cloud, goal())
    assert cloud.has() == (MEMBERS, [VIP], None)
    assert cloud.mutations == ["create_group", "bind_guests"]


def test_preview(cloud):
    observed, steps = engine.preview(instancegroup, cloud, goal(eip=created()))
    assert [(step.name, step.resource) for step in steps] == [
        ("create group", "web"),
        ("bind guests", "web: vm1, vm2"),
        ("attach VIP", f"web: {VIP}"),
        ("create EIP", "web: 10 Mbit/s"),
    ]
    assert instancegroup.wanted_diff(observed) == {
        "holder": "web",
        "group": {"name": "web", "granularity": 1, "force_dispersion": True},
        "members": MEMBERS,
        "vips": [VIP],
        "eip": None,
    }
    cloud.group(members=["vm1", "vm3"], vips=["192.168.1.5"]).bind_eip()
    wanted = goal(["vm2"], eip="e2", exclusive=True, granularity=2)
    cloud.members.remove(("web-gid", "vm3-id"))
    observed, steps = engine.preview(instancegroup, cloud, wanted)
    assert [step.name for step in steps] == [
        "update group",
        "dissociate EIP",
        "unbind guests",
        "detach VIP",
        "bind guests",
        "attach VIP",
        "associate EIP",
    ]
    assert instancegroup.wanted_diff(observed)["eip"] == EIP and instancegroup.wanted_diff(observed)["vips"] == [VIP]
    assert cloud.mutations == []
    apply(cloud, wanted)
    assert cloud.has() == (["vm2"], [VIP], EIP)
    _observed, steps = engine.preview(instancegroup, cloud, GroupGoal("web", present=False))
    assert [step.name for step in steps] == ["dissociate EIP", "unbind guests", "detach VIP", "delete group"]


# --- what goes


def test_all_goes_in_the_order_that_the_service_demands(cloud):
    apply(cloud, goal(eip="e2"))
    outcome = apply(cloud, GroupGoal("web", present=False))
    assert names(outcome) == ["dissociate EIP", "unbind guests", "detach VIP", "delete group"]
    assert cloud.groups == {} and cloud.vips == [] and cloud.eips["e2-id"]["status"] == "ready"
    assert not apply(cloud, GroupGoal("web", present=False)).changed


def test_parts_go(cloud):
    cloud.group(members=MEMBERS, vips=[VIP]).bind_eip()
    assert names(apply(cloud, goal(None, None, EIP_ABSENT))) == ["dissociate EIP"]
    assert cloud.has() == (MEMBERS, [VIP], None) and "e2-id" in cloud.eips
    assert not apply(cloud, goal(None, None, EIP_ABSENT)).changed
    assert not apply(cloud, goal(None, Vip("192.168.1.99", present=False))).changed
    assert names(apply(cloud, goal(None, Vip(VIP, present=False)))) == ["detach VIP"]
    assert not apply(cloud, goal(None, Vip(present=False))).changed
    assert cloud.has() == (MEMBERS, [], None)


def test_parts_go_together(cloud):
    cloud.group(members=MEMBERS, vips=[VIP, "192.168.1.78"]).bind_eip()
    assert names(apply(cloud, goal(None, Vip(present=False), RELEASED))) == [
        "dissociate EIP",
        "detach VIP",
        "detach VIP",
    ]
    assert cloud.has() == (MEMBERS, [], None) and cloud.eips == {}


def test_an_eip_is_released_only_when_asked(cloud):
    cloud.group(members=MEMBERS, vips=[VIP]).bind_eip()
    assert names(apply(cloud, goal(None, None, Eip("e2", present=False, release=True)))) == ["dissociate EIP"]
    assert cloud.eips == {}
    # Also one that a run which was killed has dissociated, and not yet released.
    cloud.add_eip("e3", "203.0.113.11")
    wanted = goal(None, None, Eip("e3", present=False, release=True))
    assert names(apply(cloud, wanted)) == ["release EIP"] and cloud.eips == {}
    assert not apply(cloud, wanted).changed


def test_an_eip_that_releases_itself(cloud):
    """With auto_dellocate; only where nobody asked for it to go."""
    cloud.group(members=MEMBERS, vips=[VIP]).bind_eip().eips["e2-id"]["auto_dellocate"] = True
    cloud.add_eip("e3", "203.0.113.11")
    refused(cloud, goal(eip="e3", exclusive=True), "e2 (203.0.113.10)", "would be lost", "release=true")
    # It cannot be moved to another VIP, whatever becomes of it; and a preview says so as well.
    for release in (False, True):
        wanted = goal(vip="192.168.1.5", eip=Eip("e2", release=release), exclusive=True)
        refused(cloud, wanted, "would be lost", "cannot be bound again")
        with pytest.raises(engine.Refused, match="would be lost"):
            engine.preview(instancegroup, cloud, wanted)
    apply(cloud, goal(None, None, EIP_ABSENT))
    assert list(cloud.eips) == ["e3-id"]


# --- exclusive


def test_another_vip_and_another_eip_are_replaced_only_with_exclusive(cloud):
    cloud.group(members=MEMBERS, vips=["192.168.1.5"])
    refused(cloud, goal(), "VIP 192.168.1.5 on net1", f"one VIP only, {VIP}", "exclusive")
    assert names(apply(cloud, goal(exclusive=True))) == ["detach VIP", "attach VIP"]
    cloud.bind_eip().add_eip("e3", "203.0.113.11")
    cloud.requests.clear()
    refused(cloud, goal(eip="e3"), EIP, "may have one EIP only", "exclusive")
    assert names(apply(cloud, goal(eip="e3", exclusive=True))) == ["dissociate EIP", "associate EIP"]
    assert cloud.has() == (MEMBERS, [VIP], "203.0.113.11") and "e2-id" in cloud.eips


def test_a_vip_is_not_replaced_under_an_eip_that_nobody_named(cloud):
    cloud.group(members=MEMBERS, vips=["192.168.1.5"]).bind_eip()
    for eip in (None, created(bandwidth=5)):
        refused(cloud, goal(eip=eip, exclusive=True), "cannot be detached while it has that EIP", "eip_id")
    refused(cloud, goal(None, Vip(present=False)), "eip: state=absent")
    apply(cloud, goal(eip="e2", exclusive=True))
    assert cloud.has() == (MEMBERS, [VIP], EIP)


def test_several_vips_are_refused_or_reduced(cloud):
    cloud.group(members=MEMBERS, vips=[VIP, "192.168.1.253"])
    refused(cloud, goal(), "VIP 192.168.1.253", "one VIP only")
    refused(cloud, goal(vip=Vip()), "VIP 192.168.1.253", "one VIP only")
    assert names(apply(cloud, goal(exclusive=True))) == ["detach VIP"]
    cloud.add_vip("192.168.1.253")
    cloud.bind_eip("e2", cloud.vips[1])
    apply(cloud, goal(vip=Vip(), exclusive=True))
    assert cloud.has() == (MEMBERS, ["192.168.1.253"], EIP)


def test_all_is_exchanged_for_another_network(cloud):
    cloud.group(members=MEMBERS, vips=[VIP]).bind_eip()
    wanted = goal(["vm3"], Vip("192.168.2.9"), "e2")
    refused(cloud, wanted, "one VIP only, 192.168.2.9")
    apply(cloud, goal(["vm3"], Vip("192.168.2.9"), "e2", exclusive=True))
    assert cloud.has() == (["vm3"], ["192.168.2.9"], EIP)


# --- refused before anything is changed (facts: A.6)

BAD_INPUT = [
    (goal(["vm1", "vm9"]), ["members: there is no guest vm9"]),
    (goal(["vm1", "vm3"]), ["must be on one network", "the guest vm1 on net1", "the guest vm3 on net2"]),
    (goal(["vm1", "vm4"]), ["the guest vm4 has 2 network interfaces (net1, net2)"]),
    (goal(["vm1", "theirs"]), ["the guest theirs is of another project, other"]),
    (goal(vip="10.0.0.1"), ["10.0.0.1 is not in the range of network net1, 192.168.1.2 to 192.168.1.253"]),
    (goal(vip="192.168.1.11"), ["192.168.1.11 on network net1 is in use by the guest vm1"]),
    (goal(vip="192.168.1.60"), ["is reserved"]),
    (goal(vip="192.168.1"), ["'192.168.1' is not an IPv4 address"]),
    (goal(vip="fd00::1"), ["'fd00::1' is not an IPv4 address"]),
    (goal(vip=Vip(VIP, network="net2")), ["the guest vm1, the guest vm2 on net1; network_id on net2"]),
    (goal(vip=Vip(VIP, network="nope")), ["network_id: there is no network nope"]),
    (goal(vip=Vip(alloc_dir="bogus")), ["alloc_dir: 'bogus' is none of stepdown, stepup, random, none"]),
    (goal([]), ["give network_id"]),
    (goal(None), ["give network_id"]),
    (goal(vip=None, eip="e2"), ["has no VIP that could have an EIP: give vip"]),
    (goal(vip=None, eip=created()), ["has no VIP that could have an EIP: give vip"]),
    (goal(["vm5"], Vip(), "e2"), ["classic", "only a VIP on a network of a VPC"]),
    (goal(["vm5"], Vip(), created()), ["classic", "only a VIP on a network of a VPC"]),
    (goal(eip="e9"), ["eip_id: there is no EIP e9"]),
    (goal(eip=created(line="NOPE")), ["bgp_type: there is no line of type 'NOPE'", "there is: BGP"]),
    (goal(eip=created(line=None)), ["bgp_type", "there is: BGP"]),
    (goal(eip=created(charge_type="traffic")), ["charge_type: 'traffic' cannot be"]),
    (goal(eip=created(bandwidth=0)), ["bandwidth"]),
    (goal(eip=created(bandwidth=-1)), ["bandwidth: -1 is not at least 1"]),
    (goal(eip=Eip()), ["give eip_id", "or bandwidth"]),
    (goal(eip=Eip("e2", bandwidth=5)), ["not with eip_id"]),
    (goal(vip=Vip(present=False), eip="e2"), ["it needs a VIP"]),
    (goal(granularity=0), ["granularity: 0 is not at least 1"]),
    (GroupGoal("web", ["vm1"], present=False), ["state: absent takes away all"]),
    (GroupGoal("web", eip=Eip("e2"), present=False), ["state: absent takes away all"]),
]


@pytest.mark.parametrize(("wanted", "words"), BAD_INPUT)
@pytest.mark.parametrize("there", [False, True])
def test_bad_input(cloud, there, wanted, words):
    if there:
        cloud.group()
    refused(cloud, wanted, *words)


def test_bad_input_for_a_group_that_has_a_vip(cloud):
    cloud.group(members=["vm1"], vips=[VIP])
    refused(cloud, goal(["vm3"], None), f"the guest vm3 on net2; the VIP {VIP} on net1")
    refused(cloud, goal(["vm4"], None), "the guest vm4 has 2 network interfaces")
    refused(cloud, goal(["vm9"], None), "no guest vm9")
    refused(cloud, goal(None, Vip(VIP, network="net2")), "one VIP only")


def test_members_that_cannot_have_a_vip(cloud):
    """The service lets them into a group that has none."""
    cloud.group(members=["vm1", "vm3"])
    refused(cloud, goal(None), "the guest vm1 on net1; the guest vm3 on net2")
    cloud.group(members=["vm4"], name="db")
    refused(cloud, goal(None, group="db"), "the guest vm4 has 2 network interfaces")


def test_of_another_projects_guest_nothing_else_is_told(cloud):
    with pytest.raises(engine.Refused) as caught:
        apply(cloud, goal(["vm1", "theirs"]))
    assert len(caught.value.problems) == 1 and "of another project" in caught.value.problems[0]


def test_an_address_of_another_group(cloud):
    cloud.group(name="db", members=["vm1"], vips=[VIP])
    refused(cloud, goal(["vm2"]), f"{VIP} on network net1 is in use by the group db")


def test_an_eip_that_cannot_be_had(cloud):
    cloud.group(name="db", members=["vm1"], vips=["192.168.1.5"]).bind_eip(gid="db-gid")
    refused(cloud, goal(eip="e2"), "e2 (203.0.113.10) is associated with instancegroup db", "dissociate it there")
    refused(cloud, goal(None, None, Eip("e2", present=False, release=True), group="web"), "cannot be released")
    cloud.add_eip("e4", "1.2.3.4", mode="public_ip")
    refused(cloud, goal(eip="e4"), "fixed public address")
    cloud.add_eip("e5", "192.168.1.9", network_id="net1-id")
    refused(cloud, goal(eip="e5"), "same network as the VIP")
    cloud.add_eip("e6", "1.2.3.6", status="allocate_fail")
    refused(cloud, goal(eip="e6"), "its status is allocate_fail")


def test_a_second_eip_is_refused_before_it_is_asked_for(cloud):
    cloud.group(members=MEMBERS, vips=[VIP]).bind_eip().add_eip("e3", "203.0.113.11")
    refused(cloud, goal(eip="e3"), "may have one EIP only")
    refused(cloud, goal(eip=created()), "bandwidth: the group's EIP e2 (203.0.113.10) has 5, and 10 is wanted")
    assert not apply(cloud, goal(eip=created(bandwidth=5))).changed


def test_an_eip_on_another_vip(cloud):
    cloud.group(members=MEMBERS, vips=["192.168.1.5"])
    cloud.bind_eip()
    cloud.add_vip(VIP)
    refused(cloud, goal(eip="e2"), "one VIP only")


def test_a_disabled_group(cloud):
    cloud.group(members=["vm1"], vips=[VIP]).groups["web-gid"]["enabled"] = False
    for wanted in (goal(), goal(["vm1"], None, members_present=False), GroupGoal("web", present=False)):
        refused(cloud, wanted, "the group web is disabled", "enable it")
    # It is members only that the service does not let come and go.
    assert not apply(cloud, goal(["vm1"])).changed
    for wanted, step in (
        (goal(None, None, granularity=3), "update group"),
        (goal(None, None, "e2"), "associate EIP"),
        (goal(None, None, EIP_ABSENT), "dissociate EIP"),
        (goal(None, Vip(present=False)), "detach VIP"),
        (goal(None), "attach VIP"),
    ):
        assert names(apply(cloud, wanted)) == [step]


def test_another_projects_group(cloud):
    cloud.group(project="p2")
    with pytest.raises(engine.Failed, match="not enough privilege") as caught:
        apply(cloud, goal())
    assert isinstance(caught.value.error, Denied) and "nothing was changed" in str(caught.value)
    # Who sees all projects could take it for its own.
    cloud.seen.add("p2")
    refused(cloud, goal(), "is of another project, other, and not of mine", "web-gid")
    assert not apply(cloud, goal(**NOBODY, group="web-gid")).changed


# --- EIPs that come to nothing


def failed(cloud, wanted, *words, changed=True, **keys):
    with pytest.raises(engine.Failed) as caught:
        apply(cloud, wanted, **keys)
    for word in words:
        assert word in str(caught.value), str(caught.value)
    assert bool(caught.value.steps) == changed
    return caught.value


def test_a_new_eip_that_fails_is_told_and_not_left_behind(cloud):
    for way, words in (("associate", "has the status associate_fail"), ("allocate", "could not be allocated")):
        cloud.fail = way
        error = failed(
            cloud, goal(eip=created()), "could not be bound to the VIP of group web", "eip-for-grp-web", words
        )
        assert error.steps[-1].name == {"associate": "dissociate EIP", "allocate": "release EIP"}[way]
        assert list(cloud.eips) == ["e2-id"] and cloud.leftovers == [] and cloud.has() == (MEMBERS, [VIP], None)
    cloud.fail = ""
    assert apply(cloud, goal(eip=created())).changed and cloud.has()[2]


def test_an_existing_eip_that_fails_and_would_be_lost_is_left_where_it_is(cloud):
    cloud.fail = "associate"
    cloud.eips["e2-id"]["auto_dellocate"] = True
    failed(cloud, goal(eip="e2"), "e2 (203.0.113.10)", "would be lost")
    assert list(cloud.eips) == ["e2-id"] and "dissociate_eip" not in cloud.mutations
    cloud.fail = ""
    cloud.requests.clear()
    refused(cloud, goal(eip="e2"), "would be lost", "ask for another one")
    assert list(cloud.eips) == ["e2-id"]


def test_an_eip_that_failed_and_is_wanted_again_is_not_released(cloud):
    cloud.group(members=MEMBERS, vips=[VIP]).fail_eip()
    assert names(apply(cloud, goal(eip=Eip("e2", release=True)))) == ["dissociate EIP", "associate EIP"]
    assert cloud.has()[2] == EIP
    cloud.group("db", members=["vm1"], vips=["192.168.1.5"]).add_eip("e3", "203.0.113.11", auto_dellocate=True)
    cloud.fail_eip("e3", "db-gid").requests.clear()
    wanted = goal(["vm1"], Vip(), Eip("e3", release=True), group="db")
    refused(cloud, wanted, "would be lost", "cannot be bound again")


def test_an_eip_that_is_moved_is_not_released(cloud):
    cloud.group(members=MEMBERS, vips=["192.168.1.5"]).bind_eip()
    apply(cloud, goal(eip=Eip("e2", release=True), exclusive=True))
    assert cloud.has() == (MEMBERS, [VIP], EIP)


def stuck(cloud, name="web"):
    """A group whose EIP could not be allocated keeps its status for ever."""
    cloud.group(name, members=MEMBERS, vips=[VIP])
    cloud.create_eip(f"{name}-gid", {"ip_addr": VIP, "bandwidth": 5, "bgp_type": "BGP", "auto_dellocate": False})
    cloud.settle()
    assert cloud.groups[f"{name}-gid"]["status"] == "associate_eip"
    cloud.requests.clear()


@pytest.mark.parametrize("left", [True, False])
def test_a_group_that_is_stuck_gets_another_eip(cloud, left):
    """Whether the EIP that failed is still there, or somebody has deleted it."""
    stuck(cloud)
    if not left:
        del cloud.eips["eip-for-grp-web-id"]
    told = warnings(look(cloud, "web", loose=True))
    assert "no EIP is on its way" in told[-1] and ("could not be allocated" in told[0]) == left
    wanted = goal(eip=created())
    _observed, steps = engine.preview(instancegroup, cloud, wanted)
    expected = [*(["release EIP"] if left else []), "create EIP"]
    assert [step.name for step in steps] == expected and names(apply(cloud, wanted)) == expected
    assert cloud.has()[2] and cloud.leftovers == [] and len(cloud.eips) == 2
    assert not apply(cloud, wanted).changed and cloud.mutations.count("create_eip") == 1


def test_a_group_that_is_stuck_gets_an_existing_eip(cloud):
    stuck(cloud)
    assert names(apply(cloud, goal(eip="e2"))) == ["associate EIP"] and cloud.has()[2] == EIP


@pytest.mark.parametrize(
    ("wanted", "steps"),
    [
        (GroupGoal("web", present=False), ["unbind guests", "detach VIP", "release EIP", "delete group"]),
        (goal(None, None, EIP_ABSENT), ["release EIP"]),
        (goal(None, Vip(present=False)), ["detach VIP"]),
        (goal(["vm1"], None, exclusive=True), ["unbind guests"]),
        (goal(), []),
    ],
)
def test_a_group_that_is_stuck_can_be_changed_and_deleted(cloud, wanted, steps):
    stuck(cloud)
    assert names(apply(cloud, wanted)) == steps
    assert ("release EIP" in steps) == (cloud.leftovers == [])


def test_what_cannot_be_seen_yet_is_given_a_moment(cloud):
    """Another run has just asked: its EIP comes to be seen a little later."""
    cloud.group(members=MEMBERS, vips=[VIP]).groups["web-gid"]["status"] = "associate_eip"

    def come():
        cloud.bind_eip().groups["web-gid"]["status"] = "init"

    cloud.tasks.append((cloud.clock() + 2, come))
    assert not apply(cloud, goal(eip="e2")).changed and cloud.mutations == []
    assert not apply(cloud, goal(eip=created(bandwidth=5))).changed and cloud.mutations == []


def test_an_eip_that_looks_like_the_second_of_a_group(cloud):
    """It is the first one of another group."""
    cloud.group("web-1", members=["vm1"], vips=["192.168.1.5"])
    cloud.fail = "allocate"
    cloud.create_eip("web-1-gid", {"bandwidth": 5, "bgp_type": "BGP", "auto_dellocate": False})
    cloud.settle()
    cloud.fail = ""
    stuck(cloud)
    assert sorted(cloud.eips) == ["e2-id", "eip-for-grp-web-1-id", "eip-for-grp-web-id"]
    apply(cloud, GroupGoal("web", present=False))
    assert sorted(cloud.eips) == ["e2-id", "eip-for-grp-web-1-id"]


@pytest.mark.parametrize("name", ["双网", "Café Ω", "Ω", "n" * 128, "a.b+(c)"])
@pytest.mark.parametrize("way", ["associate", "allocate"])
def test_an_eip_that_fails_is_released_whatever_the_group_is_called(cloud, name, way):
    """The service makes another name of it; one that was there before is left alone."""
    cloud.add_eip("eip-for-grp-shuangwang-9", "203.0.113.44", status="allocate_fail").pop("ip_addr")
    cloud.fail = way
    failed(cloud, goal(group=name, eip=created()), "could not be bound")
    assert sorted(cloud.eips) == ["e2-id", "eip-for-grp-shuangwang-9-id"]
    cloud.fail = ""
    assert names(apply(cloud, goal(group=name, eip=created()))) == ["create EIP"]
    assert cloud.has(name)[2]


def test_an_existing_eip_that_fails_is_kept(cloud):
    cloud.fail = "associate"
    failed(cloud, goal(eip="e2"), "e2 (203.0.113.10) has the status associate_fail")
    assert list(cloud.eips) == ["e2-id"] and cloud.leftovers == []
    cloud.fail = ""
    apply(cloud, goal(eip="e2"))
    assert cloud.has()[2] == EIP


def test_an_eip_that_does_not_come_back_to_the_next_vip(cloud):
    cloud.group(members=MEMBERS, vips=["192.168.1.5"]).bind_eip().fail = "associate"
    failed(cloud, goal(eip="e2", exclusive=True), "e2 (203.0.113.10) has the status associate_fail")
    assert cloud.has() == (MEMBERS, [VIP], None) and list(cloud.eips) == ["e2-id"] and cloud.leftovers == []
    cloud.fail = ""
    assert names(apply(cloud, goal(eip="e2", exclusive=True))) == ["associate EIP"]


def test_what_failed_before_is_put_away_first(cloud):
    cloud.group(members=MEMBERS, vips=[VIP]).fail_eip()
    assert names(apply(cloud, goal(eip="e2"))) == ["dissociate EIP", "associate EIP"]
    cloud.group("db", ["vm1"], ["192.168.1.5"])
    cloud.add_eip("eip-for-grp-db-1", "203.0.113.44")
    cloud.fail_eip("eip-for-grp-db-1", "db-gid").add_eip("eip-for-grp-db", "203.0.113.45")
    apply(cloud, goal(["vm1"], Vip(), created(), group="db"))
    # Which was made for nothing is released; which somebody keeps is not.
    assert sorted(cloud.eips) == ["e2-id", "eip-for-grp-db-3-id", "eip-for-grp-db-id"] and cloud.leftovers == []
    cloud.group("tool", ["vm2"], ["192.168.1.6"]).add_eip("theirs", "203.0.113.46")
    cloud.fail_eip("theirs", "tool-gid")
    apply(cloud, goal(["vm2"], Vip(), created(), group="tool"))
    assert "theirs-id" in cloud.eips and cloud.leftovers == []


def test_a_dissociation_that_fails(cloud):
    cloud.group(members=MEMBERS, vips=[VIP]).bind_eip().fail = "dissociate"
    for wanted in (goal(None, None, EIP_ABSENT), GroupGoal("web", present=False)):
        failed(cloud, wanted, "could not be dissociated", "dissociate_fail")
    assert cloud.has() == (MEMBERS, [VIP], EIP)
    cloud.fail = ""
    apply(cloud, GroupGoal("web", present=False))
    assert cloud.groups == {}


def test_a_release_that_fails(cloud):
    cloud.group(members=MEMBERS, vips=[VIP]).bind_eip().fail = "release"
    failed(
        cloud, goal(None, None, RELEASED), "e2 (203.0.113.10) is dissociated, and could not be released", "delete it"
    )
    assert cloud.has() == (MEMBERS, [VIP], None)


def test_an_eip_that_never_comes(cloud):
    cloud.latency = 1000
    error = failed(cloud, goal(eip=created()), "not done within 60 s", "associate_eip", "run it again")
    assert [step.name for step in error.steps][-1] == "create EIP"
    cloud.settle()
    assert not apply(cloud, goal(eip=created())).changed


def test_what_another_run_has_begun_is_waited_for(cloud):
    cloud.group(members=MEMBERS, vips=[VIP])
    cloud.create_eip("web-gid", {"bandwidth": 10, "bgp_type": "BGP", "auto_dellocate": False})
    events = []
    outcome = apply(cloud, goal(eip=created()), notify=events.append)
    assert not outcome.changed and cloud.has()[2]
    assert events[0]["reason"].startswith(plan.AT_WORK)


def test_an_eip_that_is_taken_away_at_once(cloud):
    cloud.group(members=MEMBERS, vips=[VIP])

    def fault(phase, verb, what):
        if verb == "get_group" and phase == "before" and cloud.has()[2]:
            cloud._let_go(cloud.eips["e2-id"])

    cloud.fault = fault
    failed(cloud, goal(eip="e2"), "is not bound any more")


def test_more_eips_than_one_all_go(cloud):
    cloud.group(members=MEMBERS, vips=[VIP]).bind_eip().add_eip("e3", "203.0.113.11")
    cloud.fail_eip("e3")
    assert not apply(cloud, goal(eip="e2")).changed
    refused(cloud, goal(None, None, Eip("e2", present=False)), "several EIPs", "leave out eip_id")
    assert names(apply(cloud, goal(None, None, EIP_ABSENT))) == ["dissociate EIP", "dissociate EIP"]
    assert cloud.has()[2] is None and cloud.leftovers == [] and sorted(cloud.eips) == ["e2-id", "e3-id"]


# --- killed, and errors, at every request

PRESENT = goal(eip=created())
EXISTING = goal(eip="e2")
EXCHANGED = goal(["vm3"], Vip("192.168.2.9"), "e2", exclusive=True)
ABSENT = GroupGoal("web", present=False)
GONE = GroupGoal("web", eip=RELEASED, present=False)
GOALS = {"present": PRESENT, "existing": EXISTING, "exchanged": EXCHANGED, "absent": ABSENT, "gone": GONE}


def begin(name):
    cloud = Groups()
    if name in ("exchanged", "absent", "gone"):
        cloud.group(members=MEMBERS, vips=["192.168.1.5"]).bind_eip()
    return cloud


def check_end(name, cloud):
    cloud.settle()
    assert cloud.leftovers == []
    if name == "present":
        assert cloud.has() == (MEMBERS, [VIP], cloud.vips[0]["eip_addr"]) and len(cloud.eips) == 2
    elif name == "existing":
        assert cloud.has() == (MEMBERS, [VIP], EIP) and len(cloud.eips) == 1
    elif name == "exchanged":
        assert cloud.has() == (["vm3"], ["192.168.2.9"], EIP) and len(cloud.eips) == 1
    else:
        assert cloud.has() is None and cloud.vips == [] and cloud.members == []
        # The group and what says that it had an EIP may be gone before it is known that nobody released that.
        assert name == "gone" or list(cloud.eips) == ["e2-id"]


def requests_of(name):
    cloud = begin(name)
    apply(cloud, GOALS[name])
    check_end(name, cloud)
    assert name != "gone" or cloud.eips == {}
    return len(cloud.requests)


class At:
    """Raises an error at one request, before or after it takes effect; while an EIP action runs "
    "time may have passed."""

    def __init__(self, cloud, number, phase, error):
        self.cloud, self.number, self.phase, self.error = cloud, number, phase, error

    def __call__(self, phase, verb, what):
        if phase == self.phase and len(self.cloud.requests) == self.number:
            raise self.error


@pytest.mark.parametrize("name", GOALS)
@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize("settled", [False, True])
def test_killed_at_every_request(name, phase, settled):
    total = requests_of(name)
    assert total > 15
    for number in range(1, total + 1):
        cloud = begin(name)
        cloud.fault = At(cloud, number, phase, Crash())
        with pytest.raises(Crash):
            apply(cloud, GOALS[name])
        cloud.fault = lambda *_: None
        if settled:
            cloud.settle()
        apply(cloud, GOALS[name])
        check_end(name, cloud)
        cloud.requests.clear()
        assert not apply(cloud, GOALS[name]).changed and cloud.mutations == [], number


@pytest.mark.parametrize("name", GOALS)
@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize("error", [Unavailable("busy", status=503), Lost("the connection broke")])
def test_what_passes_at_every_request(name, phase, error):
    """It goes on by itself, repeats nothing that took effect, and says that it changed what it changed."""
    total, reference = requests_of(name), begin(name)
    steps = [step.name for step in apply(reference, GOALS[name]).steps]
    for number in range(1, total + 1):
        cloud = begin(name)
        cloud.fault = At(cloud, number, phase, error)
        outcome = apply(cloud, GOALS[name])
        check_end(name, cloud)
        assert names(outcome) == steps, (number, cloud.requests[number - 1])
        assert name != "gone" or cloud.eips == {}


@pytest.mark.parametrize("name", GOALS)
@pytest.mark.parametrize("error", [Denied("no", status=403), Quota("no more", status=403)])
def test_what_does_not_pass_at_every_request(name, error):
    """It fails, says so, and goes on when it is run again."""
    unharmed = begin(name)
    apply(unharmed, GOALS[name])
    reference = [verb for verb, _what in unharmed.requests]
    for number in range(1, len(reference) + 1):
        cloud = begin(name)
        cloud.fault = At(cloud, number, "before", error)
        if isinstance(error, Denied) and reference[number - 1] in ("list_eip_networks", "get_vpc"):
            # Who may not see which lines there are, or the VPC, may have an EIP all the same.
            apply(cloud, GOALS[name])
            continue
        with pytest.raises(engine.Failed) as caught:
            apply(cloud, GOALS[name])
        assert ("nothing was changed" in str(caught.value)) == (not caught.value.steps)
        cloud.fault = lambda *_: None
        apply(cloud, GOALS[name])
        check_end(name, cloud)


def test_an_error_that_stays_is_told_as_it_is(cloud):
    def fault(phase, verb, what):
        if (phase, verb) == ("before", "create_eip"):
            raise NotFound("no usable eip network", status=404)

    cloud.fault = fault
    failed(cloud, PRESENT, "no usable eip network", f"has VIP {VIP} on net1", "done until then: create group web")
    assert [each for each in cloud.mutations if each == "create_eip"] == 3 * ["create_eip"]


def test_an_address_that_is_taken_meanwhile(cloud):
    def fault(phase, verb, what):
        if (phase, verb) == ("before", "attach_network"):
            cloud.group("thief", ["vm1"], [VIP])

    cloud.fault = fault
    failed(cloud, goal(), f"{VIP} on network net1 is in use by the group thief")
    # By somebody who cannot be seen: the service is believed in the end.
    unseen = Groups()
    unseen.reserved.add(("net1-id", VIP))
    unseen.list_address_users = lambda *_: []
    failed(unseen, goal(), "is occupied!")
    assert unseen.mutations.count("attach_network") == 3


@pytest.mark.parametrize("settled", [False, True])
def test_an_eip_that_fails_with_a_run_killed_at_every_request(settled):
    wanted = GOALS["present"]
    for fail in ("associate", "allocate"):
        for number in range(1, 200):
            cloud = Groups()
            cloud.fail = fail
            cloud.fault = At(cloud, number, "after", Crash())
            with pytest.raises((Crash, engine.Failed)) as ended:
                apply(cloud, wanted)
            cloud.fault, cloud.fail = (lambda *_: None), ""
            if settled:
                cloud.settle()
            apply(cloud, wanted)
            cloud.settle()
            assert cloud.has()[:2] == (MEMBERS, [VIP]) and cloud.has()[2] and cloud.leftovers == [], number
            assert len(cloud.eips) == 2, number
            if ended.type is not Crash:
                break
        assert ended.type is engine.Failed and number > 30
