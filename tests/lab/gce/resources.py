# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API shows of the resources that the world begins with."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network
from typing import Any

from lab.gce.names import HOST, fingerprint, new_id, now_text
from lab.gce.world import INTERNET, Firewall, Instance, Network, Route, Subnetwork, World

Resource = dict[str, Any]


class Maker:
    """Makes the resources of a world's project, at ``project``: projects/NAME, if no other project is named."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.project = f"projects/{world.project}"

    def stamp(self, kind: str, collection: str, resource: Resource, project: str | None = None) -> Resource:
        """With what every resource has."""
        return {
            "kind": f"compute#{kind}",
            "id": new_id(),
            "creationTimestamp": now_text(),
            "selfLink": f"{HOST}{project or self.project}/{collection}/{resource['name']}",
            **resource,
        }

    def network(self, name: str) -> str:
        """The URL of a network."""
        return f"{HOST}{self.project}/global/networks/{name}"

    def of_network(self, network: Network) -> Resource:
        """A network of custom mode."""
        parts = [each for each in self.world.subnetworks if each.network == network.name]
        resource: Resource = {
            "name": network.name,
            "autoCreateSubnetworks": False,
            "routingConfig": {"routingMode": "REGIONAL"},
            "mtu": 1460,
        }
        if parts:
            resource["subnetworks"] = [
                f"{HOST}{self.project}/regions/{each.region}/subnetworks/{each.name}" for each in parts
            ]
        return self.stamp("network", "global/networks", resource)

    def of_subnetwork(self, subnetwork: Subnetwork) -> Resource:
        """A range of addresses."""
        region = f"regions/{subnetwork.region}"
        resource: Resource = {
            "name": subnetwork.name,
            "network": self.network(subnetwork.network),
            "region": f"{HOST}{self.project}/{region}",
            "ipCidrRange": subnetwork.range,
            "gatewayAddress": str(IPv4Network(subnetwork.range)[1]),
            "privateIpGoogleAccess": True,
            "purpose": "PRIVATE",
            "stackType": "IPV4_ONLY",
            "fingerprint": fingerprint(),
        }
        if subnetwork.secondary:
            resource["secondaryIpRanges"] = [
                {"rangeName": name, "ipCidrRange": cidr} for name, cidr in sorted(subnetwork.secondary.items())
            ]
        return self.stamp("subnetwork", f"{region}/subnetworks", resource)

    def of_instance(self, instance: Instance) -> Resource:
        """An instance without its status, which is the machine's."""
        project = f"projects/{instance.project}" if instance.project else self.project
        zone = f"{project}/zones/{instance.zone}"
        region = instance.zone.rpartition("-")[0]
        interface: Resource = {
            "kind": "compute#networkInterface",
            "name": "nic0",
            "network": self.network(instance.network),
            "subnetwork": f"{HOST}{self.project}/regions/{region}/subnetworks/{instance.subnetwork}",
            "networkIP": instance.address,
            "stackType": "IPV4_ONLY",
            "fingerprint": fingerprint(),
        }
        if instance.aliases:
            interface["aliasIpRanges"] = [{"ipCidrRange": str(IPv4Network(each))} for each in instance.aliases]
        resource: Resource = {
            "name": instance.name,
            "zone": HOST + zone,
            "machineType": f"{HOST}{zone}/machineTypes/e2-small",
            "canIpForward": instance.can_ip_forward,
            "tags": {"fingerprint": fingerprint(), **({"items": list(instance.tags)} if instance.tags else {})},
            "labelFingerprint": fingerprint(),
            "fingerprint": fingerprint(),
            "networkInterfaces": [interface],
            "metadata": {"kind": "compute#metadata", "fingerprint": fingerprint()},
            "scheduling": {"onHostMaintenance": "MIGRATE", "automaticRestart": True, "preemptible": False},
            "deletionProtection": False,
            "startRestricted": False,
        }
        if instance.service_account:
            scopes = ["https://www.googleapis.com/auth/cloud-platform"]
            resource["serviceAccounts"] = [{"email": instance.service_account, "scopes": scopes}]
        return self.stamp("instance", f"zones/{instance.zone}/instances", resource, project)

    def of_firewall(self, rule: Firewall) -> Resource:
        """A rule that lets something in."""
        resource: Resource = {
            "name": rule.name,
            "network": self.network(rule.network),
            "direction": "INGRESS",
            "priority": rule.priority,
            "disabled": False,
            "logConfig": {"enable": False},
            "allowed": [
                {"IPProtocol": protocol, **({"ports": list(ports)} if ports else {})}
                for protocol, ports in rule.allowed.items()
            ],
        }
        anywhere = () if rule.source_tags else ("0.0.0.0/0",)
        lists = {
            "sourceRanges": rule.source_ranges or anywhere,
            "sourceTags": rule.source_tags,
            "targetTags": rule.target_tags,
        }
        resource |= {key: list(values) for key, values in lists.items() if values}
        return self.stamp("firewall", "global/firewalls", resource)

    def of_route(self, route: Route) -> Resource:
        """What a client would ask for to get the route."""
        zones = {each.name: each.zone for each in self.world.instances if not each.project}
        hop = {"nextHopIp": route.next_hop}
        if route.next_hop == INTERNET:
            hop = {"nextHopGateway": f"{HOST}{self.project}/global/gateways/{INTERNET}"}
        elif route.next_hop in zones:
            zone = f"{HOST}{self.project}/zones/{zones[route.next_hop]}"
            hop = {"nextHopInstance": f"{zone}/instances/{route.next_hop}"}
        resource: Resource = {
            "name": route.name,
            "network": self.network(route.network),
            "destRange": route.destination,
            "priority": route.priority,
            "description": route.description,
            **hop,
        }
        return {**resource, **({"tags": list(route.tags)} if route.tags else {})}

    def of_local_route(self, subnetwork: Subnetwork, cidr: str) -> Resource:
        """The route that every subnetwork's range has by itself; nobody can delete it."""
        resource = {
            "name": f"default-route-r-{new_id()[-16:]}",
            "description": f"Default local route to the subnetwork {cidr}.",
            "network": self.network(subnetwork.network),
            "destRange": cidr,
            "priority": 0,
            "nextHopNetwork": self.network(subnetwork.network),
        }
        return self.stamp("route", "global/routes", resource)

    def of_zone(self, name: str, project: str) -> Resource:
        """A zone without its status."""
        region = f"{HOST}{project}/regions/{name.rpartition('-')[0]}"
        return self.stamp("zone", "zones", {"name": name, "description": name, "region": region}, project)

    def of_region(self, name: str, zones: Iterable[str], project: str) -> Resource:
        """A region without its quotas."""
        own = [f"{HOST}{project}/zones/{zone}" for zone in zones if zone.rpartition("-")[0] == name]
        resource = {"name": name, "description": name, "status": "UP", "zones": own}
        return self.stamp("region", "regions", resource, project)

    def of_project(self, name: str, number: int) -> Resource:
        """A project without its quotas."""
        is_host = name == self.world.project and self.world.service_projects
        return {
            "kind": "compute#project",
            "id": str(number),
            "creationTimestamp": now_text(),
            "name": name,
            "selfLink": f"{HOST}projects/{name}",
            "defaultNetworkTier": "PREMIUM",
            "xpnProjectStatus": "HOST" if is_host else "UNSPECIFIED_XPN_PROJECT_STATUS",
        }
