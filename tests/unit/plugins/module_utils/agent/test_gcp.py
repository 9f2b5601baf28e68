# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The paths of resources that a configuration may give."""

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.agent.gcp import parse_path

NODE = "projects/lab-project/zones/us-central1-b/instances/node1"
NETWORK = "projects/example.com:prj-1/global/networks/net"


@pytest.mark.parametrize(
    ("text", "middle", "path"),
    [
        (NODE, "zones/*/instances", NODE),
        (NETWORK, "global/networks", NETWORK),
        (f"https://www.googleapis.com/compute/v1/{NODE}", "zones/*/instances", NODE),
        (f"http://10.0.0.1:80/compute/beta/{NETWORK}", "global/networks", NETWORK),
        (NODE, "global/networks", None),
        (f"{NODE}/", "zones/*/instances", None),
        (f"{NODE}/x", "zones/*/instances", None),
        (f"x{NODE}", "zones/*/instances", None),
        (f"x/{NODE}", "zones/*/instances", None),
        (f"/{NODE}", "zones/*/instances", None),
        (f"https://x{NODE}", "zones/*/instances", None),
        (f"{NODE}\n", "zones/*/instances", None),
        ("", "global/networks", None),
        ("net", "global/networks", None),
        ("global/networks/net", "global/networks", None),
        ("projects/p/global/networks/net", "global/networks", None),
        ("projects/lab-project/global/networks/", "global/networks", None),
        ("projects/lab-project/global/networks/Net", "global/networks", None),
        ("projects/lab-project/zones/B/instances/node1", "zones/*/instances", None),
    ],
)
def test_a_path_and_what_is_none(text, middle, path):
    assert parse_path(text, middle) == path
