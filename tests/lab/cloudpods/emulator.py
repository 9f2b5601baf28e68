# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to a request to the identity or the compute service between its arrival and its answer."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from lab.cloudpods import queries
from lab.cloudpods.cloud import GROUP, Cloud
from lab.cloudpods.dataplane import DataPlane
from lab.cloudpods.errors import ApiError, bad_input, nested, not_here
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
    "vpcs": {"id", "name", "status"},
    "eips": {"id", "name", "status", "ip_addr", "associate_id", "associate_name", "associate_type", "mode"},
}
_ONE = {"instancegroups": GROUP, "servers": "server", "networks": "network", "vpcs": "vpc", "eips": "eip"}
_JOINTS = {
    ("instancegroups", "networks"): ("groupnetworks", "group_id"),
    ("instancegroups", "servers"): ("groupguests", "group_id"),
    ("servers", "networks"): ("guestnetworks", "server_id"),
}
_PRIVILEGE = "not enough privilege to do %s:%s:%s (require:%s,allow:%s,query:%s)"


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
            with self.cloud.lock:
                raise self._stranger(verb, resource, key, action)
        entry["caller"] = caller.user
        faults = self.cloud.behaviour.meet(verb, split.path, caller.user)
        behaviour.begin(faults, deferred=mutates and (action in _EIP_ACTIONS or resource == "eips"))
        self.cloud.tasks.catch_up()
        with self.cloud.lock:
            if mutates:
                try:
                    answer = self._change(verb, resource, key, action, body, caller, faults)
                finally:
                    # A change that is refused may have been made in part.
                    self.cloud.on_change()
                entry["operation"] = _STATUS.get(action)
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
        try:
            token, answer = self.cloud.identity.token(body, lifetime, self.urls, known)
        except ApiError as error:
            error.utc_offset_h = self.cloud.world.identity_utc_offset_h
            raise
        behaviour.end(faults)
        return answer, {"X-Subject-Token": token}

    def mutations(self) -> Counter[str]:
        """How often each change was asked for, since the log was forgotten; also those that were refused."""
        return Counter(entry["name"] for entry in self.requests if entry["mutation"])

    def _rows(self, resource: str) -> tuple[list[Row], Any]:
        """The rows of a resource of which there are single ones, and how one is shown."""
        cloud = self.cloud
        return {
            "instancegroups": (cloud.groups, cloud.group_view),
            "servers": (cloud.servers, cloud.server_view),
            "networks": (cloud.networks, cloud.network_view),
            "vpcs": (cloud.vpcs, cloud.vpc_view),
            "eips": (cloud.eips, cloud.eip_view),
        }[resource]

    def _stranger(self, verb: str, resource: str, key: str, action: str) -> ApiError:
        """What is said to a token that is unknown or has expired, and to none: whether something is there, first."""
        joint = _JOINTS.get((resource, action))
        if verb == "GET" and (not key or joint):
            return _no_list(joint[0] if joint else resource, "project", "none", "project")
        if not key or resource not in _ONE:
            return _no_class()
        self.cloud.find(self._rows(resource)[0], _ONE[resource], key)
        fields = ("compute", resource, "get", "none", "none", "none")
        if verb == "GET":
            return nested(403, "ForbiddenError", _PRIVILEGE, *fields, prefix="fetchItem")
        return ApiError(403, "ForbiddenError", _PRIVILEGE % fields)

    # --- reading

    def _read(self, resource: str, key: str, action: str, query: Query, caller: Caller) -> Row:
        joint = _JOINTS.get((resource, action))
        if joint:
            return self._list(joint[0], {**query, joint[1]: [key]}, caller)
        if resource not in _COLUMNS or action or (key and resource not in _ONE):
            raise not_here(f"GET /{'/'.join(filter(None, (resource, key and 'ID', action)))}")
        if not key:
            return self._list(resource, query, caller)
        rows, view = self._rows(resource)
        if query.get("field"):
            # Then it is looked for among what the caller sees.
            rows = [row for row in rows if caller.sees(row)]
        return {_ONE[resource]: queries.one(view(self.cloud.find(rows, _ONE[resource], key, caller)), query)}

    def _list(self, resource: str, query: Query, caller: Caller) -> Row:
        """A list, of what the caller's project has; admins see more if they ask with ``scope``."""
        cloud, query = self.cloud, dict(query)
        scope = query.pop("scope", ["project"])[0]
        if scope not in ("project", "domain", "system", "max"):
            raise not_here(f"lists with scope={scope}")
        if scope in ("domain", "system") and not caller.system:
            raise _no_list(resource, scope, "project", scope)
        everything = caller.system and scope != "project"

        def own(rows: Iterable[Row]) -> list[Row]:
            return [row for row in rows if everything or row.get("tenant_id", caller.project) == caller.project]

        groups, servers = own(cloud.groups), own(cloud.servers)
        # A filter by what belongs to another project is no error: there is nothing to show.
        if "group_id" in query and resource in ("groupguests", "groupnetworks"):
            wanted = [cloud.find(cloud.groups, GROUP, key) for key in query.pop("group_id")]
            groups = [each for each in groups if each in wanted]
        if "server_id" in query and resource in ("instancegroups", "groupguests", "guestnetworks"):
            wanted = [cloud.find(cloud.servers, "server", key) for key in query.pop("server_id")]
            servers = [each for each in servers if each in wanted]
            if resource == "instancegroups":
                groups = [group for group in groups if any(each in servers for each in cloud.members_of(group))]
        if "network_id" in query:
            query["network_id"] = [cloud.find(cloud.networks, "network", key)["id"] for key in query["network_id"]]
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
            "vpcs": lambda: map(cloud.vpc_view, cloud.vpcs),
            "eips": lambda: map(cloud.eip_view, own(cloud.eips)),
        }
        if resource == "eips" and not caller.system:
            query["field"] = [field for field in query.get("field", []) if field != "auto_dellocate"]
        return queries.answer(resource, list(views[resource]()), query, _COLUMNS[resource])

    # --- changing

    def _change(
        self, verb: str, resource: str, key: str, action: str, body: Any, caller: Caller, faults: Sequence[Fault]
    ) -> Row:
        cloud = self.cloud
        creates, deletes = verb == "POST" and not key, verb == "DELETE" and not action
        if resource != "instancegroups" and not (resource == "eips" and (creates or deletes)):
            raise not_here(f"{verb} /{resource}")
        keyword = _ONE[resource]
        given = {} if body is None else body.get(keyword)
        if not isinstance(given, dict):
            raise bad_input(f"the body has no {keyword}")
        if creates and not caller.may("create"):
            raise _no_class()
        if creates and resource == "eips":
            return {keyword: queries.one(cloud.eip_view(cloud.make_eip(caller.project, given, faults)), {})}
        if creates:
            return {keyword: cloud.group_view(cloud.create_group(caller.project, given))}
        rows, view = self._rows(resource)
        row = cloud.find(rows, keyword, key, caller)
        if not caller.may(action or _doing(verb, key)):
            details = "not enough privilege (require:project,allow:none:resource:project)"
            raise ApiError(403, "ForbiddenError", f"{details} [tags:[deny] domain:[] project:[] object:[]]")
        if deletes and resource == "eips":
            cloud.delete_eip(row, faults)
        elif deletes:
            return {GROUP: cloud.delete_group(row)}
        else:
            self._act(verb, action, row, given, caller, faults)
        return {keyword: queries.one(view(row), {})}

    def _act(self, verb: str, action: str, group: Row, given: Row, caller: Caller, faults: Sequence[Fault]) -> None:
        """What is done to a group that there is."""
        cloud = self.cloud
        if verb in ("PUT", "PATCH") and not action:
            cloud.update_group(group, given)
        elif verb == "POST" and action == "associate-eip":
            cloud.associate_eip(group, given, faults, caller)
        elif verb == "POST" and action in _EIP_ACTIONS:
            {"create-eip": cloud.create_eip, "dissociate-eip": cloud.dissociate_eip}[action](group, given, faults)
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
            raise not_here(f"{verb} /instancegroups/ID/{action}")


def _doing(verb: str, key: str) -> str:
    """The name of what is done, where it is no action."""
    names = {"GET": "get" if key else "list", "POST": "create", "PUT": "update", "PATCH": "update", "DELETE": "delete"}
    return names[verb]


def _no_list(resource: str, require: str, allow: str, query: str) -> ApiError:
    """A list is refused, to a token or to all that a user has."""
    fields = ("compute", resource, "list", require, allow, query)
    return nested(403, "ForbiddenError", _PRIVILEGE, *fields, prefix="ListItems: listItemQueryFiltersRaw")


def _no_class() -> ApiError:
    """Nothing may be made."""
    sentence, fields = "not enough privilege (require:%s,allow:%s)", ("project", "none")
    return nested(403, "ForbiddenError", sentence, *fields, prefix="isClassRbacAllowed")


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
