# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which interface of which instance shall have which alias IP ranges."""

from __future__ import annotations

from ..base.floating import check_floating
from ..clouds.gce_names import is_path, normalise, parse_range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Place = tuple[str, str]  # an interface: projects/P/zones/Z/instances/I, and nic0

LIMIT = 150  # alias ranges of one interface, which is the API's own limit


class Want:
    """The interfaces that may hold a range; the first of them that is fit gets it.

    cidr         str            the range, in CIDR notation
    span         (int, int)     its first and its last address
    candidates   list of Place  in order of preference; empty: no interface shall have the range
    range_name   str or None    the subnet's secondary range that contains it; "": the primary range; None: find out
    source       Place or None  the only interface that may lose it; with "" for any interface of the instance
    stay         bool           do not move it from a candidate that is fit to a better one
    problem      str            why the text is no range, or none that can float, or ""
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
            self.cidr, self.span = parse_range(cidr)
            check_floating(cidr, *self.span)
        except ValueError as error:
            self.problem = str(error)


class AliasGoal:
    """All ranges of a run, and the rules for moving them.

    wants            list of Want  one for each range
    avoid            set of str    instances that get and keep none of the ranges, fit or not
    expected_holder  str or None   refuse if another instance has a range that is to be moved; a name, path or URL
    limit            int           alias ranges that one interface may have
    stop_source      bool          stop an instance from which a range cannot be removed, and try again
    check            bool          before any change, check the permissions to change the interfaces that get ranges
    partial          bool          if no candidate is fit for a range, move the others, and then fail;
                                   False: change nothing
    spare            bool          take no range from another instance that is RUNNING
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


def goal_problems(goal: AliasGoal) -> list[str]:
    """The problems of a goal by itself."""
    problems = []
    if not 1 <= goal.limit <= LIMIT:
        problems.append(f"limit: {goal.limit} is not from 1 to {LIMIT}")
    for want in goal.wants:
        if want.problem:
            problems.append(want.problem)
        for path, _nic in [*want.candidates, *([want.source] if want.source else [])]:
            if not is_path(path, "zones/*/instances"):
                problems.append(f"{path!r} is not of the form projects/P/zones/Z/instances/I")
        if want.source and any(want.source[0] == path and want.source[1] in ("", nic) for path, nic in want.candidates):
            problems.append(f"source and target are the same: {spell(want.source)}")
    spans = sorted((want.span, want.cidr) for want in goal.wants if not want.problem)
    for (one, text), (other, more) in zip(spans, spans[1:]):
        if other[0] <= one[1]:
            problems.append(f"{text} is asked for twice" if one == other else f"{text} and {more} overlap")
    return list(dict.fromkeys(problems))


def spell(place: Place) -> str:
    """An interface in words: its instance's path and its name."""
    return " ".join(place).strip()
