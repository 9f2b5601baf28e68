# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Google's own client works against the lab's API."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.gce.server import Local

pytestmark = pytest.mark.skipif(not shutil.which("gcloud"), reason="gcloud is not installed here")
Gcloud = Callable[..., Any]
HOP = ("--next-hop-instance=node2", "--next-hop-instance-zone=us-central1-b")


@pytest.fixture
def gcloud(gce: Local, tmp_path: Path) -> Gcloud:
    """Runs `gcloud compute` and returns what it prints, from JSON."""
    (tmp_path / "token").write_text("lab-controller-token")
    environment = {
        **os.environ,
        "CLOUDSDK_CONFIG": str(tmp_path / "config"),
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": f"{gce.endpoint}/",
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(tmp_path / "token"),
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
        "CLOUDSDK_CORE_PROJECT": "lab-project",
    }

    def run(*words: str, succeeds: bool = True) -> Any:
        done = subprocess.run(
            ["gcloud", "compute", *words, "--format=json"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode == 0) == succeeds, done.stderr
        return json.loads(done.stdout or "null") if succeeds else done.stderr

    return run


def test_routes_come_and_go(gce: Local, gcloud: Gcloud) -> None:
    for name, hop in (("one", HOP), ("two", ("--next-hop-address=10.100.2.1",))):
        gcloud("routes", "create", name, "--network=ip-failover", "--destination-range=10.9.9.9/32", *hop)
    assert [each["name"] for each in gcloud("routes", "list", "--filter=destRange=10.9.9.9/32")] == ["one", "two"]
    refused = gcloud(
        "routes", "create", "one", "--network=ip-failover", "--destination-range=10.9.9.9/32", *HOP, succeeds=False
    )
    assert "already exists" in refused
    # Two at once come as one batch.
    gcloud("routes", "delete", "one", "two")
    assert gce.cloud.routes == {}
    assert "was not found" in gcloud("routes", "delete", "one", succeeds=False)


def test_instances_are_listed_and_stopped(gce: Local, gcloud: Gcloud) -> None:
    assert {each["name"]: each["status"] for each in gcloud("instances", "list")} == {
        "node1": "RUNNING",
        "node2": "RUNNING",
        "client1": "RUNNING",
        "controller": "RUNNING",
    }
    gcloud("instances", "stop", "node2", "--zone=us-central1-b")
    assert not gce.cloud.plane.running("node2")
    assert gcloud("instances", "describe", "node2", "--zone=us-central1-b")["status"] == "TERMINATED"


def test_alias_ranges_are_set_and_the_last_one_is_removed(gce: Local, gcloud: Gcloud) -> None:
    for aliases in ("10.100.9.0/28;10.100.9.99/32", ""):
        gcloud("instances", "network-interfaces", "update", "node1", "--zone=us-central1-a", f"--aliases={aliases}")
        interface = gce.cloud.instances["node1"]["networkInterfaces"][0]
        ranges = ";".join(each["ipCidrRange"] for each in interface.get("aliasIpRanges", []))
        assert ranges == aliases
