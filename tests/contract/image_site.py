# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for images in front of the lab's API of Compute Engine."""

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.tests.contract import gcp_site
from ansible_collections.cloudha.vip.tests.contract.lb_api import Balancer
from ansible_collections.cloudha.vip.tests.contract.test_gcp_modules import PROJECT

NAME, ZONE, SUBNET = "node-abc", "us-central1-a", "ip-failover-subnet"
FAMILY = "projects/debian-cloud/global/images/family/debian-12"
BUILD = {"state": "building", "source_image": FAMILY, "subnetwork": SUBNET}
PRESENT, ABSENT = {"state": "present"}, {"state": "absent"}
LEAST = gcp_site.least("title: Images, controller")


class Site(gcp_site.Site):
    module = "gcp_image"
    where = {"name": NAME, "zone": ZONE, "timeout": 120}

    def __init__(self, api):
        super().__init__(api)
        self.behave(latency_s=0.02, boot_s=0)

    def info(self, **options):
        return super().info(name=None, zone=None, **options)

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


def a_site(**changes):
    return gcp_site.serving(Site, gcp_site.world(LEAST), **changes)


@pytest.fixture
def site(monkeypatch):
    """With nothing there."""
    gcp_site.forget_environment(monkeypatch)
    with a_site() as found:
        yield found
