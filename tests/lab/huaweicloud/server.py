# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Huawei Cloud as another region of the lab's OpenStack: the same ports, by another API."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from lab.huaweicloud.vpc import Vpc
from lab.openstack import server
from lab.openstack.region import HUAWEI_REGION
from lab.openstack.server import Cloud
from lab.openstack.world import World

REGION = HUAWEI_REGION


def beside(cloud: Cloud, port: int = 0) -> str:
    """Add the region `REGION` to the catalogue; return the URL of its API of VPCs."""
    listener = cloud.front.open("vpc", port)
    listener.start(Vpc(cloud))
    cloud.identity.call("POST", "/regions", {"region": {"id": REGION}})
    urls = {"identity": cloud.auth_url, "network": listener.url, "compute": cloud.compute_url}
    for service in cloud.identity.call("GET", "/services")["services"]:
        endpoint = {
            "service_id": service["id"],
            "interface": "public",
            "region_id": REGION,
            "url": urls[service["type"]],
        }
        cloud.identity.call("POST", "/endpoints", {"endpoint": endpoint})
    return listener.url


@contextlib.contextmanager
def local(world: World | None = None) -> Iterator[Cloud]:
    """Huawei Cloud on loopback ports of its own, for tests."""
    with server.local(world) as cloud:
        beside(cloud)
        yield cloud
