# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for load balancers in front of the lab's API of Compute Engine."""

from __future__ import annotations

import dataclasses
import functools

import pytest
from busy import until

from ansible_collections.cloudha.vip.tests.contract import gcp_site
from ansible_collections.cloudha.vip.tests.contract.gcp_site import REGION
from ansible_collections.cloudha.vip.tests.contract.test_gcp_modules import PROJECT
from lab.gce.world import Instance

NAME, ADDRESS = "web", "10.100.9.1"
NODE1 = f"projects/{PROJECT}/zones/{REGION}-a/instances/node1"
NODE2 = f"projects/{PROJECT}/zones/{REGION}-b/instances/node2"
GROUPS = [
    {"name": "web-a", "zone": f"{REGION}-a", "instances": ["node1"]},
    {"name": "web-b", "zone": f"{REGION}-b", "instances": ["node2"], "failover": True},
]
WHOLE = {"subnetwork": "ip-failover-subnet", "address": ADDRESS, "groups": GROUPS}
EXTERNAL = {"scheme": "external", "subnetwork": None, "address": None, "network": "ip-failover"}
LEAST = gcp_site.least("Load balancers, controller")
KINDS = ("addresses", "firewalls", "forwardingRules", "healthChecks", "instanceGroups", "backendServices")


def world():
    found = gcp_site.world(LEAST)
    elsewhere = Instance("elsewhere", f"{REGION}-a", "other", "other-subnet", "10.101.4.3")
    spare = Instance("spare", f"{REGION}-a", "ip-failover", "ip-failover-subnet", "10.100.4.4")
    return dataclasses.replace(found, instances=(*found.instances, elsewhere, spare))


class Site(gcp_site.Site):
    """A new one for each test would take longer than the test: forget() and made() bring a known state back."""

    module = "gcp_passthrough_lb"
    where = {"name": NAME, "region": REGION, "timeout": 300}

    def __init__(self, api):
        super().__init__(api)
        self._empty = self._saved()
        self._usual = api.admin("GET", "/behaviour")

    def there(self):
        """What there is, by kind: names and what was asked for; nothing that the API makes up anew each time."""
        made_up = ("id", "fingerprint", "labelFingerprint", "creationTimestamp", "selfLinkWithId")
        return {
            kind: sorted(
                (
                    {key: value for key, value in each.items() if key not in made_up}
                    for each in self.api.cloud.balancers.kinds[kind].all()
                ),
                key=lambda each: each["selfLink"],
            )
            for kind in KINDS
        }

    def services(self):
        """As the network sees it."""
        return self.api.cloud.balancers.services()

    def probed(self, **health):
        """What the network's probes found: node1="HEALTHY"."""
        for service in self.services():
            for node, state in health.items():
                self.api.cloud.balancers.health[service.name, node] = state

    def forget(self):
        """There is nothing but what the world begins with, and nobody has asked for anything."""
        self._restore(self._empty)

    def made(self):
        """The load balancer is there, as a run with WHOLE makes it, and nobody has asked for anything."""
        self._restore(self._made)

    def remake(self):
        """Somebody has written into what is there, which nobody else does: make it anew next time."""
        vars(self).pop("_made", None)

    @functools.cached_property
    def _made(self):
        self.forget()
        result = self.run(**WHOLE)
        assert result["changed"] and not result.get("failed"), result
        return self._saved()

    def _saved(self):
        """No resource is ever changed: another one takes its place."""
        return {path: dict(each) for path, each in self.api.cloud.balancers.addresses.scopes.items()}

    def _restore(self, saved):
        if "proxy" in vars(self):
            self.proxy.hook = lambda *_: None
            self.proxy.requests.clear()
        self.behave(**self._usual)
        until(lambda: not self.api.admin("GET", "/state")["operations"])  # of a module that was killed
        with self.api.cloud.lock:
            for path, each in self.api.cloud.balancers.addresses.scopes.items():
                assert not each.coming and not each.going, path
                each.clear()
                each.update(saved.get(path, {}))
            self.api.cloud.balancers.health.clear()
        self.api.requests.clear()


def a_site(**changes):
    return gcp_site.serving(Site, world(), **changes)


@pytest.fixture(scope="module")
def one_site():
    with pytest.MonkeyPatch.context() as patch:
        gcp_site.forget_environment(patch)
        with a_site() as site:
            yield site


@pytest.fixture
def site(one_site):
    """With nothing there."""
    one_site.forget()
    yield one_site
    assert one_site.api.violations == []


@pytest.fixture
def made(site):
    """With the load balancer there."""
    site.made()
    return site
