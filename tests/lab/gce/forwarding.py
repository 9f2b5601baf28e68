# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forwarding rules of a region: the addresses and ports of passthrough load balancers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lab.gce import labels
from lab.gce.addresses import SHARED, TIERS, Addresses, in_use
from lab.gce.collection import Scopes
from lab.gce.errors import ApiError, invalid, required
from lab.gce.kinds import Kind, check_fingerprint, one_of, unchanged
from lab.gce.names import HOST, NAME, fingerprint
from lab.gce.operations import Change
from lab.gce.projects import CROSS_PROJECT, MALFORMED, Projects
from lab.gce.resources import Resource
from lab.gce.services import SCHEMES, BackendServices, check_protocol

MOST_PORTS, MOST_ON_ADDRESS = 5, 10
ALL_PROTOCOLS = "L3_DEFAULT"
_PROTOCOLS = ("TCP", "UDP", ALL_PROTOCOLS)
_PORTS = ("ports", "portRange", "allPorts")
_CAN_CHANGE = {"networkTier", "allowGlobalAccess"}


class ForwardingRules(Kind):
    """INTERNAL and EXTERNAL ones that lead to a backend service."""

    collection = "forwardingRules"
    kind = "forwardingRule"
    title = "forwarding_rule"
    fields = frozenset(
        {"name", "description", "loadBalancingScheme", "backendService", "IPAddress", "IPProtocol", "ipVersion"}
        | {"network", "subnetwork", "networkTier", "allowGlobalAccess", "serviceLabel", "labels", *_PORTS}
    )
    fingerprinted = "optional"

    def __init__(self, projects: Projects, scopes: Scopes, services: BackendServices, addresses: Addresses) -> None:
        super().__init__(projects, scopes)
        self.services = services
        self.addresses = addresses

    def content(self, body: Resource, scope: str, old: Resource | None) -> Resource:
        """See `Kind`. Only a new one gets here."""
        scheme = body.get("loadBalancingScheme", "EXTERNAL")
        if scheme not in SCHEMES:
            raise ApiError(501, "notImplemented", f"This lab has no forwarding rule of the scheme {scheme}.")
        if body.get("ipVersion") == "IPV6":
            raise ApiError(501, "notImplemented", "This lab has no IPv6.")
        internal, protocol = scheme == "INTERNAL", one_of(body, "IPProtocol", "TCP", _PROTOCOLS)
        rule: Resource = {
            "name": body["name"],
            "description": body.get("description", ""),
            "loadBalancingScheme": scheme,
            "IPProtocol": protocol,
            "networkTier": one_of(body, "networkTier", TIERS[0], TIERS[:1] if internal else TIERS),
            **_ports(body, protocol, internal),
            **{name: body[name] for name in ("allowGlobalAccess", "serviceLabel", "labels") if name in body},
            "labelFingerprint": fingerprint(),
        }
        labels.check(body.get("labels", {}))
        for name in ("network", "subnetwork", "allowGlobalAccess", "serviceLabel"):
            if body.get(name) and not internal:
                raise invalid(f"resource.{name}", body[name], f"A rule of the scheme {scheme} has no {name}.")
        subnetwork = self._subnetwork(body, scope) if internal else None
        if subnetwork:
            rule |= {"network": subnetwork["network"], "subnetwork": subnetwork["selfLink"]}
        rule["backendService"] = self._service("resource.backendService", body.get("backendService"), rule, scope)
        rule["IPAddress"] = self._address(body.get("IPAddress", ""), rule, subnetwork, scope)
        if "serviceLabel" in rule:
            project, _, region = scope.removeprefix("projects/").partition("/regions/")
            rule["serviceName"] = f"{rule['serviceLabel']}.{rule['name']}.il4.{region}.lb.{project}.internal"
        return rule

    def view(self, resource: Resource) -> Resource:
        """See `Kind`."""
        with_id = f"{resource['selfLink'].rpartition('/')[0]}/{resource['id']}"
        return {**resource, "selfLinkWithId": with_id}

    def quota(self, resource: Resource) -> str:
        """See `Kind`."""
        internal = resource["loadBalancingScheme"] == "INTERNAL"
        return "INTERNAL_FORWARDING_RULES_PER_NETWORK" if internal else "EXTERNAL_NETWORK_LB_FORWARDING_RULES"

    def needs(self, body: Resource, scope: str, old: Resource | None) -> Iterator[tuple[str, str]]:
        """See `Kind`."""
        if body.get("backendService"):
            yield body["backendService"], "compute.regionBackendServices.use"
        if body.get("subnetwork"):
            yield body["subnetwork"], "compute.subnetworks.use"
        given = body.get("IPAddress", "").rpartition("/")[2]
        for each in self.addresses.all():
            if given in (each["name"], each["address"]) and each["selfLink"].startswith(f"{HOST}{scope}/"):
                yield each["selfLink"], self.addresses.permission("addresses", "use", each)

    # --- changes

    def patch(self, scope: str, key: str, body: Resource) -> Change:
        """The change of what can be changed; whatever else a body says must be as it is."""

        def build(old: Resource) -> Resource:
            check_fingerprint(body, old, "fingerprint", needed=False)
            given = self._given(body)
            unchanged(old, {**old, **given}, *sorted(given.keys() - _CAN_CHANGE))
            if "allowGlobalAccess" in given and old["loadBalancingScheme"] != "INTERNAL":
                raise invalid("resource.allowGlobalAccess", given["allowGlobalAccess"], "It is for INTERNAL ones.")
            if given.get("networkTier", old["networkTier"]) != old["networkTier"]:
                raise invalid("resource.networkTier", given["networkTier"], "It is not that of the rule's address.")
            return self.replaced(old, {**old, **given})

        with self.projects.lock:
            return self.within(scope).alteration("patch", key, build)

    def set_target(self, scope: str, key: str, body: Resource) -> Change:
        """The change to another backend service; the address stays."""

        def build(old: Resource) -> Resource:
            return self.replaced(
                old, {**old, "backendService": self._service("target", body.get("target"), old, scope)}
            )

        with self.projects.lock:
            return self.within(scope).alteration("SetTarget", key, build)

    # --- parts

    def _subnetwork(self, body: Resource, scope: str) -> Resource:
        project, _, region = scope.partition("/regions/")
        if not body.get("subnetwork"):  # the lab's networks are all of custom mode
            raise invalid("resource.subnetwork", "", "A subnetwork must be specified in a network of custom mode.")
        found = self.projects.subnetwork(body["subnetwork"], project, region)
        if body.get("network"):
            name = self.projects.network(body["network"], project, shared=True)
            if self.projects.networks[name]["selfLink"] != found["network"]:
                raise invalid("resource.subnetwork", body["subnetwork"], f"It is not in the network {name}.")
        return found

    def _service(self, field: str, url: str | None, rule: Resource, scope: str) -> str:
        """The URL of the backend service that a request names, if the rule can lead there."""
        if not url:
            raise required(field)
        project = scope.partition("/regions/")[0]
        path = self.projects.relative(url, project)
        if not path.startswith(f"{project}/"):
            raise invalid(field, url, CROSS_PROJECT if path else MALFORMED)
        if "/backendServices/" not in path:
            raise ApiError(501, "notImplemented", "This lab's forwarding rules lead to backend services only.")
        service = self.services.find(path, field, project)
        if service.get("region") != HOST + scope:
            raise invalid(field, url, f"The backend service must be in the region of the rule, {scope}.")
        scheme = service["loadBalancingScheme"]
        if scheme != rule["loadBalancingScheme"]:
            raise invalid(field, url, f"Its scheme {scheme} must be that of the rule, {rule['loadBalancingScheme']}.")
        check_protocol("IPProtocol", rule["IPProtocol"], service["protocol"], rule["IPProtocol"])
        network = self.services.network(service)
        if network and network != rule.get("network", network):
            mine, its = (self.projects.relative(each) for each in (rule["network"], network))
            why = f"Forwarding rule network {mine} must be the same as backend service network {its}."
            raise invalid(field, url, why)
        return str(service["selfLink"])

    def _address(self, given: str, rule: Resource, subnetwork: Resource | None, scope: str) -> str:
        """The number of the address that a new rule gets."""
        if not given:
            return self.addresses.pick(subnetwork)
        address = given if re.fullmatch(r"[0-9.]+", given) else self._reserved(given, rule, subnetwork, scope)
        if subnetwork:
            self.addresses.check_inside("resource.IPAddress", address, subnetwork)
        reservation = self.addresses.reservation(address, subnetwork)
        here = reservation is not None and reservation["selfLink"].startswith(f"{HOST}{scope}/")
        if subnetwork and reservation and not here:
            raise in_use(address)
        if not subnetwork and not here:
            raise invalid("resource.IPAddress", given, f"The specified external IP address was not found in {scope}.")
        if reservation and reservation["networkTier"] != rule["networkTier"]:
            raise invalid("resource.networkTier", rule["networkTier"], f"The address is {reservation['networkTier']}.")
        self._check_free(address, given, rule, reservation)
        return address

    def _check_free(self, address: str, given: str, rule: Resource, reservation: Resource | None) -> None:
        """Refuse an address that others have, unless the rule can share it with them."""
        internal, network = "network" in rule, rule.get("network", "")
        shared = reservation is not None and (not internal or reservation["purpose"] == SHARED)
        if "serviceLabel" in rule and shared:
            raise invalid("resource.serviceLabel", rule["serviceLabel"], f"The address has the purpose {SHARED}.")
        holders = self.addresses.holders(address, network)
        rules = [each for each in self.addresses.rules(network) if each["IPAddress"] == address]
        fits = shared and len(rules) == len(holders) and not any(_overlap(rule, each) for each in rules)
        if holders and not fits:
            if internal:
                raise in_use(address)
            why = "Specified IP address is in-use and would result in a conflict."
            raise invalid("resource.IPAddress", given, why)
        if len(rules) >= MOST_ON_ADDRESS:
            why = f"At most {MOST_ON_ADDRESS} forwarding rules can share an IP address."
            raise invalid("resource.IPAddress", given, why)

    def _reserved(self, url: str, rule: Resource, subnetwork: Resource | None, scope: str) -> str:
        """The number of a reserved address that a request names."""
        field, path = "resource.IPAddress", f"{scope}/addresses/{url}"
        if not NAME.fullmatch(url):
            path = self.projects.relative(url, scope.partition("/regions/")[0])
        if not path.startswith(f"{scope}/addresses/"):
            raise invalid(field, url, f"It is not an address of {scope}.")
        found = self.addresses.find(path, field, "")
        if found["addressType"] != rule["loadBalancingScheme"]:
            raise invalid(field, url, f"The type of the address is {found['addressType']}.")
        if subnetwork and found["subnetwork"] != subnetwork["selfLink"]:
            raise invalid(field, url, "The address is in another subnetwork.")
        return str(found["address"])


def ports_of(rule: Resource) -> tuple[int, ...] | None:
    """The ports of a rule; None: all."""
    if rule.get("allPorts"):
        return None
    if "portRange" in rule:
        low, _, high = rule["portRange"].partition("-")
        return tuple(range(int(low), int(high) + 1))
    return tuple(int(each) for each in rule["ports"])


def _overlap(one: Resource, other: Resource) -> bool:
    """Whether two rules at the same address would get the same packets; the one of all protocols gets what is left."""
    ports = ports_of(one), ports_of(other)
    return one["IPProtocol"] == other["IPProtocol"] and (
        None in ports or bool(set(ports[0] or ()) & set(ports[1] or ()))
    )


def _ports(body: Resource, protocol: str, internal: bool) -> Resource:
    """The ports as they are stored."""
    given = [name for name in _PORTS if body.get(name)]
    if protocol == ALL_PROTOCOLS and given != ["allPorts"]:
        raise invalid("resource.allPorts", body.get("allPorts", False), f"{ALL_PROTOCOLS} requires all ports.")
    if not given:
        why = "Forwarding rules with backend services must specify at least one port."
        raise invalid("resource.ports[0]", "", why)
    if len(given) > 1:
        raise invalid(f"resource.{given[1]}", body[given[1]], f"It cannot be specified with {given[0]}.")
    if given == ["allPorts"]:
        return {"allPorts": True}
    if given == ["portRange"]:
        low, dash, high = str(body["portRange"]).partition("-")
        if internal or not _is_range(low, high if dash else low):
            raise invalid("resource.portRange", body["portRange"], "It is not a range of ports of this kind of rule.")
        return {"portRange": f"{low}-{high if dash else low}"}
    if len(body["ports"]) > MOST_PORTS:
        raise invalid("resource.ports", body["ports"], f"At most {MOST_PORTS} ports can be specified.")
    for n, port in enumerate(body["ports"]):
        if not _is_range(str(port), str(port)) or port in body["ports"][:n]:
            raise invalid(f"resource.ports[{n}]", port, "It is not a port, or is one twice.")
    return {"ports": [str(each) for each in body["ports"]]}


def _is_range(low: str, high: str) -> bool:
    return low.isdecimal() and high.isdecimal() and 1 <= int(low) <= int(high) <= 65535
