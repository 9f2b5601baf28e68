# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import (
    AlreadyExists,
    Denied,
    Invalid,
    Lost,
    NotFound,
    Quota,
    Stale,
    Unavailable,
)
from ansible_collections.cloudha.vip.plugins.module_utils.failover import engine
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.havip_cloud import (
    CLOUDS,
    Huawei,
    Neutron,
    OldNeutron,
    Stack,
    X,
    Y,
    bind,
    goal,
)
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.runs import Crash

PORTS = (Neutron, OldNeutron, Huawei)


def names(outcome):
    return [step.name for step in outcome.steps]


def complaints(cloud, wanted):
    """What is wrong with the virtual IPs, when what is wanted is reached."""
    observed = bind(cloud, wanted).after.observed
    return cloud.procedure.complaints(observed, observed.vips)


def refused(cloud, wanted):
    """What is said about it; nothing is changed."""
    before = copy.deepcopy([getattr(cloud, each, None) for each in ("ports", "vips", "external")])
    with pytest.raises(engine.Refused) as error:
        bind(cloud, wanted)
    assert cloud.mutations() == []
    assert before == [getattr(cloud, each, None) for each in ("ports", "vips", "external")]
    with pytest.raises(engine.Refused):
        engine.preview(cloud.procedure, cloud, wanted)
    return str(error.value)


# --- what it does


@pytest.mark.parametrize("make", CLOUDS)
def test_creates_and_binds(make):
    cloud = make()
    wanted = goal("n1", "node2")
    before, planned = engine.preview(cloud.procedure, cloud, wanted)
    assert cloud.mutations() == [] and before.to_diff() == {}
    outcome = bind(cloud, wanted)
    assert cloud.bound() == {"n1", "n2"}
    assert names(outcome) == [step.name for step in planned]
    assert outcome.after.to_diff()["address"] == X and len(outcome.after.to_diff()["members"]) == 2
    assert cloud.procedure.wanted_diff(before)["members"] == outcome.after.to_diff()["members"] or make is Stack
    cloud.requests.clear()
    again = bind(cloud, wanted)
    assert not again.changed and cloud.mutations() == []


@pytest.mark.parametrize("make", CLOUDS)
def test_an_address_that_the_cloud_chooses(make):
    cloud = make()
    outcome = bind(cloud, goal("n1", address=None))
    assert outcome.after.vip.address == "10.0.0.200" and cloud.bound("10.0.0.200") == {"n1"}
    assert not bind(cloud, goal("n1", address=None)).changed


@pytest.mark.parametrize("make", CLOUDS)
def test_members_are_added_unless_exclusive(make):
    cloud = make()
    cloud.make(X, ["n1", "n2"])
    assert bind(cloud, goal("n3")).changed
    assert cloud.bound() == {"n1", "n2", "n3"}
    assert not bind(cloud, goal()).changed and cloud.bound() == {"n1", "n2", "n3"}
    bind(cloud, goal("n3", "n4", exclusive=True))
    assert cloud.bound() == {"n3", "n4"}
    bind(cloud, goal(members=[], exclusive=True))
    assert cloud.bound() == set()


@pytest.mark.parametrize("make", CLOUDS)
def test_renames(make):
    cloud = make()
    info = cloud.make(X, ["n1"])
    id = info.get("id") or info["VIPID"]  # noqa: A001
    outcome = bind(cloud, goal(name="new"))
    assert names(outcome) == ["update virtual IP"] and outcome.after.vip.name == "new" and cloud.bound() == {"n1"}
    assert bind(cloud, goal(name="newer", address=None, vip_id=id)).after.vip.name == "newer"
    if make is not Huawei:
        assert bind(cloud, goal(name=None, remark="for the web")).after.vip.remark == "for the web"
        assert (cloud.vip().get("name") or cloud.vip().get("Name")) == "newer"
    assert not bind(cloud, goal(name=None)).changed


@pytest.mark.parametrize("make", CLOUDS)
@pytest.mark.parametrize("wanted", [{"address": None}, {}, {"name": "new"}, {"present": False}])
def test_a_list_that_lags_behind(make, wanted):
    """By less than a second, as the replicas of a database do: what makes something new is done once."""
    cloud = make()
    if wanted and "address" not in wanted:
        cloud.make(X, ["n1"])
    name = "describe_vips" if make is Stack else "list_ports"
    listed, answers = getattr(cloud, name), []

    def lagging(*arguments):
        answers.append((cloud.clock(), copy.deepcopy(listed(*arguments))))
        old = [answer for at, answer in answers if at <= cloud.clock() - 0.5]
        return copy.deepcopy(old[-1] if old else answers[0][1])

    setattr(cloud, name, lagging)
    outcome = bind(cloud, goal(*() if wanted.get("present") is False else ("n1",), **wanted))
    for name in names(outcome):
        assert names(outcome).count(name) <= (1 if name.endswith("virtual IP") else 4)


@pytest.mark.parametrize("make", CLOUDS)
def test_deletes_after_unbinding(make):
    cloud = make()
    cloud.make(X, ["n1", "n2"])
    cloud.make(Y, ["n2"], name="other")
    outcome = bind(cloud, goal(present=False))
    assert cloud.deleted == [(X, set())] and cloud.bound(Y) == {"n2"} and outcome.after.to_diff() == {}
    assert names(outcome)[-1] == "delete virtual IP"
    assert not bind(cloud, goal(present=False)).changed


@pytest.mark.parametrize("make", PORTS)
def test_external_addresses(make):
    cloud = make()
    outcome = bind(cloud, goal("n1", external="203.0.113.1"))
    assert names(outcome)[-1] == "attach external address"
    assert cloud.external["eip1"]["port_id"] == cloud.vip()["id"]
    assert not bind(cloud, goal(external="eip1")).changed and not bind(cloud, goal()).changed
    assert "can have only one" in refused_again(cloud, goal(external="eip2"))
    assert names(bind(cloud, goal("n1", external="eip2", exclusive=True))) == [
        "detach external address",
        "attach external address",
    ]
    bind(cloud, goal(external=""))
    assert [each["port_id"] for each in cloud.external.values()] == [None, None]
    bind(cloud, goal(external="eip1"))
    outcome = bind(cloud, goal(present=False))
    assert names(outcome)[0] == "detach external address" and cloud.deleted == [(X, set())]


@pytest.mark.parametrize("make", PORTS)
def test_an_external_address_that_somebody_moves_meanwhile(make):
    cloud = make()
    cloud.make(X, ["n1"])
    cloud.external["eip1"]["port_id"] = cloud.vip()["id"]

    def fault(moment, verb):
        if moment == "after" and verb == "list_external" and cloud.external["eip1"]["port_id"] != "n4":
            cloud.external["eip1"].update(port_id="n4", revision_number=9)

    cloud.fault = fault
    assert not bind(cloud, goal(external="")).after.vip.external
    assert cloud.external["eip1"]["port_id"] == "n4"


def refused_again(cloud, wanted):
    cloud.requests.clear()
    return refused(cloud, wanted)


@pytest.mark.parametrize("make", [Neutron, OldNeutron])
def test_pairs_of_others_stay(make):
    cloud = make()
    vmac = {"ip_address": "10.0.0.77", "mac_address": "00:00:5e:00:01:33"}
    broad = {"ip_address": "10.9.0.0/16"}
    cloud.write("n1", [vmac, broad, {"ip_address": Y}])
    kept = cloud.ports["n1"]["allowed_address_pairs"]
    bind(cloud, goal("n1"))
    assert cloud.ports["n1"]["allowed_address_pairs"] == [
        *kept,
        {"ip_address": X, "mac_address": cloud.ports["n1"]["mac_address"]},
    ]
    bind(cloud, goal(present=False))
    assert cloud.ports["n1"]["allowed_address_pairs"] == kept


def test_another_spelling_of_a_pair_is_the_same():
    cloud = Neutron()
    cloud.make(X)
    cloud.write("n1", [{"ip_address": f"{X}/32"}])
    assert not bind(cloud, goal("n1")).changed
    # Of another MAC address it is not; and whoever deletes the virtual IP has to remove both.
    cloud.write("n2", [{"ip_address": X, "mac_address": "00:00:5e:00:01:33"}])
    assert names(bind(cloud, goal("n1", "n2"))) == ["bind member"]
    bind(cloud, goal(present=False))
    assert cloud.pairs("n1") == cloud.pairs("n2") == set()


def test_members_of_a_virtual_ip_that_somebody_deleted():
    cloud = Neutron()
    cloud.make(X, ["n1", "n2"])
    del cloud.ports[f"v-{X}"]
    assert bind(cloud, goal(present=False)).changed
    assert cloud.pairs("n1") == cloud.pairs("n2") == set()
    # But not, if the address is somebody else's by now.
    cloud.make(X, ["n1"])
    cloud.ports[f"v-{X}"].update(device_id="stranger", device_owner="compute:nova")
    assert "belongs to port" in refused_again(cloud, goal(present=False)) and cloud.pairs("n1") == {X}


def test_huawei_switches_the_check_off_and_on():
    cloud = Huawei()
    cloud.write("n1", [{"ip_address": "10.0.0.77"}])
    outcome = bind(cloud, goal("n1", "n2"))
    assert names(outcome)[1:] == ["switch source/destination check off"] * 2 + ["update members"]
    assert cloud.pairs("n1") == {"10.0.0.77", "1.1.1.1/0"}
    bind(cloud, goal("n2", exclusive=True))
    assert cloud.pairs("n1") == {"10.0.0.77", "1.1.1.1/0"}  # nobody has asked for it
    bind(cloud, goal("n1"))
    cloud.make(Y, ["n2"], name="other")
    cloud.write("n2", [{"ip_address": "1.1.1.1/0"}])
    bind(cloud, goal(present=False, restore_check=True))
    assert cloud.pairs("n1") == {"10.0.0.77"}
    assert cloud.pairs("n2") == {"1.1.1.1/0"}  # the other virtual IP needs it


def test_huawei_switches_the_check_of_others_off_and_on():
    cloud = Huawei()
    cloud.write("n3", [{"ip_address": "10.0.0.77"}])
    wanted = goal("n1", "n2", unchecked=["n2", "n3", "n3"])
    assert names(bind(cloud, wanted))[1:] == ["switch source/destination check off"] * 3 + ["update members"]
    assert cloud.bound() == {"n1", "n2"} and cloud.pairs("n3") == {"10.0.0.77", "1.1.1.1/0"}
    assert not bind(cloud, wanted).changed
    # Who is unbound and is to have it off keeps it off.
    bind(cloud, goal("n1", exclusive=True, restore_check=True, unchecked=["n2"]))
    assert cloud.bound() == {"n1"} and cloud.pairs("n2") == {"1.1.1.1/0"}
    assert "source_check_off: there is no port" in refused_again(cloud, goal("n1", unchecked=["n9"]))
    # What is not there any more need not be put right.
    bind(cloud, goal(present=False, unchecked=["n3", "n9"]))
    assert cloud.pairs("n3") == {"10.0.0.77", "1.1.1.1/0"}  # nobody has asked for it
    bind(cloud, goal(present=False, restore_check=True, unchecked=["n3"]))
    assert cloud.pairs("n3") == {"10.0.0.77"}


def test_once_an_address_is_given_back_nobody_may_use_it_with_whatever_mac_address():
    cloud = Neutron()
    cloud.make(X, ["n1", "n2"])
    cloud.write("n2", [{"ip_address": X, "mac_address": "00:00:5e:00:01:33"}])
    bind(cloud, goal(present=False))
    assert cloud.pairs("n1") == cloud.pairs("n2") == set()


def test_a_network_that_covers_the_address_of_others_is_told():
    cloud = Neutron()
    cloud.make(X, ["n1", "n2"])
    mac = {"mac_address": cloud.ports["n3"]["mac_address"]}
    for pair, told in (("10.0.0.0/25", True), ("10.9.0.0/16", False), ("0.0.0.0/0", False), ("10.0.0.77", False)):
        cloud.write("n3", [{"ip_address": pair, **mac}])
        said = "".join(complaints(cloud, goal("n1")))
        assert (f"and may use it by {pair}; narrow that pair down" in said) is told, pair
    cloud.write("n1", [{"ip_address": X}, {"ip_address": "10.0.0.0/25"}])
    cloud.write("n3", [])
    assert "narrow" not in "".join(complaints(cloud, goal("n1")))


def test_huawei_repairs_a_check_that_was_switched_on():
    cloud = Huawei()
    cloud.make(X, ["n1", "n2"])
    cloud.write("n1", [])
    assert "check is on" in "".join(complaints(cloud, goal("n2")))
    assert names(bind(cloud, goal("n1"))) == ["switch source/destination check off"]


def test_huawei_unbinds_an_address_that_no_port_has():
    cloud = Huawei()
    cloud.make(X, ["n1", "n2"])
    del cloud.ports["n2"]
    assert "which no port has" in "".join(complaints(cloud, goal("n1")))
    assert names(bind(cloud, goal("n1", "n3", exclusive=True)))[-1] == "update members"
    assert cloud.bound() == {"n1", "n3"} and cloud.pairs(f"v-{X}") == {"10.0.0.1", "10.0.0.3"}


def test_ucloudstack_waits_for_what_the_cloud_is_busy_with():
    cloud = Stack()
    cloud.make(X, status="Deleting", Status="Gone")
    cloud.make(Y, Status="Allocating", name="slow")
    assert bind(cloud, goal("n1", address=Y, name="slow")).changed
    assert bind(cloud, goal("n2")).changed and cloud.bound() == {"n2"} and cloud.bound(Y) == {"n1"}


def test_ucloudstack_deletes_what_failed():
    cloud = Stack()
    cloud.make(X, Status="Failed", Reason="no such segment")
    assert "no such segment" in refused(cloud, goal("n1")) and "state=absent" in refused(cloud, goal("n1"))
    assert names(bind(cloud, goal(present=False))) == ["delete virtual IP"]
    assert cloud.vip() is None


def test_ucloudstack_external():
    cloud = Stack()
    options = {"kind": "external", "subnet": None, "address": None}
    assert "subnet: an external virtual IP" in refused(cloud, goal("n1", **{**options, "subnet": "subnet-a"}))
    assert "segment, bandwidth, charge_type" in refused(cloud, goal("n1", **options))
    wan = {"SegmentID": "seg", "Bandwidth": 10, "ChargeType": "Month"}
    outcome = bind(cloud, goal("n1", "far", **options, creation=wan))
    info = outcome.after.vip.data
    assert (info["VIPType"], info["SegmentID"], outcome.after.vip.kind) == ("WAN", "seg", "external")
    assert cloud.bound(info["IP"]) == {"n1", "far"}  # only the VPC has to be the same
    assert "is external" in refused_again(cloud, goal("n1", address=None, kind="internal", subnet=None))


def test_ucloudstack_nics():
    cloud = Stack()
    bind(cloud, goal("e1", "nic2"))
    assert cloud.bound() == {"e1", "e2"} and cloud.vip()["AssociatedResourceType"] == "ELASTIC_NIC"
    assert "all machines or all elastic NICs" in refused_again(cloud, goal("n1"))
    assert "all machines or all elastic NICs" in refused_again(cloud, goal("n1", "e1", exclusive=True))
    bind(cloud, goal("n1", exclusive=True))
    assert cloud.bound() == {"n1"} and cloud.vip()["AssociatedResourceType"] == "VM"


def test_members_by_every_name():
    for make in PORTS:
        cloud = make()
        cloud.ports["n4"]["name"] = "fourth"
        bind(cloud, goal("n1", "vm2", "node3", "fourth", "10.0.0.1"))
        assert cloud.bound() == {"n1", "n2", "n3", "n4"}
    cloud = Stack()
    bind(cloud, goal("n1", "node2", "10.0.0.3", "10.0.0.1"))
    assert cloud.bound() == {"n1", "n2", "n3"}


def test_only_a_name_that_may_be_a_servers_is_asked_for():
    cloud = Neutron()
    bind(cloud, goal("n1", "vm2", "10.0.0.3"))
    assert "list_servers" not in cloud.requests


# --- what it refuses


BAD = [
    (CLOUDS, dict(members=["far"]), ["far", "subnet"]),
    (CLOUDS, dict(members=["n1", "nobody"]), ["'nobody'", "there is no"]),
    (CLOUDS, dict(members=[""]), ["there is no"]),
    (CLOUDS, dict(members=["10.0.0.99"]), ["10.0.0.99", "there is no"]),
    (CLOUDS, dict(address="10.7.0.1"), ["10.7.0.1 is outside", "10.0.0.0/24"]),
    (CLOUDS, dict(address="10.0.0.3"), ["10.0.0.3 belongs to", "no virtual IP"]),
    (CLOUDS, dict(vip_id="nosuch", address=None), ["vip_id", "nosuch"]),
    (CLOUDS, dict(network="nosuch"), ["nosuch"]),
    (CLOUDS, dict(network=None, subnet=None), ["network: give"]),
    (CLOUDS, dict(subnet=None, address=None), ["subnet: say in which one", "10.0.1.0/24"]),
    (CLOUDS, dict(limits=(1, None), members=["n1", "n2"]), ["would have 2 members, and may have 1"]),
    (CLOUDS, dict(limits=(None, 0), members=["n1"]), ["10.0.0.1) would have 1 virtual IPs, and may have 0"]),
    (PORTS, dict(subnet="nosuch"), ["subnet", "nosuch"]),
    (PORTS, dict(members=["lone"]), ["server lone has no port"]),
    (PORTS, dict(members=["10.0.0.254"]), ["network:router_interface"]),
    (PORTS, dict(external="198.51.100.1"), ["no external address 198.51.100.1", "203.0.113.2"]),
    ((Stack,), dict(members=["alien"]), ["in VPC other"]),
    ((Stack,), dict(name=None), ["name: a virtual IP is created with a name"]),
    ((Stack,), dict(name="x" * 129), ["name: a virtual IP is created with a name"]),
]


@pytest.mark.parametrize(("makes", "options", "words"), BAD)
def test_bad_input(makes, options, words):
    for make in makes:
        said = refused(make(), goal(**options))
        for word in words:
            assert word in said, (make, said)


@pytest.mark.parametrize("make", CLOUDS)
def test_bad_input_for_one_that_is_there(make):
    cloud = make()
    info = cloud.make(X, ["n1"])
    cloud.make(Y, name="web")
    assert f"the virtual IP web is {X}" in refused(cloud, goal(address="10.0.0.102"))
    assert "2 virtual IPs are web" in refused(cloud, goal(address=None))
    id = info.get("id") or info["VIPID"]  # noqa: A001
    assert "the address of one cannot be changed" in refused(cloud, goal(vip_id=id, address=Y))
    if make is Stack:
        assert "1 to 30 characters" in refused(cloud, goal(name="x" * 31))
        assert "would have 4 members" in refused(cloud, goal("n2", "n3", "n4", limits=(3, 5)))
    else:
        cloud.ports["n2"]["port_security_enabled"] = False
        assert "port security is off" in refused(cloud, goal("n2"))
        assert "is a virtual IP itself" in refused(cloud, goal(X))
        assert "n3 is no virtual IP, but port n3 of compute:nova vm3" in refused(cloud, goal(vip_id="n3", address=None))
        cloud.eip("eip3", "203.0.113.3", "n4")
        assert "is on port n4" in refused(cloud, goal(external="eip3"))


@pytest.mark.parametrize("make", PORTS)
def test_names_that_mean_several(make):
    cloud = make()
    cloud.add("n5", "10.0.0.5", device_id="vm1", device_owner="compute:nova")
    assert "several ports: n1 (10.0.0.1), n5 (10.0.0.5)" in refused(cloud, goal("vm1"))
    cloud.networks.append({"id": "net2", "name": "web"})
    assert "2 are called web: net, net2" in refused(cloud, goal(network="web"))
    # A port in another subnet is not meant.
    cloud.add("n6", "10.0.1.5", "sub2", device_id="vm2", device_owner="compute:nova")
    bind(cloud, goal("vm2"))
    assert cloud.bound() == {"n2"}


@pytest.mark.parametrize("make", CLOUDS)
def test_limits_that_are_only_advice(make):
    cloud = make()
    cloud.make(Y, ["n1"], name="other")
    outcome = bind(cloud, goal("n1", "n2", limits=(1, 1), enforce=False))
    assert cloud.bound() == {"n1", "n2"}
    assert "would have 2 members" in outcome.before.warnings[0] and "2 virtual IPs" in outcome.before.warnings[1]
    # What is there already is no reason to refuse.
    assert not bind(cloud, goal("n1", limits=(1, 1))).changed


# --- what goes wrong on the way


EXCHANGE = goal("n2", "n3", exclusive=True, restore_check=True, unchecked=["n4"])
SCENES = {
    "create": (lambda cloud: None, lambda: goal("n1", "n2"), {"n1", "n2"}),
    "choose": (lambda cloud: None, lambda: goal("n1", address=None), {"n1"}),
    "exchange": (lambda cloud: cloud.make(X, ["n1", "n2"], name="old"), lambda: EXCHANGE, {"n2", "n3"}),
    "delete": (
        lambda cloud: cloud.make(X, ["n1", "n2"]),
        lambda: goal(present=False, restore_check=True, unchecked=["n3"]),
        None,
    ),
}


def scene(make, name):
    prepare, wanted, members = SCENES[name]
    cloud = make()
    cloud.make(Y, ["n1", "n4"], name="other")
    prepare(cloud)
    if name == "delete" and make is not Stack:
        cloud.external["eip1"]["port_id"] = cloud.vip()["id"]
    return cloud, wanted(), members


def check(cloud, members):
    """What must hold at every moment."""
    assert all(users == set() for _address, users in cloud.deleted), cloud.deleted
    assert cloud.bound(Y) == {"n1", "n4"}


def reached(cloud, wanted, members):
    check(cloud, members)
    if members is None:
        assert cloud.vip() is None
    else:
        address = X if wanted.address else "10.0.0.200"
        assert cloud.bound(address) == members
        vips = cloud.ports if hasattr(cloud, "ports") else cloud.vips
        assert len([each for each in vips.values() if (each.get("name") or each.get("Name")) == "web"]) == 1
    assert not bind(cloud, wanted).changed


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("make", CLOUDS)
@pytest.mark.parametrize("phase", ["before", "after"])
def test_killed_at_every_request(make, name, phase):
    cloud, wanted, _members = scene(make, name)
    bind(cloud, wanted)
    total = len(cloud.requests)
    assert total > 5
    for number in range(1, total + 1):
        cloud, wanted, members = scene(make, name)

        def fault(moment, verb, cloud=cloud, number=number):
            if moment == phase and len(cloud.requests) == number:
                raise Crash

        cloud.fault = fault
        with pytest.raises(Crash):
            bind(cloud, wanted)
        cloud.fault = lambda moment, verb: None
        check(cloud, members)
        bind(cloud, wanted)
        reached(cloud, wanted, members)


def killed_everywhere(begin, wanted, phase):
    """Each state that is left by a run that was killed before or after one of its requests."""
    whole = begin()
    bind(whole, wanted)
    for number in range(1, len(whole.requests) + 1):
        cloud = begin()

        def fault(moment, verb, cloud=cloud, number=number):
            if moment == phase and len(cloud.requests) == number:
                raise Crash

        cloud.fault = fault
        with pytest.raises(Crash):
            bind(cloud, wanted)
        cloud.fault = lambda moment, verb: None
        yield cloud


@pytest.mark.parametrize(
    ("before", "wanted", "after"),
    [
        (None, {"external": "eip1"}, "eip1"),
        ("eip1", {"external": "eip2", "exclusive": True}, "eip2"),
        ("eip1", {"external": ""}, None),
    ],
)
@pytest.mark.parametrize("make", PORTS)
@pytest.mark.parametrize("phase", ["before", "after"])
def test_an_external_address_whose_run_is_killed_at_every_request(make, before, wanted, after, phase):
    wanted = goal("n1", **wanted)

    def begin():
        cloud = make()
        cloud.make(X, ["n1"], name="web")
        if before:
            cloud.external[before]["port_id"] = cloud.vip()["id"]
        return cloud

    states = list(killed_everywhere(begin, wanted, phase))
    assert len(states) > 5
    for cloud in states:
        bind(cloud, wanted)
        attached = [name for name, each in cloud.external.items() if each["port_id"] == cloud.vip()["id"]]
        assert attached == ([after] if after else []) and cloud.bound() == {"n1"}
        assert not bind(cloud, wanted).changed


@pytest.mark.parametrize("phase", ["before", "after"])
def test_an_external_virtual_ip_of_ucloudstack_whose_run_is_killed_at_every_request(phase):
    wan = {"SegmentID": "seg", "Bandwidth": 10, "ChargeType": "Month"}
    wanted = goal("n1", "far", kind="external", subnet=None, address=None, creation=wan)
    states = list(killed_everywhere(Stack, wanted, phase))
    assert len(states) > 5
    for cloud in states:
        bind(cloud, wanted)
        # No second one was ordered, and paid for.
        (vip,) = cloud.vips.values()
        assert vip["VIPType"] == "WAN" and cloud.bound(vip["IP"]) == {"n1", "far"}
        assert not bind(cloud, wanted).changed


def attempt(cloud, wanted):
    try:
        return bind(cloud, wanted)
    except (engine.Failed, engine.Refused) as error:
        return error


ERRORS = [Unavailable, Lost, Stale, AlreadyExists, NotFound, Denied, Invalid, Quota]


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("make", CLOUDS)
@pytest.mark.parametrize("error", ERRORS)
def test_every_error_at_every_request(make, name, error):
    cloud, wanted, _members = scene(make, name)
    bind(cloud, wanted)
    total = len(cloud.requests)
    for number in range(1, total + 1):
        for phase in ("before", "after") if error is Lost else ("before",):
            cloud, wanted, members = scene(make, name)

            def fault(moment, verb, cloud=cloud, number=number, phase=phase):
                if moment == phase and len(cloud.requests) == number:
                    raise error(f"The lab says {error.__name__}.")

            cloud.fault = fault
            ended = attempt(cloud, wanted)
            cloud.fault = lambda moment, verb: None
            if isinstance(ended, engine.Outcome):
                # Nothing but what may pass, or a conflict, is got over.
                assert issubclass(error, (Unavailable, Stale, AlreadyExists, NotFound))
                assert ended.before.to_diff() != ended.after.to_diff()
            else:
                assert not issubclass(error, Unavailable), ended
                assert "The lab says" in str(ended) or error is NotFound
                check(cloud, members)
                bind(cloud, wanted)
            reached(cloud, wanted, members)


@pytest.mark.parametrize("make", CLOUDS)
def test_what_was_asked_for_and_not_answered_is_told(make):
    cloud = make()

    def fault(moment, verb):
        if moment == "after" and verb in ("create_port", "allocate_vip"):
            raise Lost("No answer.")
        if cloud.mutations() and verb.startswith(("list", "describe", "get")):
            raise Denied("Not any more.")

    cloud.fault = fault
    with pytest.raises(engine.Failed, match="may have taken effect") as failed:
        bind(cloud, goal("n1"))
    assert failed.value.unsure and cloud.vip()


@pytest.mark.parametrize("make", CLOUDS)
def test_an_api_that_is_not_there(make):
    cloud = make()

    def fault(moment, verb):
        raise Unavailable("Not now.")

    cloud.fault = fault
    with pytest.raises(engine.Failed, match=r"Not now; nothing was changed; run it again"):
        bind(cloud, goal("n1"), timeout=5)
