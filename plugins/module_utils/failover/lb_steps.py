# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The requests that change a passthrough load balancer, what they take, and a forecast of their effects."""

from __future__ import annotations

from ..clouds.gce_names import full_url, project_of
from .gcp_fields import merged
from .gcp_objects import DELETE, INSERT, PATCH, forecast, send, step_of
from .lb_decide import ADD, REMOVE, SET_TARGET, decide
from .lb_look import Observed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .gcp_objects import Change
    from .lb_look import LbApi
    from .plan import Memory, Step


def to_step(change: Change, memory: Memory) -> Step:
    """The step that carries out a change. Raises the reason, if the API refuses it again and again."""
    # Members have no lock at all.
    return step_of(change, memory, _send, loose=change.verb in (DELETE, ADD, REMOVE))


def _send(client: LbApi, change: Change, request_id: str) -> None:
    path, value = change.path, change.value
    if change.verb == ADD:
        client.add_members(path, value, request_id)
    elif change.verb == REMOVE:
        client.remove_members(path, value, request_id)
    elif change.verb == SET_TARGET:
        client.set_target(path, value, request_id)
    else:
        send(client, change, request_id)


def foresee(o: Observed, change: Change) -> Observed:
    """The state after a change, if no other actor changes anything."""
    resources, members = dict(o.resources), dict(o.members)
    path, value, found = change.path, change.value, o.resources.get(change.path, {})
    if change.verb == INSERT:
        resources[path] = {**value, "selfLink": full_url(path)}
        members.update({path: ()} if change.kind == "instanceGroups" else {})
    elif change.verb == PATCH:
        resources[path] = merged(found, value)
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
    """All that is left to do, and the state before it and after each change."""
    return forecast(observed, decide, foresee)


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
