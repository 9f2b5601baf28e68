# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The clouds' APIs for the tests of their clients: in this process, on loopback, without a network under them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import again
import pytest

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

from ansible_collections.cloudha.vip.tests.contract import forked  # noqa: E402
from ansible_collections.cloudha.vip.tests.unit import budget  # noqa: E402
from lab import topology  # noqa: E402
from lab.cloudpods.region import WORLD  # noqa: E402
from lab.cloudpods.server import Local as CloudpodsLocal  # noqa: E402
from lab.cloudpods.server import local as cloudpods_local  # noqa: E402
from lab.gce.server import Local, local  # noqa: E402
from lab.huaweicloud import server as huawei  # noqa: E402
from lab.openstack import server as openstack  # noqa: E402


def pytest_configure(config: pytest.Config) -> None:
    again.register(config)
    forked.import_ours()


@pytest.fixture(autouse=True)
def _no_secrets() -> Iterator[None]:
    """What one test's client has learned does not change what another test's client says."""
    from ansible_collections.cloudha.vip.plugins.module_utils.base import masking

    masking.forget()
    yield
    masking.forget()


nothing_is_spent_beyond_its_budget = budget.nothing_is_spent_beyond_its_budget


@pytest.fixture
def gce() -> Iterator[Local]:
    """Google's API with the project of the topology gcp_route_heartbeat; its operations take no time.

    Ends the test badly if the API ever answered what Google's discovery document does not know.
    """
    world = topology.get("gcp_route_heartbeat").world
    assert world is not None
    with local(world) as emulator:
        yield emulator
        assert emulator.violations == []


@pytest.fixture
def cloudpods() -> Iterator[CloudpodsLocal]:
    """Cloudpods with the region of the topology cloudpods_active_standby; its tasks take no time.

    Ends the test badly if the emulator ever failed by itself.
    """
    with cloudpods_local(WORLD) as emulator:
        yield emulator
        assert emulator.violations == []


@pytest.fixture(scope="session")
def _openstack() -> Iterator[openstack.Cloud]:
    """One for all tests: it takes 5 s to start."""
    with openstack.local() as cloud:
        huawei.beside(cloud)
        yield cloud


@pytest.fixture
def openstack_cloud(_openstack: openstack.Cloud) -> Iterator[openstack.Cloud]:
    """Keystone and Neutron, with nothing in the project; Huawei Cloud is another region of it."""
    cloud = _openstack
    cloud.front.requests.clear()
    yield cloud
    cloud.front.reset()
    cloud.clear()
