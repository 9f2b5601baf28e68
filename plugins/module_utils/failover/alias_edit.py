# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The changes that a move of alias IP ranges is made of, each a procedure of the engine: edit an interface, stop an
instance.

An interface is changed by one request for all of its ranges, with the fingerprint that it was seen with. If somebody
changed it meanwhile, the API refuses; then it is read, merged and sent again, so that the ranges of others stay.
"""

from __future__ import annotations

from ..base.errors import AlreadyExists, CloudError, Invalid, Lost, NotFound, Stale, Unavailable
from ..clouds.gce_names import as_cidr
from .alias_goal import LIMIT, spell
from .plan import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from .alias_goal import Place
    from .alias_look import AliasApi, Interface
    from .plan import Memory

REMOVE = "remove alias ranges"
ADD = "add alias ranges"
RESTORE = "add alias ranges back"
STOP = "stop instance"

_TAKEN = 4  # times in a row that the API says an address is in use, before it counts


class Edit:
    """Some ranges are to be added to an interface, or some removed from it; others stay as they are.

    name    str             REMOVE, ADD or RESTORE
    place   Place           the interface
    add     dict of str     the ranges to add, with the secondary range that contains each, or ""
    remove  list of str     the ranges to remove
    known   dict or None    the interface as it was seen last; None: it has to be read
    limit   int             alias ranges that the interface may have
    whole   bool            no other range can join it any more, so there is nothing to wait for
    after   Stuck or None   the failure before the instance was stopped, after which this tries again
    bound   bool            property: it is carried out though no longer wanted
    """

    def __init__(
        self,
        name: str,
        place: Place,
        add: dict[str, str] | None = None,
        remove: Iterable[str] = (),
        known: Interface | None = None,
        limit: int = LIMIT,
        bound: bool = False,
        whole: bool = True,
        after: Stuck | None = None,
    ) -> None:
        self.name = name
        self.place = place
        self.add = add or {}
        self.remove = list(remove)
        self.known = known
        self.limit = limit
        self.whole = whole
        self.after = after
        self._bound = bound
        self._lost = self._refused = False

    @property
    def bound(self) -> bool:
        # It may have been done: that a refused request was obeyed all the same shows when it is repeated.
        return self._bound or self._lost or self._refused

    def observe(self, client: AliasApi, goal: Any, memory: Memory) -> Seen:
        if memory.steps:
            return Seen(self, None)  # the API has said that it is done
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
            self._lost = self._refused = False
        return Seen(self, interface)

    def plan(self, seen: Seen, goal: Any, memory: Memory) -> Iterator[Step]:
        if seen.interface is not None and (seen.missing or seen.superfluous):
            yield self.step(seen.interface)

    def step(self, interface: Interface) -> Step:
        """The request, merged with the interface's present ranges."""
        path, nic = self.place
        ranges = [
            each for each in interface.get("aliasIpRanges") or () if as_cidr(each.get("ipCidrRange")) not in self.remove
        ]
        have = _ranges(ranges)
        for cidr, name in self.add.items():
            if cidr not in have:
                ranges.append({"ipCidrRange": cidr, **({"subnetworkRangeName": name} if name else {})})
        body = {"aliasIpRanges": ranges, "fingerprint": interface.get("fingerprint", "")}

        def do(client: AliasApi, request_id: str) -> None:
            try:
                client.update_network_interface(path, nic, body, request_id)
            except Unavailable as error:
                self._lost, self._refused = self._lost or isinstance(error, Lost), not self._refused
                raise

        what = ", ".join(sorted(self.add or self.remove))
        # Not NotFound: an instance that is gone does not come back.
        return Step(self.name, f"{spell(self.place)}: {what}", do, body["fingerprint"], None, (AlreadyExists, Stale))


class Seen:
    """An interface beside an edit of it.

    interface    dict or None  the API's object; None: the edit is done
    missing      list of str   ranges that are yet to be added
    superfluous  list of str   ranges that are yet to be removed

    Raises Invalid if there is no room.
    """

    problems: list[str] = []

    def __init__(self, edit: Edit, interface: Interface | None) -> None:
        self.edit = edit
        self.interface = interface
        have = _ranges((interface or {}).get("aliasIpRanges"))
        self.missing = [cidr for cidr in edit.add if cidr not in have]
        self.superfluous = [cidr for cidr in edit.remove if cidr in have]
        if len(have) + len(self.missing) - len(self.superfluous) > edit.limit and self.missing:
            raise Invalid(f"{spell(edit.place)} has {len(have)} alias ranges, and may have {edit.limit}")

    def state(self) -> str:
        return spell(self.edit.place)

    def to_diff(self) -> dict[str, Any]:
        return {"missing": self.missing, "superfluous": self.superfluous}


class Stop:
    """The instance of an interface that does not let go of ranges is to be stopped.

    place  Place  the interface
    after  Stuck  the removal that failed
    """

    name = STOP
    bound = False
    whole = True

    def __init__(self, place: Place, after: Stuck) -> None:
        self.place = place
        self.after = after
        self.problems: list[str] = []

    def observe(self, client: AliasApi, goal: Any, memory: Memory) -> Stop:
        return self

    def plan(self, seen: Any, goal: Any, memory: Memory) -> Iterator[Step]:
        path, _nic = self.place
        if not memory.steps:
            yield Step(STOP, path, lambda client, request_id: client.stop_instance(path, request_id))

    def state(self) -> str:
        return self.place[0]

    def to_diff(self) -> dict[str, Any]:
        return {}


class Stuck:
    """A removal that failed.

    ranges  list of str  the ranges that are still on their interface
    error   CloudError   why
    unsure  bool         the removal may yet take effect
    """

    __slots__ = ("error", "ranges", "unsure")

    def __init__(self, ranges: list[str], error: CloudError, unsure: bool) -> None:
        self.ranges = ranges
        self.error = error
        self.unsure = unsure


def _ranges(aliases: Iterable[dict[str, Any]] | None) -> set[str]:
    return {as_cidr(each.get("ipCidrRange")) for each in aliases or ()}
