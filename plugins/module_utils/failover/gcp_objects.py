# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects of Compute Engine as they should be, and the changes that lead there: what all that is provisioned shares."""

from __future__ import annotations

import json
from typing import NamedTuple

from ..base.errors import AlreadyExists, Denied, Invalid, NotFound, Stale, Unavailable
from ..clouds.gce_names import last_part, normalise
from .checked import unchecked
from .gcp_checks import PROBES
from .gcp_fields import DEFAULTS, differs
from .plan import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Protocol, TypeVar

    from .plan import Memory

    Resource = dict[str, Any]
    S = TypeVar("S")
    A = TypeVar("A")

    class ObjectsApi(Protocol):
        """The verbs that this needs of a client. Errors are those of base/errors.py; all is named by its path."""

        def insert(self, path: str, body: Resource, request_id: str) -> None:
            """Returns when it is done, as the others do."""

        def patch(self, path: str, body: Resource, request_id: str) -> None: ...

        def delete(self, path: str, request_id: str) -> None: ...

    class QuotasApi(Protocol):
        def get_quotas(self, region: str) -> list[Resource]: ...

    class PermissionsApi(Protocol):
        def test_permissions(self, path: str, permissions: list[str]) -> set[str]: ...

        def project_permissions(self, project: str, permissions: Sequence[str]) -> set[str]: ...


INSERT, PATCH, DELETE = "create", "update", "delete"
TAKEN = 5  # refusals of the same step in a row, before the reason is no passing one
_FORESEEN = 200  # changes at most
_CONFLICTS = (AlreadyExists, NotFound, Stale)
NOUNS = {
    "addresses": "address",
    "backendServices": "backend service",
    "disks": "disk",
    "firewalls": "firewall rule",
    "forwardingRules": "forwarding rule",
    "healthChecks": "health check",
    "images": "image",
    "instanceGroupManagers": "managed instance group",
    "instanceGroups": "instance group",
    "instances": "instance",
    "instanceTemplates": "instance template",
}
# What the API changes in place; a forwarding rule's backend service by a request of its own.
_IN_PLACE = {
    "addresses": frozenset(),
    "backendServices": frozenset(
        (
            "backends",
            "connectionDraining",
            "connectionTrackingPolicy",
            "failoverPolicy",
            "healthChecks",
            "sessionAffinity",
        )
    ),
    "firewalls": frozenset(("allowed", "disabled", "sourceRanges", "targetServiceAccounts", "targetTags")),
    "forwardingRules": frozenset(("allowGlobalAccess", "backendService")),
    "healthChecks": frozenset(
        ("checkIntervalSec", "healthyThreshold", "logConfig", "timeoutSec", "unhealthyThreshold", *PROBES.values())
    ),
    "instanceGroupManagers": frozenset(("autoHealingPolicies", "instanceLifecyclePolicy", "updatePolicy", "versions")),
    "instanceGroups": frozenset(),
    "instanceTemplates": frozenset(),
}


class Item(NamedTuple):
    """An object that is wanted: its path, what is there, and what should be there.

    added, removed: instances of a group.
    """

    path: str
    found: Resource | None
    body: Resource
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Its collection, such as forwardingRules."""
        return self.path.split("/")[-2]

    @property
    def label(self) -> str:
        """How a person is told about it."""
        return f"the {NOUNS[self.kind]} {last_part(self.path)}"

    def _differing(self) -> list[str]:
        found = self.found
        return [] if found is None else [name for name in self.body if differs(name, found.get(name), self.body[name])]

    @property
    def update(self) -> Resource:
        """The fields that differ and can be changed in place, as they should be."""
        return {name: self.body[name] for name in self._differing() if name in _IN_PLACE[self.kind]}

    @property
    def frozen(self) -> dict[str, tuple[Any, Any]]:
        """The fields that differ and cannot be changed in place: what they are, and what they should be."""
        found = self.found or {}
        return {
            name: (plain(found.get(name, DEFAULTS.get(name))), plain(self.body[name]))
            for name in self._differing()
            if name not in _IN_PLACE[self.kind]
        }

    def locked(self, update: Resource) -> Resource:
        """A patch, with what the API requires besides the fields that change."""
        body = dict(update)
        if self.kind == "firewalls":
            body["name"] = last_part(self.path)
        elif self.kind == "healthChecks":
            body["type"] = self.body["type"]
        # Some kinds of objects have no fingerprint.
        if self.found and self.found.get("fingerprint"):
            body["fingerprint"] = self.found["fingerprint"]
        return body


def plain(value: Any) -> Any:
    """A value as a person reads it: a path instead of a URL."""
    return normalise(value) if isinstance(value, str) else value


def item_of(path: str, found: Resource | None, body: Resource, mark: str, **more: Any) -> Item:
    """mark: the description of what is made."""
    new = {} if found else {"name": last_part(path), "description": mark}
    return Item(path, found, {**new, **body}, **more)


class Change(NamedTuple):
    """verb: one of the above. value: of what is created or updated, the fields; else instances, or a target."""

    verb: str
    path: str
    value: Any = None

    @property
    def kind(self) -> str:
        return self.path.split("/")[-2]

    @property
    def name(self) -> str:
        return f"{self.verb} {NOUNS[self.kind]}"


def step_of(change: Change, memory: Memory, send_it: Callable[[Any, Change, str], None], loose: bool) -> Step:
    """The step that carries out a change. Raises the reason, if the API refuses it again and again.

    loose: whether somebody else may have made, since the look, what stands in the way.
    """
    shown = change.value
    if isinstance(shown, dict):
        shown = {name: value for name, value in shown.items() if name != "fingerprint"}
    step = Step(
        change.name,
        last_part(change.path),
        lambda client, request_id: send_it(client, change, request_id),
        key=(change.path, json.dumps(shown, sort_keys=True, default=str)),
        conflicts=(*_CONFLICTS, Invalid) if loose else _CONFLICTS,
        contested=True,
    )
    refusals = [error for _at, error in memory.conflicts.get(step.key, ()) if not isinstance(error, Stale)]
    if len(refusals) >= TAKEN:
        raise refusals[-1]
    return step


def send(client: ObjectsApi, change: Change, request_id: str) -> None:
    if change.verb == INSERT:
        client.insert(change.path, change.value, request_id)
    elif change.verb == PATCH:
        client.patch(change.path, change.value, request_id)
    else:
        client.delete(change.path, request_id)


def forecast(observed: S, decide: Callable[[S], A | None], foresee: Callable[[S, A], S]) -> tuple[list[A], list[S]]:
    """All that is left to do, and the state before it and after each change, if each one succeeds and no other actor
    changes anything."""
    changes: list[A] = []
    states = [observed]
    while len(changes) < _FORESEEN:
        change = decide(states[-1])
        if change is None:
            break
        changes.append(change)
        states.append(foresee(states[-1], change))
    return changes, states


def missing_permissions(client: PermissionsApi, needed: dict[str, set[str]]) -> tuple[list[str], Exception | None]:
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


def permission_problems(client: PermissionsApi, needed: dict[str, set[str]]) -> list[str]:
    """The same, also that the rest was not answered."""
    missing, unanswered = missing_permissions(client, needed)
    return [*missing, *([unchecked(unanswered)] if unanswered else [])]


def quota_problems(client: QuotasApi, place: str, metrics: Sequence[str]) -> list[str]:
    """Quotas of a place that are used up. They matter to what is yet to be made."""
    try:
        quotas = client.get_quotas(place)
    except (Denied, NotFound) as error:
        return [str(error)]
    return [
        f"quota: {each['metric']} is used up, {each.get('usage', 0):g} of {each['limit']:g}: raise it, or delete what"
        " is not needed"
        for each in quotas
        if each.get("metric") in metrics and each.get("usage", 0) >= each["limit"]
    ]
