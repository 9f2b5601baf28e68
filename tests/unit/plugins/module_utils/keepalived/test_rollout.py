# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.rollout import rollout
from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.settled import trial_problems, unsettled


def instance(**changes):
    return {"name": "web", "virtual_router_id": 66, "addresses": ["192.0.2.1/24"], **changes}


def node(before=(), after=(), *, holds=False, **changes):
    if holds:
        changes = {"held": ["192.0.2.1"], **changes}
    return {
        "pending": True,
        "active": True,
        "held": [],
        "before": [instance(**dict(before))],
        "after": [instance(addresses=[{"address": "192.0.2.1/24", "device": "eth0"}], **dict(after))],
        **changes,
    }


def order(**nodes):
    plan = rollout(nodes)
    assert plan["refused"] == []
    return plan["stop"], plan["phases"]


def test_nothing_is_done_when_nothing_is_pending():
    assert order(a=node(pending=False, holds=True), b=node(pending=False)) == ([], [])


def test_the_first_node_of_a_new_group_starts_alone():
    fresh = {"active": False, "before": []}
    assert order(a=node(**fresh), b=node(**fresh), c=node(**fresh)) == ([], [["a"], ["b"], ["c"]])


def test_the_holder_goes_last():
    assert order(a=node(holds=True), b=node(), c=node()) == ([], [["b", "c"], ["a"]])


def test_holders_of_different_addresses_go_one_by_one():
    both = [instance(), instance(name="db", virtual_router_id=67, addresses=["192.0.2.2/24"])]
    nodes = {"a": node(held=["192.0.2.1"]), "b": node(held=["192.0.2.2"])}
    assert order(**{host: {**n, "before": both, "after": both} for host, n in nodes.items()}) == ([], [["a"], ["b"]])


def test_only_pending_nodes_are_touched():
    assert order(a=node(holds=True, pending=False), b=node(active=False), c=node(pending=False)) == ([], [["b"]])


@pytest.mark.parametrize(
    "change",
    [
        {"after": {"virtual_router_id": 67}},
        {"after": {"version": 2}},
        {"after": {"unicast": False}},
        {"after": {"name": "VI_1"}},  # keepalived ends the old instance, and the new one begins as a backup
        {"before": {"version": 2, "auth_pass": "x"}, "after": {"version": 2, "auth_pass": "y"}},
        {"before": {"addresses": ["192.0.2.2/24"]}},
        {"before": {"addresses": ["192.0.2.1/24", "192.0.2.2/24"]}},  # written by hand: both are announced
        {"before": None},
        {"before": ""},  # the same on ansible-core before 2.19
    ],
    ids=str,
)
def test_nodes_which_would_not_believe_each_other_never_run_together(change):
    nodes = {host: node(holds=host == "a") for host in "abc"}
    for its in nodes.values():
        its.update(node(**{**change, "before": change.get("before") or {}}, held=its["held"]))
        if change.get("before", ()) in (None, ""):
            its["before"] = change["before"]
    assert order(**nodes) == (["b", "c"], [["a"], ["b", "c"]])


def test_a_run_which_was_killed_after_stopping_goes_on():
    changed = {"after": {"virtual_router_id": 67}}
    assert order(a=node(**changed, holds=True), b=node(**changed, active=False)) == ([], [["a"], ["b"]])


def test_without_a_holder_the_first_one_gets_the_address_before_anyone_can_contest_it():
    changed = {"after": {"virtual_router_id": 67}}
    assert order(a=node(**changed), b=node(**changed)) == (["b"], [["a"], ["b"]])
    assert order(a=node(), b=node()) == ([], [["a"], ["b"]])
    assert order(a=node(able=False), b=node()) == ([], [["b"], ["a"]])


def test_new_excluded_addresses_are_no_reason_to_stop():
    more = {"after": {"excluded_addresses": ["192.0.2.9/24"]}}
    assert order(a=node(**more, holds=True), b=node(**more)) == ([], [["b"], ["a"]])


def bare(**changes):
    mark = {"address": "169.254.112.66/32", "device": "lo", "scope": "host"}
    return {"before": [instance(addresses=[])], "after": [instance(addresses=[mark])], **changes}


def test_the_mark_of_an_instance_without_addresses_is_what_it_announced_before():
    assert order(a=node(holds=True) | bare(), b=node() | bare()) == ([], [["b"], ["a"]])


@pytest.mark.parametrize("before", [instance(), {"name": "web", "virtual_router_id": 66}], ids=["addresses", "nothing"])
def test_whoever_announced_something_else_does_not_believe_the_mark(before):
    nodes = {host: node(holds=host == "a") | bare(before=[before]) for host in "ab"}
    assert order(**nodes) == (["b"], [["a"], ["b"]])


def voiced(host, peers, **changes):
    """An instance as the role resolved it, of a node whose source address ends in its number."""
    return instance(source_address=f"192.0.2.1{host}", peers=[f"192.0.2.1{peer}" for peer in peers], **changes)


def group_of(*, before, after, holder=1):
    """Nodes 1, 2, …: who is among whose peers, before (without it: keepalived is off) and after."""
    return {
        f"n{host}": {
            "pending": before.get(host) != after[host],
            "active": host in before,
            "held": ["192.0.2.1"] if host == holder else [],
            "before": [voiced(host, before[host])] if host in before else [],
            "after": [voiced(host, after[host])],
        }
        for host in after
    }


def test_a_new_node_starts_when_all_others_know_it():
    nodes = group_of(before={1: "2", 2: "1"}, after={1: "23", 2: "13", 3: "12"})
    assert order(**nodes) == ([], [["n2"], ["n1"], ["n3"]])


def test_a_repaired_node_starts_before_the_holder_is_reloaded_as_everybody_knows_it():
    nodes = group_of(before={1: "2"}, after={1: "2", 2: "1"})
    nodes["n1"]["pending"] = True
    assert order(**nodes) == ([], [["n2"], ["n1"]])
    heard = rollout(nodes)["listen"]["n2"]
    assert heard == [{"interface": None, "virtual_router_id": 66, "family": 4, "sources": ["192.0.2.11"]}]


def test_a_changed_source_address_is_a_reason_to_stop():
    nodes = group_of(before={1: "2", 2: "1"}, after={1: "9", 2: "1"})
    nodes["n2"]["after"][0]["source_address"] = "192.0.2.19"
    assert order(**nodes) == (["n2"], [["n1"], ["n2"]])


def test_a_changed_interface_of_multicast_is_a_reason_to_stop():
    moved = {"before": {"unicast": False, "interface": "eth0"}, "after": {"unicast": False, "interface": "eth0.100"}}
    assert order(a=node(**moved, holds=True), b=node(**moved)) == (["b"], [["a"], ["b"]])


# keepalived was killed, is off, or was never there.
DEAD = {"active": False, "before": []}


@pytest.mark.parametrize(
    ("nodes", "hosts"),
    [
        ({host: node(after={"virtual_router_id": 67}, holds=host == "a") for host in "abc"}, "a"),
        ({"a": node(**DEAD, holds=True), "b": node(**DEAD)}, "a"),  # its address goes on serving
        ({"a": node(**DEAD), "b": node(**DEAD)}, ""),  # nobody is served
        ({"a": node(holds=True), "b": node()}, ""),  # the holder goes last, while b runs
        ({"a": node(holds=True, pending=False), "b": node(**DEAD)}, ""),
        (
            {"a": node(after={"version": 2}, holds=True), "b": node(here=False, pending=False, before={"version": 2})},
            "",
        ),
    ],
)
def test_a_holder_starts_at_once_only_where_no_other_keepalived_runs(nodes, hosts):
    assert rollout(nodes)["at_once"] == list(hosts)


def test_a_holder_that_stays_announces_what_is_taken_from_others_and_nothing_else():
    assert rollout({"a": node(holds=True), "b": node(holds=True), "c": node()})["announce"] == ["a"]
    changed = {host: node(after={"version": 2}, holds=host == "a") for host in "abc"}
    assert rollout(changed)["stop"] == ["b", "c"]
    assert rollout(changed)["announce"] == [], "they had no address"
    assert rollout({"a": node(holds=True), "b": node()})["announce"] == []


def test_of_several_holders_one_stays():
    nodes = group_of(before={1: "2", 2: "1"}, after={1: "2", 2: "1"})
    nodes["n2"]["held"] = ["192.0.2.1"]
    assert order(**nodes) == (["n2"], [["n2"]])
    assert rollout(nodes)["listen"].keys() == {"n2"}
    nodes["n1"]["begun"] = True
    assert order(**nodes) == (["n1"], [["n1"]]), "not the one that this run started"


def test_an_address_that_a_dead_keepalived_left_is_removed_where_somebody_else_holds_it():
    nodes = group_of(before={1: "2", 2: "1"}, after={1: "2", 2: "1"}, holder=2)
    nodes["n1"].update(held=["192.0.2.1"], active=False, pending=True)
    assert order(**nodes) == (["n1"], [["n1"]])


def test_a_node_with_a_lost_interface_is_started_again():
    nodes = group_of(before={1: "2", 2: "1"}, after={1: "2", 2: "1"})
    nodes["n2"].update(deaf=True, pending=True)
    assert order(**nodes) == (["n2"], [["n2"]])


@pytest.mark.parametrize("active", [True, False], ids=["runs", "is off"])
def test_what_an_absent_node_would_not_understand_is_refused(active):
    nodes = group_of(before={1: "2", 2: "1"}, after={1: "23", 2: "13", 3: "12"})
    nodes["n2"].update(here=False, pending=False, active=active)
    (message,) = rollout(nodes)["refused"]
    assert message.startswith("n2 is not part of this run, and would not hear n3 afterwards (192.0.2.13 is not among")
    assert "keepalived_absent_ok" in message
    assert rollout(nodes, ["n2"])["refused"] == []


def test_two_holders_out_of_reach_are_a_reason_to_refuse():
    nodes = group_of(before={1: "2", 2: "1"}, after={1: "2", 2: "1", 3: "12"})
    for host in ("n1", "n2"):
        nodes[host].update(here=False, pending=False, held=["192.0.2.1"])
    assert "192.0.2.1 is held by n1 and n2, which this run cannot stop" in rollout(nodes)["refused"][0]


def look(*held, active=True, drain=0, **checks):
    every = ("192.0.2.1", "192.0.2.2")
    addresses = [{"address": address, "held": address in held} for address in every]
    return {"addresses": addresses, "keepalived": {"active": active}, "drain": drain, "checks": checks}


def states(state, *failed, name="VI_1"):
    return {"instances": {name: {"state": state, "failed": list(failed)}}}


WELL = states("BACKUP")


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (WELL, WELL, []),
        (WELL, states("FAULT", "script app", "file x"), ["VI_1 is in FAULT as of script app and file x"]),
        (WELL, states("FAULT"), ["VI_1 is in FAULT"]),
        (states("FAULT", "script app"), states("FAULT", "script app"), []),  # it proves nothing
        (WELL, states("FAULT", "script app", name="NEW"), []),
        ({"msg": "it did not answer", "failed": True}, states("FAULT"), []),
        (WELL, {"msg": "it did not answer", "failed": True}, []),
    ],
)
def test_a_configuration_that_spoils_a_standby_is_told(before, now, told):
    assert trial_problems(now, before) == told
    assert trial_problems(now, before, ["it is blind"]) == [*told, "it is blind"]


def test_one_holder_is_rest():
    assert unsettled({"a": look("192.0.2.1"), "b": look()}, ["192.0.2.1"], ["192.0.2.2"]) == []


def test_a_keepalived_that_is_blind_is_not_at_rest():
    blind = look()
    blind["keepalived"]["problems"] = ["keepalived does not watch /run/drain: raise the limit"]
    told = unsettled({"a": look("192.0.2.1"), "b": blind}, ["192.0.2.1"])
    assert told == ["b: keepalived does not watch /run/drain: raise the limit"]
    nodes = {"a": look("192.0.2.1"), "b": blind}
    assert unsettled(nodes, ["192.0.2.1"], [], [], ["a"]) == [], "a run for a cannot repair b"
    assert unsettled(nodes, ["192.0.2.1"], [], [], ["b"]) == told


def test_two_holders_are_not():
    nodes = {"a": look("192.0.2.1"), "b": look("192.0.2.1")}
    assert unsettled(nodes, ["192.0.2.1"]) == ["192.0.2.1 is held by a and b"]


def test_a_keepalived_that_died_again_is_not():
    nodes = {"a": look("192.0.2.1"), "b": look(active=False)}
    assert unsettled(nodes, ["192.0.2.1"], [], ["a", "b"]) == ["keepalived does not run on b"]
    assert unsettled(nodes, ["192.0.2.1"]) == []


def test_no_holder_is_not_as_long_as_a_node_could_hold_it():
    nodes = {"a": look(), "b": look(drain=-254)}
    assert unsettled(nodes, ["192.0.2.1"]) == ["192.0.2.1 is held by nobody, though a could hold it"]


def test_no_holder_is_rest_when_all_nodes_are_drained():
    assert unsettled({"a": look(drain=-254), "b": look(drain=-254), "c": look(active=False)}, ["192.0.2.1"]) == []


def vrrp(**instances):
    return {"instances": instances}


FAULT = {"state": "FAULT", "failed": []}


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (look(active=False), "a does not run keepalived"),
        (look(nginx=False), "a fails the check nginx"),
        ({**look(), "vrrp": vrrp(web={**FAULT, "failed": ["script app"]})}, "a has web in FAULT as of script app"),
        ({**look(), "vrrp": vrrp(web=FAULT)}, "a has web in FAULT; see its journal"),
        ({**look(nginx=False), "vrrp": vrrp(web={**FAULT, "failed": ["file nginx (1)"]})}, "a fails the check nginx"),
        ({**look(), "keepalived": {"active": True, "deaf": ["eth0"]}}, "a has lost eth0 since keepalived started"),
    ],
)
def test_no_holder_is_explained_by_what_failed_where(node, reason):
    nodes = {"a": node, "b": look(db=False)}
    assert unsettled(nodes, ["192.0.2.1"]) == [f"192.0.2.1 is held by nobody: {reason}; b fails the check db"]


def test_two_holders_are_explained_by_who_does_not_hear_whom():
    def holder(own, *heard):
        packets = [{"virtual_router_id": 66, "source": f"192.0.2.1{other}"} for other in heard]
        voices = [{"virtual_router_id": 66, "interface": "eth0", "source_address": f"192.0.2.1{own}"}]
        heard = [{"virtual_router_id": 66, "packets": packets}]
        return {**look("192.0.2.1"), "voices": voices, "vrrp": {"heard": heard}}

    messages = unsettled({"a": holder(1, 2), "b": holder(2)}, ["192.0.2.1"])
    assert len(messages) == 2 and "b does not hear a: no VRRP packet (IP protocol 112) of router 66" in messages[1]


def test_an_address_which_was_given_up_has_no_holder():
    nodes = {"a": look("192.0.2.1", "192.0.2.2"), "b": look()}
    assert unsettled(nodes, ["192.0.2.1"], ["192.0.2.2"]) == ["192.0.2.2 is still held by a"]
