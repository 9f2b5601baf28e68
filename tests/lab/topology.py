# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which machines a topology needs, and their addresses.

An address plan is part of the topology it was made for: the on-premises pair
has the addresses of the document it comes from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_interface

from lab import LabError, vpc
from lab.cloudpods import region
from lab.cloudpods.world import World as Cloudpods
from lab.gce import region as google
from lab.gce.region import AGENT as AGENT
from lab.gce.region import ALIAS_PERMISSIONS, CONTROLLER_TOKEN, NETWORK, ROUTE_PERMISSIONS
from lab.gce.world import World
from lab.openstack import prepare
from lab.openstack import region as openstack
from lab.openstack.world import World as OpenStack
from lab.subnet import UPLINK, Outside, Uplink
from lab.ucloudstack import region as ucloudstack
from lab.ucloudstack.world import World as UCloudStack

CONTROLLER = "controller"


@dataclass(frozen=True)
class Machine:
    """A systemd machine with an interface on the fabric, and maybe a second one.

    With ``own_kernel`` its kernel is not the host's: see `lab.machine`. One that comes ``later`` is not there when the
    lab starts: the cloud's API makes it.
    """

    name: str
    group: str
    addresses: tuple[str, ...]
    mac: str
    variables: dict[str, object] = field(default_factory=dict)
    uplink: Uplink | None = None
    own_kernel: bool = False
    later: bool = False

    @property
    def address(self) -> str:
        """The first address, without its prefix: where SSH answers."""
        return str(ip_interface(self.addresses[0]).ip)


@dataclass(frozen=True)
class Topology:
    """Machines on one network, and what the playbooks must know of them.

    With a ``gateway`` the network is a VPC (layer 3), else a segment (layer 2), which may have an ``outside``;
    ``world`` is what the cloud's API has in it when the lab starts, and says which cloud it is. With ``huawei`` it
    is OpenStack with Huawei Cloud's API and rules in front.
    """

    name: str
    machines: tuple[Machine, ...]
    controller: tuple[str, ...]
    variables: dict[str, object] = field(default_factory=dict)
    gateway: str | None = None
    world: World | Cloudpods | OpenStack | UCloudStack | None = None
    outside: Outside | None = None
    huawei: bool = False

    def machine(self, name: str) -> Machine:
        """The machine called ``name``."""
        for machine in self.machines:
            if machine.name == name:
                return machine
        raise LabError(f"no machine '{name}' here: there are {', '.join(m.name for m in self.machines)}")

    @property
    def instances(self) -> dict[str, str]:
        """Everything that has a port when the lab starts, the controller too, and its primary address."""
        machines = {each.name: each.addresses[0] for each in self.machines if not each.later}
        everyone = {**machines, CONTROLLER: self.controller[0]}
        return {name: str(ip_interface(address).ip) for name, address in everyone.items()}


def _pair(name: str, nodes: int = 2) -> Topology:
    """Two nodes, or more, and a client, addressed as in the Cloudpods document's example."""

    def machine(index: int, label: str, group: str, host4: str, host6: str) -> Machine:
        return Machine(label, group, (f"{host4}/22", f"fd00:7::{host6}/64"), f"02:00:00:00:07:{index:02x}")

    return Topology(
        name=name,
        machines=(
            *(machine(n, f"node{n}", "vip_nodes", f"192.168.7.{246 + n}", f"{246 + n}") for n in range(1, nodes + 1)),
            machine(16, "client1", "vip_clients", "192.168.4.10", "10"),
        ),
        controller=("192.168.4.2/22", "fd00:7::2/64"),
        variables={"vip_address": "192.168.7.246/22", "vip_interface": "eth0"},
    )


def _outside(address: str) -> Machine:
    """A client that is not in the subnet, and asks this address."""
    url: dict[str, object] = {"drill_url": f"http://{address}/healthz"}
    return Machine("outside1", "vip_clients", ("198.51.100.10/24",), "02:00:00:00:64:10", url)


def _cloudpods_pair(name: str) -> Topology:
    """The same pair as guests of Cloudpods: one client is in their subnet, the other one comes from outside."""
    prefix = region.GATEWAY.partition("/")[2]
    guests = [
        Machine(
            each.name,
            "vip_clients" if each.name.startswith("client") else "vip_nodes",
            (f"{each.nics[0].address}/{prefix}",),
            each.nics[0].mac,
            {"cloudpods_guest": each.name},
        )
        for each in region.WORLD.servers
    ]
    outside = _outside(region.EIP)
    return Topology(
        name=name,
        machines=(*guests, outside),
        controller=(f"192.168.4.2/{prefix}",),
        world=region.WORLD,
        outside=Outside(region.GATEWAY, region.BEYOND, region.EIPS, {outside.name: outside.address}),
        variables={
            "vip_address": f"{region.VIP}/{prefix}",
            "vip_interface": "eth0",
            "cloudpods_auth_url": "http://{}:{}/v3".format(*region.IDENTITY),
            "cloudpods_username": region.USER,
            "cloudpods_password": region.PASSWORD,
            "cloudpods_project": region.PROJECT,
            "cloudpods_region": region.WORLD.region,
            "cloudpods_group": region.GROUP,
            "cloudpods_network_id": region.NETWORK_ID,
            "cloudpods_eip": region.WORLD.eips[0].name,
            "cloudpods_eip_address": region.EIP,
        },
    )


_GROUPS = {"node": "vip_nodes", "real": "vip_real_servers", "client": "vip_clients"}


def _inside(servers: Iterable[openstack.Server | ucloudstack.Vm]) -> tuple[Machine, ...]:
    """The machines of a subnet 10.0.0.0/24; the controller is none."""
    return tuple(
        Machine(
            each.name,
            _GROUPS[each.name.rstrip("0123456789")],
            (f"{each.address}/24",),
            each.mac or "",
        )
        for each in servers
        if each.name != CONTROLLER
    )


def _keystone_login() -> dict[str, str]:
    """As in clouds.yaml."""
    return {
        "auth_url": f"http://{openstack.ADDRESS}:{openstack.PORTS[0]}/v3",
        "username": "operator",
        "password": prepare.PASSWORDS["operator"],
        "project_name": prepare.PROJECT,
        "user_domain_name": "Default",
        "project_domain_name": "Default",
    }


def _openstack_pair(
    name: str, provider: str, variables: dict[str, object], world: OpenStack = openstack.WORLD, directors: bool = False
) -> Topology:
    """Two servers and a client in a network, and another client that comes from outside by a floating IP.

    With ``directors`` the two have kernels of their own, which have IPVS.
    """
    outside = _outside(openstack.FLOATING)
    inside = [replace(each, own_kernel=directors and each.group == "vip_nodes") for each in _inside(world.servers)]
    return Topology(
        name=name,
        machines=(*inside, outside),
        controller=(f"{openstack.CONTROLLER_ADDRESS}/24",),
        world=world,
        outside=Outside(openstack.GATEWAY, openstack.BEYOND, openstack.EXTERNAL_RANGE, {outside.name: outside.address}),
        huawei=provider == "huaweicloud",
        variables={
            "vip_address": f"{openstack.VIP}/24",
            "vip_interface": "eth0",
            "havip_provider": provider,
            "havip_network": openstack.NETWORK,
            "havip_name": "web",
            "havip_external": openstack.FLOATING,
            **variables,
        },
    )


def _ucloudstack_internal(name: str) -> Topology:
    """Two VMs and a client in a subnet of UCloudStack."""
    return _ucloudstack_pair(
        name,
        ucloudstack.WORLD,
        _inside(ucloudstack.WORLD.vms),
        # Only for the API's sake: nothing is outside.
        Outside("10.0.0.1/24", "198.51.100.1/24", "203.0.113.0/24", {}),
        {"vip_address": f"{ucloudstack.VIP}/24", "vip_interface": "eth0", "havip_subnet": ucloudstack.SUBNET},
    )


def _ucloudstack_external(name: str) -> Topology:
    """Two VMs that are in a subnet and on a segment of external addresses, and a client beyond its gateway."""
    nics = {nic.vm: Uplink(f"{nic.address}/24", nic.mac) for nic in ucloudstack.EXTERNAL.nics}
    ids = {vm.name: vm.id for vm in ucloudstack.EXTERNAL.vms}
    nodes = [replace(each, uplink=nics[ids[each.name]]) for each in _inside(ucloudstack.EXTERNAL.vms)]
    outside = _outside(ucloudstack.EXTERNAL_VIP)
    gateway = f"{ucloudstack.SEGMENT_GATEWAY}/24"
    return _ucloudstack_pair(
        name,
        ucloudstack.EXTERNAL,
        (*nodes, outside),
        Outside("10.0.0.1/24", "198.51.100.1/24", "203.0.113.0/24", {outside.name: outside.address}, gateway),
        {
            "vip_address": f"{ucloudstack.EXTERNAL_VIP}/24",
            "vip_interface": UPLINK,
            "vip_gateway": ucloudstack.SEGMENT_GATEWAY,
            "vrrp_interface": "eth0",
            "havip_segment": ucloudstack.SEGMENT,
            "havip_bandwidth": 10,
            "havip_charge_type": "Dynamic",
        },
    )


def _ucloudstack_pair(
    name: str,
    world: UCloudStack,
    machines: tuple[Machine, ...],
    outside: Outside,
    variables: dict[str, object],
) -> Topology:
    return Topology(
        name=name,
        machines=machines,
        controller=("10.0.0.2/24",),
        world=world,
        outside=outside,
        variables={
            **variables,
            "havip_provider": "ucloudstack",
            "havip_endpoint": "http://{}:{}/api".format(*ucloudstack.API),
            "havip_region_name": ucloudstack.WORLD.region,
            "havip_company_id": ucloudstack.WORLD.company,
            "havip_public_key": ucloudstack.KEY.public,
            "havip_private_key": ucloudstack.KEY.private,
            "havip_network": ucloudstack.VPC,
            "havip_name": "web",
        },
    )


def _vpc(
    name: str, world: World, variables: dict[str, object], to_come: Mapping[str, tuple[str, str]] | None = None
) -> Topology:
    """The machines of a project, those ``to_come`` (name -> address, zone), and those outside of its network."""
    controller = next(each for each in world.instances if each.name == CONTROLLER)
    machines = [
        Machine(
            each.name,
            "vip_nodes" if "backend" in each.tags else "vip_clients" if google.is_near(each) else "vip_remote_clients",
            (f"{each.address}/32",),
            vpc.mac_of(each.address),
            {"gcp_instance": each.name, "gcp_zone": each.zone},
        )
        for each in world.instances
        if each != controller
    ]
    machines += [
        Machine(
            instance,
            "vip_nodes",
            (f"{address}/32",),
            vpc.mac_of(address),
            {"gcp_instance": instance, "gcp_zone": zone},
            later=True,
        )
        for instance, (address, zone) in (to_come or {}).items()
    ]
    machines += [
        Machine(each.name, "vip_outside_clients", (f"{each.address}/32",), vpc.mac_of(each.address))
        for each in world.outsiders
    ]
    return Topology(
        name=name,
        machines=tuple(machines),
        controller=(f"{controller.address}/32",),
        gateway="10.100.0.1",
        world=world,
        variables={
            "vip_interface": "eth0",
            "gcp_project": world.project,
            "gcp_endpoint": f"http://{vpc.API}/compute/v1",
            "gcp_metadata_url": f"http://{vpc.METADATA}",
            "gcp_auth_kind": "accesstoken",
            "gcp_access_token": CONTROLLER_TOKEN,
            **variables,
        },
    )


def _balanced(name: str, heartbeat: bool = False) -> Topology:
    """Two nodes that are to be behind a passthrough load balancer, whose address is that of Google's sample."""
    return _vpc(
        name,
        google.world(CONTROLLER, nodes=2, heartbeat=heartbeat, remote=True),
        {
            "vip_address": "10.100.3.1/32",
            "gcp_network": NETWORK,
            "gcp_subnetwork": google.SUBNETWORK,
            "gcp_lb_name": "web",
        },
    )


def _groups(name: str, variables: dict[str, object], permissions: frozenset[str] = frozenset()) -> Topology:
    """Two nodes that managed instance groups are to make."""
    world = google.world(CONTROLLER, nodes=2, permissions=permissions, heartbeat=False, remote=True, groups=True)
    machines: dict[str, object] = {
        "gcp_network": NETWORK,
        "gcp_subnetwork": google.SUBNETWORK,
        "gcp_tags": ["backend"],
        "gcp_image_source": "projects/debian-cloud/global/images/family/debian-12",
    }
    return _vpc(name, world, {**machines, **variables}, google.TO_COME)


def _routes(name: str) -> Topology:
    """Such nodes, each with an agent that has a route of its own to the floating address."""
    agent: dict[str, object] = {"gcp_autohealing_service_account": AGENT, "gcp_route_name": "floating-ip-route"}
    return _groups(name, {"vip_address": "10.200.1.1/32", **agent}, ROUTE_PERMISSIONS)


TOPOLOGIES = {
    topology.name: topology
    for topology in (
        _pair("onprem_active_standby"),
        _cloudpods_pair("cloudpods_active_standby"),
        _openstack_pair(
            "openstack_active_standby",
            "openstack",
            {"havip_auth": _keystone_login(), "havip_region_name": openstack.REGION},
        ),
        _openstack_pair(
            "huawei_active_standby",
            "huaweicloud",
            {"havip_auth": _keystone_login(), "havip_region_name": openstack.HUAWEI_REGION},
        ),
        _openstack_pair(
            "huawei_lvs_dr",
            "huaweicloud",
            {"havip_auth": _keystone_login(), "havip_region_name": openstack.HUAWEI_REGION},
            openstack.LVS_WORLD,
            directors=True,
        ),
        _ucloudstack_internal("ucloudstack_internal"),
        _ucloudstack_external("ucloudstack_external"),
        # The floating address is in no subnet.
        _vpc(
            "gcp_route_heartbeat",
            google.world(CONTROLLER, nodes=2, permissions=ROUTE_PERMISSIONS, can_ip_forward=True),
            {
                "vip_address": "10.200.1.1/32",
                "gcp_network": NETWORK,
                "gcp_route_name": "floating-ip-route",
            },
        ),
        # One to many: the address is in a secondary range of the subnet, as in Google's announcement.
        _vpc(
            "gcp_alias_ip",
            google.world(CONTROLLER, nodes=3, permissions=ALIAS_PERMISSIONS, secondary={"range1": "10.10.0.0/24"}),
            {"vip_address": "10.10.0.5/32", "gcp_alias_range_name": "range1"},
        ),
        _balanced("gcp_lb_active_active"),
        _balanced("gcp_lb_failover"),
        _balanced("gcp_lb_heartbeat", heartbeat=True),
        _routes("gcp_route_ecmp"),
        _routes("gcp_route_priority"),
        # Its address is the first node's own. When the zone is lost, the node and its name go to the second one.
        _groups(
            "gcp_autohealing",
            {
                "vip_address": f"{google.TO_COME['node1'][0]}/32",
                "vip_mechanism": "gcp_autohealing",
                "gcp_dns_name": f"web.{google.MANAGED_ZONE.dns_name}",
                "gcp_dns_zone": google.MANAGED_ZONE.name,
                "drill_url": f"http://web.{google.MANAGED_ZONE.dns_name.rstrip('.')}/healthz",
            },
        ),
    )
}


def get(name: str) -> Topology:
    """The topology called ``name``; the on-premises one may have another number of nodes, as in `NAME:5`."""
    base, _colon, nodes = name.partition(":")
    if base == "onprem_active_standby" and nodes.isdigit() and 2 <= int(nodes) <= 8:
        return _pair(name, int(nodes))
    try:
        return TOPOLOGIES[name]
    except KeyError:
        raise LabError(f"no topology '{name}': there are {', '.join(sorted(TOPOLOGIES))}") from None
