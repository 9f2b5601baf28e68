# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The requests that change an autohealing group, what they take, and a forecast of their effects."""

from __future__ import annotations

import functools

from ..clouds.gce_names import full_url, last_part, normalise, project_of
from .gcp_fields import merged
from .gcp_objects import DELETE, INSERT, PATCH, Change, forecast, send, step_of
from .group_decide import KEEP, RECREATE, REPLACE, Wait, decide
from .group_look import DELETING, HEALTHY, NONE, RUNNING, UNAPPLIED, UNKNOWN, Managed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from .group_decide import Action
    from .group_goal import GroupGoal
    from .group_look import ManagedApi, Observed
    from .plan import Memory, Step

    Resource = dict[str, Any]


def to_step(change: Change, goal: GroupGoal, memory: Memory) -> Step:
    """The step that carries out a change. Raises the reason, if the API refuses it again and again."""
    loose = change.kind == "instances" or change.verb == DELETE
    return step_of(change, memory, functools.partial(_send, goal.path), loose)


def _send(group: str, client: ManagedApi, change: Change, request_id: str) -> None:
    if change.kind != "instances":
        send(client, change, request_id)
    elif change.verb == INSERT:
        client.create_instance(group, change.value, request_id)
    elif change.verb == KEEP:
        client.set_config(group, change.value, request_id)
    elif change.verb == REPLACE:
        client.replace_instance(group, change.path, request_id)
    elif change.verb == RECREATE:
        client.recreate_instance(group, change.path, request_id)
    else:
        client.delete_instance(group, change.path, request_id)


# --- a forecast


def foresee(o: Observed, action: Action) -> Observed:
    """The state after a change, or after a wait, if all goes well and no other actor changes anything."""
    if isinstance(action, Wait):
        return _foresee_wait(o, action)
    if action.kind == "instances":
        return _foresee_instance(o, action)
    resources, path, value = dict(o.resources), action.path, action.value
    if action.verb == INSERT:
        resources[path] = {**value, "selfLink": full_url(path)}
    elif action.verb == PATCH:
        resources[path] = merged(resources[path], value)
    else:
        resources.pop(path)
        if path == o.goal.path:
            return _without(o.but(resources=resources), set(o.managed))
    return o.but(resources=resources)


def _foresee_wait(o: Observed, wait: Wait) -> Observed:
    found = [o.managed[name] for name in wait.names]
    o = _without(o, {each.name for each in found if each.action == DELETING})
    served = [each._replace(action=NONE, status=RUNNING, health=HEALTHY) for each in found if each.name in o.managed]
    return o.but(managed={**o.managed, **{each.name: each for each in served}})


def _foresee_instance(o: Observed, change: Change) -> Observed:
    name = last_part(change.path)
    managed, configs = dict(o.managed), dict(o.configs)
    if change.verb == DELETE:
        return _without(o, {name})
    if change.verb == INSERT:
        configs[name] = change.value
        managed[name] = Managed(name, "CREATING", template=o.template_path)
    elif change.verb == KEEP:
        configs[name] = {**change.value, "status": UNAPPLIED}
    else:
        managed[name] = Managed(name, "RECREATING", health=UNKNOWN, template=change.value)
        if name in configs:
            configs[name] = {key: value for key, value in configs[name].items() if key != "status"}
        # What is kept for it says what it uses then.
        return o.but(resources=_freed(o, {name}), managed=managed, configs=configs)
    return o.but(managed=managed, configs=configs)


def _without(o: Observed, names: set[str]) -> Observed:
    """Without some of the instances."""
    return o.but(
        resources=_freed(o, names),
        managed={name: each for name, each in o.managed.items() if name not in names},
        configs={name: each for name, each in o.configs.items() if name not in names},
    )


def _freed(o: Observed, names: set[str]) -> dict[str, Resource]:
    """The resources, of which some of the instances use none any more."""
    gone = {o.goal.instance_path(name) for name in names}
    return {
        path: {**body, "users": [user for user in body["users"] if normalise(user) not in gone]}
        if body.get("users")
        else body
        for path, body in o.resources.items()
    }


def foreseen(observed: Observed) -> tuple[list[Action], list[Observed]]:
    """All that is left to do and to wait for, and the state before it and after each."""
    return forecast(observed, decide, foresee)


# --- permissions

_VERBS = {INSERT: "create", PATCH: "update", DELETE: "delete"}
_POLICY = ("compute.networks.updatePolicy",)
# The parts of a template that take a permission, as if somebody made an instance.
PARTS = {
    "labels": "compute.instances.setLabels",
    "metadata": "compute.instances.setMetadata",
    "serviceAccounts": "compute.instances.setServiceAccount",
    "tags": "compute.instances.setTags",
}


def permissions(o: Observed, changes: Iterable[Change]) -> dict[str, set[str]]:
    """What the changes take, by where it has to be granted: the path of a project, or of the subnetwork.

    That the caller may act as the service account is not asked: it may be granted on the account alone.
    """
    needed: dict[str, set[str]] = {}
    for change in changes:
        project = needed.setdefault(f"projects/{project_of(change.path)}", set())
        project.update(_permissions(change))
        if change.verb == INSERT and change.kind in ("addresses", "instanceTemplates") and o.subnetwork:
            needed.setdefault(o.subnetwork, set()).add("compute.subnetworks.use")
        if change.verb == INSERT and change.kind == "instanceTemplates":
            image = o.goal.template.get("image") or o.made_of["image"]
            needed.setdefault(f"projects/{project_of(image) or o.goal.project}", set()).add(
                "compute.images.useReadOnly"
            )
    return needed


def _permissions(change: Change) -> Iterator[str]:
    scope, kind = change.path.split("/")[2], change.kind
    yield f"compute.{scope if scope == 'global' else scope[:-1]}Operations.get"
    if kind == "instances":
        yield "compute.instanceGroupManagers.update"
        return
    service = "regionHealthChecks" if kind == "healthChecks" and scope == "regions" else kind
    yield f"compute.{service}.{_VERBS[change.verb]}{'Internal' if kind == 'addresses' else ''}"
    if kind == "firewalls":
        yield from _POLICY
    elif kind == "instanceTemplates" and change.verb == INSERT:
        yield from (each for part, each in PARTS.items() if change.value["properties"].get(part))
    elif kind == "instanceGroupManagers" and change.verb != DELETE:
        if change.value.get("versions"):
            yield "compute.instanceTemplates.useReadOnly"
        for each in change.value.get("autoHealingPolicies") or ():
            regional = "/regions/" in each["healthCheck"]
            yield f"compute.{'regionHealthChecks' if regional else 'healthChecks'}.useReadOnly"
