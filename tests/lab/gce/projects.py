# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The projects of a world, and what they begin with that no request makes: zones, networks, instances."""

from __future__ import annotations

import re
import threading
from ipaddress import IPv4Network

from lab.gce.errors import invalid, not_found
from lab.gce.names import HOST, relative
from lab.gce.resources import Maker, Resource
from lab.gce.world import World

# Whoever reported it was refused a nextHopInstance; see recorded_gce.json among the contract tests.
CROSS_PROJECT = "Cross project referencing is not allowed for this resource."
MALFORMED = "The URL is malformed."


class Projects:
    """Zones, regions, networks, subnetworks and instances, and how requests name them. ``lock`` guards all resources.

    ``instances``: those on the network, by name; ``moving``: those on their way in or out. ``power``: of each machine,
    as seen last. ``transitional``: statuses that are not the machine's own. ``preserved``: by managed group and name of
    an instance, the network and the address that are kept for it.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.lock = threading.RLock()
        self.maker = Maker(world)
        self.project = self.maker.project
        self.networks = {each.name: self.maker.of_network(each) for each in world.networks}
        self.subnetworks = {each.name: self.maker.of_subnetwork(each) for each in world.subnetworks}
        self.instances = {each.name: self.maker.of_instance(each) for each in world.instances}
        self.moving: dict[str, Resource] = {}
        numbers = {world.project: world.number, **{each.name: each.number for each in world.service_projects}}
        self.projects = {f"projects/{name}": self.maker.of_project(name, number) for name, number in numbers.items()}
        zones = self._zone_names()
        self.zones = {name: {project: self.maker.of_zone(name, project) for project in self.projects} for name in zones}
        self.regions = {
            name: {project: self.maker.of_region(name, zones, project) for project in self.projects}
            for name in sorted({zone.rpartition("-")[0] for zone in zones})
        }
        self.power: dict[str, bool] = {}
        self.transitional: dict[str, str] = {}
        self.preserved: dict[tuple[str, str], tuple[str, str]] = {}

    def _zone_names(self) -> list[str]:
        """Every region that is used has zones a, b, c and f, as us-central1."""
        regions = {each.region for each in self.world.subnetworks}
        regions |= {each.zone.rpartition("-")[0] for each in self.world.instances}
        return sorted({f"{region}-{letter}" for region in regions for letter in "abcf"} | set(self.world.zones))

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

    def network(self, url: str, project: str, shared: bool = False) -> str:
        """The name of the network that a body names; ``shared``: a service project may name the host's."""
        path = self.relative(url, project)
        if not re.fullmatch(r"projects/[^/]+/global/networks/[^/]+", path):
            raise invalid("resource.network", url, MALFORMED)
        if not shared and not path.startswith(f"{project}/"):
            raise invalid("resource.network", url, CROSS_PROJECT)
        name = path.rpartition("/")[2]
        if path != f"{self.project}/global/networks/{name}" or name not in self.networks:
            raise not_found(path)
        return name

    def subnetwork(self, url: str, project: str, region: str) -> Resource:
        """The subnetwork that a body names; the host's are for all projects."""
        path = self.relative(url, project)
        match = re.fullmatch(r"projects/[^/]+/regions/([^/]+)/subnetworks/([^/]+)", path)
        if not match:
            raise invalid("resource.subnetwork", url, MALFORMED)
        if match[1] != region:
            raise invalid("resource.subnetwork", url, f"It is not in the region {region}.")
        found = self.subnetworks.get(match[2])
        if found is None or found["selfLink"] != HOST + path:
            raise not_found(path)
        return found

    def ranges(self, network: str) -> list[str]:
        """The address space of a network."""
        parts = [each for each in self.world.subnetworks if each.network == network]
        return [cidr for each in parts for cidr in (each.range, *each.secondary.values())]

    def status(self, name: str) -> str:
        """As the API says it: what the machine is, unless an operation is about to change it."""
        return self.transitional.get(name) or ("RUNNING" if self.power.get(name, True) else "TERMINATED")

    @property
    def all_instances(self) -> dict[str, Resource]:
        """Those that the API knows, by name."""
        return {**self.instances, **self.moving}

    def zone_of(self, name: str) -> str:
        """The name of the zone that an instance is in."""
        return str(self.all_instances[name]["zone"]).rpartition("/")[2]

    def find_instance(self, project: str, zone: str, key: str) -> Resource:
        """By name, or by id; as it is stored."""
        for instance in self.all_instances.values():
            if key in (instance["name"], instance["id"]) and instance["zone"] == f"{HOST}{project}/zones/{zone}":
                return instance
        raise not_found(f"{project}/zones/{zone}/instances/{key}")

    def instance_at(self, address: str) -> str | None:
        """The name of the instance with this primary address."""
        with self.lock:
            known = self.all_instances
        found = (name for name, each in known.items() if each["networkInterfaces"][0]["networkIP"] == address)
        return next(found, None)

    def instance(self, name: str) -> Resource:
        """An instance as the API answers it."""
        return {**self.all_instances[name], "status": self.status(name)}

    def taken(self, network: str, aliases_of_others_than: str = "") -> list[IPv4Network]:
        """The ranges that the instances of a network have, at its URL, or that are kept for one."""
        kept = [IPv4Network(address) for where, address in self.preserved.values() if where == network]
        return kept + [
            IPv4Network(cidr)
            for name, instance in self.all_instances.items()
            for each in instance["networkInterfaces"]
            if each["network"] == network
            for cidr in (
                each["networkIP"],
                *(alias["ipCidrRange"] for alias in each.get("aliasIpRanges", []) if name != aliases_of_others_than),
            )
        ]
