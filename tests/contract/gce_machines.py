# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to the lab's API of Compute Engine that make instances, images and managed groups, for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from busy import until

from ansible_collections.cloudha.vip.tests.contract.lb_api import HOST, SUBNETWORK, Balancer
from ansible_collections.cloudha.vip.tests.contract.test_gce_emulator import PROJECT
from lab import topology
from lab.gce.memory import MemoryPlane
from lab.gce.server import Local

ZONE = f"{PROJECT}/zones/us-central1-c"
INSTANCES, DISKS = f"{ZONE}/instances", f"{ZONE}/disks"
IMAGES, TEMPLATES = f"{PROJECT}/global/images", f"{PROJECT}/global/instanceTemplates"
MANAGERS = f"{ZONE}/instanceGroupManagers"
WEB = f"{MANAGERS}/web"
DEBIAN = "projects/debian-cloud/global/images/family/debian-12"
ADDRESS, OTHER = "10.100.7.1", "10.100.7.2"
CHECK = {
    "name": "alive",
    "type": "HTTP",
    "httpHealthCheck": {"port": 8080, "requestPath": "/up"},
    "checkIntervalSec": 1,
    "timeoutSec": 1,
    "healthyThreshold": 1,
    "unhealthyThreshold": 1,
}


def disk(image: str = DEBIAN, **changes: Any) -> dict[str, Any]:
    """A boot disk of an image, which goes with its instance."""
    return {"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": image}, **changes}


def properties(**changes: Any) -> dict[str, Any]:
    """What an instance is like: a template's properties."""
    body = {
        "machineType": "e2-small",
        "disks": [disk()],
        "networkInterfaces": [{"subnetwork": SUBNETWORK}],
        "tags": {"items": ["backend"]},
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


def instance(name: str = "new", address: str | None = ADDRESS, **changes: Any) -> dict[str, Any]:
    """An instance."""
    nic = {"subnetwork": SUBNETWORK, **({"networkIP": address} if address else {})}
    changes.setdefault("machineType", "zones/us-central1-c/machineTypes/e2-small")
    return {"name": name, **properties(**{"networkInterfaces": [nic], **changes})}


def template(name: str = "first", **changes: Any) -> dict[str, Any]:
    """An instance template."""
    return {"name": name, "properties": properties(**{"canIpForward": True, **changes})}


def config(name: str, address: str | None = ADDRESS, **more: Any) -> dict[str, Any]:
    """A per-instance configuration that preserves an address."""
    kept = {"internalIPs": {"nic0": {"autoDelete": "NEVER", "ipAddress": {"literal": address}}}} if address else {}
    return {"name": name, "preservedState": {**kept, **more}}


def manager(**changes: Any) -> dict[str, Any]:
    """A managed group of nothing, with autohealing, that replaces by recreation."""
    body = {
        "name": "web",
        "targetSize": 0,
        "baseInstanceName": "web",
        "instanceTemplate": "global/instanceTemplates/first",
        "autoHealingPolicies": [{"healthCheck": "global/healthChecks/alive", "initialDelaySec": 300}],
        "updatePolicy": {"type": "OPPORTUNISTIC", "replacementMethod": "RECREATE"},
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


def url(name: str) -> str:
    """Where an instance of the zone is."""
    return f"{HOST}{INSTANCES}/{name}"


class Site(Balancer):
    """A caller, who makes instances and managed groups. ``plane``: what they did to the machines."""

    def __init__(self, gce: Local, token: str = topology.CONTROLLER_TOKEN) -> None:
        super().__init__(gce, token)
        plane = gce.cloud.plane
        assert isinstance(plane, MemoryPlane)
        self.plane = plane

    def behave(self, **told: Any) -> None:
        """Tell the API how to behave."""
        self.gce.admin("PATCH", "/behaviour", told)

    def managed(self, **changes: Any) -> Any:
        """A managed group with what it needs."""
        self.made(f"{PROJECT}/global/healthChecks", CHECK)
        self.made(TEMPLATES, template())
        return self.made(MANAGERS, manager(**changes))

    def with_members(self, *configs: dict[str, Any], **changes: Any) -> None:
        """A managed group with these instances, all of them healthy."""
        self.managed(**changes)
        for each in configs:
            self.plane.answers[each["name"]] = True
        self.done("POST", f"{WEB}/createInstances", {"instances": list(configs)})
        self.until_stable()

    def members(self, group: str = WEB) -> dict[str, Any]:
        """What the group says of its instances."""
        listed = self.good("POST", f"{group}/listManagedInstances").get("managedInstances", [])
        return {each["name"]: each for each in listed}

    def until(self, condition: Callable[[], Any]) -> Any:
        """Wait for what comes true by itself."""
        return until(condition)

    def until_stable(self, group: str = WEB) -> Any:
        """Wait until the group has nothing to do."""

        def look() -> Any:
            found = self.good("GET", group)
            return found if found["status"]["isStable"] else None

        return until(look)

    def look(self) -> None:
        """Return when all groups have been looked at, twice."""
        before = self.gce.healer.looks
        until(lambda: self.gce.healer.looks > before + 2)

    def health(self, name: str, group: str = WEB) -> str:
        """What the group thinks of an instance's health."""
        return str(self.members(group)[name]["instanceHealth"][0]["detailedHealthState"])

    def until_replaced(self, name: str, old: str, group: str = WEB) -> Any:
        """Wait until there is another instance of a name than the one with the id ``old``."""

        def look() -> Any:
            found = self.members(group)[name]
            return found if found.get("id", old) != old and found["currentAction"] in ("NONE", "VERIFYING") else None

        return until(look)


@pytest.fixture
def api(gce: Local) -> Site:
    """The controller."""
    return Site(gce)
