# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides for each alias IP range which interface loses it and which one gets it. The look and the goal are enough;
no request is made.

A range that is on none of its candidates, or on one that is worse than another, moves to the first that is fit. A
candidate is fit if its instance is RUNNING and not to be avoided. Its interface must exist, be on the right network
and have room, and its subnet must contain the range.
"""

from __future__ import annotations

import contextlib

from ..clouds.gce_names import format_cidr, normalise, parse_cidr, zone_of
from .alias_goal import spell
from .alias_look import no_answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .alias_goal import AliasGoal, Place, Want
    from .alias_look import Fleet


class Decision:
    """The changes, and the problems that forbid them. Each dict has the ranges as its keys, in CIDR notation.

    problems  list of str            blocking problems: nothing may be changed
    holders   dict of Place or None  the interface that has the range now
    targets   dict of Place or None  the interface that shall have it; its holder, if it stays
    sources   dict of Place          the interface that it is to be removed from
    names     dict of str            the secondary range that contains it at its target, or ""
    spared    dict of Place          the interface of a RUNNING instance that keeps it, as the goal says
    unplaced  dict of str            why no candidate is fit, though it should move
    waiting   dict of str            why nothing can be decided until silent zones answer
    unfit     dict of str            by range and candidate: why that one is not fit, or ""
    """

    __slots__ = ("holders", "names", "problems", "sources", "spared", "targets", "unfit", "unplaced", "waiting")

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.holders: dict[str, Place | None] = {}
        self.targets: dict[str, Place | None] = {}
        self.sources: dict[str, Place] = {}
        self.names: dict[str, str] = {}
        self.spared: dict[str, Place] = {}
        self.unplaced: dict[str, str] = {}
        self.waiting: dict[str, str] = {}
        self.unfit: dict[tuple[str, Place], str] = {}

    @property
    def leaving(self) -> dict[Place, list[str]]:
        """The ranges to remove, by the interface that has them."""
        result: dict[Place, list[str]] = {}
        for cidr, place in self.sources.items():
            result.setdefault(place, []).append(cidr)
        return result

    @property
    def coming(self) -> dict[Place, list[str]]:
        """The ranges to add, by the interface that gets them."""
        result: dict[Place, list[str]] = {}
        for cidr, place in self.targets.items():
            if place and self.holders[cidr] != place:
                result.setdefault(place, []).append(cidr)
        return result


def decide(fleet: Fleet, goal: AliasGoal) -> Decision:
    d = Decision()
    moving = [want for want in goal.wants if _has_to_move(fleet, goal, d, want)]
    for want in moving:
        holder = d.holders[want.cidr]
        if holder is None and want.source and zone_of(want.source[0]) in fleet.silent:
            # It cannot be seen; the caller knows that it is there.
            holder = d.holders[want.cidr] = (want.source[0], want.source[1] or "nic0")
        if holder:
            d.sources[want.cidr] = holder
        elif fleet.silent and not want.candidates:
            d.waiting[want.cidr] = f"whether an instance has {want.cidr} is not known: {no_answer(fleet.silent)}"
    leaving = {place: len(cidrs) for place, cidrs in d.leaving.items()}
    chosen: dict[Place, int] = {}
    for want in moving:
        _choose(fleet, goal, d, want, leaving, chosen)
    if goal.partial and (d.sources or d.coming):
        d.unplaced.update(d.waiting)
        d.waiting.clear()
    else:
        d.problems += [f"{cidr}: {why}" for cidr, why in d.unplaced.items()]
    _check_expected(goal, d)
    return d


def _has_to_move(fleet: Fleet, goal: AliasGoal, d: Decision, want: Want) -> bool:
    """Whether a range has to change its interface. If not, its target is decided, or a problem noted."""
    network = next((fleet.network(p) for p in want.candidates if p in fleet.interfaces), None)
    if network is None and want.source and want.source in fleet.interfaces:
        network = fleet.network(want.source)
    holders = _holders(fleet, d, want, network)
    holder = holders[0] if holders else None
    d.holders[want.cidr] = holder
    if len(holders) > 1:
        places = " and ".join(map(spell, holders))
        d.problems.append(f"{want.cidr} is on several networks, by {places}: say which (source)")
        return False
    for place in want.candidates:
        d.unfit[want.cidr, place] = _unfit(fleet, goal, want, place, network)
    if holder in want.candidates:
        better = want.candidates[: want.candidates.index(holder)]
        fit = not d.unfit[want.cidr, holder]
        alone = len(want.candidates) == 1 and holder[0] not in goal.avoid
        if alone or (fit and (want.stay or all(d.unfit[want.cidr, p] for p in better))):
            d.targets[want.cidr] = holder
            return False
    elif not _source_is_right(fleet, d, want, holder):
        return False
    if holder and goal.spare and _is_anothers(fleet, want, holder):
        d.targets[want.cidr] = d.spared[want.cidr] = holder
        return False
    return True


def _choose(
    fleet: Fleet, goal: AliasGoal, d: Decision, want: Want, leaving: dict[Place, int], chosen: dict[Place, int]
) -> None:
    """The target of a range that has to move. leaving, chosen: how many ranges each interface loses and has got."""
    d.targets[want.cidr] = None
    if not want.candidates:
        return
    for place in want.candidates:
        if d.unfit[want.cidr, place]:
            continue
        if place == d.sources.get(want.cidr):
            # It is fit, and a better one is full.
            del d.sources[want.cidr]
            d.targets[want.cidr] = place
            return
        there = len(fleet.interfaces[place].get("aliasIpRanges") or ())
        count = there - leaving.get(place, 0) + chosen.get(place, 0) + 1
        if count > goal.limit:
            d.unfit[want.cidr, place] = (
                f"limit: {spell(place)} would have {count} alias ranges, and may have {goal.limit}"
            )
            continue
        chosen[place] = chosen.get(place, 0) + 1
        d.targets[want.cidr] = place
        d.names[want.cidr] = _range_name(fleet, want, place)
        return
    d.sources.pop(want.cidr, None)
    reasons = list(dict.fromkeys(d.unfit[want.cidr, place] for place in want.candidates if d.unfit[want.cidr, place]))
    why = f"there is no instance for it: {'; '.join(reasons)}"
    if reasons and all("no answer" in reason for reason in reasons):
        d.waiting[want.cidr] = f"{want.cidr}: {why}"
    else:
        d.unplaced[want.cidr] = why
    d.targets[want.cidr] = d.holders[want.cidr]


def _holders(fleet: Fleet, d: Decision, want: Want, network: str | None) -> list[Place]:
    """The interfaces that have exactly this range. Anything else that overlaps it is a problem."""
    first, last = want.span
    holders = []
    for begin, end, place, alias in fleet.spans:
        if end < first or last < begin or (network and fleet.network(place) != network):
            continue
        if alias and (begin, end) == (first, last):
            holders.append(place)
        elif want.candidates:
            what = "the alias range" if alias else "the primary address"
            other = format_cidr(begin, end)
            d.problems.append(f"{want.cidr} overlaps {what} {other} of {spell(place)}: choose another one")
    if want.source and len(holders) > 1:
        holders = [p for p in holders if p[0] == want.source[0] and want.source[1] in ("", p[1])] or holders
    return holders


def _source_is_right(fleet: Fleet, d: Decision, want: Want, holder: Place | None) -> bool:
    if not want.source:
        return True
    path, nic = want.source
    if holder:
        if holder[0] == path and nic in ("", holder[1]):
            return True
        d.problems.append(f"{want.cidr} is held by {spell(holder)}, and not by the source {spell(want.source)}")
        return False
    if path in fleet.instances:
        if nic and want.source not in fleet.interfaces:
            d.problems.append(f"source: {path} has no interface {nic}, but {fleet.nics(path)}")
            return False
        networks = {fleet.network(p) for p in want.candidates if p in fleet.interfaces}
        mine = {fleet.network(p) for p in fleet.interfaces if p[0] == path and nic in ("", p[1])}
        if networks and not networks & mine:
            d.problems.append(f"source: {spell(want.source)} is not on {', '.join(sorted(networks))}")
            return False
    elif zone_of(path) not in fleet.silent:
        d.problems.append(f"source: the instance {path} does not exist: leave it out to have the holder found")
        return False
    return True


def _is_anothers(fleet: Fleet, want: Want, holder: Place) -> bool:
    """Whether the holder is RUNNING, and none of the candidates' instances."""
    mine = {path for path, _nic in want.candidates}
    return holder[0] not in mine and fleet.instances[holder[0]].get("status") == "RUNNING"


def _unfit(fleet: Fleet, goal: AliasGoal, want: Want, place: Place, network: str | None) -> str:
    """Why an interface cannot get the range; empty if it can."""
    path, nic = place
    if path in goal.avoid:
        return f"{path} is to be avoided"
    instance = fleet.instances.get(path)
    if instance is None:
        if zone_of(path) in fleet.silent:
            return f"there is no answer from the zone of {path}"
        return f"the instance {path} does not exist"
    if place not in fleet.interfaces:
        return f"{path} has no interface {nic}, but {fleet.nics(path)}"
    if instance.get("status") != "RUNNING":
        return f"{path} is not RUNNING but {instance.get('status')}: start it"
    if fleet.network(place) != network:
        return f"{spell(place)} is not on {network}"
    try:
        _range_name(fleet, want, place)
    except ValueError as error:
        return str(error)
    return ""


def _range_name(fleet: Fleet, want: Want, place: Place) -> str:
    """The secondary range of the interface's subnet that contains the wanted range; "": the primary one does.

    Raises ValueError if none does.
    """
    path = normalise(fleet.interfaces[place].get("subnetwork", ""))
    subnetwork = fleet.subnetworks.get(path)
    if subnetwork is None:
        raise ValueError(f"the subnet {path} of {spell(place)} cannot be found")
    spaces = {each["rangeName"]: each["ipCidrRange"] for each in subnetwork.get("secondaryIpRanges") or ()}
    known = ", ".join(f"{name} {space}" for name, space in sorted(spaces.items())) or "none"
    spaces = {"": subnetwork.get("ipCidrRange", ""), **spaces}
    if want.range_name is not None:
        if want.range_name not in spaces:
            raise ValueError(f"the subnet {path} has no secondary range {want.range_name}; it has: {known}")
        spaces = {want.range_name: spaces[want.range_name]}
    for name, space in spaces.items():
        with contextlib.suppress(ValueError):
            first, last = parse_cidr(space)
            if first <= want.span[0] and want.span[1] <= last:
                return name
    if want.range_name is None:
        where = f"the ranges of the subnet (primary {subnetwork.get('ipCidrRange')}, secondary: {known})"
    elif want.range_name:
        where = f"the secondary range {want.range_name} ({spaces[want.range_name]})"
    else:
        where = f"the primary range ({spaces['']}) of the subnet"
    raise ValueError(f"{want.cidr} is outside {where} of {spell(place)}")


def _check_expected(goal: AliasGoal, d: Decision) -> None:
    expected = goal.expected_holder
    if not expected:
        return
    for cidr, place in d.holders.items():
        if not place or place == d.targets.get(cidr) or place[0] == expected or place[0].endswith(f"/{expected}"):
            continue
        d.problems.append(f"{cidr} is on {spell(place)}, and not on the expected holder {expected}")
