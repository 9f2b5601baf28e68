# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kinds of resources have in common that requests make, change in place and delete."""

from __future__ import annotations

import abc
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any, ClassVar

from lab.gce.collection import Collection, Scopes
from lab.gce.errors import ApiError, invalid, required
from lab.gce.names import HOST, fingerprint, same_fingerprint
from lab.gce.operations import Change
from lab.gce.projects import Projects
from lab.gce.resources import Resource

# What only the API itself says. The document does not mark all of it as such.
_IDENTITY = ("kind", "id", "creationTimestamp", "selfLink", "selfLinkWithId", "region", "zone", "labelFingerprint")
_OUTPUT = frozenset({*_IDENTITY, "fingerprint", "status", "users", "usedBy", "size", "serviceName", "instanceGroup"})


class Kind(abc.ABC):
    """One kind of resources, in every project and region or zone: its scope, such as projects/P/regions/R.

    ``collection``: the last part of its paths. ``kind``, ``title``: as answers and errors call it. ``fields``: what a
    request may say; the lab has no others. ``fingerprinted``: whether a request that changes one must name its
    fingerprint ("required"), may ("optional"), or it has none ("").
    """

    collection: ClassVar[str]
    kind: ClassVar[str]
    title: ClassVar[str]
    fields: ClassVar[frozenset[str]]
    fingerprinted: ClassVar[str] = ""

    def __init__(self, projects: Projects, scopes: Scopes) -> None:
        self.projects = projects
        self.scopes = scopes

    @abc.abstractmethod
    def content(self, body: Resource, scope: str, old: Resource | None) -> Resource:
        """What is stored of what a request says; refuses what cannot be. ``old``: what is there already."""

    def view(self, resource: Resource) -> Resource:
        """As the API answers it."""
        return resource

    def users(self, resource: Resource) -> list[str]:
        """The URLs of what needs it, also of what is on its way in or out."""
        return []

    def quota(self, resource: Resource) -> str:
        """The quota that it counts for; "" for none."""
        return ""

    def permission(self, service: str, verb: str, resource: Resource) -> str:
        """What it takes to create, update or delete one; ``service`` is the API's name of the methods."""
        return f"compute.{service}.{verb}"

    def needs(self, body: Resource, scope: str, old: Resource | None) -> Iterator[tuple[str, str]]:
        """URLs that a body has, and the permissions on what they lead to; ``old``: what is there already."""
        yield from ()

    def within(self, scope: str) -> Collection:
        """Those of a scope."""
        return self.scopes[f"{scope}/{self.collection}"]

    def all(self) -> list[Resource]:
        """Those everywhere, and those that are on their way in."""
        return self.scopes.everywhere(self.collection)

    def in_force(self) -> list[Resource]:
        """Those everywhere that are in force."""
        return [each for collection in self.scopes.named(self.collection) for each in collection.values()]

    def find(self, url: str, field: str, project: str) -> Resource:
        """What a body names; refuses what is on its way in or out."""
        path = self.projects.relative(url, project)
        scope, _, key = path.rpartition("/")
        if not scope.endswith(f"/{self.collection}") or not key:
            raise invalid(field, url, "The URL is malformed.")
        return self.scopes[scope].ready(key)

    # --- changes

    def insertion(self, body: Resource, scope: str) -> Change:
        """The change that makes one."""
        with self.projects.lock:
            if not body.get("name"):
                raise required("resource.name")
            content = self.content(self._given(body), scope, None)
            if self.fingerprinted:
                content["fingerprint"] = fingerprint()
            project, where = "/".join(scope.split("/")[:2]), scope.split("/")[2:]
            if len(where) == 2:
                content[where[0].removesuffix("s")] = HOST + scope
            path = "/".join((*where, self.collection))
            resource = self.projects.maker.stamp(self.kind, path, content, project)
            return self.within(scope).insertion(resource, lambda: self._check_quota(resource))

    def deletion(self, scope: str, key: str) -> Change:
        """The change that takes one away; refuses one that something needs."""
        with self.projects.lock:
            collection = self.within(scope)
            resource = collection.ready(key)
            for user in self.users(resource):
                names = self._names(resource["selfLink"], user)
                message = "The {} resource '{}' is already being used by '{}'".format(self.title, *names)
                raise ApiError(400, "resourceInUseByAnotherResource", message)
            return collection.deletion(key)

    def patch(self, scope: str, key: str, body: Resource) -> Change:
        """The change of what a body says, by the rules of JSON merge patch: null takes away, lists are replaced."""
        return self.change("patch", scope, key, body, lambda old: merged(self._given(old), body))

    def update(self, scope: str, key: str, body: Resource) -> Change:
        """The change of everything: what a body does not say gets its default."""
        return self.change("update", scope, key, body, lambda old: {"name": old["name"], **body})

    def change(self, kind: str, scope: str, key: str, body: Resource, amend: Callable[[Resource], Resource]) -> Change:
        """The change to what ``amend`` makes of it, if the body's fingerprint is the current one."""

        def build(old: Resource) -> Resource:
            if self.fingerprinted:
                check_fingerprint(body, old, "fingerprint", self.fingerprinted == "required")
            content = self.content(self._given(amend(old)), scope, old)
            unchanged(old, content, "name")
            return self.replaced(old, content)

        with self.projects.lock:
            return self.within(scope).alteration(kind, key, build)

    def replaced(self, old: Resource, content: Resource) -> Resource:
        """The same resource with another content."""
        new = {**{name: old[name] for name in _IDENTITY if name in old}, **content}
        return {**new, "fingerprint": fingerprint()} if self.fingerprinted else new

    def _given(self, body: Resource) -> Resource:
        more = [name for name, value in body.items() if value and name not in self.fields and name not in _OUTPUT]
        if more:
            raise ApiError(501, "notImplemented", f"This lab has no {self.kind} with {', '.join(sorted(more))}.")
        return {name: value for name, value in body.items() if name in self.fields and value is not None}

    def _names(self, used: str, user: str) -> tuple[str, str]:
        """How an error calls them."""
        return self.projects.relative(used), self.projects.relative(user)

    def _check_quota(self, resource: Resource) -> None:
        name = self.quota(resource)
        limit = self.projects.world.quotas.get(name)
        if limit is None:
            return
        per = "network" if name.endswith("_PER_NETWORK") else "region"
        where = region_of(resource) if per == "region" else resource[per]
        if self.usage(name, where) >= limit:
            text = f"Quota '{name}' exceeded. Limit: {limit}.0 {'per' if per == 'network' else 'in'} "
            text += per if per == "network" else f"region {where.rpartition('/')[2]}"
            raise ApiError(403, "QUOTA_EXCEEDED", f"{text}.")

    def usage(self, quota: str, where: str) -> int:
        """How much of a quota is in use, in the region or network at a URL."""
        there = (each for each in self.in_force() if self.quota(each) == quota)
        return sum(where in (region_of(each), each.get("network")) for each in there)


def region_of(resource: Resource) -> str:
    """The URL of the region that a resource, or its zone, is in; "" for a global one."""
    if "zone" in resource:
        start, _, zone = str(resource["zone"]).partition("/zones/")
        return f"{start}/regions/{zone.rpartition('-')[0]}"
    return str(resource.get("region", ""))


def only(given: Mapping[str, Any], known: Container[str], where: str) -> None:
    """Refuse what the lab does not have."""
    more = sorted(name for name, value in given.items() if value and name not in known)
    if more:
        raise ApiError(501, "notImplemented", f"This lab has no {where} with {', '.join(more)}.")


def merged(old: Resource, patch: Resource) -> Resource:
    """What RFC 7396 makes of both."""
    new = dict(old)
    for name, value in patch.items():
        if value is None:
            new.pop(name, None)
        elif isinstance(value, dict):
            before = new.get(name)
            new[name] = merged(before if isinstance(before, dict) else {}, value)
        else:
            new[name] = value
    return new


def check_fingerprint(
    body: Resource, resource: Resource, field: str, needed: bool, message: str = "Invalid fingerprint."
) -> None:
    """Refuse a body whose fingerprint is missing or not the current one."""
    given = body.get(field)
    if not given and needed:
        raise required(f"resource.{field}")
    if given and not same_fingerprint(given, resource[field]):
        raise ApiError(412, "conditionNotMet", message)


def unchanged(old: Resource | None, new: Resource, *names: str) -> None:
    """Refuse a change of what stays as it was made."""
    for name in names if old else ():
        if new.get(name) != (old or {}).get(name):
            value = str(new.get(name, "")).removeprefix(HOST)
            raise invalid(f"resource.{name}", value, f"{name[0].upper()}{name[1:]} field cannot be modified.")


def number(body: Mapping[str, Any], field: str, default: int, low: int, high: int, where: str = "resource") -> int:
    """A whole number of a body, from ``low`` to ``high``."""
    value = int(body.get(field, default))
    if not low <= value <= high:
        raise invalid(f"{where}.{field}", value, f"Must be greater than or equal to {low} and at most {high}.")
    return value


def one_of(body: Mapping[str, Any], field: str, default: str, known: tuple[str, ...], where: str = "resource") -> str:
    """A word of a body that the lab, and the API for this kind of load balancer, has."""
    value = str(body.get(field) or default)
    if value not in known:
        raise invalid(f"{where}.{field}", value, f"It must be one of {', '.join(known)}.")
    return value
