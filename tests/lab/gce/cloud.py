# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A project that lives in memory, and those that share its network: their resources, and what changes them."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from lab.gce.behaviour import Behaviour
from lab.gce.dataplane import DataPlane
from lab.gce.errors import ApiError, invalid, not_found, required
from lab.gce.identity import Identity
from lab.gce.names import HOST, fingerprint, relative, same_fingerprint
from lab.gce.operations import Change, Operations
from lab.gce.resources import Maker, Resource
from lab.gce.world import World

ALIASES_PER_INTERFACE = 150
_NAME = re.compile("[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")
_NEXT_HOPS = ("nextHopInstance", "nextHopIp", "nextHopGateway", "nextHopIlb", "nextHopVpnTunnel")
# Whoever reported it was refused a nextHopInstance; see recorded_gce.json among the contract tests.
CROSS_PROJECT = "Cross project referencing is not allowed for this resource."
_INTERFACE_CAN_CHANGE = {"fingerprint", "aliasIpRanges"}


class Collection(dict[str, Resource]):
    """Resources by name: those that are in force. Others are on their way in, or out and still in force."""

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
        resource = self.find(key, coming=True)
        name = resource["name"]
        if name in self.coming or resource["id"] in self.going:
            raise ApiError(400, "resourceNotReady", f"The resource '{self.path}/{name}' is not ready")
        self.going.add(resource["id"])

        def go() -> None:
            self.going.discard(resource["id"])
            del self[name]

        return Change("delete", resource, go, lambda: self.going.discard(resource["id"]))


class Cloud:
    """Every public method may be called by any thread. ``on_change`` is called after whatever may move packets."""

    def __init__(self, world: World, plane: DataPlane) -> None:
        self.world = world
        self.plane = plane
        self.behaviour = Behaviour()
        self.identity = Identity(world.principals)
        self.lock = threading.RLock()
        self.on_change: Callable[[], None] = lambda: None
        self.maker = Maker(world)
        self.project = self.maker.project
        self.operations = Operations(self.behaviour, self.lock, lambda: self.on_change())
        self.networks = {each.name: self.maker.of_network(each) for each in world.networks}
        self.subnetworks = {each.name: self.maker.of_subnetwork(each) for each in world.subnetworks}
        self.instances = {each.name: self.maker.of_instance(each) for each in world.instances}
        numbers = {world.project: world.number, **{each.name: each.number for each in world.service_projects}}
        self.projects = {f"projects/{name}": self.maker.of_project(name, number) for name, number in numbers.items()}
        self.zones = {
            name: {project: self.maker.of_zone(name, project) for project in self.projects}
            for name in self._zone_names()
        }
        self.routes = Collection(f"{self.project}/global/routes")
        self.firewalls = Collection(f"{self.project}/global/firewalls")
        self.local_routes = [
            self.maker.of_local_route(each, cidr)
            for each in world.subnetworks
            for cidr in (each.range, *each.secondary.values())
        ]
        self.power: dict[str, bool] = {}  # as seen last
        self.transitional: dict[str, str] = {}  # statuses that are not the machine's own
        # When which destination had which live next hops, for senders whatever their tags; see `lab.gce.routing`.
        self.history: list[Resource] = []
        for rule in world.firewalls:
            self.firewalls[rule.name] = self.maker.of_firewall(rule)
        for route in world.routes:
            self.routes[route.name] = self._route(self.maker.of_route(route), self.project)

    def _zone_names(self) -> list[str]:
        """Every region that is used has zones a, b, c and f, as us-central1."""
        regions = {each.region for each in self.world.subnetworks}
        regions |= {each.zone.rpartition("-")[0] for each in self.world.instances}
        return sorted({f"{region}-{letter}" for region in regions for letter in "abcf"} | set(self.world.zones))

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

    def relative(self, url: str, project: str | None = None) -> str:
        """See `lab.gce.names.relative`; a project that is given by its number has its name."""
        path = relative(url, project or self.project)
        for name, each in self.projects.items():
            if re.match(f"projects/{each['id']}(/|$)", path):
                return name + path[len(f"projects/{each['id']}") :]
        return path

    def project_of(self, resource: Resource) -> Resource:
        """The project that a resource is in."""
        return self.projects["/".join(self.relative(resource["selfLink"]).split("/")[:2])]

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
        network = self._network(body["network"], project)
        url, ranges = self.networks[network]["selfLink"], self._ranges(network)
        destination = _range("resource.destRange", body["destRange"])
        for text in ranges:
            if destination.subnet_of(IPv4Network(text)):
                why = f"{body['destRange']} hides the address space of the network ({text}). "
                why += "Cannot change the routing of packets destined for the network."
                raise invalid("resource.destRange", body["destRange"], why)
        priority = int(body.get("priority", 1000))
        if not 0 <= priority <= 65535:
            raise invalid("resource.priority", priority, "Must be greater than or equal to 0 and at most 65535.")
        for tag in body.get("tags", ()):
            if not _NAME.fullmatch(tag):
                raise invalid("resource.tags", tag, f"Must be a match of regex '{_NAME.pattern}'")
        route = {"description": "", **body, **self._next_hop(body, ranges)}
        return self.maker.stamp("route", "global/routes", {**route, "network": url, "priority": priority})

    def _next_hop(self, body: Resource, ranges: list[str]) -> Resource:
        given = [key for key in body if key in _NEXT_HOPS]
        if len(given) != 1:
            raise ApiError(400, "invalid", f"Exactly one next hop must be specified; there are {len(given)}.")
        key, value = given[0], body[given[0]]
        if key == "nextHopInstance":
            path = self.relative(value)
            if not re.fullmatch(r"projects/[^/]+/zones/[^/]+/instances/[^/]+", path):
                raise invalid(f"resource.{key}", value, "The URL is malformed.")
            if not path.startswith(f"{self.project}/"):
                raise invalid(f"resource.{key}", value, CROSS_PROJECT)
            return {key: HOST + path}
        if key == "nextHopIp":
            try:
                address = IPv4Address(value)
            except AddressValueError:
                raise invalid(f"resource.{key}", value, "Must be an IPv4 address.") from None
            if not any(address in IPv4Network(text) for text in ranges):
                why = f"Next hop IP address must lie within the address spaces of ({', '.join(ranges)})."
                raise invalid(f"resource.{key}", value, why)
            return {}
        if key == "nextHopGateway":
            gateway = f"{self.project}/global/gateways/default-internet-gateway"
            if self.relative(value) != gateway:
                raise invalid(f"resource.{key}", value, "The URL is malformed.")
            return {key: HOST + gateway}
        raise ApiError(501, "notImplemented", f"This lab has no route with {key}.")

    def _network(self, url: str, project: str) -> str:
        path = self.relative(url, project)
        if not re.fullmatch(r"projects/[^/]+/global/networks/[^/]+", path):
            raise invalid("resource.network", url, "The URL is malformed.")
        if not path.startswith(f"{project}/"):
            raise invalid("resource.network", url, CROSS_PROJECT)
        name = path.rpartition("/")[2]
        if project != self.project or name not in self.networks:
            raise not_found(path)
        return name

    def _ranges(self, network: str) -> list[str]:
        parts = [each for each in self.world.subnetworks if each.network == network]
        return [cidr for each in parts for cidr in (each.range, *each.secondary.values())]

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
        if name is None:
            code, text = "NEXT_HOP_INSTANCE_NOT_FOUND", "does not exist."
        elif self.instances[name]["networkInterfaces"][0]["network"] != route["network"]:
            code, text = "NEXT_HOP_INSTANCE_NOT_ON_NETWORK", "is not on the network of the route."
        elif not self.instances[name]["canIpForward"]:
            code = "NEXT_HOP_CANNOT_IP_FORWARD"
            text = "cannot forward ip traffic. The next hop instance must have canIpForward set."
        elif self.status(name) != "RUNNING":
            code, text = "NEXT_HOP_NOT_RUNNING", "does not have a status of RUNNING."
        else:
            return []
        data = [{"key": "instance", "value": hop}]
        return [{"code": code, "message": f"Next hop instance '{hop}' {text}", "data": data}]

    # --- firewall rules

    def insert_firewall(self, body: Resource, project: str) -> Change:
        """The change that makes a rule in a project."""
        with self.lock:
            network = self._network(body.get("network", "global/networks/default"), project)
            if not body.get("allowed") and not body.get("denied"):
                raise required("resource.allowed")
            rule = {"direction": "INGRESS", "priority": 1000, "disabled": False, "logConfig": {"enable": False}, **body}
            rule["network"] = self.networks[network]["selfLink"]
            return self.firewalls.insertion(self.maker.stamp("firewall", "global/firewalls", rule), lambda: None)

    def delete_firewall(self, key: str) -> Change:
        """The change that takes a rule away."""
        with self.lock:
            return self.firewalls.deletion(key)

    # --- instances

    def status(self, name: str) -> str:
        """As the API says it: what the machine is, unless an operation is about to change it."""
        return self.transitional.get(name) or ("RUNNING" if self.power.get(name, True) else "TERMINATED")

    def find_instance(self, project: str, zone: str, key: str) -> Resource:
        """By name, or by id; as it is stored."""
        for instance in self.instances.values():
            if key in (instance["name"], instance["id"]) and instance["zone"] == f"{HOST}{project}/zones/{zone}":
                return instance
        raise not_found(f"{project}/zones/{zone}/instances/{key}")

    def instance(self, name: str) -> Resource:
        """An instance as the API answers it."""
        return {**self.instances[name], "status": self.status(name)}

    def set_power(self, kind: str, instance: Resource) -> Change:
        """The change that is a start, stop or reset."""
        name = instance["name"]
        with self.lock:
            if name in self.transitional:
                raise ApiError(
                    400, "resourceNotReady", f"The resource '{self.relative(instance['selfLink'])}' is not ready"
                )
            on = self.power.get(name, True)
            if kind == "reset" and not on:
                raise ApiError(400, "badRequest", f"Instance '{name}' is not running.")
            if on != (kind != "stop"):
                self.transitional[name] = "STAGING" if kind == "start" else "STOPPING"

        def work() -> None:
            if kind in ("stop", "reset"):
                self.plane.power(name, False)
            if kind in ("start", "reset"):
                self.plane.power(name, True)

        def effect() -> None:
            self.transitional.pop(name, None)
            self.power[name] = kind != "stop"

        return Change(kind, instance, effect, lambda: self.transitional.pop(name, None), work)

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
        taken = [
            IPv4Network(cidr)
            for other, instance in self.instances.items()
            for each in instance["networkInterfaces"]
            if each["network"] == interface["network"]
            for cidr in (
                each["networkIP"],
                *(alias["ipCidrRange"] for alias in each.get("aliasIpRanges", []) if other != name),
            )
        ]
        put: list[Resource] = []
        for text, secondary, space in aliases:
            found = _free(int(text[1:]), space, taken) if text.startswith("/") else IPv4Network(text)
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
        elif not (wanted := _range(field, text, plain=True)).subnet_of(space):
            raise invalid(field, text, f"It is not within the range {space} of the subnetwork '{subnetwork['name']}'.")
        else:
            text = str(wanted)
        return text, secondary, space


def _range(field: str, text: str, plain: bool = False) -> IPv4Network:
    """An IPv4 range; ``plain``: or an address."""
    try:
        found: Any = ip_network(text) if plain or "/" in text else ip_address(text)
    except ValueError:
        raise invalid(field, text, "Must be a CIDR address range, whose host bits are zero.") from None
    if isinstance(found, (IPv6Network, IPv6Address)):
        raise ApiError(501, "notImplemented", f"This lab has no IPv6: '{text}'.")
    if not isinstance(found, IPv4Network):
        raise invalid(field, text, "Must be a CIDR address range, such as 192.0.2.1/32.")
    return found


def _free(prefix: int, space: IPv4Network, taken: list[IPv4Network]) -> IPv4Network | None:
    """The first range of a size that nothing has. The network's, the gateway's and the last two addresses are kept."""
    kept = [IPv4Network(space[n]) for n in (0, 1, -2, -1)] if space.num_addresses >= 8 else []
    for each in space.subnets(new_prefix=prefix):
        if not any(each.overlaps(other) for other in (*kept, *taken)):
            return each
    return None
