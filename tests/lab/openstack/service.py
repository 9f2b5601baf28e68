# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenStack as the cloud of a lab, and the socket on which the lab says what it wants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lab.emulation.server import Admin, UnixServer, Verbs, bound
from lab.openstack.follower import DataPlane, Follower
from lab.openstack.security import Translate
from lab.openstack.server import Cloud, serving
from lab.openstack.world import World


def serve(
    world: World,
    plane: DataPlane,
    translate: Translate,
    *,
    address: str,
    ports: tuple[int, int, int],
    admin: Path,
    beside: Callable[[Cloud], object] = lambda cloud: None,
) -> None:
    """Serve for ever. When the admin socket answers, the network is as the world says.

    beside: adds what else stands in front of the cloud.
    """
    with serving(address, ports) as cloud:
        beside(cloud)
        cloud.seed(world)
        follower = Follower(cloud, plane, translate)
        admin.unlink(missing_ok=True)
        UnixServer(admin, bound(Admin, (cloud, follower), verbs=VERBS)).serve_forever()


_Served = tuple[Cloud, Follower]


def _state(served: _Served, _: Any) -> Any:
    cloud, follower = served
    ask = cloud.network.call
    return {
        "servers": [{"name": name, "status": "ACTIVE"} for name in cloud.compute.servers.values()],
        "ports": ask("GET", "/ports")["ports"],
        "floatingips": ask("GET", "/floatingips")["floatingips"],
        "in_force": {name: policy and repr(policy) for name, policy in follower.in_force.items()},
    }


def _behave(served: _Served, told: Mapping[str, Any]) -> Any:
    behaviour = served[0].front.behaviour
    behaviour.change(told)
    return behaviour.to_json()


def _forget(served: _Served, _: Any) -> Any:
    served[0].front.requests.clear()
    return {}


VERBS: Verbs = {
    ("GET", "/behaviour"): lambda served, _: served[0].front.behaviour.to_json(),
    ("PATCH", "/behaviour"): _behave,
    ("GET", "/log"): lambda served, _: list(served[0].front.requests),
    ("DELETE", "/log"): _forget,
    ("GET", "/state"): _state,
}
