# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is decided about a group, from facts that are written down here: no client, no clock."""

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import Denied, Invalid, Unavailable
from ansible_collections.cloudha.vip.plugins.module_utils.failover.facts import ask
from ansible_collections.cloudha.vip.plugins.module_utils.failover.instancegroup_decide import decide, wanted_diff
from ansible_collections.cloudha.vip.plugins.module_utils.failover.instancegroup_eip import waiting
from ansible_collections.cloudha.vip.plugins.module_utils.failover.instancegroup_goal import Eip, GroupGoal, Vip
from ansible_collections.cloudha.vip.plugins.module_utils.failover.instancegroup_look import EIP_PREFIX, Observed
from ansible_collections.cloudha.vip.plugins.module_utils.failover.instancegroup_steps import LATE, History, steps
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.answering import Answering

VIP, OTHER = "192.168.1.77", "192.168.1.78"
NETWORK = {"id": "net1", "name": "net1", "vpc": "vpc1", "vpc_id": "vpc1"}
NETWORK.update(guest_ip_start="192.168.1.2", guest_ip_end="192.168.1.253")
CREATED = {"id": "e9", "name": f"{EIP_PREFIX}web", "tenant_id": "p1"}


def group(**more):
    return {"id": "gid", "name": "web", "status": "init", "enabled": True, "tenant_id": "p1", "granularity": 1, **more}


def vip(address=VIP, eip=None):
    row = {"ip_addr": address, "network_id": "net1", "network": "net1"}
    return {**row, "eip_id": eip, "eip_addr": "203.0.113.10"} if eip else row


def eip(name="e2", **more):
    return {"id": name, "name": name, "ip_addr": "203.0.113.10", "status": "ready", "network_id": "eipnet", **more}


def members(*names):
    return [{"guest_id": name, "guest": name} for name in names]


# All that a decision may ask for.
ANSWERS = {
    ("get_network", "net1"): NETWORK,
    ("get_vpc", "vpc1"): {"id": "vpc1", "external_access_mode": "eip"},
    ("get_eip", "e2"): eip(),
    ("get_eip", "e3"): eip("e3"),
    ("get_eip", "e9"): CREATED,
    ("list_eip_networks",): [{"bgp_type": "BGP"}],
    ("list_eips", EIP_PREFIX): [CREATED],
    ("list_address_users", "net1", VIP, "web"): [],
    ("list_address_users", "net1", VIP, "gid"): [],
    **{("get_server", name): {"id": name, "name": name, "tenant_id": "p1"} for name in ("vm1", "vm2", "vm3")},
    **{("list_server_networks", name): [{"network_id": "net1", "network": "net1"}] for name in ("vm1", "vm2", "vm3")},
}


def there(*parts, **keys):
    keys.setdefault("answers", ANSWERS)
    return Observed("web", *parts, project={"id": "p1", "name": "mine"}, **keys)


def goal(wanted=("vm1", "vm2"), vip=VIP, eip=None, **keys):
    return GroupGoal("web", wanted, Vip(vip) if isinstance(vip, str) else vip, eip, **keys)


def names(observed, wanted, history=None):
    """The steps that are decided on, in order; or the problems, or what is waited for."""
    before = repr(observed.__dict__)
    first, second = (decide(observed, wanted, history or History()) for _time in range(2))
    assert repr(observed.__dict__) == before, "a decision changed the facts"
    assert wanted_diff(first) == wanted_diff(second) and first.problems == second.problems
    return first.problems or first.waiting or [step.name for step in steps(first, wanted)]


COMPLETE = (group(), [vip()], members("vm1", "vm2"))
WITH_EIP = (group(), [vip(eip="e2")], members("vm1", "vm2"), [eip()])
GONE = GroupGoal("web", present=False)
NEW_EIP = Eip(bandwidth=10, line="BGP")


@pytest.mark.parametrize(
    ("observed", "wanted", "expected"),
    [
        (there(), GONE, []),
        (there(), goal(), ["create group", "bind guests", "attach VIP"]),
        (there(), goal(eip=NEW_EIP), ["create group", "bind guests", "attach VIP", "create EIP"]),
        (there(group()), goal(), ["bind guests", "attach VIP"]),
        (there(group(), [], members("vm1", "vm2")), goal(), ["attach VIP"]),
        (there(*COMPLETE), goal(), []),
        (there(*COMPLETE), goal(granularity=2), ["update group"]),
        (there(*COMPLETE), goal(("vm1", "vm3")), ["bind guests"]),
        (there(*COMPLETE), goal(("vm1", "vm3"), exclusive=True), ["unbind guests", "bind guests"]),
        (there(*COMPLETE), goal(("vm2",), None, members_present=False), ["unbind guests"]),
        (there(*COMPLETE), goal(None, Vip(VIP, present=False)), ["detach VIP"]),
        (there(*COMPLETE), goal(None, Vip(OTHER, present=False)), []),
        (there(group(), [vip(OTHER)], members("vm1")), goal(None, exclusive=True), ["detach VIP", "attach VIP"]),
        (there(*COMPLETE), goal(eip=Eip("e2")), ["associate EIP"]),
        (there(*WITH_EIP), goal(eip=Eip("e2")), []),
        (there(*WITH_EIP), goal(eip=Eip("e3"), exclusive=True), ["dissociate EIP", "associate EIP"]),
        (there(*WITH_EIP), goal(eip=Eip(present=False)), ["dissociate EIP"]),
        (there(*WITH_EIP), GONE, ["dissociate EIP", "unbind guests", "detach VIP", "delete group"]),
        (there(*COMPLETE[:3], [eip()]), goal(eip=Eip("e2")), ["dissociate EIP", "associate EIP"]),
        (there(*COMPLETE), goal(eip=Eip("e3", release=True, present=False)), ["release EIP"]),
    ],
)
def test_what_is_there_and_what_is_wanted_make_the_steps(observed, wanted, expected):
    assert names(observed, wanted) == expected


@pytest.mark.parametrize(
    ("observed", "wanted", "words"),
    [
        (there(group(tenant_id="p2")), GONE, "is of another project"),
        (there(group(), unlisted=[VIP]), goal(), "which the service does not list"),
        (there(*COMPLETE), goal(vip=OTHER), "may have one VIP only"),
        (there(*WITH_EIP), goal(eip=Eip("e3")), "may have one EIP only"),
        (there(*WITH_EIP), goal(None, Vip(VIP, present=False)), "cannot be detached while it has that EIP"),
        (there(group(), [vip(eip="e7")], hidden=[vip(eip="e7")]), GONE, "an EIP of another project"),
        (there(group(enabled=False)), goal(vip=None), "is disabled"),
        (there(group(), [], members("vm1")), goal(None, "10.0.0.1"), "is not in the range"),
        (there(group(), [vip()]), goal(None, None, Eip(bandwidth=1, line="CMCC")), "no line of type 'CMCC'"),
    ],
)
def test_what_forbids_to_go_on(observed, wanted, words):
    assert words in "; ".join(names(observed, wanted))


@pytest.mark.parametrize(
    ("question", "answer", "words"),
    [
        (("get_server", "vm1"), None, "there is no guest vm1"),
        (("get_server", "vm1"), {"id": "vm1", "tenant_id": "p2"}, "is of another project"),
        (("list_server_networks", "vm1"), [], "has 0 network interfaces"),
        (("list_server_networks", "vm2"), [{"network_id": "net2", "network": "net2"}], "on one network: the guest"),
        (("list_address_users", "net1", VIP, "web"), ["the guest vm9"], "is in use by the guest vm9"),
        (("list_address_users", "net1", VIP, "web"), ["a reservation"], "is reserved"),
        (("get_vpc", "vpc1"), {"id": "vpc1", "external_access_mode": "none"}, "external_access_mode is none"),
    ],
)
def test_an_answer_that_forbids_to_go_on(question, answer, words):
    problems = names(there(answers={**ANSWERS, question: answer}), goal(eip=NEW_EIP))
    assert words in "; ".join(problems)


@pytest.mark.parametrize("question", [("get_vpc", "vpc1"), ("list_eip_networks",)])
def test_what_may_not_be_seen_is_left_to_the_service(question):
    hidden = there(answers={**ANSWERS, question: Denied("403")})
    assert names(hidden, goal(eip=NEW_EIP))[-1] == "create EIP"


def test_an_answer_that_is_an_error_is_raised():
    with pytest.raises(Unavailable):
        decide(there(answers={**ANSWERS, ("get_server", "vm1"): Unavailable("503")}), goal(), History())


# --- what this run did before


def test_of_two_vips_that_two_runs_attached_the_oldest_stays():
    both = there(group(), [vip(OTHER), vip()], members("vm1", "vm2"))
    decision = decide(both, goal(), History(attached=True))
    assert [row["ip_addr"] for row in decision.detach] == [VIP] and decision.vip["ip_addr"] == OTHER
    assert "may have one VIP only" in decide(both, goal(), History()).problems[0]


LEFT = there(*COMPLETE[:3], [{**CREATED, "status": "associate_fail"}])


def test_this_runs_eip_that_failed_is_put_away_and_then_told():
    asked = History(asked=True, touched_eip=True, before=frozenset())
    decision = decide(LEFT, goal(eip=NEW_EIP), asked)
    assert [step.name for step in steps(decision, goal(eip=NEW_EIP))] == ["dissociate EIP"]
    assert decision.release and "associate_fail" in decision.failed
    with pytest.raises(Invalid, match=r"could not be bound .* associate_fail"):
        decide(there(*COMPLETE), goal(eip=NEW_EIP), History(asked=True, failed=decision.failed))


def test_an_eip_that_cannot_be_put_away_is_told():
    with pytest.raises(Invalid, match="could not be bound"):
        decide(LEFT, goal(eip=NEW_EIP), History(asked=True, dissociated=[("e9",)]))
    with pytest.raises(Invalid, match="could not be dissociated"):
        decide(LEFT, GONE, History(dissociated=[("e9",)]))


def test_an_eip_that_another_run_bound_at_the_same_moment_keeps_working():
    both = there(group(), [vip(eip="e2")], members("vm1"), [eip(), {**CREATED, "status": "associate_fail"}])
    with pytest.raises(Invalid, match="at the same moment"):
        decide(both, goal(eip=NEW_EIP), History(asked=True))


def test_an_eip_that_could_not_be_released_is_told():
    stuck = there(*COMPLETE, answers={**ANSWERS, ("get_eip", "e2"): eip(status="deallocate_fail")})
    with pytest.raises(Invalid, match="could not be released"):
        decide(stuck, GONE, History(released=["e2"]))


def test_before_it_asks_for_an_eip_it_notes_which_are_there():
    assert decide(there(*COMPLETE), goal(eip=NEW_EIP), History()).before == {"e9"}
    assert decide(there(*COMPLETE), goal(eip=NEW_EIP), History(before=frozenset())).before == frozenset()


# --- waiting


def test_an_eip_that_comes_or_goes_is_waited_for():
    coming = there(*COMPLETE[:3], [eip(status="associate")])
    assert names(coming, GONE).startswith("another run is at work: the group web has the status init, and EIP e2")
    assert names(coming, GONE, History(touched_eip=True)).startswith("the group web")
    going = there(*COMPLETE, answers={**ANSWERS, ("get_eip", "e2"): eip(status="deallocate")})
    assert names(going, GONE, History(released=["e2"])) == "until EIP e2 (203.0.113.10) is released"


def test_a_group_that_waits_for_nothing_is_doubted_for_a_moment():
    stuck = there(group(status="associate_eip"), *COMPLETE[1:])
    assert [waiting(stuck, GONE, history).idle_since for history in (History(), History(50.0))] == [None, 50.0]
    doubted = decide(stuck, GONE, History(50.0 + LATE - 0.1, idle_since=50.0))
    assert "no EIP is on its way" in doubted.doubt and not doubted.waiting
    late = History(50.0 + LATE, idle_since=50.0)
    assert not decide(stuck, GONE, late).doubt and names(stuck, GONE, late)[-1] == "delete group"
    ours = History(50.0, touched_eip=True)
    assert names(stuck, GONE, ours) == "the group web has the status associate_eip"
    assert waiting(there(*COMPLETE), GONE, History(60.0, idle_since=50.0)).idle_since is None


def test_a_decision_has_read_what_it_needs_and_each_fact_once():
    client = Answering(ANSWERS)
    observed, decision = ask(client, there(answers={}), lambda o: decide(o, goal(eip=NEW_EIP), History()))
    assert (
        client.asked
        == list(observed.answers)
        == [
            ("get_server", "vm1"),
            ("get_server", "vm2"),
            ("list_server_networks", "vm1"),
            ("list_server_networks", "vm2"),
            ("get_network", "net1"),
            ("get_vpc", "vpc1"),
            ("list_eip_networks",),
            ("list_eips", EIP_PREFIX),
            ("list_address_users", "net1", VIP, "web"),
        ]
    )
    assert decision.attach and decision.ask_eip and not decision.problems
