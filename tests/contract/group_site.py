# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for autohealing groups in front of the lab's API of Compute Engine."""

from __future__ import annotations

import pytest
from busy import until

from ansible_collections.cloudha.vip.plugins.module_utils.failover import group
from ansible_collections.cloudha.vip.tests.contract import gce_machines, gcp_site, lb_api
from ansible_collections.cloudha.vip.tests.contract.gcp_site import REGION
from ansible_collections.cloudha.vip.tests.contract.test_gcp_modules import PROJECT
from lab.gce.memory import MemoryPlane
from lab.gce.world import Principal

NAME, ZONE = "web", f"{REGION}-c"
IP_A, IP_B = "10.100.7.1", "10.100.7.2"
PAIR = [{"name": "web1", "address": IP_A}, {"name": "web2", "address": IP_B}]
CHECK = {"port": 8080, "path": "/up", "interval_s": 1, "timeout_s": 1, "healthy_threshold": 1, "unhealthy_threshold": 1}
WHOLE = {"instances": PAIR, "image": "one", "subnetwork": "ip-failover-subnet", "health_check": CHECK}
MANAGER = f"/projects/{PROJECT}/zones/{ZONE}/instanceGroupManagers/{NAME}"
POLL = 0.05
IMAGES = ("one", "two", "broken")
ACCOUNT = "node@lab-project.iam.gserviceaccount.com"
LEAST = gcp_site.least("Autohealing groups, controller")


class Plane(MemoryPlane):
    """Where an instance answers if its image is a good one."""

    def probe(self, instance, check, address, source):
        image = self.disks.get(self.machines.get(instance, ("", ""))[1], "")
        return self.answers.get(instance, "broken" not in image)


class Site(gcp_site.Site):
    module = "gcp_autohealing_group"
    # A module that is a process of its own looks at the group as often as one in this process.
    first = f"import {group.__name__} as group\ngroup.POLL = {POLL}"
    where = {"name": NAME, "zone": ZONE, "timeout": 300}

    def __init__(self, api):
        super().__init__(api)
        self.caller = lb_api.Balancer(api)
        self.usual = {"latency_s": 0.0, "boot_s": 0.0}
        self.behave(**self.usual)
        self.caller.made(gce_machines.DISKS, {"name": "source", "sourceImage": gce_machines.DEBIAN})
        for name in IMAGES:
            source = f"{lb_api.HOST}{gce_machines.DISKS}/source"
            self.caller.made(gce_machines.IMAGES, {"name": name, "sourceDisk": source})
        self.others = self.there()
        api.requests.clear()

    def there(self):
        """What there is, by kind: names and what was asked for; nothing that the API makes up anew each time."""
        made_up = ("id", "fingerprint", "labelFingerprint", "creationTimestamp", "selfLinkWithId", "lastStartTimestamp")
        found = {}
        for path, each in self.api.cloud.balancers.addresses.scopes.items():
            for name, body in each.items():
                found[path, name] = {key: value for key, value in body.items() if key not in made_up}
        return {key: body for key, body in found.items() if "/instanceGroups" not in str(body.get("selfLink"))}

    def kinds(self):
        """The names of all that the group consists of, by kind."""
        found = {}
        for key, body in self.there().items():
            if key not in self.others:
                found.setdefault(body["selfLink"].split("/")[-2], set()).add(key[1])
        return found

    def members(self):
        """What the group says of its instances."""
        listed = self.caller.good("POST", f"{MANAGER}/listManagedInstances").get("managedInstances", [])
        return {each["name"]: each for each in listed}

    def addresses(self):
        """Of the instances that there are."""
        zone = self.caller.good("GET", f"/projects/{PROJECT}/zones/{ZONE}/instances").get("items", [])
        return {each["name"]: each["networkInterfaces"][0]["networkIP"] for each in zone}

    def images(self):
        """Of which images the instances are made."""
        found = {}
        for name, each in self.members().items():
            path = each["version"]["instanceTemplate"].partition("/v1")[2]
            disk = self.caller.good("GET", path)["properties"]["disks"][0]
            found[name] = disk["initializeParams"]["sourceImage"].rpartition("/")[2]
        return found

    def healthy(self):
        return {
            name
            for name, each in self.members().items()
            if each["currentAction"] == "NONE" and each["instanceHealth"][0]["detailedHealthState"] == "HEALTHY"
        }

    def until_healthy(self, *names):
        until(lambda: self.healthy() == set(names))


def a_site(**changes):
    principal = Principal(ACCOUNT, ("node-token",), frozenset())
    return gcp_site.serving(Site, gcp_site.world(LEAST, principal), Plane, **changes)


@pytest.fixture
def site(monkeypatch):
    """With nothing there."""
    gcp_site.forget_environment(monkeypatch)
    monkeypatch.setattr(group, "POLL", POLL)
    with a_site() as one:
        yield one


@pytest.fixture
def made(site):
    """With the group there."""
    result = site.run(**WHOLE)
    assert result["changed"] and not result.get("failed"), result
    site.api.requests.clear()
    return site
