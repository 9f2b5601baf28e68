# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cloud's API of a lab: its process, what it has under it, and the socket on which it is told how to behave.

The process runs inside the lab's namespaces, next to the router whose tables it writes and the machines whose power
it has. Its socket lies in the lab's state directory: inside and outside of the namespaces it is the same one.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lab import LabError, disks, fabric, vpc
from lab.cloudpods import region
from lab.cloudpods.world import World as Cloudpods
from lab.groups import API
from lab.openstack.world import World as OpenStack
from lab.site import Site
from lab.subnet import UPLINK
from lab.topology import CONTROLLER
from lab.ucloudstack.world import World as UCloudStack

LOG = "api.log"
_SOCKET = "api.sock"


class Bridge:
    """What the clouds on a bridge have under them: the ports of the lab's bridge, and its gateway."""

    def __init__(self, site: Site) -> None:
        self._topology = site.topology
        self.translate = site.subnet.translate

    def secure(self, machine: str, policy: fabric.Policy | None) -> None:
        """`lab.openstack.follower.DataPlane`: the controller, which is no machine, keeps its way in."""
        if machine != CONTROLLER:
            fabric.secure(machine, policy)

    def allow(self, machine: str, addresses: Iterable[str], device: str = "eth0") -> None:
        """Port security: to send from these addresses, and no others."""
        if machine != CONTROLLER:
            this = self._topology.machine(machine)
            mac = this.uplink.mac if this.uplink and device == UPLINK else this.mac
            pairs = tuple(fabric.Pair(mac, address) for address in addresses)
            fabric.secure(fabric.port_of(machine, device), fabric.Policy(sends=pairs, claims=pairs))


class CloudpodsPlane(Bridge):
    """`lab.cloudpods.dataplane.DataPlane`."""

    def permit(self, server: str, vips: tuple[str, ...]) -> None:
        """The server's own address and these."""
        self.allow(server, (self._topology.machine(server).address, *vips))


class UCloudStackPlane(Bridge):
    """`lab.ucloudstack.dataplane.DataPlane`."""

    def permit(self, vm: str, device: str, addresses: tuple[str, ...]) -> None:
        """The interface's own address and those of its VIPs."""
        self.allow(vm, addresses, device)


class Plane:
    """`lab.gce.dataplane.DataPlane`: the lab's router and machines."""

    def __init__(self, site: Site) -> None:
        self._site = site
        router = site.vpc
        self.program = router.program
        self.permit = router.permit
        self.firewall = router.firewall
        self.balance = router.balance
        self.probe = router.probe

        self.create = site.create
        self.delete = site.delete
        self.make_disk = disks.make
        self.delete_disk = disks.delete
        self.make_image = disks.make_image
        self.delete_image = disks.delete_image

    def power(self, instance: str, on: bool, after: float = 0.0) -> None:
        """Boot the machine, or cut its power; the controller is none."""
        if instance == CONTROLLER:
            return
        if on:
            self._site.power_on(instance, after)
        else:
            self._site.power_off(instance)

    def running(self, instance: str) -> bool:
        """Whether the machine has power; the controller, which is none, always."""
        return instance == CONTROLLER or self._site.groups.state(instance) != "off"


class Admin:
    """Talks to the API's process of the lab whose state lies in ``state``."""

    def __init__(self, state: Path) -> None:
        self._state = state

    def call(self, method: str, path: str, body: object = None) -> Any:
        """One request; what the answer's JSON says."""
        connection = _Connection(str(self._state / _SOCKET))
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise LabError(f"the lab's API does not answer ({error}): see {self._state / LOG}") from error
        finally:
            connection.close()
        if response.status >= 400:
            raise LabError(f"the lab's API says {response.status} to {method} {path}: {answer.strip()}")
        return json.loads(answer) if answer.strip() else None

    def state(self) -> Any:
        """What is there: networks, instances, routes, and the tables that are in force."""
        return self.call("GET", "/state")

    def machines(self) -> dict[str, str]:
        """What the cloud says of each machine it knows."""
        state = self.state()
        said = {each["name"]: f"{each['status']} {each.get('vip', '')}".strip() for each in state.get("servers", ())}
        for each in state.get("instances", ()):
            said[each["name"]] = f"{each['status']} {each['zone'].rpartition('/')[2]}"
        return said

    def log(self) -> list[dict[str, Any]]:
        """Every request so far."""
        return self.call("GET", "/log")

    def forget(self) -> None:
        """Begin the log anew."""
        self.call("DELETE", "/log")

    def behaviour(self) -> Any:
        """How the API behaves."""
        return self.call("GET", "/behaviour")

    def behave(self, **changes: object) -> None:
        """Change some of how it behaves."""
        self.call("PATCH", "/behaviour", changes)

    def fault(self, kind: str, match: dict[str, str | None] | None = None, **how: object) -> None:
        """Answer the requests that ``match`` otherwise; see `lab.gce.behaviour`."""
        given = {name: value for name, value in how.items() if value is not None}
        wanted = {name: value for name, value in (match or {}).items() if value is not None}
        self.behave(faults=[*self.behaviour()["faults"], {"kind": kind, "match": wanted, **given}])

    def heal(self) -> None:
        """No more faults and outages, and nothing is stuck."""
        well = {"faults": [], "zone_outage": [], "zone_exhausted": [], "autohealing_stuck": False}
        self.behave(**{name: value for name, value in well.items() if name in self.behaviour()})

    def expire(self, principal: str) -> None:
        """The tokens that ``principal`` has are not accepted any more."""
        self.call("POST", "/tokens/expire", {"principal": principal})

    def propagation(self, seconds: float, sender: str | None = None) -> None:
        """How long a change takes to the network: for what ``sender`` sends, or for all."""
        if sender is None:
            self.behave(propagation_s=seconds)
        else:
            self.behave(sender_propagation_s={**self.behaviour().get("sender_propagation_s", {}), sender: seconds})

    def wait(self, timeout: float = 180.0) -> None:
        """Return when the API answers; then its tables are in force."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                self.call("GET", "/behaviour")
                return
            except LabError:
                if time.monotonic() > deadline:
                    log = (self._state / LOG).read_text() if (self._state / LOG).exists() else ""
                    said = log.strip()[-2000:] or "nothing"
                    raise LabError(f"the lab's API is not ready after {timeout:.0f} s; its log: {said}") from None
                time.sleep(0.02)


def start(site: Site) -> None:
    """Start the process, in a control group of its own; see `Admin.wait`."""
    site.spawn("lab.api", log=LOG)


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("lab", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _serve(words: list[str]) -> None:
    from lab.cloudpods import server as cloudpods
    from lab.gce import server as gce
    from lab.ucloudstack import region as ucloudstack_region
    from lab.ucloudstack import server as ucloudstack

    site = Site.of(words)
    site.groups.join(API)
    world, admin = site.topology.world, site.state / _SOCKET
    assert world is not None
    if isinstance(world, Cloudpods):
        cloudpods.serve(world, CloudpodsPlane(site), identity=region.IDENTITY, compute=region.COMPUTE, admin=admin)
    elif isinstance(world, OpenStack):
        tempfile.tempdir = str(site.state)  # so that nothing stays behind when the lab is killed
        _serve_openstack(site, world, admin)
    elif isinstance(world, UCloudStack):
        ucloudstack.serve(world, UCloudStackPlane(site), api=ucloudstack_region.API, admin=admin)
    else:
        gce.serve(world, Plane(site), **vpc.SERVERS, admin=admin)


def _serve_openstack(site: Site, world: OpenStack, admin: Path) -> None:
    from lab.huaweicloud import security as huawei_security
    from lab.huaweicloud import server as huawei
    from lab.openstack import region as places
    from lab.openstack import security, service

    service.serve(
        world,
        Bridge(site),
        huawei_security.policy if site.topology.huawei else security.policy,
        address=places.ADDRESS,
        ports=places.PORTS,
        admin=admin,
        beside=lambda cloud: huawei.beside(cloud, places.VPC_PORT) if site.topology.huawei else None,
    )


if __name__ == "__main__":
    _serve(sys.argv[1:])
