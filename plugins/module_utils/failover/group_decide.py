# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides the next step on the way to an autohealing group. Pure: from facts and a goal to a Change or a Wait.

The rules that are meant by numbers are those of group.py.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

from ..clouds.gce_names import last_part
from .gcp_objects import DELETE, INSERT, NOUNS, PATCH, Change
from .group_look import DELETING, HEALTHY
from .group_state import leftovers
from .group_wanted import config_of, is_current, is_kept, members, wanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Union

    from .gcp_objects import Item
    from .group_look import Observed
    from .group_wanted import Wanted

    Action = Union[Change, "Wait"]

KEEP, REPLACE, RECREATE = "keep the address of", "replace", "recreate"
# What needs something comes before what it needs.
DELETION_ORDER = ("instanceGroupManagers", "instanceTemplates", "healthChecks", "firewalls", "addresses")


class Wait(NamedTuple):
    """For instances that are to serve, by their names."""

    names: tuple[str, ...]


def decide(o: Observed) -> Action | None:
    """The next change, or what is waited for; None if nothing is left."""
    if not o.goal.present:
        return next(_take_away(o), None)
    w = wanted(o)
    if o.goal.empty:
        return next(itertools.chain(_without(o, ()), _reach(w.items), _clean(o, w)), None)
    actions = itertools.chain(_reach(w.items), _members(o, w), _roll(o, w), _tidy(o, w))
    return next(actions, None)


def _reach(items: Iterable[Item]) -> Iterator[Change]:
    """What is made, or changed in place, in the order in which one needs the other."""
    for item in items:
        if item.found is None:
            yield Change(INSERT, item.path, item.body)
        elif item.update:
            yield Change(PATCH, item.path, item.locked(item.update))


def _members(o: Observed, w: Wanted) -> Iterator[Change]:
    """Rule 2: each instance keeps its name and its address."""
    for name, address in w.addresses.items():
        path = o.goal.instance_path(name)
        if name not in o.managed:
            yield Change(INSERT, path, config_of(o, name, address))
        elif not is_kept(o, name, address):
            yield Change(KEEP, path, config_of(o, name, address))


def _roll(o: Observed, w: Wanted) -> Iterator[Action]:
    """Rules 3 and 4."""
    mine = [o.managed[each.name] for each in members(o) if each.name in o.managed]
    # One that is being deleted is made again, once it is gone.
    old = [each for each in mine if o.goal.rolling and each.action != DELETING and not is_current(o, each, w.template)]
    new = [each for each in mine if each not in old]
    if any(not each.is_serving for each in new):
        yield Wait(tuple(each.name for each in new if not each.is_serving))
    # One that does not serve is the first to be replaced. So nobody is whom the others cannot do without.
    for each in sorted(old, key=lambda one: (one.health == HEALTHY, one.is_serving)):
        yield Change(RECREATE if each.is_on_its_way else REPLACE, o.goal.instance_path(each.name), w.template)


def _tidy(o: Observed, w: Wanted) -> Iterator[Change]:
    """Others' instances, if they are to go; and what nothing needs any more."""
    if o.goal.members is not None and o.goal.exclusive:
        yield from _without(o, [each.name for each in o.goal.members])
    yield from _clean(o, w)


def _without(o: Observed, names: Iterable[str]) -> Iterator[Change]:
    """Instances of other names go."""
    yield from (Change(DELETE, o.goal.instance_path(each)) for each in sorted(o.managed) if each not in names)


def _clean(o: Observed, w: Wanted) -> Iterator[Change]:
    """What was made for this group and nothing needs any more."""
    needed = {item.path for item in w.items}
    # A group that nobody heard of may need it.
    rest = () if o.silent else leftovers(o)
    yield from (Change(DELETE, path) for path in _in_order(rest) if path not in needed)


def _in_order(paths: Iterable[str]) -> list[str]:
    return sorted(paths, key=lambda each: (DELETION_ORDER.index(each.split("/")[-2]), each))


def _take_away(o: Observed) -> Iterator[Change]:
    """Rule 5: only what was made for this group, and that nothing else uses."""
    for path in _own(o):
        if not _reason_to_stay(o, path):
            yield Change(DELETE, path)


def _own(o: Observed) -> list[str]:
    """The paths of what the group consists of, and of what was made for it; in the order of deletions."""
    found = [
        path
        for collection in DELETION_ORDER
        for path, _body in o.collection(collection)
        if o.is_mine(path) or path in (o.goal.path, o.firewall_path, o.present_check, *o.template_paths)
    ]
    kept = [o.kept_address(name) for name in o.configs]
    found += [path for path, _body in o.collection("addresses") if path in kept and path not in found]
    # Of groups in other zones there is nothing of this one.
    found = [path for path in found if "/instanceGroupManagers/" not in path or path == o.goal.path]
    return [path for path in _in_order(found) if o.goal.firewall or "/firewalls/" not in path]


def _reason_to_stay(o: Observed, path: str) -> str:
    if not o.is_mine(path):
        return "it was not made for this group"
    if o.users(path):
        return f"it is used by {', '.join(o.users(path))}"
    if o.silent and "/addresses/" not in path and path != o.goal.path:
        return f"a group of this name in {', '.join(o.silent)} may use it, and there is no answer from there"
    return ""


def kept(o: Observed) -> list[str]:
    """Why something that the group consists of is still there, when all that may go is gone."""
    return [f"the {NOUNS[path.split('/')[-2]]} {last_part(path)} stays: {_reason_to_stay(o, path)}" for path in _own(o)]
