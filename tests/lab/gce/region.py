# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The project of the lab: the network of Google's sample, with its tags, addresses and firewall rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lab.gce.world import (
    INTERNET,
    Firewall,
    Instance,
    ManagedZone,
    Network,
    Outsider,
    Principal,
    Route,
    Subnetwork,
    World,
)

PROJECT = "lab-project"
REGION, REMOTE_REGION = "us-central1", "europe-west1"
NETWORK, SUBNETWORK, REMOTE_SUBNETWORK = "ip-failover", "ip-failover-subnet", "ip-failover-remote"
MANAGED_ZONE = ManagedZone("ha", "ha.internal.", (NETWORK,))
OUTSIDER = Outsider("outside1", "198.51.100.10")
CONTROLLER_TOKEN = "lab-controller-token"
AGENT = f"vip-agent@{PROJECT}.iam.gserviceaccount.com"
# What the agent needs to move an address, and no more: docs/gcp.md.
ROUTE_PERMISSIONS = frozenset(
    {
        "compute.globalOperations.get",
        "compute.instances.get",
        "compute.instances.use",
        "compute.networks.updatePolicy",
        "compute.routes.create",
        "compute.routes.delete",
        "compute.routes.list",
    }
)
ALIAS_PERMISSIONS = frozenset(
    {
        "compute.instances.get",
        "compute.instances.updateNetworkInterface",
        "compute.subnetworks.get",
        "compute.subnetworks.use",
        "compute.zoneOperations.get",
    }
)
_HTTP = {"tcp": ("80",)}
# Where managed groups make their instances, in the zones of Google's sample: name -> address, zone.
TO_COME = {"node1": ("10.100.2.1", f"{REGION}-c"), "node2": ("10.100.2.2", f"{REGION}-f")}


def is_near(instance: Instance) -> bool:
    """Whether it is in the region of the nodes."""
    return instance.subnetwork == SUBNETWORK


def world(
    controller: str,
    nodes: int,
    permissions: frozenset[str] = frozenset(),
    can_ip_forward: bool = False,
    secondary: Mapping[str, str] | None = None,
    heartbeat: bool = True,
    remote: bool = False,
    groups: bool = False,
) -> World:
    """Nodes, each in a zone of its own, a client, and the ``controller``, by its name.

    ``permissions``: the nodes' agents'. With ``remote`` there are clients that only some load balancers serve, too: in
    another region, and outside. With ``groups`` the nodes come later: see `TO_COME`.
    """

    def instance(name: str, address: str, zone: str, tag: str, account: str | None = None) -> Instance:
        forward = can_ip_forward and tag == "backend"
        return Instance(name, f"{REGION}-{zone}", NETWORK, SUBNETWORK, address, forward, (tag,), account)

    zones = enumerate("abc"[:nodes], 1)
    # Where no node is: what befalls a node's zone does not befall who asks.
    other = "b" if groups else "f"
    instances = [
        *(instance(f"node{n}", f"10.100.2.{n}", zone, "backend", AGENT) for n, zone in zones if not groups),
        instance("client1", "10.100.3.10", other, "client"),
        replace(instance(controller, "10.100.0.2", other, "bastion"), reaches_outside=True),
    ]
    subnetworks = [Subnetwork(SUBNETWORK, NETWORK, REGION, "10.100.0.0/16", secondary or {})]
    firewalls = [
        Firewall("http", NETWORK, _HTTP, source_tags=("client",), target_tags=("backend",)),
        Firewall("ssh", NETWORK, {"tcp": ("22",)}, source_tags=("bastion",)),
    ]
    if heartbeat:
        firewalls.append(Firewall("vrrp", NETWORK, {"112": ()}, source_tags=("backend",), target_tags=("backend",)))
    if remote:
        zone, outside = f"{REMOTE_REGION}-b", (f"{OUTSIDER.address}/32",)
        instances.append(Instance("client2", zone, NETWORK, REMOTE_SUBNETWORK, "10.101.3.10", tags=("client",)))
        subnetworks.append(Subnetwork(REMOTE_SUBNETWORK, NETWORK, REMOTE_REGION, "10.101.0.0/16"))
        firewalls.append(Firewall("http-outside", NETWORK, _HTTP, source_ranges=outside, target_tags=("backend",)))
    return World(
        project=PROJECT,
        networks=(Network(NETWORK),),
        subnetworks=tuple(subnetworks),
        instances=tuple(instances),
        outsiders=(OUTSIDER,) if remote else (),
        # Every network of Google's has it at first.
        routes=(Route("default-route", NETWORK, "0.0.0.0/0", INTERNET),) if remote else (),
        firewalls=tuple(firewalls),
        managed_zones=(MANAGED_ZONE,) if groups else (),
        principals=(
            Principal("controller", (CONTROLLER_TOKEN,)),
            Principal(AGENT, permissions=permissions),
        ),
    )
