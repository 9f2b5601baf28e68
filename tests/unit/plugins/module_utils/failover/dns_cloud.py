# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cloud DNS in memory, with a clock that only tests move, and faults at every request."""

from __future__ import annotations

import copy

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import AlreadyExists, Lost, NotFound, Stale
from ansible_collections.cloudha.vip.plugins.module_utils.failover import dns_name
from ansible_collections.cloudha.vip.plugins.module_utils.failover.dns_name_goal import NameGoal
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.clock import Clock
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover import runs

ZONE, NAME = "my-zone", "db.ha.internal."
OLD, NEW, OTHER = "10.0.0.1", "10.0.0.2", "10.0.0.3"


def goal(*addresses, **keys):
    """Of these addresses; none: those that are there."""
    name = keys.pop("name", "db.ha.internal")
    return NameGoal(keys.pop("zone", ZONE), name, keys.pop("kind", "A"), addresses=addresses or None, **keys)


def record(*addresses, kind="A", ttl=30, name=NAME, **more):
    return {"name": name, "type": kind, "ttl": ttl, "rrdatas": list(addresses), **more}


class Cloud:
    """A change is pending for `latency`.

    fault(phase, verb): called before and after each request takes effect; what it raises, the client sees.
    never_without: once the name has a record, it has one at every moment.
    """

    project = "p"

    def __init__(self, *records, latency=1.0):
        self.clock = Clock()
        self.latency = latency
        self.the_zone = {
            "name": ZONE,
            "dnsName": "ha.internal.",
            "visibility": "private",
            "privateVisibilityConfig": {
                "networks": [{"networkUrl": "https://h/compute/v1/projects/p/global/networks/n"}]
            },
        }
        self.sets = {(each["name"], each["type"]): each for each in records}
        self.changes = []
        self.requests = []
        self.missing = set()
        self.fault = lambda phase, verb: None
        self.never_without = False

    def zone(self, zone):
        return self._request("zone", lambda: copy.deepcopy(self.the_zone))

    def records(self, zone, name):
        return self._request(
            "records", lambda: [copy.deepcopy(each) for each in self.sets.values() if each["name"] == name]
        )

    def pending(self, zone):
        return self._request("pending", lambda: [each for each, end in self.changes[::-1] if end > self.clock.now])

    def zone_permissions(self, zone, permissions):
        return self._request("permissions", lambda: set(permissions) - self.missing)

    def change_records(self, zone, deletions, additions):
        return self._request("change", lambda: self.change(deletions, additions))

    def change(self, deletions, additions):
        """As the API makes it, or somebody else."""
        after = dict(self.sets)
        for each in deletions:
            there = after.pop((each["name"], each["type"]), None)
            if there is None:
                raise NotFound("no such record", status=404)
            if {key: there[key] for key in ("name", "type", "ttl", "rrdatas")} != each:
                raise Stale("it does not match", status=412)
        for each in additions:
            if (each["name"], each["type"]) in after:
                raise AlreadyExists("it is there", status=409)
            after[each["name"], each["type"]] = dict(each)
        if self.never_without and (NAME, "A") in self.sets and (NAME, "A") not in after:
            raise runs.Broken("nobody gets an answer any more")
        self.sets = after
        made = {"id": str(len(self.changes)), "status": "pending", "deletions": deletions, "additions": additions}
        self.changes.append((made, self.clock.now + self.latency))
        return made

    def put(self, *addresses, **keys):
        """Somebody else gives the name addresses; none: takes it away."""
        old = self.sets.get((NAME, "A"))
        self.change([old] if old else [], [record(*addresses, **keys)] if addresses else [])

    def _request(self, verb, effect):
        self.requests.append(verb)
        self.fault("before", verb)
        found = effect()
        self.fault("after", verb)
        return found

    @property
    def addresses(self):
        return self.sets.get((NAME, "A"), {"rrdatas": []})["rrdatas"]

    @property
    def mutations(self):
        return [each for each in self.requests if each == "change"]


def apply(cloud, wanted, timeout=60):
    return runs.apply(dns_name.Procedure(), cloud, wanted, timeout)


def once(phase, verb, error=None):
    """A fault that happens to one request."""
    left = [error or Lost("no answer")]

    def fault(*at):
        if at == (phase, verb) and left:
            raise left.pop()

    return fault
