# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Moves alias IP ranges between the interfaces of running instances of Google Cloud: any number, in one call.

The API lets a range be on one interface only, so it has to be removed before it can be added: two operations, between
which nobody has it. Rules, which docs/alias-procedure.md explains, and which the tests check after each request:

1. Everything that can be read or checked is read and checked before the first removal: one look at all instances.
2. An interface is changed by one request for all of its ranges, with the fingerprint it was seen with. If anybody
   changed it meanwhile, the API refuses, and it is read and merged again: the ranges of others stay.
3. Removals of different interfaces run at the same time. A range is added as soon as it is free; nothing is read in
   between. One interface is never changed by two requests of a run at the same time.
4. A range that cannot be added goes back to where it was. A range that cannot be removed stays where it is.
5. A run takes a range from whom it saw with it at first, and from nobody else. If another run was faster, this one
   fails and says who has it; so two runs that disagree end.
6. There is nothing to clean up: a range that a killed run left on no interface is free, and the next run adds it.
"""

from __future__ import annotations

import contextlib
import threading
import time

from ..base.errors import AlreadyExists, CloudError, Denied, Invalid, Lost, NotFound, Stale, Unavailable
from ..clouds.gce_names import normalise, parse_cidr
from . import engine
from .engine import Step
from .route import unchecked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any, Protocol

    from .engine import Done, Event, Memory

    Place = tuple[str, str]  # projects/P/zones/Z/instances/I, and nic0
    Interface = dict[str, Any]
else:
    Protocol = object

REMOVE = "remove alias ranges"
ADD = "add alias ranges"
RESTORE = "add alias ranges back"
STOP = "stop instance"

LIMIT = 150  # the API's own, of alias ranges of one interface
UPDATE = "compute.instances.updateNetworkInterface"
USE = "compute.subnetworks.use"
FOLLOW = "compute.zoneOperations.get"
_PARALLEL = 32  # requests at the same time
_LINGER = 0.03  # seconds that a range which is free waits for others that will be on the same interface
_TAKEN = 4  # times in a row that the API says an address is in use, before it counts


class AliasApi(Protocol):
    """What this procedure needs of a client. Errors are those of base/errors.py."""

    def list_instances(self) -> tuple[list[dict[str, Any]], list[str]]:
        """All instances of the project, and the zones that did not answer."""

    def get_instance(self, path: str) -> dict[str, Any]: ...

    def list_subnetworks(self, network: str) -> list[dict[str, Any]]: ...

    def test_permissions(self, path: str, permissions: list[str]) -> set[str]: ...

    def may_follow_operations(self, scope: str) -> bool: ...

    def update_network_interface(self, path: str, interface: str, body: dict[str, Any], request_id: str) -> None:
        """Returns when the operation is done."""

    def stop_instance(self, path: str, request_id: str) -> None:
        """Returns when the operation is done."""


class Want:
    """Who may hold a range: of these interfaces the first that is fit, or none.

    cidr: an address or a network. range_name: of the secondary range of the subnet, "" for the primary range; None:
    find out. source: the only interface that it may be taken from, with "" for any interface of the instance. stay:
    leave it where it is, as long as that is one of the candidates and fit.
    """

    __slots__ = ("candidates", "cidr", "problem", "range_name", "source", "span", "stay")

    def __init__(
        self,
        cidr: str,
        candidates: Sequence[Place] = (),
        range_name: str | None = None,
        source: Place | None = None,
        stay: bool = False,
    ) -> None:
        self.candidates = [(normalise(path), nic) for path, nic in candidates]
        self.range_name = range_name
        self.source = (normalise(source[0]), source[1]) if source else None
        self.stay = stay
        self.problem = ""
        self.cidr, self.span = cidr, (0, -1)
        try:
            self.cidr, self.span = canonical(cidr)
        except ValueError as error:
            self.problem = str(error)


class AliasGoal:
    """What is wanted.

    avoid: instances that must hold none of the ranges, fit or not. expected_holder: refuse, unless each range is on
    this instance, on none, or where it is wanted already; a name, a path or a URL. limit: of ranges on an interface.
    stop_source: where a range cannot be removed, stop the instance that has it, and try again. check: ask whether the
    caller may change the interfaces which get ranges, before anything is changed. partial: where no candidate is fit
    for a range, move the others all the same, and fail then; otherwise nothing is changed. spare: take no range from
    another instance that is RUNNING.
    """

    __slots__ = ("avoid", "check", "expected_holder", "limit", "partial", "spare", "stop_source", "wants")

    def __init__(
        self,
        wants: Iterable[Want],
        avoid: Iterable[str] = (),
        expected_holder: str | None = None,
        limit: int = LIMIT,
        stop_source: bool = False,
        check: bool = True,
        partial: bool = False,
        spare: bool = False,
    ) -> None:
        self.partial = partial
        self.spare = spare
        self.wants = list(wants)
        self.avoid = {normalise(path) for path in avoid}
        self.expected_holder = normalise(expected_holder) if expected_holder else None
        self.limit = limit
        self.stop_source = stop_source
        self.check = check


class Survey:
    """What is there, and what is to be done about it.

    holders: who has each range. targets: who shall have it. sources: from whom it is to be taken. spared: who keeps it
    for being RUNNING. unfit: why a candidate is none. silent: the zones that did not answer.
    """

    def __init__(self, goal: AliasGoal, instances: Iterable[dict[str, Any]] = (), silent: Iterable[str] = ()) -> None:
        self.goal = goal
        self.silent = set(silent)
        self.instances = {normalise(each["selfLink"]): each for each in instances}
        self.interfaces: dict[Place, Interface] = {
            (path, interface.get("name", "")): interface
            for path, each in self.instances.items()
            for interface in each.get("networkInterfaces") or ()
        }
        self.subnetworks: dict[str, dict[str, Any]] = {}
        self.blind = ""  # why nothing could be seen, and what is here is supposed
        self.problems: list[str] = []
        self.notes: list[str] = []  # what could not be checked
        self.unfit: dict[tuple[str, Place], str] = {}
        self.holders: dict[str, Place | None] = {}
        self.targets: dict[str, Place | None] = {}
        self.sources: dict[str, Place] = {}
        self.spared: dict[str, Place] = {}
        self.names: dict[str, str] = {}  # of the secondary range at the target, or ""
        self.unplaced: dict[str, str] = {}  # what has to move, and why it cannot
        self.waiting: dict[str, str] = {}  # what cannot be decided while zones are silent, and why

    @property
    def leaving(self) -> dict[Place, list[str]]:
        result: dict[Place, list[str]] = {}
        for cidr, place in self.sources.items():
            result.setdefault(place, []).append(cidr)
        return result

    @property
    def coming(self) -> dict[Place, list[str]]:
        result: dict[Place, list[str]] = {}
        for cidr, place in self.targets.items():
            if place and self.holders[cidr] != place:
                result.setdefault(place, []).append(cidr)
        return result

    @property
    def holder(self) -> str | None:
        """The instance that has all of them, if there is one."""
        instances = {place and place[0] for place in self.holders.values()}
        return instances.pop() if len(instances) == 1 else None

    def state(self) -> str:
        """In a sentence, where each range is."""
        text = _whereabouts(self.holders, self.silent)
        return f"{text} (as far as is known: it could not be looked at any more, {self.blind})" if self.blind else text

    def to_diff(self) -> dict[str, Any]:
        return _diff(self.holders)


def _whereabouts(holders: dict[str, Place | None], silent: Iterable[str] = ()) -> str:
    where: dict[Place | None, list[str]] = {}
    for cidr, place in holders.items():
        where.setdefault(place, []).append(cidr)
    none = "on no instance"
    if silent:
        none += f" that can be seen ({_zones(silent)} no answer)"
    parts = [
        f"{', '.join(cidrs)} {'is' if len(cidrs) == 1 else 'are'} {'on ' + spell(place) if place else none}"
        for place, cidrs in where.items()
    ]
    return "; ".join(parts)


def _diff(holders: dict[str, Place | None]) -> dict[str, Any]:
    places = set(holders.values())
    place = places.pop() if len(places) == 1 else None
    return {
        "holder": place[0] if place else None,
        "ranges": {cidr: spell(where) if where else None for cidr, where in sorted(holders.items())},
    }


def wanted_diff(survey: Survey) -> dict[str, Any]:
    """to_diff() of the wanted state."""
    return _diff({**survey.holders, **survey.targets})


def observe(client: AliasApi, goal: AliasGoal, memory: Memory) -> Survey:
    survey = look(client, goal)
    if survey.waiting and not survey.problems:
        raise Unavailable("; ".join(survey.waiting.values()), resource=", ".join(sorted(survey.silent)))
    if goal.check and not survey.problems and (survey.coming or survey.leaving):
        survey.problems = permission_problems(client, survey, survey.coming, survey.notes)
    return survey


def permission_problems(
    client: AliasApi, survey: Survey, places: Iterable[Place], unasked: list[str] | None = None
) -> list[str]:
    """What the caller may not do that adding ranges to these interfaces needs, and learning that it is done.

    unasked: gets why something could not be asked, and then the rest is not asked; without it, that is raised.
    """
    places = sorted(set(places))
    wanted = dict.fromkeys((path for path, _nic in places), UPDATE)
    subnetworks = (normalise(survey.interfaces[place].get("subnetwork", "")) for place in places)
    wanted.update(dict.fromkeys(subnetworks, USE))
    lacking = []
    try:
        for path, permission in wanted.items():
            if permission not in client.test_permissions(path, [permission]):
                lacking.append((permission, path))
        seen = (_zone(path) for path, _nic in [*places, *survey.leaving])
        zone = next((zone for zone in seen if zone not in survey.silent), None)
        if zone and not client.may_follow_operations(f"zones/{zone}"):
            lacking.append((FOLLOW, "the project"))
    except Unavailable as error:
        if unasked is None:
            raise
        unasked.append(unchecked(error))
    return [
        f"the caller does not have the permission {permission} on {path}: give it a role that has it"
        for permission, path in lacking
    ]


def look(client: AliasApi, goal: AliasGoal) -> Survey:
    """Look at everything once, check it, and decide."""
    problems = _goal_problems(goal)
    if problems:
        refused = Survey(goal)
        refused.problems = problems
        return refused
    survey = Survey(goal, *client.list_instances())
    places = [place for want in goal.wants for place in want.candidates]
    for network in sorted({_network(survey.interfaces[p]) for p in places if p in survey.interfaces}):
        for subnetwork in client.list_subnetworks(network):
            survey.subnetworks[normalise(subnetwork["selfLink"])] = subnetwork
    decide(survey)
    return survey


def plan(survey: Survey, goal: AliasGoal, memory: Memory) -> Iterator[Step]:
    """The requests that move() makes, if nobody else does anything; where interfaces differ at the same time."""
    for place, cidrs in survey.leaving.items():
        yield _Edit(place, remove=cidrs).step(survey.interfaces.get(place) or {})
    for place, cidrs in survey.coming.items():
        yield _Edit(place, add={cidr: survey.names[cidr] for cidr in cidrs}).step(survey.interfaces[place])


# --- from what is there to who gets what


def decide(s: Survey) -> None:
    """Fill in holders, targets, sources and problems."""
    goal = s.goal
    index = _index(s)
    chosen: dict[Place, int] = {}
    moving: list[Want] = []
    for want in goal.wants:
        network = next((_network(s.interfaces[p]) for p in want.candidates if p in s.interfaces), None)
        if network is None and want.source and want.source in s.interfaces:
            network = _network(s.interfaces[want.source])
        holders = _holders(s, want, network, index)
        holder = holders[0] if holders else None
        s.holders[want.cidr] = holder
        if len(holders) > 1:
            places = " and ".join(map(spell, holders))
            s.problems.append(f"{want.cidr} is on several networks, by {places}: say which (source)")
            continue
        for place in want.candidates:
            s.unfit[want.cidr, place] = _unfit(s, want, place, network)
        if holder in want.candidates:
            better = want.candidates[: want.candidates.index(holder)]
            fit = not s.unfit[want.cidr, holder]
            alone = len(want.candidates) == 1 and holder[0] not in goal.avoid
            if alone or (fit and (want.stay or all(s.unfit[want.cidr, p] for p in better))):
                s.targets[want.cidr] = holder
                continue
        elif not _source_is_right(s, want, holder):
            continue
        if holder and goal.spare and _is_anothers(s, want, holder):
            s.targets[want.cidr] = s.spared[want.cidr] = holder
            continue
        moving.append(want)
    for want in moving:
        holder = s.holders[want.cidr]
        if holder is None and want.source and _zone(want.source[0]) in s.silent:
            # It cannot be seen; the one who knows says that it is there.
            holder = s.holders[want.cidr] = (want.source[0], want.source[1] or "nic0")
        if holder:
            s.sources[want.cidr] = holder
        elif s.silent and not want.candidates:
            s.waiting[want.cidr] = f"whether an instance has {want.cidr} is not known: {_zones(s.silent)} no answer"
    leaving = {place: len(cidrs) for place, cidrs in s.leaving.items()}
    for want in moving:
        _choose(s, want, leaving, chosen)
    if goal.partial and (s.sources or s.coming):
        s.unplaced.update(s.waiting)
        s.waiting.clear()
    else:
        s.problems += [f"{cidr}: {why}" for cidr, why in s.unplaced.items()]
    _check_expected(s)


def _choose(s: Survey, want: Want, leaving: dict[Place, int], chosen: dict[Place, int]) -> None:
    s.targets[want.cidr] = None
    if not want.candidates:
        return
    for place in want.candidates:
        if s.unfit[want.cidr, place]:
            continue
        there = len(s.interfaces[place].get("aliasIpRanges") or ())
        count = there - leaving.get(place, 0) + chosen.get(place, 0) + 1
        if place == s.sources.get(want.cidr):
            # It is fit, and what would be better is full.
            del s.sources[want.cidr]
            s.targets[want.cidr] = place
            return
        if count > s.goal.limit:
            s.unfit[want.cidr, place] = (
                f"limit: {spell(place)} would have {count} alias ranges, and may have {s.goal.limit}"
            )
            continue
        chosen[place] = chosen.get(place, 0) + 1
        s.targets[want.cidr] = place
        s.names[want.cidr] = _range_name(s, want, place)
        return
    s.sources.pop(want.cidr, None)
    reasons = list(dict.fromkeys(s.unfit[want.cidr, place] for place in want.candidates if s.unfit[want.cidr, place]))
    if reasons and all("no answer" in reason for reason in reasons):
        s.waiting[want.cidr] = f"{want.cidr}: there is no instance for it: {'; '.join(reasons)}"
        s.targets[want.cidr] = s.holders[want.cidr]
    else:
        s.unplaced[want.cidr] = f"there is no instance for it: {'; '.join(reasons)}"
        s.targets[want.cidr] = s.holders[want.cidr]


def _index(s: Survey) -> list[tuple[int, int, Place, bool]]:
    """All ranges of all interfaces: first and last address, who has it, whether it is an alias range."""
    index = []
    for place, interface in s.interfaces.items():
        texts = [(interface.get("networkIP"), False)]
        texts += [(each.get("ipCidrRange"), True) for each in interface.get("aliasIpRanges") or ()]
        for text, alias in texts:
            with contextlib.suppress(ValueError):
                index.append((*canonical(text or "")[1], place, alias))
    return index


def _holders(s: Survey, want: Want, network: str | None, index: list[tuple[int, int, Place, bool]]) -> list[Place]:
    """Who has exactly this range. What overlaps it otherwise is a problem."""
    first, last = want.span
    holders = []
    for begin, end, place, alias in index:
        if end < first or last < begin or (network and _network(s.interfaces[place]) != network):
            continue
        if alias and (begin, end) == (first, last):
            holders.append(place)
        elif want.candidates:
            what = "the alias range" if alias else "the primary address"
            other = f"{_dotted(begin)}/{33 - (end - begin + 1).bit_length()}"
            s.problems.append(f"{want.cidr} overlaps {what} {other} of {spell(place)}: choose another one")
    if want.source and len(holders) > 1:
        holders = [p for p in holders if p[0] == want.source[0] and want.source[1] in ("", p[1])] or holders
    return holders


def _source_is_right(s: Survey, want: Want, holder: Place | None) -> bool:
    if not want.source:
        return True
    path, nic = want.source
    if holder:
        if holder[0] == path and nic in ("", holder[1]):
            return True
        s.problems.append(f"{want.cidr} is held by {spell(holder)}, and not by the source {spell(want.source)}")
        return False
    if path in s.instances:
        if nic and want.source not in s.interfaces:
            s.problems.append(f"source: {path} has no interface {nic}, but {_nics(s, path)}")
            return False
        networks = {_network(s.interfaces[p]) for p in want.candidates if p in s.interfaces}
        mine = {_network(i) for p, i in s.interfaces.items() if p[0] == path and nic in ("", p[1])}
        if networks and not networks & mine:
            s.problems.append(f"source: {spell(want.source)} is not on {', '.join(sorted(networks))}")
            return False
    elif _zone(path) not in s.silent:
        s.problems.append(f"source: the instance {path} does not exist: leave it out to have the holder found")
        return False
    return True


def _is_anothers(s: Survey, want: Want, holder: Place) -> bool:
    """Whether it is on another instance than the candidates, which is RUNNING."""
    mine = {path for path, _nic in want.candidates}
    return holder[0] not in mine and s.instances[holder[0]].get("status") == "RUNNING"


def _unfit(s: Survey, want: Want, place: Place, network: str | None) -> str:
    """Why an interface cannot get the range; empty if it can."""
    path, nic = place
    if path in s.goal.avoid:
        return f"{path} is to be avoided"
    instance = s.instances.get(path)
    if instance is None:
        if _zone(path) in s.silent:
            return f"there is no answer from the zone of {path}"
        return f"the instance {path} does not exist"
    if place not in s.interfaces:
        return f"{path} has no interface {nic}, but {_nics(s, path)}"
    if instance.get("status") != "RUNNING":
        return f"{path} is not RUNNING but {instance.get('status')}: start it"
    if _network(s.interfaces[place]) != network:
        return f"{spell(place)} is not on {network}"
    try:
        _range_name(s, want, place)
    except ValueError as error:
        return str(error)
    return ""


def _range_name(s: Survey, want: Want, place: Place) -> str:
    """Of the secondary range of the interface's subnet that has the wanted range; "": it is in the primary one."""
    path = normalise(s.interfaces[place].get("subnetwork", ""))
    subnetwork = s.subnetworks.get(path)
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


def _check_expected(s: Survey) -> None:
    expected = s.goal.expected_holder
    if not expected:
        return
    for cidr, place in s.holders.items():
        if not place or place == s.targets.get(cidr) or place[0] == expected or place[0].endswith(f"/{expected}"):
            continue
        s.problems.append(f"{cidr} is on {spell(place)}, and not on the expected holder {expected}")


def _goal_problems(goal: AliasGoal) -> list[str]:
    """What can be said without asking anybody."""
    problems = []
    if not 1 <= goal.limit <= LIMIT:
        problems.append(f"limit: {goal.limit} is not from 1 to {LIMIT}")
    for want in goal.wants:
        if want.problem:
            problems.append(want.problem)
        for path, _nic in [*want.candidates, *([want.source] if want.source else [])]:
            parts = path.split("/")
            if [*parts[::2], len(parts)] != ["projects", "zones", "instances", 6] or not all(parts):
                problems.append(f"{path!r} is not of the form projects/P/zones/Z/instances/I")
        if want.source and any(want.source[0] == path and want.source[1] in ("", nic) for path, nic in want.candidates):
            problems.append(f"source and target are the same: {spell(want.source)}")
    spans = sorted((want.span, want.cidr) for want in goal.wants if not want.problem)
    for (one, text), (other, more) in zip(spans, spans[1:]):
        if other[0] <= one[1]:
            problems.append(f"{text} is asked for twice" if one == other else f"{text} and {more} overlap")
    return list(dict.fromkeys(problems))


# --- one interface


class _Edit:
    """The goal and the procedure for one interface: some ranges shall be there, some not, others stay as they are.

    known: the interface, as it was seen last; None: it has to be read.
    """

    def __init__(
        self,
        place: Place,
        add: dict[str, str] | None = None,
        remove: Iterable[str] = (),
        known: Interface | None = None,
        limit: int = LIMIT,
        name: str = "",
    ) -> None:
        self.place = place
        self.add = add or {}
        self.remove = set(remove)
        self.known = known
        self.limit = limit
        self.unsure = False  # whether a request may have taken effect, of which nothing was heard
        self.lost = self.refused = False
        self.name = name or (ADD if add else REMOVE)

    @property
    def in_doubt(self) -> bool:
        """Whether it may have been done. That a refused request was obeyed all the same shows when it is repeated."""
        return self.lost or self.refused

    def observe(self, client: AliasApi, goal: Any, memory: Memory) -> _Seen:
        if memory.steps:
            return _Seen(self, None)  # the API has said that it is done
        for conflicts in memory.conflicts.values():
            if len(conflicts) >= _TAKEN and isinstance(conflicts[-1][1], AlreadyExists):
                raise conflicts[-1][1]
        interface = self.known
        if interface is None or memory.conflicts or memory.unsure:
            path, nic = self.place
            instance = client.get_instance(path)
            interface = next((i for i in instance.get("networkInterfaces") or () if i.get("name") == nic), None)
            if interface is None:
                raise NotFound(f"{path} has no interface {nic}", resource=path)
            self.lost = self.refused = False
        return _Seen(self, interface)

    def plan(self, seen: _Seen, goal: Any, memory: Memory) -> Iterator[Step]:
        if seen.interface is not None and (seen.missing or seen.superfluous):
            yield self.step(seen.interface)

    def step(self, interface: Interface) -> Step:
        path, nic = self.place
        ranges = [
            each for each in interface.get("aliasIpRanges") or () if _text(each.get("ipCidrRange")) not in self.remove
        ]
        have = {_text(each.get("ipCidrRange")) for each in ranges}
        for cidr, name in self.add.items():
            if cidr not in have:
                ranges.append({"ipCidrRange": cidr, **({"subnetworkRangeName": name} if name else {})})
        body = {"aliasIpRanges": ranges, "fingerprint": interface.get("fingerprint", "")}

        def do(client: AliasApi, request_id: str) -> None:
            try:
                client.update_network_interface(path, nic, body, request_id)
            except Unavailable as error:
                self.lost, self.refused = self.lost or isinstance(error, Lost), not self.refused
                raise

        what = ", ".join(sorted(self.add or self.remove))
        # Not NotFound: an instance that is gone does not come back.
        return Step(self.name, f"{spell(self.place)}: {what}", do, body["fingerprint"], None, (AlreadyExists, Stale))


class _Seen:
    problems: list[str] = []

    def __init__(self, edit: _Edit, interface: Interface | None) -> None:
        self.interface = interface
        self.edit = edit
        have = {_text(each.get("ipCidrRange")) for each in (interface or {}).get("aliasIpRanges") or ()}
        self.missing = [cidr for cidr in edit.add if cidr not in have]
        self.superfluous = edit.remove & have
        if len(have) + len(self.missing) - len(self.superfluous) > edit.limit and self.missing:
            raise Invalid(f"{spell(edit.place)} has {len(have)} alias ranges, and may have {edit.limit}")

    def state(self) -> str:
        return spell(self.edit.place)


class _Stop:
    """The procedure that stops an instance."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.unsure = False
        self.problems: list[str] = []

    def observe(self, client: AliasApi, goal: Any, memory: Memory) -> _Stop:
        return self

    def plan(self, seen: Any, goal: Any, memory: Memory) -> Iterator[Step]:
        if not memory.steps:
            yield Step(STOP, self.path, lambda client, request_id: client.stop_instance(self.path, request_id))

    def state(self) -> str:
        return self.path


class _Looking:
    """The procedure that only looks."""

    observe = staticmethod(observe)

    @staticmethod
    def plan(survey: Survey, goal: AliasGoal, memory: Memory) -> Iterator[Step]:
        return iter(())


class _Unwanted(CloudError):
    """Not an error: nothing was done, as it is no longer wanted."""


# --- all interfaces


def move(
    make_client: Callable[[], AliasApi],
    goal: AliasGoal,
    *,
    timeout: float = 60.0,
    still_wanted: Callable[[], bool] = lambda: True,
    notify: Callable[[Event], None] = lambda event: None,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    chance: Callable[[], float] | None = None,
    threads: bool = True,
) -> engine.Outcome:
    """Do what is needed to reach the goal. Where several interfaces are concerned, several clients are made.

    timeout: of each part: looking, removing, adding; and stopping or putting back where that is needed. Once a range
    has been removed, or may have been, still_wanted() is not asked for it any more: it has to be somewhere.
    Raises Refused (nothing was changed), Stopped (what was removed has been added) or Failed.
    """
    return _Move(make_client, goal, timeout, still_wanted, notify, sleep, clock, chance, threads).run()


class _Move:
    def __init__(
        self,
        make_client: Callable[[], AliasApi],
        goal: AliasGoal,
        timeout: float,
        still_wanted: Callable[[], bool],
        notify: Callable[[Event], None],
        sleep: Callable[[float], object],
        clock: Callable[[], float],
        chance: Callable[[], float] | None,
        threads: bool,
    ) -> None:
        self.goal = goal
        self.still_wanted = still_wanted
        self.clock = clock
        self.threads = threads
        self.started = clock()
        self.notify = notify
        self.settings: dict[str, Any] = dict(timeout=timeout, notify=self.tell, sleep=sleep, clock=clock, chance=chance)
        self.changed = threading.Condition()
        self.make_client = make_client
        self.idle: list[AliasApi] = []
        self.at_once = threading.BoundedSemaphore(_PARALLEL)
        self.turns: dict[Place, threading.Lock] = {}
        self.steps: list[Done] = []
        self.free: set[str] = set()
        self.errors: dict[str, CloudError] = {}
        self.unsure = False
        self.unanswered = False  # whether a part reached its goal, perhaps by a request whose answer was lost
        self.crash: BaseException | None = None

    def run(self) -> engine.Outcome:
        survey = self.survey = self.look()
        self.where = dict(survey.holders)
        self.known = dict(survey.interfaces)
        leaving, coming = survey.leaving, survey.coming
        self.free = {cidr for cidrs in coming.values() for cidr in cidrs if cidr not in survey.sources}
        places = list(dict.fromkeys([*leaving, *coming]))
        self.turns = {place: threading.Lock() for place in places}

        def work(place: Place) -> None:
            try:
                self.release(place, leaving.get(place, ()))
                self.fill(place, coming.get(place, ()))
            except BaseException as error:
                with self.changed:
                    self.crash = self.crash or error
                    for cidr in leaving.get(place, ()):
                        self.errors.setdefault(cidr, CloudError(str(error)))
                    self.changed.notify_all()

        if self.threads and len(places) > 1:
            workers = [threading.Thread(target=work, args=(place,), daemon=True) for place in places]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            if self.crash:
                raise self.crash
        else:
            for place in places:
                self.release(place, leaving.get(place, ()))
            for place in places:
                self.fill(place, coming.get(place, ()))
        after = self.look_again() if places else survey
        for cidr, why in survey.unplaced.items():
            self.errors[cidr] = CloudError(why, resource=cidr)
        if self.errors:
            self.fail(after)
        elapsed_ms = (self.clock() - self.started) * 1000
        return engine.Outcome(survey, after, self.steps, elapsed_ms, self.unsure or self.unanswered)

    def tell(self, event: Event) -> None:
        """With the time since the beginning of all, and not of a part."""
        self.notify({**event, "ms": round((self.clock() - self.started) * 1000, 3)})

    def look(self) -> Survey:
        with self.lend() as client:
            outcome = engine.apply(_Looking, client, self.goal, still_wanted=self.still_wanted, **self.settings)
        return outcome.after

    def look_again(self) -> Survey:
        """Where everything is at the end: seen, if it can be seen, else as it must be."""
        before = self.survey
        after = Survey(self.goal)
        after.targets, after.silent, after.interfaces = before.targets, before.silent, before.interfaces
        after.holders = dict(self.where)
        try:
            with self.lend() as client:
                seen = Survey(self.goal, *client.list_instances())
        except CloudError as error:
            after.blind = str(error).rstrip(".")
            return after
        after.silent, after.instances, after.interfaces = seen.silent, seen.instances, seen.interfaces
        index = _index(seen)
        for want in self.goal.wants:
            target, source = before.targets[want.cidr], before.sources.get(want.cidr)
            near = next((p for p in (target, source, *want.candidates) if p and p in before.interfaces), None)
            network = _network(before.interfaces[near]) if near else None
            holder = next(
                (
                    place
                    for begin, end, place, alias in index
                    if alias and (begin, end) == want.span and network in (None, _network(seen.interfaces[place]))
                ),
                None,
            )
            supposed = self.where[want.cidr]
            if holder is None and supposed and _zone(supposed[0]) in seen.silent:
                holder = supposed
            after.holders[want.cidr] = holder
            if holder == target:
                self.errors.pop(want.cidr, None)
            elif want.cidr not in self.errors and want.cidr not in before.spared:
                self.errors[want.cidr] = CloudError(
                    f"{want.cidr} was moved by somebody else meanwhile", resource=want.cidr
                )
        return after

    def fail(self, after: Survey) -> None:
        first = next(iter(self.errors.values()))
        if all(isinstance(error, _Unwanted) for error in self.errors.values()):
            raise engine.Stopped(self.steps)
        texts: dict[str, list[str]] = {}
        for cidr, error in self.errors.items():
            texts.setdefault(str(error).rstrip("."), []).append(cidr)
        said = "; ".join(f"{', '.join(cidrs)}: {text}" for text, cidrs in texts.items())
        summary = CloudError(
            said, resource=first.resource, status=first.status, code=first.code, retry_after=first.retry_after
        )
        raise engine.Failed(summary, self.steps, None, after, self.unsure, self.survey)

    # --- the work on one interface

    def release(self, place: Place, cidrs: Iterable[str]) -> None:
        cidrs = list(cidrs)
        if not cidrs:
            return
        edit = _Edit(place, remove=cidrs)
        error = self.edit(edit, lambda: self.still_wanted() or edit.in_doubt)
        if isinstance(error, (Unavailable, engine.TimedOut)):
            error = self.stop_and_release(place, cidrs, error, edit.unsure)
        with self.changed:
            for cidr in cidrs:
                if error is None:
                    self.free.add(cidr)
                    self.where[cidr] = None
                else:
                    self.errors[cidr] = error
            self.changed.notify_all()

    def stop_and_release(self, place: Place, cidrs: list[str], error: CloudError, unsure: bool) -> CloudError | None:
        """The source does not let go. What the operator has decided for that, or what there is to decide."""
        path = place[0]
        what = f"it is still on {spell(place)}, from which it could not be removed ({str(error).rstrip('.')})"
        if unsure:
            what += "; the removal may yet take effect"
        choices = (
            f"an alias range is removed by the zone of its instance. Run it again when {_zone(path)} answers; or let "
            "the service have an address that does not depend on a zone, by a route or a load balancer"
        )
        if self.goal.stop_source:
            stopped = self.apply(_Stop(path), self.still_wanted)
            if stopped is None:
                error_after = self.edit(_Edit(place, remove=cidrs))
                if error_after is None:
                    return None
                what += f"; it was stopped, and then: {str(error_after).rstrip('.')}"
            else:
                what += f"; it could not be stopped either ({str(stopped).rstrip('.')})"
        else:
            choices += (
                "; or have the instance stopped first (on_source_failure=stop), if nothing else on it is needed: that "
                "helps where not the zone but the instance is the cause"
            )
        return type(error)(f"{what}. The choices: {choices}.", resource=path, status=error.status, code=error.code)

    def fill(self, place: Place, cidrs: Iterable[str]) -> None:
        waiting = list(cidrs)
        while waiting:
            with self.changed:
                self.changed.wait_for(lambda these=waiting: any(map(self.decided, these)))  # type: ignore[misc]
                self.changed.wait_for(lambda these=waiting: all(map(self.decided, these)), _LINGER)  # type: ignore[misc]
                ready = [cidr for cidr in waiting if cidr in self.free]
                waiting = [cidr for cidr in waiting if not self.decided(cidr)]
            self.add(place, ready)

    def decided(self, cidr: str) -> bool:
        return cidr in self.free or cidr in self.errors

    def add(self, place: Place, cidrs: list[str]) -> None:
        if not cidrs:
            return
        names, sources = self.survey.names, self.survey.sources
        edit = _Edit(place, {cidr: names[cidr] for cidr in cidrs}, limit=self.goal.limit)
        removed = any(cidr in sources for cidr in cidrs)
        error = self.edit(edit, lambda: removed or self.still_wanted() or edit.in_doubt)
        if isinstance(error, _Unwanted):
            self.errors.update(dict.fromkeys(cidrs, error))
            return
        if error is not None and len(cidrs) > 1 and not isinstance(error, (Unavailable, Denied, engine.TimedOut)):
            # One may be what is wrong with all.
            for cidr in cidrs:
                self.add(place, [cidr])
            return
        if error is None:
            with self.changed:
                self.where.update(dict.fromkeys(cidrs, place))
            return
        back: dict[Place, list[str]] = {}
        for cidr in cidrs:
            self.errors[cidr] = self.explained(error, place)
            if cidr in sources:
                back.setdefault(sources[cidr], []).append(cidr)
        for source, theirs in back.items():
            self.put_back(source, theirs, self.errors[theirs[0]])

    def explained(self, error: CloudError, place: Place) -> CloudError:
        text = f"it could not be added to {spell(place)}: {str(error).rstrip('.')}"
        if isinstance(error, AlreadyExists):
            text += "; no instance that was looked at had it"
        if isinstance(error, AlreadyExists) and self.survey.silent:
            text += (
                f"; an instance that cannot be seen may have it, as {_zones(self.survey.silent)} no answer. The "
                "choices: run it again when there is an answer, or say which instance has it (source), to have that "
                "stopped first (on_source_failure=stop)"
            )
        kind = type(error) if isinstance(error, Unavailable) else CloudError
        return kind(text, resource=error.resource, status=error.status, code=error.code)

    def put_back(self, source: Place, cidrs: list[str], error: CloudError) -> None:
        names = {}
        for each in self.survey.interfaces.get(source, {}).get("aliasIpRanges") or ():
            names[_text(each.get("ipCidrRange"))] = each.get("subnetworkRangeName", "")
        failed = self.edit(_Edit(source, {cidr: names.get(cidr, "") for cidr in cidrs}, name=RESTORE))
        for cidr in cidrs:
            if failed is None:
                with self.changed:
                    self.where[cidr] = source
                text = f"{error}; it was put back"
            else:
                text = f"{error}; and it could not be put back on {spell(source)}: {failed}"
            self.errors[cidr] = CloudError(text, resource=error.resource, status=error.status, code=error.code)

    def edit(self, edit: _Edit, still_wanted: Callable[[], bool] = lambda: True) -> CloudError | None:
        with self.turns.get(edit.place) or contextlib.nullcontext():
            edit.known = self.known.pop(edit.place, None)
            return self.apply(edit, still_wanted)

    def apply(self, procedure: Any, still_wanted: Callable[[], bool] = lambda: True) -> CloudError | None:
        """Reach the goal of a part; its error, if it cannot be reached."""
        steps: list[Done] = []
        try:
            with self.at_once, self.lend() as client:
                outcome = engine.apply(procedure, client, None, still_wanted=still_wanted, **self.settings)
            steps = outcome.steps
            self.unanswered = self.unanswered or outcome.unsure
        except engine.Failed as failed:
            steps = failed.steps
            procedure.unsure = failed.unsure
            self.unsure = self.unsure or failed.unsure
            return failed.error
        except engine.Stopped as stopped:
            steps = stopped.steps
            if not steps:
                return _Unwanted("it is no longer wanted")
        finally:
            with self.changed:
                self.steps += steps
        return None

    @contextlib.contextmanager
    def lend(self) -> Iterator[AliasApi]:
        """A client that nobody else uses: if there is one, the one used last, whose connection is warm."""
        with self.changed:
            client = self.idle.pop() if self.idle else None
        client = client or self.make_client()
        try:
            yield client
        finally:
            with self.changed:
                self.idle.append(client)


# --- words


def spell(place: Place) -> str:
    return " ".join(place).strip()


def _zone(path: str) -> str:
    return path.split("/")[3]


def _zones(zones: Iterable[str]) -> str:
    return f"from {', '.join(sorted(zones))} there is"


def _network(interface: Interface) -> str:
    return normalise(interface.get("network", ""))


def _nics(s: Survey, path: str) -> str:
    return ", ".join(sorted(nic for other, nic in s.interfaces if other == path)) or "none"


def canonical(text: str) -> tuple[str, tuple[int, int]]:
    """10.0.0.5 or 10.0.0.0/24 as a network in CIDR notation, and as its first and last address."""
    cidr = text if "/" in text else f"{text}/32"
    span = parse_cidr(cidr)
    return cidr, span


def _text(cidr: Any) -> str:
    with contextlib.suppress(ValueError):
        return canonical(str(cidr))[0]
    return str(cidr)


def _dotted(address: int) -> str:
    return ".".join(str(address >> shift & 255) for shift in (24, 16, 8, 0))
