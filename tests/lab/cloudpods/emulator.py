# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to a request to the identity or the compute service between its arrival and its answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from lab.cloudpods import queries
from lab.cloudpods.cloud import GROUP, Cloud, forbidden
from lab.cloudpods.dataplane import DataPlane
from lab.cloudpods.errors import ApiError, bad_input, not_here
from lab.cloudpods.identity import Caller
from lab.cloudpods.network import Network
from lab.cloudpods.queries import Query, Row
from lab.cloudpods.world import World
from lab.emulation import behaviour, emulator
from lab.emulation.behaviour import Fault

TOKENS = "/v3/auth/tokens"
_EIP_ACTIONS = ("create-eip", "associate-eip", "dissociate-eip")
_STATUS = {"create-eip": "associate_eip", "associate-eip": "associate_eip", "dissociate-eip": "dissociate_eip"}
# What a list may be filtered by with NAME=VALUE, besides ``filter``.
_COLUMNS = {
    "instancegroups": {"id", "name", "enabled", "status", "tenant_id"},
    "groupguests": {"guest_id", "row_id"},
    "groupnetworks": {"network_id", "ip_addr", "ip6_addr", "row_id"},
    "guestnetworks": {"network_id", "ip_addr", "mac_addr", "row_id"},
    "reservedips": {"network_id", "ip_addr"},
    "servers": {"id", "name", "status", "tenant_id"},
    "networks": {"id", "name", "server_type", "bgp_type"},
    "eips": {"id", "name", "status", "ip_addr", "associate_id", "associate_name", "associate_type", "mode"},
}
_ONE = {"instancegroups": GROUP, "servers": "server", "networks": "network", "eips": "eip"}


class Emulator(emulator.Emulator):
    """A region with its API, its log and its network.

    The names in the log are ``resource:action``; the operation of an EIP action is the group's status meanwhile.
    ``urls``: what the catalog says: service type -> URL.
    """

    def __init__(self, world: World, plane: DataPlane) -> None:
        super().__init__()
        self.cloud = Cloud(world)
        self.network = Network(self.cloud, plane)
        self.urls: dict[str, str] = {}
        self.network.start()

    def close(self) -> None:
        """End its threads."""
        self.cloud.tasks.close()
        self.network.close()

    def settled(self, timeout: float = 10.0) -> bool:
        """Wait until no task runs and the network is as the API says; tasks that never end do not count."""
        return self.cloud.tasks.settled(timeout) and self.network.settled(timeout)

    def bug(self) -> ApiError:
        """See `lab.emulation.emulator.Emulator`."""
        return ApiError(500, "InternalServerError", "The lab's Cloudpods has a bug; see its log.")

    def answer(
        self, verb: str, target: str, token: str | None, text: bytes, entry: dict[str, Any]
    ) -> tuple[Row, dict[str, str]]:
        """See `lab.emulation.emulator.Emulator`."""
        split = urlsplit(target)
        body = _parse(text)
        if split.path.startswith("/v3"):
            return self._identity(verb, split.path, body, entry)
        query = parse_qs(split.query, keep_blank_values=True)
        resource, key, action = ([unquote(word) for word in split.path.split("/")[1:]] + [""] * 3)[:3]
        doing = action or _doing(verb, key)
        mutates = verb != "GET"
        entry |= {"name": f"{resource}:{doing}", "mutation": mutates}
        caller = self.cloud.identity.caller(token)
        if caller is None:
            raise _no_token(resource, doing)
        entry["caller"] = caller.user
        faults = self.cloud.behaviour.meet(verb, split.path, caller.user)
        behaviour.begin(faults, deferred=mutates and action in _EIP_ACTIONS)
        self.cloud.tasks.catch_up()
        with self.cloud.lock:
            if mutates:
                answer = self._change(verb, resource, key, action, body, caller, faults)
                entry["operation"] = _STATUS.get(action)
                self.cloud.on_change()
            else:
                answer = self._read(resource, key, action, query, caller)
        behaviour.end(faults)
        return answer, {}

    def _identity(self, verb: str, path: str, body: Any, entry: dict[str, Any]) -> tuple[Row, dict[str, str]]:
        entry["name"] = "tokens:create"
        if (verb, path) != ("POST", TOKENS):
            raise not_here(f"{verb} {path}")

        faults: list[Fault] = []

        def known(user: str) -> None:
            entry["caller"] = user
            faults.extend(self.cloud.behaviour.meet(verb, path, user))
            behaviour.begin(faults, deferred=False)

        lifetime = self.cloud.behaviour.token_lifetime_s
        token, answer = self.cloud.identity.token(body, lifetime, self.urls, known)
        behaviour.end(faults)
        return answer, {"X-Subject-Token": token}

    # --- reading

    def _read(self, resource: str, key: str, action: str, query: Query, caller: Caller) -> Row:
        cloud = self.cloud
        if resource == "instancegroups" and action in ("networks", "servers"):
            resource, query = f"group{'networks' if action == 'networks' else 'guests'}", {**query, "group_id": [key]}
            return self._list(resource, query, caller)
        if resource == "servers" and action == "networks":
            return self._list("guestnetworks", {**query, "server_id": [key]}, caller)
        if resource not in _COLUMNS or action or (key and resource not in _ONE):
            raise not_here(f"GET /{'/'.join(filter(None, (resource, key and 'ID', action)))}")
        if not key:
            return self._list(resource, query, caller)
        keyword = _ONE[resource]
        rows, view = {
            "instancegroups": (cloud.groups, cloud.group_view),
            "servers": (cloud.servers, cloud.server_view),
            "networks": (cloud.networks, cloud.network_view),
            "eips": (cloud.eips, cloud.eip_view),
        }[resource]
        return {keyword: queries.picked(view(cloud.find(rows, keyword, key, caller.project)), query)}

    def _list(self, resource: str, query: Query, caller: Caller) -> Row:
        cloud, project = self.cloud, caller.project
        query = dict(query)

        def own(rows: list[Row]) -> list[Row]:
            return [row for row in rows if row.get("tenant_id", project) == project]

        groups, servers = own(cloud.groups), own(cloud.servers)
        if "group_id" in query and resource in ("groupguests", "groupnetworks"):
            groups = [cloud.group(key, project) for key in query.pop("group_id")]
        if "server_id" in query and resource in ("instancegroups", "groupguests", "guestnetworks"):
            servers = [cloud.find(cloud.servers, "server", key, project) for key in query.pop("server_id")]
            if resource == "instancegroups":
                groups = [group for group in groups if any(each in servers for each in cloud.members_of(group))]
        group_ids, server_ids = {each["id"] for each in groups}, {each["id"] for each in servers}
        views = {
            "instancegroups": lambda: map(cloud.group_view, groups),
            "groupguests": lambda: (
                cloud.member_view(each)
                for each in cloud.members
                if each["group_id"] in group_ids and each["guest_id"] in server_ids
            ),
            "groupnetworks": lambda: (cloud.vip_view(each) for each in cloud.vips if each["group_id"] in group_ids),
            "guestnetworks": lambda: (cloud.nic_view(each) for each in cloud.nics if each["guest_id"] in server_ids),
            "reservedips": cloud.reservations,
            "servers": lambda: map(cloud.server_view, servers),
            "networks": lambda: map(cloud.network_view, cloud.networks),
            "eips": lambda: map(cloud.eip_view, own(cloud.eips)),
        }
        return queries.answer(resource, list(views[resource]()), query, _COLUMNS[resource])

    # --- changing

    def _change(
        self, verb: str, resource: str, key: str, action: str, body: Any, caller: Caller, faults: Sequence[Fault]
    ) -> Row:
        cloud = self.cloud
        if resource != "instancegroups":
            raise not_here(f"{verb} /{resource}")
        given = {} if body is None else body.get(GROUP)
        if not isinstance(given, dict):
            raise bad_input(f"the body has no {GROUP}")
        if verb == "POST" and not key:
            return {GROUP: cloud.group_view(cloud.create_group(caller.project, given))}
        group = cloud.group(key, caller.project)
        if verb == "DELETE" and not action:
            return {GROUP: cloud.delete_group(group)}
        if verb in ("PUT", "PATCH") and not action:
            cloud.update_group(group, given)
        elif verb == "POST" and action in _EIP_ACTIONS:
            {
                "create-eip": cloud.create_eip,
                "associate-eip": cloud.associate_eip,
                "dissociate-eip": cloud.dissociate_eip,
            }[action](group, given, faults)
        elif verb == "POST" and action in ("enable", "disable"):
            cloud.enable(group, action == "enable")
        elif verb == "POST" and action in (
            actions := {
                "bind-guests": cloud.bind,
                "unbind-guests": cloud.unbind,
                "attachnetwork": cloud.attach,
                "detachnetwork": cloud.detach,
            }
        ):
            actions[action](group, given)
        else:
            raise not_here(f"{verb} /{resource}/ID/{action}")
        return {GROUP: cloud.group_view(group)}


def _doing(verb: str, key: str) -> str:
    """The name of what is done, where it is no action."""
    names = {"GET": "get" if key else "list", "POST": "create", "PUT": "update", "PATCH": "update", "DELETE": "delete"}
    return names[verb]


def _no_token(resource: str, doing: str) -> ApiError:
    """The token is unknown, or there is none, or it has expired."""
    error = forbidden(resource, doing)
    if doing != "list":
        return error
    # A list says it in this way.
    sentence = f"not enough privilege to do compute:{resource}:list (require:project,allow:none,query:project)"
    inner = {
        "class": error.kind,
        "code": error.status,
        "data": {
            "fields": ["compute", resource, "list", "project", "none", "project"],
            "id": "not enough privilege to do %s:%s:%s (require:%s,allow:%s,query:%s)",
        },
        "details": sentence,
    }
    text = json.dumps({"error": inner}, separators=(",", ":"))
    return ApiError(error.status, error.kind, f"ListItems: listItemQueryFiltersRaw: {text}")


def _parse(text: bytes) -> Any:
    if not text.strip():
        return None
    try:
        body = json.loads(text)
    except ValueError:
        raise bad_input("the request's body is not JSON") from None
    if not isinstance(body, dict):
        raise bad_input("the request's body is not an object")
    return body
