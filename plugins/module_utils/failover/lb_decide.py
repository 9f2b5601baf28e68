# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides the next step on the way to a passthrough load balancer. Pure: from facts and a goal to a Change.

The rules that are meant by numbers are those of lb.py.
"""

from __future__ import annotations

from ..clouds.gce_names import last_part, normalise
from .gcp_objects import DELETE, INSERT, NOUNS, PATCH, Change
from .lb_fields import PROTOCOLS
from .lb_state import leftovers
from .lb_wanted import wanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .gcp_objects import Item
    from .lb_look import Observed

ADD, REMOVE, SET_TARGET = "add instances to", "remove instances from", "set the target of"
# What needs something comes before what it needs.
DELETION_ORDER = ("forwardingRules", "backendServices", "healthChecks", "instanceGroups", "firewalls", "addresses")


def decide(o: Observed) -> Change | None:
    """The next change; None if nothing is left."""
    if not o.goal.present:
        return next(_take_away(o), None)
    items = wanted(o)
    gone = replaced(o, items) | set(surplus(o))
    return next(_deletions(o, gone), None) or next(_reach(items), None) or next(_tidy(o, items), None)


def replaced(o: Observed, items: Sequence[Item]) -> set[str]:
    """The paths of all that has to go because it, or what it needs, cannot be changed in place."""
    paths = {item.path for item in items if item.frozen}
    new = paths
    while new:
        new = {user for path in new for user in o.users(path)} - paths
        paths = paths | new
    return paths


def surplus(o: Observed) -> list[str]:
    """The paths of forwarding rules with the load balancer's names, and of protocols that are not wanted."""
    return [path for path, rule in o.named("forwardingRules") if rule.get("IPProtocol") not in o.protocols]


def _deletions(o: Observed, paths: Iterable[str]) -> Iterator[Change]:
    """Rule 3: what is not used any more goes, and what it needed after it."""
    for path in sorted(paths, key=lambda each: (DELETION_ORDER.index(each.split("/")[-2]), each)):
        if path in o.resources and not o.users(path):
            yield Change(DELETE, path)


def _reach(items: Iterable[Item]) -> Iterator[Change]:
    """What is made, or changed in place, in the order in which one needs the other."""
    for item in items:
        if item.found is None:
            yield Change(INSERT, item.path, item.body)
        update = dict(item.update)
        target = update.pop("backendService", None)
        if target:
            yield Change(SET_TARGET, item.path, normalise(target))
        if update:
            yield Change(PATCH, item.path, item.locked(update))  # rule 4
        if item.added:
            yield Change(ADD, item.path, item.added)


def _tidy(o: Observed, items: Sequence[Item]) -> Iterator[Change]:
    """What was made for this load balancer and is not wanted any more; and others' members, if they are to go."""
    paths = [item.path for item in items]
    rest = [path for path in leftovers(o) if path not in paths]
    if o.goal.groups is None or not o.goal.exclusive:
        rest = [path for path in rest if "/instanceGroups/" not in path]
    yield from _deletions(o, rest)
    for item in items:
        if item.removed:
            yield Change(REMOVE, item.path, item.removed)


def _take_away(o: Observed) -> Iterator[Change]:
    """Rule 5: only what was made for this load balancer, and that nothing else uses."""
    goal = o.goal
    declared = {group.path: set(group.instances or ()) for group in goal.groups or ()}
    for collection in DELETION_ORDER:
        if collection == "firewalls" and not goal.firewall:
            continue
        for path, _body in o.collection(collection):
            if not o.is_mine(path) or o.users(path):
                continue
            members = set(o.members.get(path, ()))
            known = members if goal.groups is None or goal.exclusive else members & declared.get(path, set())
            if members == known:
                yield Change(DELETE, path)
            elif known:
                yield Change(REMOVE, path, tuple(sorted(known)))


def kept(o: Observed) -> list[str]:
    """Why something that the load balancer consists of is still there, when all that may go is gone."""
    reasons = []
    for collection in DELETION_ORDER:
        for path, _body in o.collection(collection):
            what = f"the {NOUNS[collection]} {last_part(path)} stays"
            if o.is_mine(path) and o.users(path):
                reasons.append(f"{what}: it is used by {', '.join(o.users(path))}")
            elif o.is_mine(path) and o.members.get(path):
                reasons.append(f"{what}: {', '.join(map(last_part, o.members[path]))} are still in it")
            elif not o.is_mine(path) and path in _own_paths(o):
                reasons.append(f"{what}: it was not made for this load balancer")
    return reasons


def _own_paths(o: Observed) -> set[str]:
    named = {path for collection in ("forwardingRules", "backendServices") for path, _body in o.named(collection)}
    return named | {o.address[0], o.firewall_path, *o.goal.check_paths, *(group.path for group in o.goal.groups or ())}


def labels_of(protocols: Iterable[str]) -> str:
    """Protocols as the options call them."""
    return ", ".join(PROTOCOLS[each][1] for each in protocols)
