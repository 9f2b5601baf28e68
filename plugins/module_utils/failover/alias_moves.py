# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The schedule of a move: the edits of interfaces that can be made now, and the consequences of each result.

A schedule asks nobody and waits for nothing. The engine carries out the parts that are ready(), those of different
interfaces at the same time, and settles each when it has ended. One interface never has two edits at the same time.
Removals begin at once. A range is added as soon as it is free. If others for the same interface are yet to come free,
the edit is not whole. It may then wait for them a little. A range that cannot be added goes back to where it was.
"""

from __future__ import annotations

from ..base.errors import AlreadyExists, CloudError, Denied, Unavailable
from ..clouds.gce_names import as_cidr, zone_of
from .alias_edit import ADD, REMOVE, RESTORE, Edit, Stop, Stuck
from .alias_goal import spell
from .alias_look import no_answer
from .outcome import TimedOut
from .parallel import Crashed, Unwanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Union

    from .alias_decide import Decision
    from .alias_goal import AliasGoal, Place
    from .alias_look import Fleet

    Part = Union[Edit, Stop]


class Moves:
    """How far a move is.

    where   dict of Place or None  the interface that has each range, as far as is known
    errors  dict of CloudError     why a range is not where it is wanted
    """

    def __init__(self, fleet: Fleet, decision: Decision, goal: AliasGoal) -> None:
        self.where = dict(decision.holders)
        self.errors: dict[str, CloudError] = {}
        self._fleet = fleet
        self._decision = decision
        self._goal = goal
        self._known = dict(fleet.interfaces)  # interfaces that were not changed since they were seen
        self._busy: set[Place] = set()
        self._queue: list[Part] = [Edit(REMOVE, place, remove=cidrs) for place, cidrs in decision.leaving.items()]
        self._coming = decision.coming
        self._free = {cidr for cidrs in self._coming.values() for cidr in cidrs if cidr not in decision.sources}

    def ready(self) -> list[Part]:
        """The edits that can begin now, the most urgent first."""
        taken = set(self._busy)
        parts: list[Part] = []
        for part in self._queue:
            if part.place not in taken:
                taken.add(part.place)
                parts.append(part)
        for place, cidrs in self._coming.items():
            left = [cidr for cidr in cidrs if cidr not in self.errors]
            free = [cidr for cidr in left if cidr in self._free]
            if free and place not in taken:
                parts.append(self._addition(place, free, len(free) == len(left)))
        return parts

    def begin(self, part: Part) -> None:
        """The part is carried out from now on, until it is settled."""
        self._busy.add(part.place)
        if part in self._queue:
            self._queue.remove(part)
        elif isinstance(part, Edit):
            self._coming[part.place] = [cidr for cidr in self._coming[part.place] if cidr not in part.add]
        if isinstance(part, Edit):
            part.known = self._known.pop(part.place, None)

    def settle(self, part: Part, error: CloudError | None, unsure: bool) -> None:
        """The part has ended. error: why it failed. unsure: it may have taken effect, or may yet, all the same."""
        self._busy.discard(part.place)
        if isinstance(part, Stop):
            self._stopped(part, error)
        elif part.name == REMOVE:
            self._removed(part, error, unsure)
        elif part.name == ADD:
            self._added(part, error)
        else:
            self._put_back(part, error)

    def _addition(self, place: Place, cidrs: Iterable[str], whole: bool = True) -> Edit:
        add = {cidr: self._decision.names[cidr] for cidr in cidrs}
        # Once a range is removed, it has to be somewhere, wanted or not.
        bound = any(cidr in self._decision.sources for cidr in add)
        return Edit(ADD, place, add, limit=self._goal.limit, bound=bound, whole=whole)

    def _removed(self, edit: Edit, error: CloudError | None, unsure: bool) -> None:
        if error is None:
            self._free.update(edit.remove)
            self.where.update(dict.fromkeys(edit.remove))
            return
        if edit.after:
            error = self._stuck(edit.place, edit.after, f"; it was stopped, and then: {str(error).rstrip('.')}")
        elif isinstance(error, (Unavailable, TimedOut)):
            stuck = Stuck(edit.remove, error, unsure)
            if self._goal.stop_source:
                self._queue.insert(0, Stop(edit.place, stuck))
                return
            error = self._stuck(edit.place, stuck)
        self.errors.update(dict.fromkeys(edit.remove, error))

    def _stopped(self, stop: Stop, error: CloudError | None) -> None:
        cidrs = stop.after.ranges
        if error is None:
            self._queue.insert(0, Edit(REMOVE, stop.place, remove=cidrs, bound=True, after=stop.after))
        else:
            text = f"; it could not be stopped either ({str(error).rstrip('.')})"
            self.errors.update(dict.fromkeys(cidrs, self._stuck(stop.place, stop.after, text)))

    def _added(self, edit: Edit, error: CloudError | None) -> None:
        cidrs = list(edit.add)
        if error is None:
            self.where.update(dict.fromkeys(cidrs, edit.place))
        elif isinstance(error, (Unwanted, Crashed)):
            self.errors.update(dict.fromkeys(cidrs, error))
        elif len(cidrs) > 1 and not isinstance(error, (Unavailable, Denied, TimedOut)):
            # One may be what is wrong with all.
            self._queue += [self._addition(edit.place, [cidr]) for cidr in cidrs]
        else:
            self.errors.update(dict.fromkeys(cidrs, self._not_added(error, edit.place)))
            back: dict[Place, list[str]] = {}
            for cidr in cidrs:
                if cidr in self._decision.sources:
                    back.setdefault(self._decision.sources[cidr], []).append(cidr)
            self._queue[:0] = [self._restoration(source, theirs) for source, theirs in back.items()]

    def _restoration(self, source: Place, cidrs: list[str]) -> Edit:
        names = {
            as_cidr(each.get("ipCidrRange")): each.get("subnetworkRangeName", "")
            for each in self._fleet.interfaces.get(source, {}).get("aliasIpRanges") or ()
        }
        return Edit(RESTORE, source, {cidr: names.get(cidr, "") for cidr in cidrs}, bound=True)

    def _put_back(self, edit: Edit, failed: CloudError | None) -> None:
        for cidr in edit.add:
            error = self.errors[cidr]
            if failed is None:
                self.where[cidr] = edit.place
                text = f"{error}; it was put back"
            else:
                text = f"{error}; and it could not be put back on {spell(edit.place)}: {failed}"
            self.errors[cidr] = CloudError(text, resource=error.resource, status=error.status, code=error.code)

    # --- words

    def _stuck(self, place: Place, stuck: Stuck, then: str = "") -> CloudError:
        """The source keeps the range: the attempts that were made, and the operator's choices."""
        path, error = place[0], stuck.error
        what = f"it is still on {spell(place)}, from which it could not be removed ({str(error).rstrip('.')})"
        if stuck.unsure:
            what += "; the removal may yet take effect"
        choices = (
            f"an alias range is removed by the zone of its instance. Run it again when {zone_of(path)} answers; or let "
            "the service have an address that does not depend on a zone, by a route or a load balancer"
        )
        if not self._goal.stop_source:
            choices += (
                "; or have the instance stopped first (on_source_failure=stop), if nothing else on it is needed: that "
                "helps where not the zone but the instance is the cause"
            )
        text = f"{what}{then}. The choices: {choices}."
        return type(error)(text, resource=path, status=error.status, code=error.code)

    def _not_added(self, error: CloudError, place: Place) -> CloudError:
        text = f"it could not be added to {spell(place)}: {str(error).rstrip('.')}"
        if isinstance(error, AlreadyExists):
            text += "; no instance that was looked at had it"
            if self._fleet.silent:
                text += (
                    f"; an instance that cannot be seen may have it, as {no_answer(self._fleet.silent)}. The choices: "
                    "run it again when there is an answer, or say which instance has it (source), to have that stopped "
                    "first (on_source_failure=stop)"
                )
        kind = type(error) if isinstance(error, Unavailable) else CloudError
        return kind(text, resource=error.resource, status=error.status, code=error.code)
