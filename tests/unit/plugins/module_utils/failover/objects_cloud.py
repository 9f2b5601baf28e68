# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects of Compute Engine in memory: what its API does, and refuses, whatever they are for."""

from __future__ import annotations

import copy

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import AlreadyExists, Invalid, NotFound, Stale
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.gce_names import full_url, last_part
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.clock import Clock
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.runs import WRITES

LOCKED = ("backendServices", "forwardingRules", "instanceGroupManagers")
UNCHANGEABLE = ("addresses", "instanceGroups", "instanceTemplates")
FIXED = {
    "backendServices": ("loadBalancingScheme", "name", "network"),
    "firewalls": ("direction", "name", "network"),
    "healthChecks": ("name", "type"),
}


def kind_of(path):
    return path.split("/")[-2]


class ObjectsCloud:
    """fault(phase, verb, path): called before and after each request takes effect; what it raises, the client sees.

    may_go_down: whether a run is at work that may take away what serves.
    """

    project = "p"
    latency = 1.0  # seconds that a change takes

    def __init__(self):
        self.clock = Clock()
        self.fault = lambda phase, verb, path: None
        self.resources, self.subnets, self.operations = {}, {}, set()
        self.requests, self.log = [], []
        self.may_go_down = False
        self.silent = []
        self.missing = set()
        self.quotas = []
        self._number = 0

    # What tests do and ask

    def put(self, path, **body):
        """Something that others made."""
        self._store(path, {"name": last_part(path), "description": "", **body})
        return self

    @property
    def mutations(self):
        return [verb for verb, _path in self.requests if verb in WRITES]

    def tick(self):
        """What happens by itself as time passes."""

    def check(self):
        """After each change. Raises Broken."""

    # Reads

    def get(self, path):
        self._read("get", path)
        return self._shown(path)

    def list_all(self, path):
        self._read("list_all", path)
        return [self._shown(each) for each in self.resources if each.rpartition("/")[0] == path]

    def list_firewalls(self, network):
        self._read("list_firewalls", network)
        return [self._shown(each) for each in self.resources if kind_of(each) == "firewalls"]

    def get_subnetwork(self, path):
        self._read("get_subnetwork", path)
        if path not in self.subnets:
            raise NotFound(f"The resource {path} was not found.", resource=path, status=404)
        return self.subnets[path]

    def get_quotas(self, region):
        self._read("get_quotas", region)
        return self.quotas

    def test_permissions(self, path, permissions):
        self._read("test_permissions", path)
        return set(permissions) - self.missing

    def project_permissions(self, project, permissions):
        self._read("project_permissions", project)
        return set(permissions) - self.missing

    # Changes

    def insert(self, path, body, request_id):
        self._change("insert", path, request_id, lambda: self._insert(path, body))

    def patch(self, path, body, request_id):
        self._change("patch", path, request_id, lambda: self._patch(path, body))

    def delete(self, path, request_id):
        self._change("delete", path, request_id, lambda: self._delete(path))

    # The inside

    def _read(self, verb, path):
        self.tick()
        self.requests.append((verb, path))
        self.fault("before", verb, path)

    def _change(self, verb, path, request_id, do):
        self.tick()
        self.requests.append((verb, path))
        self.fault("before", verb, path)
        if request_id not in self.operations:
            do()
            self.operations.add(request_id)
            self.clock.now += self.latency
            self.log.append((verb, path))
        self.fault("after", verb, path)
        self.check()

    def _find(self, path):
        if path not in self.resources:
            raise NotFound(f"The resource '{path}' was not found", resource=path, status=404)
        return self.resources[path]

    def _shown(self, path):
        body = copy.deepcopy(self._find(path))
        if kind_of(path) == "addresses":
            body["users"] = [full_url(each) for each in self._users(path)]
        return body

    def _users(self, path):
        """The paths of what needs it."""
        raise NotImplementedError

    def _store(self, path, body):
        self._number += 1
        body = {name: value for name, value in body.items() if value not in (None, [], {})}
        if kind_of(path) in LOCKED:
            body["fingerprint"] = f"fp{self._number}"
        self.resources[path] = {"selfLink": full_url(path), **copy.deepcopy(body)}

    def _insert(self, path, body):
        if path in self.resources:
            raise AlreadyExists(f"The resource '{path}' already exists", resource=path, status=409)
        if last_part(path) != body.get("name"):
            raise Invalid("Invalid value for field 'resource.name'.", status=400)
        self._check_body(path, body)
        if kind_of(path) == "addresses" and "address" not in body:
            taken = [each.get("address") for each in self.resources.values()]
            body = {**body, "address": next(each for each in self._free() if each not in taken)}
        self._store(path, body)

    def _free(self):
        """Addresses that the API may choose."""
        raise NotImplementedError

    def _patch(self, path, patch):
        found, kind = self._find(path), kind_of(path)
        if "fingerprint" in found and patch.get("fingerprint") != found["fingerprint"]:
            raise Stale("Invalid fingerprint.", resource=path, status=412)
        if kind in UNCHANGEABLE:
            raise Invalid("there is no such method", status=404)
        if kind == "firewalls" and "name" not in patch:
            raise Invalid("Required field 'resource.name' not specified", status=400, code="required")
        body = _merge(found, {name: value for name, value in patch.items() if name != "fingerprint"})
        changeable = {"allowGlobalAccess", "fingerprint", "networkTier"}
        for name in FIXED.get(kind, set(body) - changeable if kind == "forwardingRules" else ()):
            if body.get(name) != found.get(name):
                raise Invalid(f"Invalid value for field 'resource.{name}': it cannot be changed.", status=400)
        self._check_body(path, body)
        self._store(path, body)

    def _delete(self, path):
        self._find(path)
        users = list(self._users(path))
        if users:
            raise Invalid(
                f"The resource '{path}' is already being used by '{users[0]}'",
                resource=path,
                status=400,
                code="resourceInUseByAnotherResource",
            )
        self.resources.pop(path)

    # What the API refuses: each says why

    def _check_body(self, path, body):
        refused = getattr(self, f"_check_{kind_of(path)}", lambda path, body: None)(path, body)
        if refused:
            raise Invalid(refused, resource=path, status=400, code="invalid")

    @staticmethod
    def _check_healthChecks(path, body):
        if body.get("timeoutSec", 5) > body.get("checkIntervalSec", 5):
            return "TimeoutSec should be less than checkIntervalSec."
        return ""

    @staticmethod
    def _check_firewalls(path, body):
        if body.get("targetTags") and body.get("targetServiceAccounts"):
            return "tags and service accounts exclude each other"
        return "" if body.get("allowed") else "allowed is missing"


def _merge(old, patch):
    """A JSON merge patch."""
    new = dict(old)
    for name, value in patch.items():
        if value is None:
            new.pop(name, None)
        elif isinstance(value, dict):
            new[name] = _merge(new.get(name) or {}, value)
        else:
            new[name] = value
    return new
