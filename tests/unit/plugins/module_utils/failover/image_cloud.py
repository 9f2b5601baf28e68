# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An ImageApi in memory. Operations take time, and go on when the run that began them is killed.

After each request it looks whether images that are ready are as they were, and whether a builder went too early.
"""

from __future__ import annotations

import copy

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import (
    AlreadyExists,
    Invalid,
    NotFound,
    Unavailable,
)
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.gce_names import full_url, last_part, normalise
from ansible_collections.cloudha.vip.plugins.module_utils.failover import image
from ansible_collections.cloudha.vip.plugins.module_utils.failover.image_goal import (
    ABSENT,
    BUILDING,
    PRESENT,
    ImageGoal,
    builder_name,
)
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.clock import Clock
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover import runs

NAME, ZONE = "node-abc", "us-central1-a"
SUBNET = "projects/p/regions/us-central1/subnetworks/subnet"
FAMILY, BASE, NEWER = (f"projects/debian/global/images/{each}" for each in ("family/debian-12", "d12-1", "d12-2"))
IMAGE, TEMPLATES = f"projects/p/global/images/{NAME}", "projects/p/global/instanceTemplates"
BUILDER, DISK = (f"projects/p/zones/{ZONE}/{each}/{NAME}-builder" for each in ("instances", "disks"))
READS = ("get", "get_source", "get_subnetwork", "list_all", "list_instances", "test_permissions", "project_permissions")
CHANGING = {"PROVISIONING", "STOPPING", "STAGING", "PENDING", "DELETING"}


def goal(state=PRESENT, **keys):
    more = {"source": FAMILY, "subnetwork": SUBNET} if state == BUILDING else {}
    name = keys.pop("name", NAME)
    found = {"zone": ZONE, "builder": builder_name(name), **more, **keys}
    return ImageGoal(name, "p", state, **found)


class Cloud:
    """fault(phase, verb, path): called before a request, during its operation, and after it. The client sees what it
    raises.

    prepared: the ids of disks that somebody has prepared. may_vanish: whether a run is at work that takes images away.
    builders_may_go: whether one is that makes the builder anew.
    """

    project = "p"

    def __init__(self):
        self.clock = Clock()
        self.latency = 20.0
        self.fault = lambda phase, verb, path: None
        self.resources, self.requests, self.due, self.ids = {}, [], [], {}
        self.may_vanish = self.builders_may_go = False
        self.prepared, self.missing, self.silent = set(), set(), []
        self._seen, self._number = {}, 0
        self.put(BASE, status="READY", family="debian-12")

    # What tests do and ask

    def put(self, path, **body):
        self._number += 1
        made = f"2026-11-{self._number % 28 + 1:02}T00:00:00.000-08:00"
        new = {"name": last_part(path), "id": str(self._number), "selfLink": full_url(path), "creationTimestamp": made}
        self.resources[path] = {**new, **copy.deepcopy(body)}
        return self

    def template(self, name, image):
        disk = {"boot": True, "initializeParams": {"sourceImage": full_url(image)}}
        return self.put(f"{TEMPLATES}/{name}", properties={"disks": [disk]})

    def prepare(self):
        """What the roles do to the builder; the id of the builder."""
        builder = self.resources[BUILDER]
        assert builder["status"] == "RUNNING", builder
        self.prepared.add(self.resources[DISK]["id"])
        return builder["id"]

    def settle(self):
        """All operations are over."""
        self.clock.now += 10 * self.latency
        self._go_on()

    def left(self):
        """What there is, besides the image that it is made from and templates."""
        found = {path: each for path, each in self.resources.items() if path not in (BASE, NEWER)}
        return {path: each.get("status") for path, each in found.items() if "/instanceTemplates/" not in path}

    @property
    def mutations(self):
        return [verb for verb, _path in self.requests if verb not in READS]

    # ImageApi: reads

    def get(self, path):
        self._read("get", path)
        if "/machineTypes/e2-" in path or "/machineTypes/n1-" in path:
            return {"name": last_part(path)}
        return copy.deepcopy(self._find(path))

    def get_source(self, path):
        self._read("get_source", path)
        if "/family/" not in path:
            return copy.deepcopy(self._find(path))
        of_family = [each for each in self.resources.values() if each.get("family") == last_part(path)]
        if not of_family:
            raise NotFound(f"The resource '{path}' was not found", resource=path, status=404)
        return copy.deepcopy(of_family[-1])

    def get_subnetwork(self, path):
        self._read("get_subnetwork", path)
        if path != SUBNET:
            raise NotFound(f"The resource '{path}' was not found", resource=path, status=404)
        return {"network": "projects/p/global/networks/net", "ipCidrRange": "10.100.0.0/16"}

    def list_all(self, path):
        self._read("list_all", path)
        return [copy.deepcopy(each) for key, each in self.resources.items() if key.rpartition("/")[0] == path]

    def list_instances(self):
        self._read("list_instances", "")
        return [copy.deepcopy(each) for key, each in self.resources.items() if "/instances/" in key], self.silent

    def test_permissions(self, path, permissions):
        self._read("test_permissions", path)
        return set(permissions) - self.missing

    def project_permissions(self, project, permissions):
        self._read("project_permissions", project)
        return set(permissions) - self.missing

    # ImageApi: changes

    def insert(self, path, body, request_id):
        self._change("insert", path, request_id, lambda: self._insert(path, body))

    def delete(self, path, request_id):
        self._change("delete", path, request_id, lambda: self._delete(path))

    def start_instance(self, path, request_id):
        self._change("start", path, request_id, lambda: self._power(path, "STAGING", "RUNNING"))

    def stop_instance(self, path, request_id):
        self._change("stop", path, request_id, lambda: self._power(path, "STOPPING", "TERMINATED"))

    # The inside

    def _read(self, verb, path):
        self.requests.append((verb, path))
        self._go_on()
        self.fault("before", verb, path)

    def _change(self, verb, path, request_id, begin):
        self.requests.append((verb, path))
        self._go_on()
        self.fault("before", verb, path)
        if request_id not in self.ids:
            effect = begin()
            self.ids[request_id] = self.clock.now + self.latency
            self.due.append((self.ids[request_id], effect))
        self.fault("during", verb, path)
        self.clock.now = max(self.clock.now, self.ids[request_id])
        self._go_on()
        self.fault("after", verb, path)

    def _go_on(self):
        over = [each for each in self.due if each[0] <= self.clock.now]
        self.due = [each for each in self.due if each not in over]
        for _at, effect in over:
            effect()
        self._check()

    def _check(self):
        """Rules 1, 2 and 6: what is ready stays as it is, and has been made of a disk that somebody prepared."""
        ready = {p: each for p, each in self.resources.items() if "/images/" in p and each["status"] == "READY"}
        for path, before in self._seen.items():
            if not self.may_vanish and ready.get(path) != before:
                raise runs.Broken(f"{path} was {before}, and is {self.resources.get(path)}")
        for path, each in ready.items():
            if "sourceDiskId" in each and each["sourceDiskId"] not in self.prepared:
                raise runs.Broken(f"{path} was made of a disk that nobody prepared")
        self._seen = copy.deepcopy(ready)

    def _find(self, path):
        if path not in self.resources:
            raise NotFound(f"The resource '{path}' was not found", resource=path, status=404)
        return self.resources[path]

    def _settled(self, path):
        found = self._find(path)
        if found.get("status") in CHANGING:
            raise Unavailable(f"The resource '{path}' is not ready", resource=path, status=400, code="resourceNotReady")
        return found

    def _insert(self, path, body):
        if path in self.resources:
            raise AlreadyExists(f"The resource '{path}' already exists", resource=path, status=409)
        assert last_part(path) == body["name"]
        if "/images/" in path:
            return self._insert_image(path, body)
        (given,) = body["disks"]
        asked = given["initializeParams"]
        disk = path.replace("/instances/", "/disks/")
        assert last_part(disk) == asked["diskName"]
        if disk in self.resources:
            raise AlreadyExists(f"The resource '{disk}' already exists", resource=disk, status=409)
        self._find(normalise(asked["sourceImage"]))
        self.put(disk, status="READY", labels=asked["labels"], sourceImage=asked["sourceImage"])
        interface = {**body["networkInterfaces"][0], "networkIP": "10.0.0.7"}
        self.put(path, **{**body, "status": "PROVISIONING", "networkInterfaces": [interface]})
        return lambda: self._become(path, "RUNNING")

    def _insert_image(self, path, body):
        disk = normalise(body["sourceDisk"])
        found = self._find(disk)
        user = self.resources.get(disk.replace("/disks/", "/instances/"))
        if user and user["status"] != "TERMINATED":
            raise Invalid(f"The disk resource '{disk}' is already being used", status=400)
        self.put(path, **body, sourceDiskId=found["id"], status="PENDING")
        return lambda: self._become(path, "READY")

    def _delete(self, path):
        found = self._settled(path)
        if "/disks/" in path and path.replace("/disks/", "/instances/") in self.resources:
            raise Invalid(f"The disk resource '{path}' is already being used", status=400)
        if "/instances/" in path and not self.may_vanish and not self.builders_may_go:
            made = self.resources.get(IMAGE, {}).get("status")
            if made != "READY":
                raise runs.Broken(f"{path} goes, and its image is {made}")
        found["status"] = "STOPPING" if "/instances/" in path else "DELETING"

        def effect():
            self.resources.pop(path)
            if "/instances/" in path:
                self.resources.pop(path.replace("/instances/", "/disks/"), None)

        return effect

    def _power(self, path, on_the_way, then):
        found = self._settled(path)
        if found["status"] != then:
            found["status"] = on_the_way
        return lambda: self._become(path, then)

    def _become(self, path, status):
        self.resources[path]["status"] = status


def apply(cloud, wanted, timeout=3000.0):
    return runs.apply(image.Procedure(), cloud, wanted, timeout)


def build(cloud, **keys):
    """All that a playbook does. Returns whether there was something to prepare."""
    apply(cloud, goal(BUILDING, **keys))
    ready = cloud.resources.get(IMAGE, {}).get("status") == "READY"
    prepared = None if ready else cloud.prepare()
    apply(cloud, goal(PRESENT, expected_builder=prepared))
    return prepared is not None


def building(**keys):
    cloud = Cloud()
    apply(cloud, goal(BUILDING, **keys))
    return cloud


def ready_to_become():
    cloud = building()
    cloud.prepare()
    return cloud


def made():
    cloud = Cloud()
    build(cloud)
    return cloud


def gone(**keys):
    return goal(ABSENT, **keys)
