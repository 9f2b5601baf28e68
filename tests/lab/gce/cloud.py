# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A project that lives in memory, and those that share its network: their resources, and what changes them."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from lab.gce import ranges
from lab.gce.assignments import Assignments
from lab.gce.balancers import Balancers
from lab.gce.behaviour import Behaviour
from lab.gce.collection import Collection, Scopes
from lab.gce.dataplane import DataPlane
from lab.gce.dns_zones import Zones
from lab.gce.errors import ApiError, invalid, required
from lab.gce.identity import Identity
from lab.gce.images import Images
from lab.gce.kinds import Kind
from lab.gce.machines import Machines
from lab.gce.managers import Managers
from lab.gce.names import HOST, NAME, fingerprint, same_fingerprint
from lab.gce.operations import Change, Operations
from lab.gce.projects import CROSS_PROJECT, MALFORMED, Projects
from lab.gce.resources import Resource
from lab.gce.templates import Templates
from lab.gce.world import World

ALIASES_PER_INTERFACE = 150
_NEXT_HOPS = ("nextHopInstance", "nextHopIp", "nextHopGateway", "nextHopIlb", "nextHopVpnTunnel")
_NOT_RUNNING = "NEXT_HOP_NOT_RUNNING", "does not have a status of RUNNING."
_INTERFACE_CAN_CHANGE = {"fingerprint", "aliasIpRanges"}


class Cloud(Projects):
    """Every public method may be called by any thread. ``on_change`` is called after whatever may move packets.

    ``balancers``: the load balancers, and the firewall rules; ``kinds``: of the resources that requests make, but for
    routes and instances; ``machines``: what changes instances; ``dns``: the zones of Cloud DNS; ``history``: when which
    destination had which live next hops, for senders whatever their tags; see `lab.gce.routing`.
    """

    def __init__(self, world: World, plane: DataPlane) -> None:
        super().__init__(world)
        self.plane = plane
        self.behaviour = Behaviour()
        self.identity = Identity(world.principals)
        self.on_change: Callable[[], None] = lambda: None
        self.operations = Operations(self.behaviour, self.lock, lambda: self.on_change())
        self.routes = Collection(f"{self.project}/global/routes")
        self.local_routes = [
            self.maker.of_local_route(each, cidr)
            for each in world.subnetworks
            for cidr in (each.range, *each.secondary.values())
        ]
        self.history: list[Resource] = []
        scopes = Scopes()
        self.firewalls = scopes[f"{self.project}/global/firewalls"]
        self.balancers = Balancers(self, scopes)
        self.images = Images(self, scopes, plane)
        self.machines = Machines(
            self,
            plane,
            self.behaviour,
            self.images,
            self.balancers.addresses,
            lambda: self.on_change(),
            self.balancers.groups.forget,
        )
        self.templates = Templates(self, scopes)
        self.managers = Managers(self, scopes, self.templates, self.balancers.checks, self.balancers.groups)
        self.assignments = Assignments(self.managers, self.balancers.addresses)
        self.templates.using = self.managers.using
        more: tuple[Kind, ...] = (self.images, self.images.disks, self.templates, self.managers)
        self.kinds = {**self.balancers.kinds, **{each.collection: each for each in more}}
        self.dns = Zones(self, self.behaviour, self.operations.timeline)
        for rule in world.firewalls:
            self.firewalls[rule.name] = self.maker.of_firewall(rule)
        for route in world.routes:
            self.routes[route.name] = self._route(self.maker.of_route(route), self.project)

    # What tests of clients look at.

    @property
    def tokens(self) -> dict[str, tuple[str, float | None]]:
        """See `Identity`."""
        return self.identity.tokens

    @property
    def permissions(self) -> dict[str, frozenset[str] | None]:
        """See `Identity`."""
        return self.identity.permissions

    def mint(self, account: str) -> tuple[str, int]:
        """See `Identity`."""
        return self.identity.mint(account, self.behaviour.token_lifetime_s)

    def expire(self, principal: str) -> int:
        """See `Identity`."""
        return self.identity.expire(principal)

    def close(self) -> None:
        """End its threads."""
        self.operations.close()

    @property
    def shows_coming(self) -> bool:
        """Whether what is on its way in can be seen already."""
        return self.behaviour.visible == "request"

    def firewall_rules(self) -> list[Resource]:
        """Those in force."""
        with self.lock:
            return list(self.firewalls.values())

    # --- routes

    def insert_route(self, body: Resource, project: str) -> Change:
        """The change that makes a route in a project."""
        with self.lock:
            route = self._route(body, project)

            def effect() -> list[Resource]:
                quota = self.world.quotas.get("STATIC_ROUTES_PER_NETWORK")
                count = sum(each["network"] == route["network"] for each in self.routes.values())
                if quota is not None and count >= quota:
                    text = f"Quota 'STATIC_ROUTES_PER_NETWORK' exceeded. Limit: {quota}.0 per network."
                    raise ApiError(403, "QUOTA_EXCEEDED", text)
                return self.hop_warnings(route)

            return self.routes.insertion(route, effect)

    def _route(self, body: Resource, project: str) -> Resource:
        """A route as it is stored; refuses what no network could obey."""
        network = self.network(body["network"], project)
        url, spaces = self.networks[network]["selfLink"], self.ranges(network)
        destination = ranges.parse("resource.destRange", body["destRange"])
        for text in spaces:
            if destination.subnet_of(IPv4Network(text)):
                why = f"{body['destRange']} hides the address space of the network ({text}). "
                why += "Cannot change the routing of packets destined for the network."
                raise invalid("resource.destRange", body["destRange"], why)
        priority = int(body.get("priority", 1000))
        if not 0 <= priority <= 65535:
            raise invalid("resource.priority", priority, "Must be greater than or equal to 0 and at most 65535.")
        for tag in body.get("tags", ()):
            if not NAME.fullmatch(tag):
                raise invalid("resource.tags", tag, f"Must be a match of regex '{NAME.pattern}'")
        route = {"description": "", **body, **self._next_hop(body, spaces)}
        return self.maker.stamp("route", "global/routes", {**route, "network": url, "priority": priority})

    def _next_hop(self, body: Resource, spaces: list[str]) -> Resource:
        given = [key for key in body if key in _NEXT_HOPS]
        if len(given) != 1:
            raise ApiError(400, "invalid", f"Exactly one next hop must be specified; there are {len(given)}.")
        key, value = given[0], body[given[0]]
        if key == "nextHopInstance":
            path = self.relative(value)
            if not re.fullmatch(r"projects/[^/]+/zones/[^/]+/instances/[^/]+", path):
                raise invalid(f"resource.{key}", value, MALFORMED)
            if not path.startswith(f"{self.project}/"):
                raise invalid(f"resource.{key}", value, CROSS_PROJECT)
            return {key: HOST + path}
        if key == "nextHopIp":
            try:
                address = IPv4Address(value)
            except AddressValueError:
                raise invalid(f"resource.{key}", value, "Must be an IPv4 address.") from None
            if not any(address in IPv4Network(text) for text in spaces):
                why = f"Next hop IP address must lie within the address spaces of ({', '.join(spaces)})."
                raise invalid(f"resource.{key}", value, why)
            return {}
        if key == "nextHopGateway":
            gateway = f"{self.project}/global/gateways/default-internet-gateway"
            if self.relative(value) != gateway:
                raise invalid(f"resource.{key}", value, MALFORMED)
            return {key: HOST + gateway}
        raise ApiError(501, "notImplemented", f"This lab has no route with {key}.")

    def delete_route(self, key: str) -> Change:
        """The change that takes a route away."""
        with self.lock:
            if any(key in (each["name"], each["id"]) for each in self.local_routes):
                raise ApiError(400, "badRequest", "The local route cannot be deleted.")
            return self.routes.deletion(key)

    def route(self, key: str) -> Resource:
        """A route as the API answers it."""
        with self.lock:
            local = [each for each in self.local_routes if key in (each["name"], each["id"])]
            return local[0] if local else self._seen(self.routes.find(key, self.shows_coming))

    def all_routes(self) -> list[Resource]:
        """Those of the subnetworks too."""
        with self.lock:
            return [*self.local_routes, *map(self._seen, self.routes.shown(self.shows_coming))]

    def _seen(self, route: Resource) -> Resource:
        warnings = self.hop_warnings(route)
        return {**route, **({"warnings": warnings} if warnings else {})}

    def hop_of(self, route: Resource) -> str | None:
        """The instance that a route leads to, by name, if there is one."""
        if "nextHopInstance" in route:
            return next(
                (name for name, each in self.instances.items() if each["selfLink"] == route["nextHopInstance"]), None
            )
        for name, instance in self.instances.items():
            interface = instance["networkInterfaces"][0]
            # An address in an alias range is accepted, but is nobody's: only primary ones count.
            if (interface["networkIP"], interface["network"]) == (route.get("nextHopIp"), route["network"]):
                return name
        return None

    def hop_warnings(self, route: Resource) -> list[Resource]:
        """Why a route leads nowhere, in the API's words."""
        if "nextHopGateway" in route:
            return []
        name = self.hop_of(route)
        hop = self.instances[name]["selfLink"] if name else route.get("nextHopInstance")
        if hop is None:
            text = f"Next hop ip '{route['nextHopIp']}' is not assigned to an instance on the network."
            data = [{"key": "next_hop_ip", "value": route["nextHopIp"]}]
            return [{"code": "NEXT_HOP_ADDRESS_NOT_ASSIGNED", "message": text, "data": data}]
        if hop in (each["selfLink"] for each in self.moving.values()):
            code, text = _NOT_RUNNING
        elif name is None:
            code, text = "NEXT_HOP_INSTANCE_NOT_FOUND", "does not exist."
        elif self.instances[name]["networkInterfaces"][0]["network"] != route["network"]:
            code, text = "NEXT_HOP_INSTANCE_NOT_ON_NETWORK", "is not on the network of the route."
        elif not self.instances[name]["canIpForward"]:
            code = "NEXT_HOP_CANNOT_IP_FORWARD"
            text = "cannot forward ip traffic. The next hop instance must have canIpForward set."
        elif self.status(name) != "RUNNING":
            code, text = _NOT_RUNNING
        else:
            return []
        data = [{"key": "instance", "value": hop}]
        return [{"code": code, "message": f"Next hop instance '{hop}' {text}", "data": data}]

    # --- instances

    def update_interface(self, instance: Resource, nic: str, body: Resource) -> Change:
        """The change that replaces alias ranges. The fingerprint is looked at now and when it ends."""
        with self.lock:
            interface = next((each for each in instance["networkInterfaces"] if each["name"] == nic), None)
            if interface is None:
                raise invalid("networkInterface", nic, "The instance has no network interface of this name.")
            if not body.get("fingerprint"):
                raise required("resource.fingerprint")
            if not same_fingerprint(body["fingerprint"], interface["fingerprint"]):
                raise ApiError(
                    412, "conditionNotMet", "Precondition check failed: the fingerprint is not the current one."
                )
            others = [key for key in body.keys() - _INTERFACE_CAN_CHANGE if body[key] != interface.get(key)]
            if others:
                raise ApiError(501, "notImplemented", f"This lab changes no {', '.join(sorted(others))}.")
            asked = body.get("aliasIpRanges")
            if asked is None:  # It is a PATCH: what is not there stays. An empty list takes all away.
                asked = interface.get("aliasIpRanges", [])
            if len(asked) > ALIASES_PER_INTERFACE:
                raise invalid(
                    "resource.aliasIpRanges", len(asked), f"At most {ALIASES_PER_INTERFACE} alias ranges are allowed."
                )
            aliases = [self._alias(interface, each) for each in asked]

            def effect() -> None:
                if not same_fingerprint(body["fingerprint"], interface["fingerprint"]):
                    raise ApiError(412, "CONDITION_NOT_MET", "The fingerprint has changed meanwhile.")
                self._put_aliases(instance["name"], interface, aliases)

            return Change("updateNetworkInterface", instance, effect)

    def _put_aliases(self, name: str, interface: Resource, aliases: list[tuple[str, str | None, IPv4Network]]) -> None:
        taken = [*self.taken(interface["network"], name), *self.balancers.addresses.taken(interface["network"])]
        put: list[Resource] = []
        for text, secondary, space in aliases:
            found = ranges.free(int(text[1:]), space, taken) if text.startswith("/") else IPv4Network(text)
            if found is None or any(found.overlaps(each) for each in taken):
                message = f"IP '{found or text}' is already being used by another resource."
                raise ApiError(400, "IP_IN_USE_BY_ANOTHER_RESOURCE", message)
            taken.append(found)
            put.append({"ipCidrRange": str(found), **({"subnetworkRangeName": secondary} if secondary else {})})
        interface.pop("aliasIpRanges", None)
        if put:
            interface["aliasIpRanges"] = put
        interface["fingerprint"] = fingerprint()

    def _alias(self, interface: Resource, alias: Resource) -> tuple[str, str | None, IPv4Network]:
        """What was asked for (a range, or the size of one), in which secondary range, and that range."""
        subnetwork = self.subnetworks[interface["subnetwork"].rpartition("/")[2]]
        text, secondary = str(alias.get("ipCidrRange", "")), alias.get("subnetworkRangeName")
        spaces = {each["rangeName"]: each["ipCidrRange"] for each in subnetwork.get("secondaryIpRanges", [])}
        if secondary and secondary not in spaces:
            why = f"The subnetwork '{subnetwork['name']}' has no such secondary range."
            raise invalid("resource.aliasIpRanges[0].subnetworkRangeName", secondary, why)
        space = IPv4Network(spaces[secondary] if secondary else subnetwork["ipCidrRange"])
        field = "resource.aliasIpRanges[0].ipCidrRange"
        if re.fullmatch(r"/\d{1,2}", text):
            if not space.prefixlen <= int(text[1:]) <= 32:
                raise invalid(field, text, f"It does not fit into {space}.")
        elif not (wanted := ranges.parse(field, text, plain=True)).subnet_of(space):
            raise invalid(field, text, f"It is not within the range {space} of the subnetwork '{subnetwork['name']}'.")
        else:
            text = str(wanted)
        return text, secondary, space
