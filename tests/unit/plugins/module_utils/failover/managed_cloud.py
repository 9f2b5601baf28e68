# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A ManagedApi in memory. It refuses what Compute Engine refuses, has faults at every request, and heals by its clock.

After each change it looks whether the run took away an instance that the others cannot do without.
"""

from __future__ import annotations

import copy
import re

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import AlreadyExists, Invalid, NotFound, Stale
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.gce_names import full_url, last_part, normalise
from ansible_collections.cloudha.vip.plugins.module_utils.failover import engine, group
from ansible_collections.cloudha.vip.plugins.module_utils.failover.group_goal import GroupGoal, Member
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.objects_cloud import ObjectsCloud
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.runs import Broken

NAME, REGION, ZONE = "web", "us-central1", "us-central1-f"
PLACE, IN_ZONE = f"projects/p/regions/{REGION}", f"projects/p/zones/{ZONE}"
NETWORK, SUBNET = "projects/p/global/networks/net", f"{PLACE}/subnetworks/subnet"
GROUP, CHECK = f"{IN_ZONE}/instanceGroupManagers/{NAME}", f"{PLACE}/healthChecks/{NAME}"
FIREWALL = f"projects/p/global/firewalls/{NAME}-probes"
IMAGE, NEW, BROKEN = (f"projects/p/global/images/{each}" for each in ("one", "two", "broken"))
A, B = f"{IN_ZONE}/instances/node1", f"{IN_ZONE}/instances/node2"
IP_A, IP_B = "10.0.0.11", "10.0.0.12"
PAIR = (Member("node1", IP_A), Member("node2", IP_B))
BOOT, GONE = 20.0, 5.0  # seconds until an instance answers, and until a new machine takes the place of an old one


def goal(**keys):
    """A pair."""
    template = {"image": IMAGE, "subnetwork": SUBNET, **keys.pop("template", {})}
    keys.setdefault("members", PAIR)
    zone = keys.pop("zone", ZONE)
    return GroupGoal(keys.pop("name", NAME), "p", zone, template=template, **keys)


def only(**keys):
    """What an existing group is to be otherwise."""
    return GroupGoal(NAME, "p", keys.pop("zone", ZONE), **keys)


def gone(**keys):
    return only(present=False, **keys)


class Machine:
    """began: when the group began to make it, by the cloud's clock. kept: what was kept of it when it was made."""

    def __init__(self, began, template, kept, action="CREATING"):
        self.began = began
        self.template = template
        self.kept = kept
        self.action = action
        self.is_pending = False


class Cloud(ObjectsCloud):
    """errors: by the names of instances, code and text of what keeps the group from making them."""

    def __init__(self):
        super().__init__()
        self.machines, self.configs, self.strangers, self.errors = {}, {}, {}, {}
        self.made = 0  # machines
        self.subnets = {
            SUBNET: {"ipCidrRange": "10.0.0.0/24", "network": full_url(NETWORK)},
            f"{PLACE}/subnetworks/more": {"ipCidrRange": "10.2.0.0/24", "network": full_url(NETWORK)},
        }
        for image in (IMAGE, NEW, BROKEN):
            self.put(image, status="READY")

    # What tests do and ask

    def settle(self, seconds=200.0):
        """Time passes."""
        for _each in range(int(seconds)):
            self.clock.now += 1
            self.tick()

    def snapshot(self):
        """All that there is; for comparison."""
        self.tick()
        machines = {name: (self._action(each), each.template) for name, each in self.machines.items()}
        resources = copy.deepcopy(self.resources)
        for body in resources.values():
            body.pop("fingerprint", None)
        configs = {name: each["preservedState"] for name, each in self.configs.items()}
        return resources, machines, configs

    def serving(self):
        return [name for name, each in self.machines.items() if self._health(each) == "HEALTHY"]

    def address_of(self, name):
        return self._literal(self.machines[name].kept)

    def image_of(self, name):
        disk = self.resources[self.machines[name].template]["properties"]["disks"][0]
        return normalise(disk["initializeParams"]["sourceImage"])

    # ManagedApi: reads

    def get(self, path):
        self._read("get", path)
        return self._machine_type(path) if "/machineTypes/" in path else self._shown(path)

    def list_managers(self):
        self._read("list_managers", "")
        found = [self._shown(each) for each in self.resources if "/instanceGroupManagers/" in each]
        return [each for each in found if normalise(each["selfLink"]).split("/")[3] not in self.silent], self.silent

    def list_templates(self, pattern):
        self._read("list_templates", pattern)
        found = [each for each in self.resources if "/global/instanceTemplates/" in each]
        return [self._shown(each) for each in found if re.fullmatch(pattern, last_part(each))]

    def list_managed(self, path):
        self._read("list_managed", path)
        self._find(path)
        return [self._managed(path, name) for name in self._of(path)]

    def list_configs(self, path):
        self._read("list_configs", path)
        self._find(path)
        return [
            copy.deepcopy({**self.configs[name], "status": self._applied(name)})
            for name in self._of(path)
            if name in self.configs
        ]

    def get_instance(self, path):
        self._read("get_instance", path)
        name = last_part(path)
        if path in self.strangers:
            return self.strangers[path]
        if name not in self.machines or not path.startswith(IN_ZONE) or not self._is_there(self.machines[name]):
            status = 404 if self._is_place(path) else 400
            raise NotFound(f"The resource {path} was not found.", resource=path, status=status)
        interface = {"network": full_url(NETWORK), "networkIP": self.address_of(name) or "10.0.0.99"}
        return {"selfLink": full_url(path), "networkInterfaces": [interface], "tags": {"items": ["web"]}}

    def list_instances(self):
        self._read("list_instances", "")
        return list(self.strangers.values()), self.silent

    # ManagedApi: changes

    def create_instance(self, path, config, request_id):
        self._change("create", f"{path}/{config['name']}", request_id, lambda: self._create(path, config))

    def set_config(self, path, config, request_id):
        self._change("config", f"{path}/{config['name']}", request_id, lambda: self._set_config(path, config))

    def replace_instance(self, path, instance, request_id):
        self._change("replace", instance, request_id, lambda: self._replace(path, last_part(instance)))

    def recreate_instance(self, path, instance, request_id):
        self._change("recreate", instance, request_id, lambda: self._recreate(path, last_part(instance)))

    def delete_instance(self, path, instance, request_id):
        self._change("remove", instance, request_id, lambda: self._remove(path, last_part(instance)))

    # The inside

    def _machine_type(self, path):
        if not self._is_place(path) or not last_part(path).startswith("e2-"):
            raise NotFound(
                f"The resource {path} was not found.", resource=path, status=404 if self._is_place(path) else 400
            )
        return {"name": last_part(path)}

    @staticmethod
    def _is_place(path):
        """Whether it is in a zone that is there."""
        return path.startswith(PLACE.replace("regions", "zones"))

    def tick(self):
        """What the group has done by now: it heals."""
        for name, each in self.machines.items():
            delay = self._policy(name).get("initialDelaySec") or 0
            age = self.clock.now - each.began
            if self._is_there(each) and self._health(each) == "UNHEALTHY" and age > GONE + max(delay, BOOT) + 4:
                each.began, each.action = self.clock.now, "RECREATING"
                self.made += 1

    def _policy(self, name):
        return self.resources[self._group_of(name)]["autoHealingPolicies"][0]

    def _group_of(self, name):
        return next(each for each in self.resources if "/instanceGroupManagers/" in each and name in self._of(each))

    def _of(self, path):
        return [name for name in self.machines if path == GROUP]

    def _is_there(self, machine):
        name = next(name for name, each in self.machines.items() if each is machine)
        return self.clock.now >= machine.began + GONE and name not in self.errors

    def _health(self, machine):
        if not self._is_there(machine) or self.clock.now < machine.began + GONE + BOOT:
            return "UNKNOWN"
        disk = self.resources[machine.template]["properties"]["disks"][0]
        return "UNHEALTHY" if "broken" in disk["initializeParams"]["sourceImage"] else "HEALTHY"

    def _action(self, machine):
        if not self._is_there(machine):
            return machine.action
        return "VERIFYING" if self._health(machine) == "UNKNOWN" else "NONE"

    def _managed(self, path, name):
        machine = self.machines[name]
        found = {
            "name": name,
            "instance": full_url(f"{IN_ZONE}/instances/{name}"),
            "currentAction": self._action(machine),
            "version": {"instanceTemplate": full_url(machine.template)},
        }
        if self._is_there(machine):
            health = self._health(machine)
            found.update(instanceStatus="RUNNING", instanceHealth=[{"detailedHealthState": health}])
        elif name in self.errors:
            code, message = self.errors[name]
            found["lastAttempt"] = {"errors": {"errors": [{"code": code, "message": message}]}}
        return found

    def _applied(self, name):
        kept = self.configs[name]["preservedState"]
        return "EFFECTIVE" if self.machines[name].kept == kept else "UNAPPLIED"

    @staticmethod
    def _reservation(kept):
        nic = (kept.get("internalIPs") or {}).get("nic0") or {}
        return normalise((nic.get("ipAddress") or {}).get("address"))

    def _literal(self, kept):
        return (self.resources.get(self._reservation(kept)) or {}).get("address")

    def _users(self, path):
        for other, body in self.resources.items():
            if "/instanceGroupManagers/" in other:
                named = [each["instanceTemplate"] for each in body["versions"]]
                named += [each["healthCheck"] for each in body.get("autoHealingPolicies") or ()]
                if path in map(normalise, named):
                    yield other
        for name, each in self.machines.items():
            if path in (each.template, self._reservation(each.kept)):
                yield f"{IN_ZONE}/instances/{name}"

    def _free(self):
        return (f"10.0.0.{number}" for number in range(50, 90))

    def _delete(self, path):
        super()._delete(path)
        for name in self._of(path):
            self.machines.pop(name)
            self.configs.pop(name, None)

    def _check_addresses(self, _path, body):
        address = body.get("address")
        if address and any(address == each.get("address") for each in self.resources.values()):
            raise AlreadyExists(f"IP_IN_USE_BY_ANOTHER_RESOURCE - IP '{address}'", status=409)

    def _check_instanceGroupManagers(self, _path, body):
        named = [each["instanceTemplate"] for each in body["versions"]]
        named += [each["healthCheck"] for each in body["autoHealingPolicies"]]
        assert len(body["autoHealingPolicies"]) == 1 and all(each.startswith("https://") for each in named)
        for url in named:
            self._find(normalise(url))
        policy = body["updatePolicy"]
        for each in ("maxSurge", "maxUnavailable"):
            assert not {"fixed", "percent"} <= set(policy[each])
        surplus = policy["replacementMethod"] == "RECREATE" and policy["maxSurge"].get("fixed")
        return "RECREATE requires maxSurge 0" if surplus else ""

    def _template(self, path):
        return normalise(self._find(path)["versions"][-1]["instanceTemplate"])

    def _create(self, path, config):
        name = config["name"]
        if name in self.machines:
            raise Invalid(f"Instance '{name}' is in the group already.", status=400)
        self._find(self._reservation(config["preservedState"]))
        self.configs[name] = {**copy.deepcopy(config), "fingerprint": "fp"}
        self.machines[name] = Machine(self.clock.now, self._template(path), self.configs[name]["preservedState"])
        self.made += 1

    def _set_config(self, path, config):
        found = self.configs.get(config["name"])
        if found and config.get("fingerprint") != found["fingerprint"]:
            raise Stale("Invalid fingerprint.", resource=path, status=412)
        self._find(self._reservation(config["preservedState"]))
        self._number += 1
        self.configs[config["name"]] = {**copy.deepcopy(config), "fingerprint": f"fp{self._number}"}

    def _replace(self, path, name):
        self._find(path)
        if name not in self.machines:
            raise Invalid(f"Instance '{name}' is not a member of the group.", status=400)
        machine, template = self.machines[name], self._template(path)
        kept = self.configs[name]["preservedState"] if name in self.configs else {}
        if (machine.template, machine.kept) == (template, kept) or not self._is_there(machine):
            return  # there is nothing to update, or the group is at work with it
        others = [each for each in self.machines.values() if each is not machine]
        if not self.may_go_down and self._health(machine) == "HEALTHY" and others:
            # One more instance takes nobody's place.
            new = [each for each in others if each.template == template and each.action == "RECREATING"]
            if any(self._health(each) != "HEALTHY" for each in new):
                raise Broken(f"{name} is replaced while another new one does not serve, after {self.log}")
            if not any(self._health(each) == "HEALTHY" for each in others):
                raise Broken(f"{name} is the last healthy one, after {self.log}")
        self._recreate(path, name)

    def _recreate(self, path, name):
        self._find(path)
        if name not in self.machines:
            raise Invalid(f"Instance '{name}' is not a member of the group.", status=400)
        kept = self.configs[name]["preservedState"] if name in self.configs else {}
        self.machines[name] = Machine(self.clock.now, self._template(path), kept, "RECREATING")
        self.made += 1

    def _remove(self, path, name):
        if name not in self.machines:
            raise Invalid(f"Instance '{name}' is not a member of the group.", status=400)
        self.machines.pop(name)
        self.configs.pop(name, None)


def apply(cloud, wanted, **keys):
    keys.setdefault("chance", lambda: 0.5)
    keys.setdefault("timeout", 3000)
    keys.setdefault("procedure", group.Procedure())
    procedure = keys.pop("procedure")
    return engine.apply(procedure, cloud, wanted, sleep=cloud.clock.sleep, clock=cloud.clock, **keys)


def preview(cloud, wanted):
    """The steps, and the state before and after."""
    seen, steps = engine.preview(group.Procedure(), cloud, wanted)
    return [repr(step) for step in steps], seen.to_diff(), group.Procedure.wanted_diff(seen)


def made(**keys):
    """A cloud with the group."""
    cloud = Cloud()
    apply(cloud, goal(**keys))
    cloud.requests.clear()
    cloud.log.clear()
    cloud.made = 0
    return cloud
