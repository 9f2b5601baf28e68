# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The resources of a kind: those in force, and those on their way in or out."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lab.gce.errors import ApiError, not_found
from lab.gce.operations import Change
from lab.gce.resources import Resource


class Collection(dict[str, Resource]):
    """Resources by name: those that are in force. Others are on their way in, or out and still in force.

    A resource is never changed: another one takes its place.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.coming: dict[str, Resource] = {}
        self.going: set[str] = set()

    def find(self, key: str, coming: bool = False) -> Resource:
        """By name, or by id; ``coming``: also one that is on its way in."""
        for each in self.shown(coming):
            if key in (each["name"], each["id"]):
                return each
        raise not_found(f"{self.path}/{key}")

    def ready(self, key: str) -> Resource:
        """By name, or by id; refuses one that is on its way in or out."""
        resource = self.find(key, coming=True)
        name = resource["name"]
        if name in self.coming or resource["id"] in self.going:
            raise ApiError(400, "resourceNotReady", f"The resource '{self.path}/{name}' is not ready")
        return resource

    def shown(self, coming: bool) -> Iterator[Resource]:
        """All that can be seen."""
        yield from self.values()
        if coming:
            yield from self.coming.values()

    def insertion(self, resource: Resource, effect: Callable[[], list[Resource] | None]) -> Change:
        """The change that puts it in force. From now on its name is taken."""
        name = resource["name"]
        if name in self or name in self.coming:
            raise ApiError(409, "alreadyExists", f"The resource '{self.path}/{name}' already exists")
        self.coming[name] = resource

        def come() -> list[Resource] | None:
            said = effect()
            self[name] = self.coming.pop(name)
            return said

        return Change("insert", resource, come, lambda: self.coming.pop(name, None))

    def deletion(self, key: str) -> Change:
        """The change that takes it away. Until then it is in force."""
        resource = self.ready(key)
        self.going.add(resource["id"])

        def go() -> None:
            self.going.discard(resource["id"])
            del self[resource["name"]]

        return Change("delete", resource, go, lambda: self.going.discard(resource["id"]))

    def alteration(self, kind: str, key: str, build: Callable[[Resource], Resource]) -> Change:
        """The change that puts what ``build`` makes of a resource in its place.

        It is made now, so that what cannot be is refused, and again at the end: others may have changed it meanwhile.
        """
        resource = self.ready(key)
        name = resource["name"]
        build(resource)

        def alter() -> None:
            if self.find(name)["id"] != resource["id"]:
                raise not_found(f"{self.path}/{name}")
            self[name] = build(self[name])

        return Change(kind, resource, alter)


class Scopes(dict[str, Collection]):
    """Collections by their paths, such as projects/P/regions/R/addresses; one that is asked for is there."""

    def __missing__(self, path: str) -> Collection:
        self[path] = collection = Collection(path)
        return collection

    def named(self, kind: str) -> list[Collection]:
        """All collections of this name."""
        return [each for path, each in self.items() if path.endswith(f"/{kind}")]

    def everywhere(self, kind: str) -> list[Resource]:
        """The resources in them; those too that are on their way in."""
        return [resource for each in self.named(kind) for resource in each.shown(coming=True)]
