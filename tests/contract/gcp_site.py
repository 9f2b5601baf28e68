# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for what Google Cloud provisions in front of the lab's API of Compute Engine."""

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

from ansible_collections.cloudha.vip.tests.contract import forked
from ansible_collections.cloudha.vip.tests.contract.proxy import Proxy
from ansible_collections.cloudha.vip.tests.contract.test_gcp_modules import PROJECT, ROOT, Kill, Module, token_without
from lab import topology
from lab.gce.server import MemoryPlane, local
from lab.gce.world import Network, Principal, Subnetwork

REGION = "us-central1"
_TOKEN = "lab-controller-token"
# Ends of the paths of requests that change nothing, although they are not GET.
_READS = (
    "getHealth",
    "listInstances",
    "listManagedInstances",
    "listPerInstanceConfigs",
    "testIamPermissions",
    "/wait",
)


def least(title):
    """The permissions that a controller needs, as the role of this title in docs/gcp.md says."""
    role = (ROOT / "docs/gcp.md").read_text().partition(title)[2].partition("```")[0]
    return frozenset(re.findall(r"^  - (\w+\.\w+\.\w+)$", role, re.M))


def world(permissions, *principals):
    """That of the lab, what may be wrong in one, and callers with the permissions or fewer."""
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
            Principal("least", ("least-token",), permissions),
            *(Principal(f"all but {each}", (token_without(each),), permissions - {each}) for each in permissions),
            Principal("nobody", ("nobody-token",), frozenset()),
            *principals,
        ),
    )


def run_here(module, arguments):
    """What a module says, which runs in this process."""
    main = importlib.import_module(forked.MODULES + module).main
    said = io.StringIO()
    given = patch_module_args(copy.deepcopy(arguments))
    with given, contextlib.redirect_stdout(said), pytest.raises(SystemExit) as ended:
        main()
    result = json.loads(said.getvalue())
    assert bool(result.get("failed")) == bool(ended.value.code)
    assert arguments["access_token"] not in said.getvalue()
    return result


def forget_environment(patch):
    """The options that the caller's environment would set."""
    for name in [each for each in os.environ if each.startswith("GCP_")]:
        patch.delenv(name)


class Site:
    """The API, and the modules in front of it: in this process, or as processes of their own.

    module: which one. first: what a process of its own runs before it. where: its options, where a test has no others.
    """

    module = first = ""
    where: dict[str, object] = {}

    def __init__(self, api):
        self.api = api

    @functools.cached_property
    def proxy(self):
        """Sees the requests of whoever is started, or given its `endpoint`."""
        return Proxy(("127.0.0.1", int(self.api.root.rpartition(":")[2])))

    @property
    def endpoint(self):
        """That of the proxy."""
        return f"{self.proxy.url}/compute/v1"

    def start(self, module=None, **options):
        """A process of its own, behind the proxy."""
        return Module(module or self.module, self.endpoint, first=self.first, **self._options(options))

    def run(self, module=None, **options):
        """What the module says, which runs in this process; that takes a tenth of the time."""
        arguments = {"auth_kind": "accesstoken", "access_token": _TOKEN, "endpoint": self.api.endpoint}
        arguments = {key: value for key, value in {**arguments, **self._options(options)}.items() if value is not None}
        return run_here(module or self.module, arguments)

    def info(self, **options):
        return self.run(f"{self.module}_info", **options)

    def behave(self, **told):
        self.api.admin("PATCH", "/behaviour", told)

    def mutations(self):
        return [(entry["method"], entry["path"], entry["status"]) for entry in self.api.requests if entry["mutation"]]

    def _options(self, options):
        return {"project": PROJECT, **self.where, **options}

    def close(self):
        if "proxy" in vars(self):
            self.proxy.close()


@contextlib.contextmanager
def serving(site_of, its_world, plane=MemoryPlane, **changes):
    """A site of this class as long as the block lasts; changes: to its world."""
    with local(dataclasses.replace(its_world, **changes), plane()) as api:
        site = site_of(api)
        try:
            yield site
            assert api.violations == []
        finally:
            site.close()


class KillAtAChange(Kill):
    """Counts only requests that change something: one that reads leaves nothing else behind.

    After the answer to such a request its operation goes on, whether the module waits for it or not.
    """

    def __init__(self, site, number, moment):
        super().__init__(number, moment)
        self.site = site
        self.seen = set()

    def __call__(self, number, moment):
        verb, path = self.site.proxy.requests[number - 1]
        if verb == "GET" or path.partition("?")[0].endswith(_READS):
            return
        self.seen.add(number)
        if (len(self.seen), moment) == self.at and self.armed.wait(10):
            self.victim.kill()
