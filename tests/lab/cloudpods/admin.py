# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab can tell the API, and ask it: how to behave, what it has seen, what there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.cloudpods.emulator import Emulator
from lab.emulation.server import Verbs


def _state(emulator: Emulator, _: Any) -> Any:
    cloud = emulator.cloud
    with cloud.lock:
        return {
            "networks": [cloud.network_view(each) for each in cloud.networks],
            "servers": [cloud.server_view(each) for each in cloud.servers],
            "instancegroups": [cloud.group_view(each) for each in cloud.groups],
            "groupguests": [cloud.member_view(each) for each in cloud.members],
            "groupnetworks": [cloud.vip_view(each) for each in cloud.vips],
            "eips": [cloud.eip_view(each) for each in cloud.eips],
            "in_force": emulator.network.in_force,
            "violations": emulator.violations,
        }


def _behave(emulator: Emulator, told: Mapping[str, Any]) -> Any:
    cloud = emulator.cloud
    with cloud.lock:
        cloud.behaviour.change(told)
        release = "faults" in told and not any(fault.kind == "never-ends" for fault in cloud.behaviour.faults)
    if release:
        cloud.tasks.release()
    return cloud.behaviour.to_json()


def _forget(emulator: Emulator, _: Any) -> Any:
    for log in (emulator.requests, emulator.network.programmed):
        log.clear()
    return {}


VERBS: Verbs = {
    ("GET", "/behaviour"): lambda emulator, _: emulator.cloud.behaviour.to_json(),
    ("PATCH", "/behaviour"): _behave,
    ("POST", "/tokens/expire"): lambda emulator, body: {"expired": emulator.cloud.identity.expire(body["principal"])},
    ("GET", "/log"): lambda emulator, _: list(emulator.requests),
    ("DELETE", "/log"): _forget,
    ("GET", "/mutations"): lambda emulator, _: dict(emulator.mutations()),
    ("GET", "/programmed"): lambda emulator, _: list(emulator.network.programmed),
    ("GET", "/state"): _state,
}
