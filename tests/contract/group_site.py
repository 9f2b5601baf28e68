# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for autohealing groups in front of the lab's API of Compute Engine."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import importlib
import io
import json
import os
import re

import pytest
from ansible.module_utils.testing import patch_module_args
from busy import until

from ansible_collections.cloudha.vip.plugins.module_utils.failover import group
from ansible_collections.cloudha.vip.tests.contract import forked, gce_machines, lb_api
from ansible_collections.cloudha.vip.tests.contract.proxy import Proxy
from ansible_collections.cloudha.vip.tests.contract.test_gcp_modules import PROJECT, ROOT, Module, token_without
from lab import topology
from lab.gce.memory import MemoryPlane
from lab.gce.server import local
from lab.gce.world import Network, Principal, Subnetwork

NAME, ZONE, REGION = "web", "us-central1-c", "us-central1"
IP_A, IP_B = "10.100.7.1", "10.100.7.2"
PAIR = [{"name": "web1", "address": IP_A}, {"name": "web2", "address": IP_B}]
CHECK = {"port": 8080, "path": "/up", "interval_s": 1, "timeout_s": 1, "healthy_threshold": 1, "unhealthy_threshold": 1}
WHOLE = {"instances": PAIR, "image": "one", "subnetwork": "ip-failover-subnet", "health_check": CHECK}
MANAGER = f"/projects/{PROJECT}/zones/{ZONE}/instanceGroupManagers/{NAME}"
IMAGES = ("one", "two", "broken")
ACCOUNT = "node@lab-project.iam.gserviceaccount.com"
# What docs/gcp.md says that a controller needs.
LEAST = frozenset(
    re.findall(
        r"^  - (\w+\.\w+\.\w+)$",
        (ROOT / "docs/gcp.md").read_text().partition("Autohealing groups, controller")[2].partition("```")[0],
        re.M,
    )
)
_TOKEN = "lab-controller-token"


class Plane(MemoryPlane):
    """Where an instance answers if its image is a good one."""

    def probe(self, instance, check, address, source):
        image = self.disks.get(self.machines.get(instance, ("", ""))[1], "")
        return self.answers.get(instance, "broken" not in image)


def world():
    """That of the lab, and what may be wrong in one."""
    lab = topology.get("gcp_route_heartbeat").world
    return dataclasses.replace(
        lab,
        networks=(*lab.networks, Network("other")),
        subnetworks=(
            *lab.subnetworks,
            Subnetwork("more-subnet", "ip-failover", REGION, "10.102.0.0/16"),
            Subnetwork("other-subnet", "other", REGION, "10.101.0.0/16"),
        ),
        principals=(
            *lab.principals,
            Principal("least", ("least-token",), LEAST),
            *(Principal(f"all but {each}", (token_without(each),), LEAST - {each}) for each in LEAST),
            Principal("nobody", ("nobody-token",), frozenset()),
            Principal(ACCOUNT, ("node-token",), frozenset()),
        ),
    )


class Site:
    """The API, and the modules in front of it: in this process, or as processes of their own."""

    def __init__(self, api):
        self.api = api
        self.caller = lb_api.Balancer(api)
        self.usual = {"latency_s": 0.0, "boot_s": 0.0}
        self.behave(**self.usual)
        self.caller.made(gce_machines.DISKS, {"name": "source", "sourceImage": gce_machines.DEBIAN})
        for name in IMAGES:
            source = f"{lb_api.HOST}{gce_machines.DISKS}/source"
            self.caller.made(gce_machines.IMAGES, {"name": name, "sourceDisk": source})
        self.others = self.there()
        api.requests.clear()

    @functools.cached_property
    def proxy(self):
        """Sees the requests of whoever is started, or given its `endpoint`."""
        return Proxy(("127.0.0.1", int(self.api.root.rpartition(":")[2])))

    @property
    def endpoint(self):
        """That of the proxy."""
        return f"{self.proxy.url}/compute/v1"

    def start(self, module="gcp_autohealing_group", **options):
        """A process of its own, behind the proxy."""
        return Module(module, self.endpoint, **self._options(options))

    def run(self, module="gcp_autohealing_group", **options):
        """What the module says, which runs in this process; that takes a tenth of the time."""
        arguments = {"auth_kind": "accesstoken", "access_token": _TOKEN, "endpoint": self.api.endpoint}
        arguments = {key: value for key, value in {**arguments, **self._options(options)}.items() if value is not None}
        main = importlib.import_module(forked.MODULES + module).main
        said = io.StringIO()
        given = patch_module_args(copy.deepcopy(arguments))
        with given, contextlib.redirect_stdout(said), pytest.raises(SystemExit) as ended:
            main()
        result = json.loads(said.getvalue())
        assert bool(result.get("failed")) == bool(ended.value.code)
        assert arguments["access_token"] not in said.getvalue()
        return result

    def info(self, **options):
        return self.run("gcp_autohealing_group_info", **options)

    def behave(self, **told):
        self.api.admin("PATCH", "/behaviour", told)

    def mutations(self):
        return [(entry["method"], entry["path"], entry["status"]) for entry in self.api.requests if entry["mutation"]]

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

    @staticmethod
    def _options(options):
        return {"project": PROJECT, "name": NAME, "zone": ZONE, "timeout": 300, **options}

    def close(self):
        if "proxy" in vars(self):
            self.proxy.close()


@contextlib.contextmanager
def a_site(**changes):
    """One as long as the block lasts; changes: to its world."""
    with local(dataclasses.replace(world(), **changes), Plane()) as api:
        site = Site(api)
        try:
            yield site
        finally:
            site.close()


@pytest.fixture
def site(monkeypatch):
    """With nothing there."""
    for name in [each for each in os.environ if each.startswith("GCP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(group, "POLL", 0.05)
    with a_site() as one:
        yield one
        assert one.api.violations == []


@pytest.fixture
def made(site):
    """With the group there."""
    result = site.run(**WHOLE)
    assert result["changed"] and not result.get("failed"), result
    site.api.requests.clear()
    return site
