# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The requests that change a passthrough load balancer, what they take, and a forecast of their effects."""

from __future__ import annotations

import json

from ..base.errors import AlreadyExists, Denied, Invalid, NotFound, Stale, Unavailable
from ..clouds.gce_names import full_url, last_part, project_of
from .lb_decide import ADD, DELETE, INSERT, PATCH, REMOVE, SET_TARGET, Change, decide
from .lb_look import Observed
from .plan import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from .lb_look import LbApi
    from .plan import Memory

    Resource = dict[str, Any]

_FORESEEN = 200  # changes at most
TAKEN = 5  # refusals of the same step in a row, before the reason is no passing one
_CONFLICTS = (AlreadyExists, NotFound, Stale)
# Somebody else may have made, since the look, what needs a thing that is to go. Members have no lock at all.
_LOOSE = (*_CONFLICTS, Invalid)


def to_step(change: Change, memory: Memory) -> Step:
    """The step that carries out a change. Raises the reason, if the API refuses it again and again."""
    shown = change.value
    if isinstance(shown, dict):
        shown = {name: value for name, value in shown.items() if name != "fingerprint"}
    loose = change.verb in (DELETE, ADD, REMOVE)
    step = Step(
        change.name,
        last_part(change.path),
        lambda client, request_id: _send(client, change, request_id),
        key=(change.path, json.dumps(shown, sort_keys=True, default=str)),
        conflicts=_LOOSE if loose else _CONFLICTS,
        contested=True,
    )
    refusals = [error for _at, error in memory.conflicts.get(step.key, ()) if not isinstance(error, Stale)]
    if len(refusals) >= TAKEN:
        raise refusals[-1]
    return step


def _send(client: LbApi, change: Change, request_id: str) -> None:
    path, value = change.path, change.value
    if change.verb == INSERT:
        client.insert(path, value, request_id)
    elif change.verb == PATCH:
        client.patch(path, value, request_id)
    elif change.verb == DELETE:
        client.delete(path, request_id)
    elif change.verb == ADD:
        client.add_members(path, value, request_id)
    elif change.verb == REMOVE:
        client.remove_members(path, value, request_id)
    else:
        client.set_target(path, value, request_id)


def foresee(o: Observed, change: Change) -> Observed:
    """The state after a change, if no other actor changes anything."""
    resources, members = dict(o.resources), dict(o.members)
    path, value, found = change.path, change.value, o.resources.get(change.path, {})
    if change.verb == INSERT:
        resources[path] = {**value, "selfLink": full_url(path)}
        members.update({path: ()} if change.kind == "instanceGroups" else {})
    elif change.verb == PATCH:
        resources[path] = _merged(found, value)
    elif change.verb == DELETE:
        resources.pop(path)
        members.pop(path, None)
    elif change.verb == ADD:
        members[path] = (*members[path], *value)
        # The first member decides, if nothing did.
        resources[path] = {**found, "network": found.get("network") or o.network}
    elif change.verb == REMOVE:
        members[path] = tuple(each for each in members[path] if each not in value)
    else:
        resources[path] = {**found, "backendService": full_url(value)}
    return Observed(o.goal, resources, members, o.answers)


def foreseen(observed: Observed) -> tuple[list[Change], list[Observed]]:
    """All that is left to do, and the state before it and after each change, if each one succeeds and no other actor
    changes anything."""
    changes: list[Change] = []
    states = [observed]
    while len(changes) < _FORESEEN:
        change = decide(states[-1])
        if change is None:
            break
        changes.append(change)
        states.append(foresee(states[-1], change))
    return changes, states


def _merged(old: Resource, patch: Resource) -> Resource:
    """A JSON merge patch, as the API carries it out."""
    new = dict(old)
    for name, value in patch.items():
        if isinstance(value, dict):
            value = _merged(new.get(name) or {}, value)
        new[name] = value
    return {name: value for name, value in new.items() if value is not None}


# --- permissions

_VERBS = {
    INSERT: "create",
    PATCH: "update",
    DELETE: "delete",
    ADD: "update",
    REMOVE: "update",
    SET_TARGET: "setTarget",
}
_SERVICES = {"regions/healthChecks": "regionHealthChecks", "regions/backendServices": "regionBackendServices"}
_POLICY = ("compute.networks.updatePolicy",)


def permissions(o: Observed, changes: Iterable[Change]) -> dict[str, set[str]]:
    """What the changes take, by where it has to be granted: the path of a project, or of the subnetwork."""
    needed: dict[str, set[str]] = {}
    for change in changes:
        project = needed.setdefault(f"projects/{project_of(change.path)}", set())
        project.update(_permissions(o, change))
        if change.verb == INSERT and change.kind in ("addresses", "forwardingRules") and o.subnetwork:
            needed.setdefault(o.subnetwork, set()).add("compute.subnetworks.use")
    return needed


def _permissions(o: Observed, change: Change) -> Iterator[str]:
    scope, kind = change.path.split("/")[2], change.kind
    internal = "Internal" if o.scheme == "INTERNAL" else ""
    service = _SERVICES.get(f"{scope}/{kind}", kind)
    yield f"compute.{service}.{_VERBS[change.verb]}{internal if kind == 'addresses' else ''}"
    yield f"compute.{scope if scope == 'global' else scope[:-1]}Operations.get"
    if kind == "firewalls":
        yield from _POLICY
    elif kind == "backendServices" and change.verb in (INSERT, PATCH):
        if change.value.get("healthChecks"):
            yield f"compute.{'regionHealthChecks' if '/regions/' in o.check_path else 'healthChecks'}.useReadOnly"
        if change.value.get("backends"):
            yield "compute.instanceGroups.use"
    elif kind == "forwardingRules" and change.verb in (INSERT, SET_TARGET):
        yield "compute.regionBackendServices.use"
        if change.verb == INSERT:
            yield f"compute.addresses.use{internal}"
    elif change.verb == ADD:
        yield "compute.instances.use"


def missing_permissions(client: LbApi, needed: dict[str, set[str]]) -> tuple[list[str], Exception | None]:
    """Those that the caller does not have, a sentence each; and why the rest was not answered."""
    missing = []
    unanswered: Exception | None = None
    for where, wanted in sorted(needed.items()):
        try:
            if where.count("/") == 1:
                granted = client.project_permissions(where.partition("/")[2], sorted(wanted))
            else:
                granted = client.test_permissions(where, sorted(wanted))
        except (Denied, NotFound, Unavailable) as error:
            unanswered = error
            continue
        missing += [
            f"the caller does not have the permission {each} on {where}: give it a role that has it"
            for each in sorted(wanted - granted)
        ]
    return missing, unanswered
