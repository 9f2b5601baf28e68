# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Huawei Cloud on loopback or in a lab: Keystone, and Neutron behind what is different."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from lab.huaweicloud.vpc import Vpc
from lab.openstack.server import Cloud, serving
from lab.openstack.world import World


@contextlib.contextmanager
def local(world: World | None = None) -> Iterator[Cloud]:
    """Huawei Cloud on loopback ports of its own, for tests."""
    with serving(facade=Vpc) as cloud:
        if world is not None:
            cloud.seed(world)
        yield cloud
