# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Moves alias IP ranges between the interfaces of running instances of Google Cloud: any number, in one call.

The API lets a range be on one interface only. So it has to be removed before it can be added: two operations, between
which nobody has it. Rules, which docs/alias-procedure.md explains, and which the tests check after each request:

1. Everything that can be read or checked is read and checked before the first removal: one look at all instances.
2. An interface is changed by one request for all of its ranges, with the fingerprint it was seen with. If anybody
   changed it meanwhile, the API refuses, and it is read and merged again: the ranges of others stay.
3. Removals of different interfaces run at the same time. A range is added as soon as it is free; nothing is read in
   between. One interface is never changed by two requests of a run at the same time.
4. A range that cannot be added goes back to where it was. A range that cannot be removed stays where it is.
5. A run takes a range only from the interface that it first saw it on. If another run moved it meanwhile, this one
   fails and names the new holder; so two runs that disagree end.
6. There is nothing to clean up: a range that a killed run left on no interface is free, and the next run adds it.

This file is the procedure. alias_goal: the goal. alias_look: the look. alias_decide: the decision.
alias_edit: the changes. alias_moves: their order.
"""

from __future__ import annotations

from ..base.errors import CloudError, Unavailable
from ..clouds.gce_names import zone_of
from .alias_decide import Decision, decide
from .alias_edit import ADD, REMOVE, Edit
from .alias_goal import goal_problems, spell
from .alias_look import Fleet, no_answer, permission_problems, see
from .alias_moves import Moves
from .outcome import Refused, Stopped
from .parallel import Together, Unwanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .alias_goal import AliasGoal, Place
    from .alias_look import AliasApi
    from .plan import Memory, Step

_MOVES = "moves"


class Survey:
    """What is there, before the move or after it.

    fleet     Fleet                  the instances
    decision  Decision               what has to change; after the move: what had to
    holders   dict of Place or None  the interface that has each range
    problems  list of str            blocking problems
    notes     list of str            what could not be checked
    blind     str                    why holders are only supposed: the fleet could not be seen any more
    errors    dict of CloudError     after the move: why a range is not where it was wanted
    moved     bool                   the move has ended
    """

    def __init__(
        self,
        fleet: Fleet,
        decision: Decision,
        problems: Iterable[str] = (),
        holders: dict[str, Place | None] | None = None,
        moved: bool = False,
        blind: str = "",
    ) -> None:
        self.fleet = fleet
        self.decision = decision
        self.problems = list(problems)
        self.holders = decision.holders if holders is None else holders
        self.moved = moved
        self.blind = blind
        self.notes: list[str] = []
        self.errors: dict[str, CloudError] = {}

    @property
    def holder(self) -> str | None:
        """The instance that has all ranges, if there is one."""
        instances = {place and place[0] for place in self.holders.values()}
        return instances.pop() if len(instances) == 1 else None

    def state(self) -> str:
        """In a sentence, where each range is."""
        where: dict[Place | None, list[str]] = {}
        for cidr, place in self.holders.items():
            where.setdefault(place, []).append(cidr)
        none = "on no instance"
        if self.fleet.silent:
            none += f" that can be seen ({no_answer(self.fleet.silent)})"
        text = "; ".join(
            f"{', '.join(cidrs)} {'is' if len(cidrs) == 1 else 'are'} {'on ' + spell(place) if place else none}"
            for place, cidrs in where.items()
        )
        if self.blind:
            text += f" (as far as is known: it could not be looked at any more, {self.blind})"
        return text

    def to_diff(self) -> dict[str, Any]:
        return _diff(self.holders)


def observe(client: AliasApi, goal: AliasGoal, memory: Memory) -> Survey:
    done = memory.done.get(_MOVES)
    if done:
        return _look_again(client, goal, memory.facts[_MOVES], done.result)
    wrong = goal_problems(goal)
    if wrong:
        raise Refused(wrong)
    survey = look(client, goal)
    waiting = survey.decision.waiting
    if waiting and not survey.problems:
        raise Unavailable("; ".join(waiting.values()), resource=", ".join(sorted(survey.fleet.silent)))
    coming, leaving = survey.decision.coming, survey.decision.leaving
    if goal.check and not survey.problems and (coming or leaving):
        survey.problems = permission_problems(client, survey.fleet, coming, leaving, survey.notes)
    memory.facts[_MOVES] = survey
    return survey


def look(client: AliasApi, goal: AliasGoal, fleet: Fleet | None = None) -> Survey:
    """Look at everything once, and decide; of permissions nothing is asked. fleet: all instances, if they were seen."""
    problems = goal_problems(goal)
    if problems:
        return Survey(Fleet(), Decision(), problems)
    fleet = see(client, goal, fleet)
    decision = decide(fleet, goal)
    return Survey(fleet, decision, decision.problems)


def plan(survey: Survey, goal: AliasGoal, memory: Memory) -> list[Together]:
    """All edits together; each begins when it can. Raises the error of a move that has failed, in part or wholly."""
    decision = survey.decision
    if survey.moved:
        if survey.errors and all(isinstance(error, Unwanted) for error in survey.errors.values()):
            raise Stopped(memory.steps)
        if survey.errors:
            raise _summary(survey.errors)
        return []
    interfaces = survey.fleet.interfaces
    steps: list[Step] = [
        Edit(REMOVE, place, remove=cidrs).step(interfaces.get(place) or {}) for place, cidrs in decision.leaving.items()
    ]
    steps += [
        Edit(ADD, place, {cidr: decision.names[cidr] for cidr in cidrs}).step(interfaces[place])
        for place, cidrs in decision.coming.items()
    ]
    return [Together(_MOVES, Moves(survey.fleet, decision, goal), steps)] if steps else []


def wanted_diff(survey: Survey) -> dict[str, Any]:
    """to_diff() of the wanted state."""
    return _diff({**survey.holders, **survey.decision.targets})


def _diff(holders: dict[str, Place | None]) -> dict[str, Any]:
    places = set(holders.values())
    place = places.pop() if len(places) == 1 else None
    return {
        "holder": place[0] if place else None,
        "ranges": {cidr: spell(where) if where else None for cidr, where in sorted(holders.items())},
    }


def _look_again(client: AliasApi, goal: AliasGoal, before: Survey, moves: Moves) -> Survey:
    """Where everything is at the end: seen, if it can be seen, else as it must be."""
    try:
        fleet = Fleet(*client.list_instances())
    except CloudError as error:
        after = Survey(before.fleet, before.decision, (), dict(moves.where), True, str(error).rstrip("."))
        after.errors = dict(moves.errors)
    else:
        after = _judge(goal, before, moves, fleet)
    for cidr, why in before.decision.unplaced.items():
        after.errors[cidr] = CloudError(why, resource=cidr)
    return after


def _judge(goal: AliasGoal, before: Survey, moves: Moves, fleet: Fleet) -> Survey:
    """Where each range is, by a last look, and whether that is where it is wanted."""
    decision = before.decision
    after = Survey(fleet, decision, (), dict(moves.where), True)
    after.errors = dict(moves.errors)
    for want in goal.wants:
        target, source = decision.targets[want.cidr], decision.sources.get(want.cidr)
        near = next((p for p in (target, source, *want.candidates) if p and p in before.fleet.interfaces), None)
        network = before.fleet.network(near) if near else None
        holder = next(iter(fleet.holders(want, network)), None)
        supposed = moves.where[want.cidr]
        if holder is None and supposed and zone_of(supposed[0]) in fleet.silent:
            holder = supposed
        after.holders[want.cidr] = holder
        if holder == target:
            after.errors.pop(want.cidr, None)
        elif want.cidr not in after.errors and want.cidr not in decision.spared:
            after.errors[want.cidr] = CloudError(
                f"{want.cidr} was moved by somebody else meanwhile", resource=want.cidr
            )
    return after


def _summary(errors: dict[str, CloudError]) -> CloudError:
    """One error for all: each text once, with its ranges."""
    first = next(iter(errors.values()))
    texts: dict[str, list[str]] = {}
    for cidr, error in errors.items():
        texts.setdefault(str(error).rstrip("."), []).append(cidr)
    said = "; ".join(f"{', '.join(cidrs)}: {text}" for text, cidrs in texts.items())
    return CloudError(
        said, resource=first.resource, status=first.status, code=first.code, retry_after=first.retry_after
    )
