# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenStack on loopback or in a lab: Keystone and Neutron behind a front, a Compute API beside them."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lab.openstack import prepare
from lab.openstack.client import Client, Session
from lab.openstack.compute import Compute
from lab.openstack.front import Front, Upstream
from lab.openstack.processes import Servers, running
from lab.openstack.world import World

REGION, PROJECT = prepare.REGION, prepare.PROJECT
ADMIN, OPERATOR = "admin", "operator"


@dataclass
class Ids:
    """The ids of what was made, by name; a port has the name of its server, and a floating IP is its address."""

    networks: dict[str, str] = field(default_factory=dict)
    subnets: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    ports: dict[str, str] = field(default_factory=dict)
    servers: dict[str, str] = field(default_factory=dict)
    floating: dict[str, str] = field(default_factory=dict)


class Cloud:
    """A running OpenStack.

    ``front`` logs requests and lets them fail; ``auth_url``, ``network_url`` and ``compute_url`` are what clients
    use, and what the catalogue says. ``identity`` and ``network`` ask Keystone and Neutron as the administrator, past
    the front; ``session`` is that administrator's. ``neutron`` passes others' requests on.
    """

    def __init__(self, front: Front, urls: Mapping[str, str], servers: Servers) -> None:
        self.front = front
        self.auth_url, self.network_url, self.compute_url = (
            urls[each] for each in (prepare.IDENTITY, prepare.NETWORK, prepare.COMPUTE)
        )
        identity = "http://{}:{}".format(*servers.identity)
        self.neutron = Upstream(servers.network)
        self.session = Session(identity, ADMIN, prepare.PASSWORDS[ADMIN], ADMIN)
        self.network = Client("http://{}:{}/v2.0".format(*servers.network), self.session)
        self.identity = Client(f"{identity}/v3", self.session)
        projects = self.identity.call("GET", f"/projects?name={PROJECT}")["projects"]
        self.project_id: str = projects[0]["id"]
        self.compute = Compute(self.session, self.network, self.compute_url, self.project_id)
        self._database = servers.database
        self._empty = self._save()
        self._seeded: dict[str, tuple[sqlite3.Connection, Ids, dict[str, str]]] = {}

    def auth(self, user: str = OPERATOR) -> dict[str, str]:
        """The ``auth`` of clouds.yaml: of the project's member, or of `ADMIN`."""
        return {
            "auth_url": self.auth_url,
            "username": user,
            "password": prepare.PASSWORDS[user],
            "project_name": ADMIN if user == ADMIN else PROJECT,
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        }

    def seed(self, world: World) -> Ids:
        """Have in the project what ``world`` says, and nothing else; Neutron has to make it only the first time.

        Who sees a port as it was then sees its id and its revision again.
        """
        if repr(world) not in self._seeded:
            self._load(self._empty)
            self.compute.servers.clear()
            ids = self._make_all(world)
            self._seeded[repr(world)] = self._save(), ids, dict(self.compute.servers)
        saved, ids, servers = self._seeded[repr(world)]
        self._load(saved)
        self.compute.servers.clear()
        self.compute.servers.update(servers)
        return ids

    def clear(self) -> None:
        """Have nothing in the project."""
        self.seed(World())

    def _save(self) -> sqlite3.Connection:
        """All that Neutron holds; it must not be asked meanwhile."""
        copy = sqlite3.connect(":memory:", check_same_thread=False)
        with contextlib.closing(sqlite3.connect(self._database)) as database:
            database.backup(copy)
        return copy

    def _load(self, saved: sqlite3.Connection) -> None:
        with contextlib.closing(sqlite3.connect(self._database)) as database:
            saved.backup(database)

    def _make_all(self, world: World) -> Ids:
        ids = Ids()
        for network in world.networks:
            body = {"name": network.name, "router:external": network.external}
            ids.networks[network.name] = self._make("network", body)
            subnet = {
                "name": network.name,
                "network_id": ids.networks[network.name],
                "ip_version": 6 if ":" in network.cidr else 4,
                "cidr": network.cidr,
                "enable_dhcp": False,
            }
            ids.subnets[network.name] = self._make("subnet", subnet)
        # Before the router, whose gateway Neutron gives any address that is free.
        for address in world.floating:
            outside = next(each.name for each in world.networks if each.external)
            body = {"floating_network_id": ids.networks[outside], "floating_ip_address": address}
            ids.floating[address] = self._make("floatingip", body)
        self._join(world, ids)
        for group in world.groups:
            ids.groups[group.name] = self._make("security_group", {"name": group.name})
        for group in world.groups:
            for rule in group.ingress:
                body = {"direction": "ingress", "ethertype": "IPv4", **rule}
                if "remote_group_id" in body:
                    body["remote_group_id"] = ids.groups[str(body["remote_group_id"])]
                self._make("security_group_rule", {**body, "security_group_id": ids.groups[group.name]})
        for server in world.servers:
            ids.servers[server.name] = self.compute.add(server.name)
            body = {
                "name": server.name,
                "network_id": ids.networks[server.network],
                "fixed_ips": [{"ip_address": server.address}],
                "device_id": ids.servers[server.name],
                "device_owner": "compute:nova",
                "port_security_enabled": server.port_security,
            }
            if server.mac:
                body["mac_address"] = server.mac
            if server.groups:
                body["security_groups"] = [ids.groups[each] for each in server.groups]
            ids.ports[server.name] = self._make("port", body)
        return ids

    def _join(self, world: World, ids: Ids) -> None:
        outside = next((each.name for each in world.networks if each.external), None)
        if outside is None:
            return
        gateway = {"network_id": ids.networks[outside]}
        router = self._make("router", {"name": "edge", "external_gateway_info": gateway})
        for network in world.networks:
            if not network.external:
                body = {"subnet_id": ids.subnets[network.name]}
                self.network.call("PUT", f"/routers/{router}/add_router_interface", body)

    def _make(self, kind: str, body: Mapping[str, object]) -> str:
        path = f"/{kind.replace('_', '-')}s"
        made = self.network.call("POST", path, {kind: {"project_id": self.project_id, **body}})
        return made[kind]["id"]


@contextlib.contextmanager
def serving(host: str = "127.0.0.1", ports: tuple[int, int, int] = (0, 0, 0)) -> Iterator[Cloud]:
    """OpenStack as long as the block lasts; ``ports`` of Keystone, Neutron and Compute, 0 for any."""
    front = Front(host)
    try:
        listeners = [
            front.open(name, port) for name, port in zip(("identity", "network", "compute"), ports, strict=True)
        ]
        identity, network, compute = listeners
        urls = {
            prepare.IDENTITY: f"{identity.url}/v3",
            prepare.NETWORK: network.url,
            prepare.COMPUTE: f"{compute.url}/v2.1",
        }
        with running(urls) as servers:
            cloud = Cloud(front, urls, servers)
            identity.start(Upstream(servers.identity))
            network.start(cloud.neutron)
            compute.start(cloud.compute)
            yield cloud
    finally:
        front.close()


@contextlib.contextmanager
def local(world: World | None = None) -> Iterator[Cloud]:
    """OpenStack on loopback ports of its own, for tests."""
    with serving() as cloud:
        if world is not None:
            cloud.seed(world)
        yield cloud
