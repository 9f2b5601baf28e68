# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a binding is for, on real machines: without it clients do not reach the address, whatever keepalived says."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
from pair import Pair, changes

from lab.lab import Lab

NODES = ("node1", "node2")
VIP = "10.0.0.100"


class BoundPair(Pair):
    """Who has the address, and who reaches it."""

    def holders(self) -> list[str]:
        return [node for node in NODES if f" {VIP}/" in self.ssh(node, "ip -oneline address show")]

    def answered(self, machine: str, address: str = VIP) -> str:
        """Who answers a client; "" if nobody does."""
        code = (
            "import urllib.request as u; "
            f"print(u.urlopen('http://{address}/healthz', timeout=3).headers['X-VIP-Node'], end='')"
        )
        return self.ssh(machine, f'ip neigh flush all; python3 -c "{code}" 2>/dev/null || true')

    def bind(self, **options: object) -> None:
        """Run havip_bind with the login that the playbook has."""
        variables = self.lab.topology.variables.items()
        given = {key.removeprefix("havip_"): value for key, value in variables if key.startswith("havip_")}
        del given["name"]
        given.pop("external", None)
        words = ["-m", "cloudha.vip.havip_bind", "-a", json.dumps({**given, "address": VIP, **options})]
        command = ["ansible", f"--inventory={self.lab.inventory}", "localhost", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module", params=["openstack_active_standby", "huawei_active_standby", "ucloudstack_internal"])
def pair(
    request: pytest.FixtureRequest, lab_name: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BoundPair]:
    lab = Lab(lab_name(request.param.partition("_")[0]))
    lab.up(request.param)
    try:
        yield BoundPair(lab, tmp_path_factory.mktemp("pair"), request.param, VIP)
    finally:
        lab.down()


def test_without_a_binding_nobody_is_reached_and_with_it_one_is(pair: BoundPair) -> None:
    # keepalived is content: VRRP passes, and one node is the master.
    done = pair.play("onprem_active_standby")
    assert done.returncode == 0, done.stdout[-3000:]
    (holder,) = pair.holders()
    assert pair.answered("client1") == ""

    pair.deploy()
    assert pair.answered("client1") == holder
    if pair.lab.topology.outside and pair.lab.topology.outside.machines:
        floating = str(pair.lab.topology.variables["havip_external"])
        assert pair.answered("outside1", floating) == holder

    # Whoever is not bound is not reached, though the other one is.
    other = next(node for node in NODES if node != holder)
    assert pair.play("switchover", switchover_to=other).returncode == 0
    assert pair.answered("client1") == other
    pair.bind(members=[holder], exclusive=True)
    assert pair.holders() == [other] and pair.answered("client1") == ""
    assert changes(pair.deploy())["node1"] > 0
    assert pair.answered("client1") == other


def test_teardown_leaves_nothing_in_the_cloud(pair: BoundPair) -> None:
    done = pair.play("teardown")
    assert done.returncode == 0, done.stdout[-3000:]
    deadline = time.monotonic() + 10
    while VIP in json.dumps(pair.lab.api.state()):
        assert time.monotonic() < deadline, pair.lab.api.state()
        time.sleep(0.1)
    assert changes(pair.play("teardown").stdout) == {"node1": 0, "node2": 0}
