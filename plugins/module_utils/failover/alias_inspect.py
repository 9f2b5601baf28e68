# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at alias IP ranges for a person: their holders, the possible holders, and the obstacles to a move."""

from __future__ import annotations

from typing import NamedTuple

from ..base.errors import Denied
from ..clouds.gce_names import as_cidr
from . import alias
from .alias_look import Fleet, permission_problems
from .gcp_preflight import firewall_problems

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from .alias_goal import AliasGoal, Place, Want
    from .alias_look import AliasApi
    from .gcp_preflight import FirewallApi

    class InspectApi(AliasApi, FirewallApi, Protocol):
        """The verbs that a client needs."""


class Candidate(NamedTuple):
    """An interface that may hold a range. reason: why it is not fit to; "" if it is."""

    place: Place
    reason: str


class Range(NamedTuple):
    """A range that was asked for.

    | field      | type              | meaning                                                   |
    |------------|-------------------|-----------------------------------------------------------|
    | cidr       | str               | in CIDR notation                                          |
    | holder     | Place or None     | the interface that has it                                 |
    | target     | Place or None     | the interface that a move would give it to, or leave it on |
    | standby    | str or None       | the first other instance that is fit to hold it           |
    | candidates | list of Candidate | the interfaces that may hold it                           |
    """

    cidr: str
    holder: Place | None
    target: Place | None
    standby: str | None
    candidates: Sequence[Candidate]


class Findings(NamedTuple):
    """fleet: all instances of the project. silent: the zones that did not answer."""

    fleet: Fleet
    ranges: Sequence[Range]
    problems: Sequence[str]
    silent: Sequence[str]


def inspect(
    client: InspectApi, goal_for: Callable[[Fleet], AliasGoal], explicit: bool, preflight: bool, vrrp: bool
) -> Findings:
    """goal_for: from the project's instances to the goal that a move would have.

    explicit: the goal names the possible holders of the ranges. preflight: then also look for missing requirements of
    a move. vrrp: a firewall that lets VRRP pass between the candidates is needed, too.
    """
    fleet = Fleet(*client.list_instances())
    goal = goal_for(fleet)
    survey = alias.look(client, goal, fleet)
    ranges = [_range(survey, want, explicit) for want in goal.wants if not want.problem]
    problems = [*survey.problems, *survey.decision.waiting.values()]
    problems += [f"{cidr}: {why}" for cidr, why in survey.decision.unplaced.items()]
    if explicit and preflight:
        problems += _standby_problems(ranges)
        problems += _requirements(client, survey, goal.wants, ranges, vrrp)
    return Findings(fleet, ranges, list(dict.fromkeys(problems)), sorted(survey.fleet.silent))


def neighbours(cidr: str, fleet: Fleet) -> list[Place]:
    """Every interface of the networks that a range is on."""
    cidr = as_cidr(cidr)
    networks = [
        interface.get("network")
        for interface in fleet.interfaces.values()
        if any(each.get("ipCidrRange") == cidr for each in interface.get("aliasIpRanges") or ())
    ]
    return [place for place, interface in sorted(fleet.interfaces.items()) if interface["network"] in networks]


def _range(survey: alias.Survey, want: Want, explicit: bool) -> Range:
    holder, target = survey.holders.get(want.cidr), survey.decision.targets.get(want.cidr)
    candidates = [Candidate(place, survey.decision.unfit.get((want.cidr, place), "")) for place in want.candidates]
    candidates = [each for each in candidates if explicit or not each.reason]
    # Where nobody has it, it is the target that may fail.
    first = holder or target
    standbys = [each.place[0] for each in candidates if not each.reason and first and each.place[0] != first[0]]
    return Range(want.cidr, holder, target, standbys[0] if standbys else None, candidates)


def _standby_problems(ranges: Sequence[Range]) -> list[str]:
    problems = []
    for each in ranges:
        target, holder = each.target and each.target[0], each.holder and each.holder[0]
        if target and holder in (None, target) and not each.standby:
            reasons = "; ".join(candidate.reason for candidate in each.candidates if candidate.reason)
            problems.append(
                f"{each.cidr}: there is no standby, should {target} fail"
                + (f" ({reasons})" if reasons else ": name another instance that may hold it")
            )
    return problems


def _requirements(
    client: InspectApi, survey: alias.Survey, wants: Sequence[Want], ranges: Sequence[Range], vrrp: bool
) -> list[str]:
    """The missing requirements of a move: permissions, and VRRP between the instances."""
    problems = []
    fit = {candidate.place for each in ranges for candidate in each.candidates if not candidate.reason}
    try:
        problems += permission_problems(client, survey.fleet, fit, survey.decision.leaving)
    except Denied as error:
        problems.append(str(error))
    places = {place for want in wants for place in want.candidates if place in survey.fleet.interfaces}
    for network in sorted({survey.fleet.network(place) for place in places if vrrp}):
        nodes = {place[0] for place in places if survey.fleet.network(place) == network}
        problems += firewall_problems(client, sorted(nodes), network)
    return problems
