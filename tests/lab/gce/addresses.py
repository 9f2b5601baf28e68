# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reserved addresses of a region, and who has which address."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network

from lab.gce import ranges
from lab.gce.errors import ApiError, invalid
from lab.gce.kinds import Kind, one_of
from lab.gce.names import HOST, fingerprint
from lab.gce.resources import Resource

ENDPOINT, SHARED = "GCE_ENDPOINT", "SHARED_LOADBALANCER_VIP"
TIERS = ("PREMIUM", "STANDARD")


class Addresses(Kind):
    """Internal ones lie in a subnetwork, external ones in the world's external range."""

    collection = "addresses"
    kind = "address"
    title = "address"
    fields = frozenset(
        {"name", "description", "address", "addressType", "networkTier", "purpose", "subnetwork", "ipVersion"}
    )

    def content(self, body: Resource, scope: str, old: Resource | None) -> Resource:
        """See `Kind`."""
        if body.get("ipVersion") == "IPV6":
            raise ApiError(501, "notImplemented", "This lab has no IPv6.")
        kind = one_of(body, "addressType", "EXTERNAL", ("EXTERNAL", "INTERNAL"))
        stored: Resource = {
            "name": body["name"],
            "description": body.get("description", ""),
            "addressType": kind,
            "networkTier": one_of(body, "networkTier", "PREMIUM", TIERS if kind == "EXTERNAL" else TIERS[:1]),
            "labelFingerprint": fingerprint(),
        }
        if kind == "INTERNAL":
            return {**stored, **self._internal(body, scope)}
        for name in ("purpose", "subnetwork"):
            if name in body:
                raise invalid(f"resource.{name}", body[name], f"An external address has no {name}.")
        if "address" not in body:
            return {**stored, "address": self.pick(None)}
        # Nobody can choose an external address, but keep the one that a rule of the region was given.
        rules = [each for each in self.rules("") if each["IPAddress"] == body["address"]]
        mine = any(each.get("region") == HOST + scope for each in rules)
        if not mine or self.reservation(body["address"], None):
            raise invalid("resource.address", body["address"], "It is no ephemeral address that is in use here.")
        return {**stored, "address": body["address"]}

    def _internal(self, body: Resource, scope: str) -> Resource:
        if not body.get("subnetwork"):
            why = "No default subnetwork was found for an address with type INTERNAL."
            raise invalid("resource.subnetwork", "", why)
        project, _, region = scope.partition("/regions/")
        subnetwork = self.projects.subnetwork(body["subnetwork"], project, region)
        purpose = one_of(body, "purpose", ENDPOINT, (ENDPOINT, SHARED))
        address = body.get("address")
        if not address:
            address = self.pick(subnetwork)
        else:
            self.check_inside("resource.address", address, subnetwork)
            if self.reservation(address, subnetwork) or (
                self.holders(address, subnetwork["network"])
                and (purpose == SHARED or not self._is_ephemeral(address, subnetwork["network"], project))
            ):
                raise in_use(address)
        return {"address": address, "purpose": purpose, "subnetwork": subnetwork["selfLink"]}

    def _is_ephemeral(self, address: str, network: str, project: str) -> bool:
        """Whether it is an instance's primary address, or a rule's, in this project: those can be kept."""
        here, holders = f"{HOST}{project}/", self.holders(address, network, aliases=False)
        return holders == self.holders(address, network) and all(each.startswith(here) for each in holders)

    def view(self, resource: Resource) -> Resource:
        """See `Kind`."""
        users = self.users(resource)
        return {**resource, "status": "IN_USE", "users": users} if users else {**resource, "status": "RESERVED"}

    def users(self, resource: Resource) -> list[str]:
        """See `Kind`."""
        return self.holders(resource["address"], self._network(resource))

    def quota(self, resource: Resource) -> str:
        """See `Kind`."""
        return "INTERNAL_ADDRESSES" if resource["addressType"] == "INTERNAL" else "STATIC_ADDRESSES"

    def permission(self, service: str, verb: str, resource: Resource) -> str:
        """See `Kind`."""
        internal = resource.get("addressType") == "INTERNAL"
        return super().permission(service, verb, resource) + "Internal" * internal

    def needs(self, body: Resource, scope: str, old: Resource | None) -> Iterator[tuple[str, str]]:
        """See `Kind`."""
        if body.get("subnetwork"):
            yield body["subnetwork"], "compute.subnetworks.use"

    # --- who has an address; a network is given by its URL, the internet's by ""

    def rules(self, network: str) -> list[Resource]:
        """The forwarding rules on a network."""
        return [each for each in self.scopes.everywhere("forwardingRules") if each.get("network", "") == network]

    def holders(self, address: str, network: str, aliases: bool = True) -> list[str]:
        """The URLs of the rules and the instance that have an address; ``aliases``: also in an alias range."""
        found = [each["selfLink"] for each in self.rules(network) if each["IPAddress"] == address]
        for instance in self.projects.all_instances.values():
            interface = instance["networkInterfaces"][0]
            cidrs = [interface["networkIP"]]
            if aliases:
                cidrs += [each["ipCidrRange"] for each in interface.get("aliasIpRanges", [])]
            if interface["network"] == network and any(IPv4Address(address) in IPv4Network(each) for each in cidrs):
                found.append(instance["selfLink"])
        return found

    def reservation(self, address: str, subnetwork: Resource | None) -> Resource | None:
        """The resource that reserves an address, in the network of a subnetwork, or on the internet."""
        network = subnetwork["network"] if subnetwork else ""
        for each in self.all():
            if each["address"] == address and self._network(each) == network:
                return each
        return None

    def taken(self, network: str) -> list[IPv4Network]:
        """What is reserved, and what forwarding rules have."""
        reserved = [each["address"] for each in self.all() if self._network(each) == network]
        return [IPv4Network(each) for each in (*reserved, *(rule["IPAddress"] for rule in self.rules(network)))]

    def pick(self, subnetwork: Resource | None, other_than: Iterable[IPv4Network] = ()) -> str:
        """A free address of a subnetwork, or an external one."""
        text = subnetwork["ipCidrRange"] if subnetwork else self.projects.world.external_range
        network = subnetwork["network"] if subnetwork else ""
        taken = [*self.taken(network), *self.projects.taken(network), *other_than]
        found = ranges.free(32, IPv4Network(text), taken)
        if found is None:
            raise ApiError(400, "ipSpaceExhausted", f"The range {text} has no free address.")
        return str(found.network_address)

    def check_inside(self, field: str, address: str, subnetwork: Resource) -> None:
        """Refuse what is no address of a subnetwork's primary range, or one that nothing gets."""
        space, wanted = IPv4Network(subnetwork["ipCidrRange"]), ranges.parse(field, address, plain=True)
        if wanted.prefixlen != 32 or "/" in address:
            raise invalid(field, address, "Must be an IPv4 address.")
        if not wanted.subnet_of(space):
            raise invalid(field, address, f"It is outside the range {space} of '{subnetwork['name']}'.")
        if wanted in ranges.kept(space):
            raise invalid(field, address, f"It is one of the reserved addresses of the range {space}.")

    def _network(self, resource: Resource) -> str:
        for each in self.projects.subnetworks.values():
            if each["selfLink"] == resource.get("subnetwork"):
                return str(each["network"])
        return ""


def in_use(address: str) -> ApiError:
    """Somebody else has an internal address."""
    message = f"IP_IN_USE_BY_ANOTHER_RESOURCE - IP '{address}' is already being used by another resource."
    return ApiError(409, "conflict", message)
