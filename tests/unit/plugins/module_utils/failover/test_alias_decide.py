# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has to change, from every state that an instance, a range and a goal can be in: no API, no engine."""

from __future__ import annotations

import itertools

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.failover.alias_decide import Decision, decide
from ansible_collections.cloudha.vip.plugins.module_utils.failover.alias_look import Fleet
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.alias_cloud import (
    NETWORK,
    OTHER,
    SUBNET,
    URL,
    A,
    Aliases,
    B,
    C,
    X,
    Y,
    goal,
    want,
)

PA, PB, PC = (A, "nic0"), (B, "nic0"), (C, "nic0")


def zone(path):
    return path.split("/")[3]


def fleet_of(cloud):
    return Fleet(*cloud.list_instances(), [cloud.subnetwork])


def facts(fleet):
    return repr((fleet.instances, fleet.subnetworks, fleet.silent))


def told(decision):
    return {name: getattr(decision, name) for name in Decision.__slots__}


# Where the range is; the instances that are stopped; the zones that are silent; the goal.
HOLDERS = (None, A, B, C)
STOPPED = ((), (A,), (B,), (A, B), (C,))
SILENT = ((), (A,), (A, B), (C,))
CANDIDATES = ([], [PA], [PA, PB])
SOURCES = (None, A, C)
RULES = [
    dict(zip(("stay", "spare", "partial", "avoided"), each, strict=True))
    for each in itertools.product((False, True), repeat=4)
]


def state(holder, stopped, silent):
    cloud = Aliases()
    if holder:
        cloud.put(holder, X)
    for path in stopped:
        cloud.instances[path]["status"] = "TERMINATED"
    cloud.silent = {zone(path) for path in silent}
    return cloud


def wanted(candidates, source, rules):
    keys = {"partial": rules["partial"], "spare": rules["spare"], "avoid": [A] if rules["avoided"] else []}
    return goal(want(X, candidates, source=source, stay=rules["stay"]), **keys)


@pytest.mark.parametrize("candidates", CANDIDATES)
@pytest.mark.parametrize("holder", HOLDERS)
def test_every_state(holder, candidates):
    decided = 0
    for stopped, silent, source, rules in itertools.product(STOPPED, SILENT, SOURCES, RULES):
        what = f"{stopped} {silent} {source} {rules}"
        cloud = state(holder, stopped, silent)
        aim, fleet = wanted(candidates, source, rules), fleet_of(cloud)
        before = facts(fleet)
        d = decide(fleet, aim)
        assert facts(fleet) == before, what
        assert told(decide(fleet, aim)) == told(d), what
        seen = holder if holder and holder not in silent else None
        fit = [p for p in candidates if p[0] not in (*stopped, *silent) and not (rules["avoided"] and p[0] == A)]
        assert [p for p in candidates if not d.unfit.get((X, p), "")] in (fit, []), what
        if d.problems or d.waiting:
            # It says why, and that is true.
            reasons = " ".join([*d.problems, *d.waiting.values()])
            assert (
                ("there is no instance for it" in reasons and not fit)
                or ("and not by the source" in reasons and source and seen and source != seen)
                or ("is not known" in reasons and silent and not seen and not candidates)
                or ("the instance" in reasons and "does not exist" in reasons)
            ), (what, reasons)
            continue
        decided += 1
        target, at = d.targets[X], d.holders[X]
        assert at == ((seen, "nic0") if seen else d.sources.get(X)), what
        assert d.sources.get(X) in (None, at), what
        if at and not seen:
            assert source == at[0] and source in silent, what  # only as the caller says so
        if X in d.unplaced:
            assert rules["partial"] and not fit, what
        elif target != at:
            assert target == (fit[0] if candidates else None), what
            assert (X in d.sources) == bool(at), what
            assert d.names.get(X) == ("" if target else None), what
        else:
            assert X not in d.sources, what
            spared = rules["spare"] and seen and at not in candidates and seen not in stopped
            assert (X in d.spared) == bool(spared), what
            assert spared or at is None or at in fit or candidates == [at], what
            if at and not spared and len(candidates) > 1 and not rules["stay"]:
                assert at == fit[0], what
        if source and X in d.sources:
            assert d.sources[X][0] == source or d.sources[X] in candidates, what
        if rules["spare"] and X in d.sources and seen:
            assert seen in stopped or d.sources[X] in candidates, what
        _converges(cloud, aim, d, what)
    assert decided > 20


def _converges(cloud, aim, d, what):
    """After each request, a run that begins anew decides on what is left of the same move; in the end on nothing."""
    target, at = d.targets[X], d.holders[X]
    source = aim.wants[0].source
    if any(place and zone(place[0]) in cloud.silent for place in (at, source)):
        return  # nobody can see that it is removed, or the caller says that a silent instance has it
    if X in d.sources:
        cloud.take(at[0], X)
        again = decide(fleet_of(cloud), aim)
        if not (again.problems or again.waiting):
            assert not again.sources and again.targets[X] == target, what
        else:
            assert target is None and cloud.silent, what  # whether it is really nowhere is not known
    if cloud.holders(X) and target != at:
        return  # somebody has it who cannot be seen, and so the API refuses to add it
    if target and target != at:
        cloud.put(target[0], X)
    if X not in d.unplaced:
        done = decide(fleet_of(cloud), aim)
        assert (done.leaving, done.coming) == ({}, {}), what


def test_the_limit_is_of_what_the_interface_has_at_the_end():
    cloud = Aliases().put(A, X).put(B, Y, "10.0.9.9/32")
    swap = goal(want(X, [PB]), want(Y, [PA]), limit=2)
    d = decide(fleet_of(cloud), swap)
    assert (d.problems, d.leaving, d.coming) == ([], {PA: [X], PB: [Y]}, {PB: [X], PA: [Y]})
    d = decide(fleet_of(cloud), goal(want(X, [PB, PC]), limit=2))
    assert d.targets == {X: PC} and d.unfit[X, PB] == f"limit: {B} nic0 would have 3 alias ranges, and may have 2"
    d = decide(fleet_of(cloud), goal(want(X, [PB, PA]), limit=2))
    assert d.targets == {X: PA} and d.leaving == {}  # where it is, it is fit, and what is better is full


def test_partial_moves_what_can_be_moved():
    cloud = Aliases().put(A, X, Y)
    nowhere = [(B + "9", "nic0")]
    wants = [want(X, [PB]), want(Y, nowhere)]
    d = decide(fleet_of(cloud), goal(*wants))
    assert d.problems == [f"{Y}: there is no instance for it: the instance {B}9 does not exist"]
    d = decide(fleet_of(cloud), goal(*wants, partial=True))
    assert d.problems == [] and list(d.unplaced) == [Y] and d.leaving == {PA: [X]} and d.targets[Y] == PA
    # With nothing to move, it is a problem all the same.
    assert decide(fleet_of(cloud), goal(wants[1], partial=True)).problems


def test_what_overlaps_counts_on_the_same_network_only():
    cloud = Aliases().put(A, "10.0.9.0/28")
    assert "overlaps the alias range 10.0.9.0/28" in decide(fleet_of(cloud), goal(want(X, [PB]))).problems[0]
    cloud.interface(A)["network"] = URL + OTHER
    assert decide(fleet_of(cloud), goal(want(X, [PB]))).problems == []
    d = decide(fleet_of(cloud), goal(want("10.0.9.3", [PA, PB])))
    assert d.unfit["10.0.9.3/32", PB] == f"{B} nic0 is not on {OTHER}"
    assert NETWORK != OTHER


def test_a_subnet_that_is_missing():
    fleet = Fleet(*Aliases().put(A, X).list_instances())
    assert f"the subnet {SUBNET} of {B} nic0 cannot be found" in decide(fleet, goal(want(X, [PB]))).problems[0]


@pytest.mark.parametrize("expected", [A, "a", URL + A])
def test_expected_holder(expected):
    cloud = Aliases().put(A, X)
    assert decide(fleet_of(cloud), goal(want(X, [PB]), expected_holder=expected)).problems == []
    cloud.take(A, X)
    cloud.put(C, X)
    (problem,) = decide(fleet_of(cloud), goal(want(X, [PB]), expected_holder=expected)).problems
    assert problem.startswith(f"{X} is on {C} nic0, and not on the expected holder")
    assert decide(fleet_of(cloud), goal(want(X, [PC]), expected_holder=expected)).problems == []
