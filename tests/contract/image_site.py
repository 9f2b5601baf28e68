# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for images in front of the lab's API of Compute Engine."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re

import pytest

from ansible_collections.cloudha.vip.tests.contract import lb_site
from ansible_collections.cloudha.vip.tests.contract.lb_api import Balancer
from ansible_collections.cloudha.vip.tests.contract.test_gcp_modules import PROJECT, ROOT, token_without
from lab import topology
from lab.gce.server import MemoryPlane, local
from lab.gce.world import Principal

NAME, ZONE, SUBNET = "node-abc", "us-central1-a", "ip-failover-subnet"
FAMILY = "projects/debian-cloud/global/images/family/debian-12"
BUILD = {"state": "building", "source_image": FAMILY, "subnetwork": SUBNET}
PRESENT, ABSENT = {"state": "present"}, {"state": "absent"}
# What docs/gcp.md says that a controller needs.
LEAST = frozenset(
    re.findall(
        r"^  - (compute\.\w+\.\w+)$",
        (ROOT / "docs/gcp.md").read_text().partition("title: Images, controller")[2].partition("```")[0],
        re.M,
    )
)


class Site(lb_site.Site):
    """The API, and the modules in front of it: in this process, or as processes of their own."""

    def __init__(self, api):
        self.api = api
        self.behave(latency_s=0.02, boot_s=0)

    def start(self, module="gcp_image", **options):
        return super().start(module, **options)

    def run(self, module="gcp_image", **options):
        return super().run(module, **options)

    def info(self, **options):
        return self.run("gcp_image_info", name=None, zone=None, **options)

    def made(self):
        """The image is there, and nobody has asked for anything."""
        for wanted in (BUILD, PRESENT):
            result = self.run(**wanted)
            assert result["changed"] and not result.get("failed"), result
        self.api.requests.clear()

    def stop_builder(self):
        path = f"/projects/{PROJECT}/zones/{ZONE}/instances/{NAME}-builder"
        Balancer(self.api).done("POST", f"{path}/stop")
        self.api.requests.clear()

    def there(self):
        """What is left, by name: the status of images and instances, and disks."""
        cloud = self.api.cloud
        instances = {name: cloud.status(name) for name in cloud.all_instances if "builder" in name}
        images = {each["name"]: each["status"] for each in cloud.images.all() if each.get("sourceDisk")}
        return images, instances, sorted(each["name"] for each in cloud.images.disks.all())

    def template(self, name, image):
        """An instance template that names the image."""
        disk = {"boot": True, "initializeParams": {"sourceImage": f"projects/{PROJECT}/global/images/{image}"}}
        network = {"subnetwork": f"projects/{PROJECT}/regions/us-central1/subnetworks/{SUBNET}"}
        properties = {"machineType": "e2-small", "disks": [disk], "networkInterfaces": [network]}
        body = {"name": name, "properties": properties}
        Balancer(self.api).done("POST", f"/projects/{PROJECT}/global/instanceTemplates", body)

    @staticmethod
    def _options(options):
        return {"project": PROJECT, "name": NAME, "zone": ZONE, "timeout": 120, **options}


def world():
    """That of the lab, with callers that may do less."""
    lab = topology.get("gcp_route_heartbeat").world
    return dataclasses.replace(
        lab,
        principals=(
            *lab.principals,
            Principal("least", ("least-token",), LEAST),
            *(Principal(f"all but {each}", (token_without(each),), LEAST - {each}) for each in LEAST),
        ),
    )


@contextlib.contextmanager
def a_site(**changes):
    """One as long as the block lasts; changes: to its world."""
    with local(dataclasses.replace(world(), **changes), MemoryPlane()) as api:
        site = Site(api)
        try:
            yield site
            assert api.violations == []
        finally:
            site.close()


@pytest.fixture
def site(monkeypatch):
    """With nothing there."""
    for name in [each for each in os.environ if each.startswith("GCP_")]:
        monkeypatch.delenv(name)
    with a_site() as found:
        yield found
