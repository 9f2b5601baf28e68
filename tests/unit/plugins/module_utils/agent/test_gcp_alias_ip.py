# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action with a project in memory; tests/contract has the agent with it, and an API. This node is b."""

from __future__ import annotations

import contextlib
import functools
import itertools
import threading

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.agent import gcp, gcp_alias_ip
from ansible_collections.cloudha.vip.plugins.module_utils.agent.config import parse
from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import Denied, Lost, Unavailable
from ansible_collections.cloudha.vip.plugins.module_utils.failover import engine
from ansible_collections.cloudha.vip.plugins.module_utils.failover.alias_edit import ADD, REMOVE, STOP
from ansible_collections.cloudha.vip.plugins.module_utils.failover.alias_look import FOLLOW, UPDATE, USE
from ansible_collections.cloudha.vip.plugins.module_utils.failover.engine import Failed, Refused, Stopped
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.alias_cloud import (
    POD,
    A,
    Aliases,
    B,
    C,
    X,
    Y,
)

MINE, THEIRS = "10.0.8.1/32", "10.0.8.2/32"  # of others, on a and b


class Metadata:
    def __init__(self, url):
        self.url = url

    project = staticmethod(lambda: "p")
    zone = staticmethod(lambda: "r-b")
    instance = staticmethod(lambda: "b")


class Compute:
    """A client of the project in memory, which has no more than what the agent may ask for."""

    def __init__(self, cloud, _session, project, **options):
        assert project == "p"
        self.get_instance = cloud.get_instance
        self.get_subnetwork = cloud.get_subnetwork
        self.test_permissions = cloud.test_permissions
        self.may_follow_operations = cloud.may_follow_operations
        self.update_network_interface = cloud.update_network_interface
        self.stop_instance = cloud.stop_instance


@pytest.fixture
def cloud():
    return Aliases().put(A, X, MINE).put(B, THEIRS)


@pytest.fixture
def make(cloud, monkeypatch):
    apply = engine.apply

    def with_virtual_time(*arguments, **keys):
        keys.update(clock=cloud.clock, sleep=cloud.clock.sleep, chance=lambda: 0.5, make_client=None)
        return apply(*arguments, **keys)

    monkeypatch.setattr(gcp, "Metadata", Metadata)
    monkeypatch.setattr(gcp, "Compute", functools.partial(Compute, cloud))
    monkeypatch.setattr(engine, "apply", with_virtual_time)

    def make(**keys):
        whole = {"type": "gcp_alias_ip", "instance": "VI_1", "name": "database", "ranges": [X], "peers": [A, B, C]}
        # The project's name is shorter than Google's may be.
        peers = {"peers": [path.replace("/p/", "/prj1/") for path in keys.pop("peers", whole["peers"])]}
        config = parse({"instances": [{"name": "VI_1"}], "actions": [{**whole, **keys, **peers}]}).actions[0]
        config.peers = [path.replace("/prj1/", "/p/") for path in config.peers]
        action = gcp_alias_ip.GcpAliasIp(config)
        action.prepare()
        return action

    return make


def run(action, take=True, still_wanted=lambda: True):
    told = []
    outcome = action.reach(take, still_wanted, told.append, lambda seconds: None)
    return outcome, told


def verbs(cloud):
    return [verb for verb, _path in cloud.requests]


# --- a transition


def test_it_reads_only_this_instance_and_the_peers_and_nothing_after_the_addition(make, cloud):
    cloud.add("projects/p/zones/r-a/instances/other", "10.0.0.9")
    action = make()
    action.look()
    cloud.requests.clear()
    outcome, told = run(action)
    assert cloud.holders(X) == [(B, "nic0")] and cloud.on(A) == {MINE} and cloud.on(B) == {THEIRS, X}
    assert (outcome.after.holder, outcome.changed) == (B, True)
    # The subnet has been read before; what is read at the end comes after the news.
    assert sorted(cloud.requests[:3]) == [("get", "a"), ("get", "b"), ("get", "c")]
    assert cloud.requests[3:5] == [("patch", "a"), ("patch", "b")]
    assert set(cloud.requests[5:]) == {("get", "a"), ("get", "b"), ("get", "c")}
    kinds = [event["event"] for event in told]
    assert kinds == ["step", "mutation", "done", "step", "mutation", "moved", "done"]
    assert told[5]["resource"] == X


def test_what_a_peer_has_under_way_takes_about_as_long_as_it_took_here(make, cloud):
    action = make()
    assert action.look().age == 20, "it is not known"
    cloud.latency = 0.25
    run(action)
    assert action.look().age == pytest.approx(2 + 2 * 0.5)
    cloud.latency = 60
    run(action)
    assert action.look().age == pytest.approx(2 + 2 * 0.5), "nothing was changed"
    cloud.take(B, X)
    cloud.put(A, X)
    run(action)
    assert action.look().age == 20, "at most"


def test_a_range_of_somebody_else_is_not_taken(make, cloud):
    cloud.take(A, X)
    cloud.put(C, X)
    with pytest.raises(Failed, match=r"already being used .*no instance that was looked at had it"):
        run(make(peers=[A]))
    assert cloud.holders(X) == [(C, "nic0")]


def test_several_ranges_from_several_peers_and_from_any_interface(make, cloud):
    cloud.put(C, Y)
    cloud.add_interface(A, "nic1", "10.0.0.7", [POD])
    cloud.add_interface(B, "nic1", "10.0.0.8")
    action = make(ranges=[X, Y, POD], interface="nic1")
    _outcome, told = run(action)
    assert cloud.on(B, "nic1") == {X, Y, POD} and cloud.on(A) == {MINE} and cloud.on(B) == {THEIRS}
    assert [event["event"] for event in told].count("moved") == 1
    assert action.look().mine


def test_it_has_moved_when_all_of_it_has(make, cloud):
    """What is free is added at once, and that is not all."""
    told = []
    make(ranges=["10.0.9.3", X]).reach(True, lambda: True, told.append, lambda seconds: None)
    kinds = [event["event"] for event in told if event["event"] in ("moved", "done")]
    assert kinds[-2:] == ["moved", "done"] and kinds.count("moved") == 1
    assert cloud.on(B) == {THEIRS, X, "10.0.9.3/32"}


def test_a_range_that_has_no_place_does_not_keep_the_others(make, cloud):
    with pytest.raises(Failed, match=r"10\.9\.9\.9/32: there is no instance for it: .* is outside the ranges"):
        run(make(ranges=[X, "10.9.9.9"]))
    assert cloud.holders(X) == [(B, "nic0")]


@pytest.mark.parametrize("range_name", ["pods", "", None])
def test_which_range_of_the_subnet(make, cloud, range_name):
    cloud.take(A, X)
    action = make(ranges=[X, POD], **({} if range_name is None else {"range_name": range_name}))
    if range_name is None:
        run(action)
        assert cloud.on(B) == {THEIRS, X, POD}
        return
    with pytest.raises(Failed, match=f"outside the {'secondary range pods' if range_name else 'primary range'}"):
        run(action)
    assert cloud.on(B) == {THEIRS, POD if range_name else X}


# --- looks and repairs


def test_what_is_seen(make, cloud):
    action = make(ranges=[X, Y])
    seen = action.look()
    assert (seen.holder, seen.mine, len(seen.todo)) == (A, False, 1)
    assert seen.elsewhere == f"{X} is on {A} nic0, which is alive" and seen.why == f"{Y} is on no instance"
    run(action)
    seen = action.look()
    assert (seen.holder, seen.mine, seen.todo, seen.elsewhere) == (B, True, [], "")
    assert action.status()["ranges"] == {X: f"{B} nic0", Y: f"{B} nic0"}
    cloud.take(B, X, Y)
    seen = action.look()
    assert (seen.holder, seen.mine, len(seen.todo), seen.elsewhere) == (None, False, 1, "")


@pytest.mark.parametrize("status", ["TERMINATED", "STOPPING", "SUSPENDED", "REPAIRING"])
def test_a_repair_takes_it_from_who_does_not_run(make, cloud, status):
    cloud.instances[A]["status"] = status
    action = make()
    seen = action.look()
    assert (seen.holder, len(seen.todo), seen.elsewhere) == (None, 2, "")
    assert seen.why == f"{X} is on {A} nic0, which is {status}"
    assert run(action, take=False)[0].after.holder == B
    assert cloud.holders(X) == [(B, "nic0")] and cloud.on(A) == {MINE}


def test_a_repair_takes_nothing_from_who_runs(make, cloud):
    cloud.put(C, Y)
    action = make(ranges=[X, Y, "10.0.9.3"])
    seen = action.look()
    assert (seen.holder, seen.mine, len(seen.todo)) == (f"{A} and {C}", False, 1)
    run(action, take=False)
    assert cloud.on(A) == {X, MINE} and cloud.on(C) == {Y} and cloud.on(B) == {THEIRS, "10.0.9.3/32"}
    seen = action.look()
    assert seen.todo == [] and X in seen.elsewhere and Y in seen.elsewhere
    run(action)
    assert cloud.on(B) == {THEIRS, X, Y, "10.0.9.3/32"}


def test_a_repair_takes_nothing_from_a_peer_that_came_alive_meanwhile(make, cloud):
    cloud.instances[A]["status"] = "TERMINATED"
    action = make()
    assert action.look().todo
    cloud.instances[A]["status"] = "RUNNING"
    assert not run(action, take=False)[0].changed
    assert cloud.holders(X) == [(A, "nic0")]


def test_a_range_on_another_interface_of_this_instance_is_repaired(make, cloud):
    cloud.add_interface(B, "nic1", "10.0.0.8", [Y])
    action = make(ranges=[Y])
    seen = action.look()
    assert (seen.holder, seen.mine, len(seen.todo), seen.elsewhere) == (B, False, 2, "")
    run(action, take=False)
    assert cloud.holders(Y) == [(B, "nic0")]


def test_a_peer_that_is_gone(make, cloud):
    del cloud.instances[A]
    action = make()
    assert action.look().why == f"{X} is on no instance"
    run(action, take=False)
    assert cloud.holders(X) == [(B, "nic0")]


# --- zones that fail


def test_a_zone_that_fails(make, cloud):
    action = make()
    action.look()
    cloud.silent = {"r-a"}
    seen = action.look()
    assert (seen.holder, seen.todo) == (A, [])
    assert seen.elsewhere == f"{X} is on {A} nic0, whose zone does not answer"
    assert action.status()["api"]["error"] == "no answer from r-a"
    with pytest.raises(Failed) as failed:
        run(action)
    for words in (f"it is still on {A} nic0", "The choices", "Run it again when r-a answers", "on_source_failure=stop"):
        assert words in str(failed.value)
    assert "stop" not in verbs(cloud) and action.status()["ranges"] == {X: f"{A} nic0"}
    cloud.silent = set()
    run(action)
    assert cloud.holders(X) == [(B, "nic0")] and action.status()["api"]["error"] is None


def test_a_zone_that_fails_before_anything_was_seen(make, cloud):
    cloud.silent = {"r-a"}
    with pytest.raises(Failed, match="an instance that cannot be seen may have it, as from r-a there is no answer"):
        run(make())


def test_ranges_of_other_zones_move_all_the_same(make, cloud):
    cloud.put(C, Y)
    action = make(ranges=[X, Y])
    action.look()
    cloud.silent = {"r-a"}
    with pytest.raises(Failed, match=f"{X}: it is still on {A}"):
        run(action)
    assert cloud.holders(Y) == [(B, "nic0")]


def test_what_was_seen_last_gives_way_to_what_is_seen(make, cloud):
    """The range was on a when its zone fell silent, and somebody moved it in the moment before."""
    action = make()
    action.look()
    cloud.take(A, X)
    cloud.put(C, X)
    cloud.silent = {"r-a"}
    assert action.look().holder == C
    run(action)
    assert cloud.holders(X) == [(B, "nic0")]
    cloud.take(B, X)
    assert action.look().why == f"{X} is on no instance"


def test_one_read_that_fails_does_no_harm(make, cloud):
    action = make()
    action.look()
    once = itertools.count()

    def fault(phase, verb, path):
        if verb == "get" and path == A and next(once) == 0:
            raise Lost("The connection was lost.")

    cloud.fault = fault
    run(action)
    assert cloud.holders(X) == [(B, "nic0")]


def refuse(cloud, *paths):
    def fault(phase, verb, path):
        if path in paths:
            raise Denied(f"Required 'compute.instances.{verb}' permission for '{path}'", status=403)

    cloud.fault = fault


def test_a_peer_of_a_mistyped_project_keeps_nobody_from_failing_over(make, cloud):
    """The API answers 403 and not 404 to who is nobody there. The peer's zone is this node's, which does answer."""
    mistyped = "projects/mistyped/zones/r-b/instances/c"
    action = make(peers=[A, B, mistyped])
    refuse(cloud, mistyped)
    assert action.look().holder == A
    outcome, _told = run(action)
    assert cloud.holders(X) == [(B, "nic0")] and outcome.after.holders == {X: (B, "nic0")}
    assert action.look().mine and mistyped in action.status()["api"]["error"]
    cloud.take(B, X)
    assert action.look().why == f"{X} is on no instance"
    run(action, take=False)
    assert cloud.holders(X) == [(B, "nic0")]


def test_a_peer_that_may_not_be_looked_at_any_more_has_what_it_was_seen_with(make, cloud):
    action = make(ranges=[X, Y])
    action.look()
    refuse(cloud, A)
    assert action.look().elsewhere == f"{X} is on {A} nic0, which this node may not look at any more"
    with pytest.raises(Failed, match=f"{X}: .*patch.* permission for '{A}'"):
        run(action)
    assert cloud.holders(X) == [(A, "nic0")] and cloud.holders(Y) == [(B, "nic0")]
    assert cloud.on(A) == {MINE, X}
    cloud.fault = lambda *_: None
    run(action)
    assert cloud.holders(X) == [(B, "nic0")] and action.status()["api"]["error"] is None


def test_who_may_not_look_at_itself_does_nothing(make, cloud):
    action = make()
    refuse(cloud, B)
    with pytest.raises(Denied):
        action.look()
    with pytest.raises(Failed, match="nothing was changed"):
        run(action)
    refuse(cloud, A, C)
    cloud.silent = {"r-b"}
    with pytest.raises(Unavailable):
        action.look()
    assert cloud.mutations == []


def test_the_source_is_stopped_where_that_was_chosen(make, cloud):
    def fault(phase, verb, path):
        if verb == "patch" and path == A and cloud.instances[A]["status"] == "RUNNING":
            raise Unavailable("busy", status=503)

    cloud.fault = fault
    with pytest.raises(Failed):
        run(make())
    assert cloud.instances[A]["status"] == "RUNNING"
    outcome, _told = run(make(on_source_failure="stop"))
    assert [step.name for step in outcome.steps] == [STOP, REMOVE, ADD]
    assert cloud.holders(X) == [(B, "nic0")] and cloud.on(A) == {MINE}


def test_an_api_that_does_not_answer_at_all(make, cloud):
    action = make()
    cloud.silent = {"r-a", "r-b", "r-c"}
    with pytest.raises(Unavailable, match="r-b"):
        action.look()
    with pytest.raises(Failed, match="nothing was changed"):
        run(action)
    cloud.silent = {"r-b"}
    with pytest.raises(Failed, match="nothing was changed"):
        run(action)
    assert cloud.mutations == []


# --- mastership that is lost


@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize("error", [None, Lost("lost"), Unavailable("busy")])
def test_mastership_lost_at_every_request(make, cloud, phase, error):
    action = make(ranges=[X, Y])
    for number in range(1, 100):
        cloud.fault = lambda *_: None
        for path, cidr in itertools.product((A, B, C), (X, Y)):
            if (path, "nic0") in cloud.holders(cidr):
                cloud.take(path, cidr)
        cloud.put(A, X).put(C, Y)
        action.look()
        cloud.requests.clear()
        lost = threading.Event()

        def fault(when, verb, path, number=number, gone=lost):
            if when == phase and len(cloud.requests) == number and not gone.is_set():
                gone.set()
                if error and verb == "patch":
                    raise error

        cloud.fault = fault
        changes = len(cloud.mutations)
        with contextlib.suppress(Stopped):
            run(action, still_wanted=lambda gone=lost: not gone.is_set())
        if not lost.is_set():
            break
        # Each is on one, and what was not begun is not.
        assert len(cloud.holders(X)) == len(cloud.holders(Y)) == 1, number
        removed = {path for path, _nic, _ranges in cloud.mutations[changes:]} - {B}
        for cidr, path in ((X, A), (Y, C)):
            assert cloud.holders(cidr) == [(B if path in removed else path, "nic0")], number
    assert number > 9


def test_mastership_lost_before_a_free_range_is_added(make, cloud):
    cloud.take(A, X)
    with pytest.raises(Stopped):
        run(make(), still_wanted=lambda: len(cloud.requests) < 4)
    assert cloud.mutations == []


# --- what would keep it from ever succeeding


def test_preflight(make, cloud):
    action = make()
    assert action.preflight() == []
    assert {path for verb, path in cloud.requests if verb == "get"} == {"b"}
    cloud.denied = {UPDATE}
    assert action.preflight() == [
        f"the caller does not have the permission {UPDATE} on {B}: give it a role that has it"
    ]
    cloud.denied = {USE, FOLLOW}
    assert len(action.preflight()) == 2
    cloud.denied = set()
    assert "has no interface nic3, but nic0" in make(interface="nic3").preflight()[0]
    (problem,) = make(ranges=[X, "10.9.9.9"]).preflight()
    assert "10.9.9.9/32 is outside the ranges of the subnet (primary 10.0.0.0/16, secondary: pods" in problem
    assert f"overlaps the alias range {THEIRS}" in make(ranges=["10.0.8.0/24"]).preflight()[0]
    action = make(ranges=["172.17.0.1"], range_name="more")
    assert "has no secondary range more; it has: pods" in action.preflight()[0]
    with pytest.raises(Refused, match="has no secondary range more"):
        action.look()
    cloud.subnetwork["secondaryIpRanges"].append({"rangeName": "more", "ipCidrRange": "172.17.0.0/16"})
    assert action.look().todo and action.preflight() == []


def test_a_peer_that_may_not_be_read(make, cloud):
    def fault(phase, verb, path):
        if (verb, path) == ("get", A):
            raise Denied("Required 'compute.instances.get' permission", status=403)

    cloud.fault = fault
    action = make()
    assert action.look().why == f"{X} is on no instance"
    with pytest.raises(Failed, match=r"A peer may have it that this node may not look at: .*compute\.instances\.get"):
        run(action)
    assert cloud.holders(X) == [(A, "nic0")]


def test_status(make, cloud):
    action = make()
    assert action.status()["ranges"] == {X: None}
    action.look()
    status = action.status()
    assert (status["self"], status["interface"], status["ranges"]) == (B, "nic0", {X: f"{A} nic0"})
    assert status["api"]["latency_ms"] >= 0 and status["api"]["answered"] and status["api"]["error"] is None
