# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab can tell the API, and ask it: how to behave, what it has seen, what there is."""

from __future__ import annotations

import dataclasses
import sys
import traceback
from collections.abc import Mapping
from typing import Any

from lab.emulation.server import Verbs
from lab.gce.emulator import Emulator


def _state(emulator: Emulator, _: Any) -> Any:
    cloud = emulator.cloud
    with cloud.lock:
        return {
            "project": cloud.world.project,
            "networks": list(cloud.networks.values()),
            "subnetworks": list(cloud.subnetworks.values()),
            "instances": [cloud.instance(name) for name in cloud.all_instances],
            "routes": cloud.all_routes(),
            "firewalls": cloud.firewall_rules(),
            "services": [dataclasses.asdict(each) for each in cloud.balancers.services()],
            "health": [
                {"service": service, "instance": instance, "state": state}
                for (service, instance), state in cloud.balancers.health.items()
            ],
            "dns": [
                {"zone": each.resource, "records": list(each.records.values()), "served": list(each.served.values())}
                for each in cloud.dns.all()
            ],
            "operations": cloud.operations.running(),
            "tables": dict(emulator.router.in_force),
            "violations": emulator.violations,
        }


def _behave(emulator: Emulator, told: Mapping[str, Any]) -> Any:
    cloud = emulator.cloud
    emulator.router.look()
    with cloud.lock:
        unknown = {*told.get("zone_outage", ()), *told.get("zone_exhausted", ())} - cloud.zones.keys()
        unknown |= set(told.get("sender_propagation_s", ())) - cloud.instances.keys()
        if unknown:
            raise ValueError(f"there is no {', '.join(sorted(unknown))} here")
        before = set(cloud.behaviour.zone_outage)
        cloud.behaviour.change(told)
        after = set(cloud.behaviour.zone_outage)
        release = "faults" in told and not any(fault.kind == "never-ends" for fault in cloud.behaviour.faults)
        # Those that were off before stay off after.
        down = [
            name for name in cloud.instances if cloud.zone_of(name) in after - before and cloud.power.get(name, True)
        ]
        emulator.victims = [each for each in emulator.victims if each in cloud.instances]
        up = [each for each in emulator.victims if cloud.zone_of(each) not in after]
        emulator.victims = [each for each in emulator.victims if each not in up] + down
    if release:
        cloud.operations.release()
        cloud.dns.release()
    for name, on in (*((each, False) for each in down), *((each, True) for each in up)):
        try:
            cloud.plane.power(name, on)
        except Exception:
            traceback.print_exc(file=sys.stderr)
    emulator.router.look()
    return cloud.behaviour.to_json()


def _expire(emulator: Emulator, body: Mapping[str, str]) -> Any:
    known = {each.name for each in emulator.cloud.world.principals}
    if body["principal"] not in known:
        raise ValueError(f"there is no principal {body['principal']}; there are {', '.join(sorted(known))}")
    return {"expired": emulator.cloud.identity.expire(body["principal"])}


def _forget(emulator: Emulator, _: Any) -> Any:
    router = emulator.router
    logs = (emulator.requests, emulator.metadata_requests, emulator.dns_queries, emulator.cloud.history)
    for log in (*logs, router.programmed, router.probes.history, emulator.healer.probes.history):
        log.clear()
    return {}


VERBS: Verbs = {
    ("GET", "/behaviour"): lambda emulator, _: emulator.cloud.behaviour.to_json(),
    ("PATCH", "/behaviour"): _behave,
    ("POST", "/tokens/expire"): _expire,
    ("GET", "/log"): lambda emulator, _: list(emulator.requests),
    ("DELETE", "/log"): _forget,
    ("GET", "/log/metadata"): lambda emulator, _: list(emulator.metadata_requests),
    ("GET", "/log/dns"): lambda emulator, _: list(emulator.dns_queries),
    ("GET", "/history"): lambda emulator, _: list(emulator.cloud.history),
    ("GET", "/programmed"): lambda emulator, _: list(emulator.router.programmed),
    ("GET", "/health"): lambda emulator, _: [*emulator.router.probes.history, *emulator.healer.probes.history],
    ("GET", "/state"): _state,
}
