# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is decided about routes, from facts that are written down here: no client, no clock."""

from __future__ import annotations

import re

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import (
    AlreadyExists,
    Denied,
    Invalid,
    NotFound,
    Unavailable,
)
from ansible_collections.cloudha.vip.plugins.module_utils.failover.facts import Unread
from ansible_collections.cloudha.vip.plugins.module_utils.failover.named_route import (
    Known,
    NamedGoal,
    NoRoute,
    missing_permissions,
    name_problems,
    resolve,
)
from ansible_collections.cloudha.vip.plugins.module_utils.failover.route_decide import History, Insertion, decide
from ansible_collections.cloudha.vip.plugins.module_utils.failover.route_look import Observed, look
from ansible_collections.cloudha.vip.plugins.module_utils.failover.route_problems import TAKEN, problems
from ansible_collections.cloudha.vip.plugins.module_utils.failover.route_table import mark
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.cloud import (
    DESTINATION,
    NAME,
    NETWORK,
    A,
    B,
    C,
    goal,
)

NOW = 1000.0  # the server's clock
MINE = f"{NAME}-tmp-me-"
DEAD = [{"code": "NEXT_HOP_NOT_RUNNING"}]


def row(name, hop, age=60.0, priority=1000, **more):
    field = "nextHopInstance" if "/" in hop else "nextHopIp"
    created = NOW - age
    body = {"name": name, "network": NETWORK, "destRange": DESTINATION, "priority": priority, field: hop}
    return {**body, "id": str(int(created * 10)), "creationTimestamp": created, **more}


def original(hop, age=60.0, **more):
    return row(NAME, hop, age, **more)


def temporary(hop, age, number=1, run="me", priority=999, **more):
    return row(f"{NAME}-tmp-{run}-{number}", hop, age, priority, description=mark(NAME, 1000, ""), **more)


def history(*insertions, now=500.0, **keys):
    return History(now, MINE, insertions, **keys)


def inserted(age, number=1, warnings=()):
    """A temporary that this run inserted so many seconds ago."""
    return Insertion(f"{MINE}{number}", 500.0 - age, warnings)


def next_of(wanted, routes, done=None):
    observed = Observed(wanted, routes, NOW)
    before = repr(observed.__dict__)
    action, again = (decide(observed, done or history()) for _time in range(2))
    assert repr(observed.__dict__) == before and repr(action) == repr(again), "a decision changed what it saw"
    return repr(action) if action else None


GONE = goal(None, present=False)
TEMPORARY = "insert temporary route"


@pytest.mark.parametrize(
    ("wanted", "routes", "expected"),
    [
        (GONE, [], None),
        (GONE, [original(A), temporary(A, 9)], f"delete {MINE}1"),
        (GONE, [original(A)], f"delete {NAME}"),
        (goal(A), [], "insert route"),
        (goal(A), [original(A)], None),
        (goal(B), [original(A)], TEMPORARY),
        (goal(A, priority=500), [original(A)], TEMPORARY),
        (goal(A, tags=["client"]), [original(A)], TEMPORARY),
        (goal(A, description="new"), [original(A, description="old")], TEMPORARY),
        (goal(None, description="new"), [original(A, description="old")], TEMPORARY),
        (goal(A), [original(A, warnings=DEAD)], TEMPORARY),
        # What an older run left behind: as wanted, and the original is gone.
        (goal(B), [temporary(B, 60, run="old")], "insert route"),
        (goal(B), [temporary(A, 60, run="old")], TEMPORARY),
        # The original is as wanted, and newer than what is left over.
        (goal(B), [original(B, 30), temporary(B, 60, run="old")], f"delete {NAME}-tmp-old-1"),
        (goal(B), [original(B, 5), temporary(B, 9, run="old")], "wait 1 s: until floating-ip-route, whose insertion"),
        # It is older: nothing may be deleted on its account.
        (goal(B), [original(B, 60), temporary(A, 30, run="old")], TEMPORARY),
        (goal(A, exclusive=True), [original(A), row("better", B, 90, 10)], "delete better"),
        (goal(A, exclusive=True), [original(A), row("better", B, 30, 10)], TEMPORARY),
    ],
)
def test_the_first_thing_to_do(wanted, routes, expected):
    action = next_of(wanted, routes)
    assert action == expected if expected is None else action.startswith(expected)


@pytest.mark.parametrize(
    ("routes", "done", "expected"),
    [
        # Its temporary has to be active before the original goes.
        ([original(A), temporary(B, 0.4)], history(inserted(0.4)), "wait 0.6 s: until .* is active everywhere"),
        ([original(A), temporary(B, 5)], history(inserted(5)), f"delete {NAME}"),
        ([temporary(B, 5)], history(inserted(5)), "insert route"),
        # The answer was lost: the name says whose it is, and only the lease says that it is active.
        ([original(A), temporary(B, 5)], history(), "wait 1 s: until .* whose insertion was not seen"),
        ([original(A), temporary(B, 25)], history(), f"delete {NAME}"),
        # Another run began later. The traffic is taken back once.
        ([original(A), temporary(B, 9), temporary(C, 3, run="you", priority=998)], history(inserted(9)), TEMPORARY),
        (
            [original(A), temporary(B, 9), temporary(B, 6, 2, priority=998), temporary(C, 3, run="you", priority=997)],
            history(inserted(9), inserted(6, 2)),
            "wait 1 s: another run is at work",
        ),
        (
            [original(A), temporary(B, 9, priority=998), temporary(B, 3, run="you")],
            history(inserted(9)),
            "wait 1 s: another run is at work",
        ),
        # What is older and better than its temporary goes before the original does.
        ([original(A), temporary(C, 30, run="old"), temporary(B, 5)], history(inserted(5)), "delete .*-tmp-old-1"),
        # The last: the wanted route is there, and active.
        (
            [original(B, 0.5), temporary(B, 9)],
            history(inserted(9), Insertion(NAME, 499.5, (), frozenset())),
            "wait 0.5 s: until floating-ip-route is active everywhere",
        ),
        (
            [original(B, 3), temporary(B, 9)],
            history(inserted(9), Insertion(NAME, 497.0, (), frozenset())),
            f"delete {MINE}1",
        ),
        # Somebody made a temporary since: the route of this name may be another one by now.
        (
            [original(B, 3), temporary(B, 9), temporary(B, 6, run="you")],
            history(inserted(9), Insertion(NAME, 494.0, (), frozenset())),
            "wait 1 s: until floating-ip-route, whose insertion was not seen",
        ),
        # The next hop of its temporary turned out to be dead.
        ([original(A), temporary(B, 3, warnings=DEAD)], history(inserted(3, warnings=DEAD)), f"delete {MINE}1"),
    ],
)
def test_what_comes_next_in_a_run(routes, done, expected):
    assert re.match(expected, next_of(goal(B), routes, done))


def test_a_dead_next_hop_ends_the_run():
    with pytest.raises(Invalid, match="is dead: NEXT_HOP_NOT_RUNNING"):
        decide(Observed(goal(B), [original(A)], NOW), history(inserted(3, warnings=DEAD)))
    again = history(Insertion(NAME, 400.0, (), frozenset()))
    with pytest.raises(Invalid, match="is in place, but the API says that its next hop is dead"):
        decide(Observed(goal(B), [original(B, warnings=DEAD)], NOW), again)


# --- what forbids to go on

FIT = {
    ("get_network", NETWORK): {},
    ("list_subnetworks", NETWORK): [{"name": "subnet", "ipCidrRange": "10.100.0.0/16"}],
    ("get_instance", B): {
        "canIpForward": True,
        "status": "RUNNING",
        "networkInterfaces": [{"network": NETWORK, "networkIP": "10.100.2.2"}],
    },
}


def forbidden(wanted, routes=(), answers=(), first=True, done=None):
    observed = Observed(wanted, routes, NOW, answers={**FIT, **dict(answers)})
    return problems(observed, done or history(), first)


@pytest.mark.parametrize(
    ("wanted", "routes", "words"),
    [
        (goal(B), [original(A, network="projects/p/global/networks/other")], "is on another network"),
        (goal(None), [], "next hop: none is given"),
        (goal(B), [original(A, priority=0)], "leaves no room for a better one"),
        (goal(B), [original(A), row("better", C, priority=10)], "ask for it to be deleted"),
        (goal(B, expected_holder=C), [original(A)], "not to the expected holder"),
    ],
)
def test_routes_that_forbid_to_go_on(wanted, routes, words):
    assert words in "; ".join(forbidden(wanted, routes)[0])


@pytest.mark.parametrize(
    ("question", "answer", "words"),
    [
        (("get_network", NETWORK), NotFound("404"), "does not exist"),
        (("list_subnetworks", NETWORK), [{"ipCidrRange": "10.200.0.0/16"}], "is inside the range"),
        (("get_instance", B), NotFound("404"), "the instance .* does not exist"),
        (("get_instance", B), {"status": "RUNNING", "networkInterfaces": []}, "may not forward .* has no interface"),
        (("get_instance", B), {"canIpForward": True, "status": "STOPPING"}, "is not RUNNING but STOPPING"),
    ],
)
def test_what_is_not_fit(question, answer, words):
    found, fit = forbidden(goal(B, check=True), [original(A)], {question: answer})
    assert re.search(words, "; ".join(found)) and not fit


def test_fitness_is_looked_at_once_and_before_the_first_change():
    assert forbidden(goal(B, check=True), [original(A)]) == ([], True)
    nothing_read = Observed(goal(B, check=True), [original(A)], NOW)
    assert problems(nothing_read, history(checked=True), True) == ([], True)
    assert problems(nothing_read, history(), False) == ([], False)
    with pytest.raises(Unread):
        problems(nothing_read, history(), True)


def test_a_name_that_is_taken_for_good():
    taken = history(insert_conflicts=[AlreadyExists("409")] * TAKEN)
    assert "with another destination" in forbidden(goal(B), done=taken)[0][0]
    assert forbidden(goal(B), done=history(insert_conflicts=[AlreadyExists("409")] * (TAKEN - 1)))[0] == []


def test_an_owner_that_may_not_be_seen_is_only_an_address():
    wanted = goal("10.100.2.9", check=True)
    question = ("find_instance_by_address", NETWORK, "10.100.2.1")
    hop = {"selfLink": B, **FIT["get_instance", B]}
    there = {question: Denied("403"), ("find_instance_by_address", NETWORK, "10.100.2.9"): hop}
    observed = Observed(wanted, [original("10.100.2.1")], NOW, answers={**FIT, **there})
    assert problems(observed, history(), True) == ([], True) and observed.holder == "10.100.2.1"
    known = Observed(wanted, [original("10.100.2.1")], NOW).learn(question, {"selfLink": f"https://x/{A}"})
    assert known.holder == A


def test_a_next_hop_of_another_project_is_known_by_its_address():
    path = "projects/q/zones/us-central1-a/instances/node1"

    class Client:
        def get_instance(self, asked):
            assert asked == path
            return {"networkInterfaces": [{"network": NETWORK, "networkIP": "10.100.2.9"}]}

        def list_routes(self, destination):
            return [], NOW

    observed = look(Client(), goal(path), {})
    assert (observed.wanted.hop, observed.owners) == (("nextHopIp", "10.100.2.9"), {"10.100.2.9": path})
    assert "may not forward" in problems(observed, history(), True)[0][0]
    assert look(Client(), goal(path), {"10.100.2.9": path}).asked_hop is False


# --- a route that is known by its name


def known(**answers):
    return Known(answers={(verb,): answer for verb, answer in answers.items()})


@pytest.mark.parametrize("left", [original(A), temporary(A, 5)])
def test_destination_and_network_are_those_of_the_route(left):
    found = resolve(known(all_routes=[row("other", B), left]), NamedGoal(NAME, None, None), "p")
    assert (found.destination, found.network) == (DESTINATION, NETWORK)


@pytest.mark.parametrize(
    ("routes", "destination", "present", "problems"),
    [
        ([], None, False, []),
        ([], None, True, ["destination: give it"]),
        ([], DESTINATION, True, ["network: give it"]),
        ([original(A)], "10.9.9.9/32", True, [f"name: the route {NAME} is for {DESTINATION} on"]),
    ],
)
def test_a_route_that_cannot_be_resolved(routes, destination, present, problems):
    found = resolve(known(all_routes=routes), NamedGoal(NAME, destination, None, present), "p")
    assert isinstance(found, NoRoute)
    assert len(found.problems) == len(problems)
    assert all(text.startswith(problems[number]) for number, text in enumerate(found.problems))


def test_a_route_of_this_name_that_is_for_something_else():
    elsewhere = Known(answers={("named_route", NAME): original(A, destRange="10.9.9.9/32")})
    assert name_problems(elsewhere, Observed(goal(B), [], NOW))[0].startswith(f"name: the route {NAME} is for 10.9.9.9")
    assert name_problems(Known(), Observed(goal(B), [original(A)], NOW)) == []


WANTED = {"r": ("create", "delete")}


@pytest.mark.parametrize(
    ("granted", "strict", "words", "unanswered"),
    [
        ({"create", "delete"}, False, [], False),
        ({"create"}, False, ["permission delete on r"], False),
        (NotFound("404"), True, [], False),
        (Denied("403"), False, [], False),
        (Denied("may not ask"), True, ["may not ask"], False),
        (Unavailable("503"), False, [], True),
    ],
)
def test_permissions(granted, strict, words, unanswered):
    answers = {("test_permissions", "r", WANTED["r"]): granted, ("may_follow_operations",): True}
    missing, error = missing_permissions(Known(answers=answers), "p", WANTED, strict)
    assert len(missing) == len(words)
    assert all(word in missing[number] for number, word in enumerate(words))
    assert bool(error) == unanswered


def test_permissions_that_nobody_tells():
    answers = {("test_permissions", "r", WANTED["r"]): Unavailable("503")}
    with pytest.raises(Unavailable):
        missing_permissions(Known(answers=answers), "p", WANTED, strict=True)
    silent = {("test_permissions", "r", WANTED["r"]): set(WANTED["r"]), ("may_follow_operations",): False}
    assert "globalOperations.get" in missing_permissions(Known(answers=silent), "p", WANTED)[0][0]
