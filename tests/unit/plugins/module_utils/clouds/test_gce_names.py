# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The paths of resources that users give, to the modules and to the agent."""

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.clouds.gce_names import is_project, parse_path

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
        ("projects/p/global/networks/net", "global/networks", "projects/p/global/networks/net"),
        (f"//compute.googleapis.com/{NETWORK}", "global/networks", NETWORK),
        # Paths are compared with those that the API writes: with ids of projects, and names of all else.
        ("projects/419080500002/global/networks/net", "global/networks", None),
        ("projects/lab-project/zones/us-central1-b/instances/6157418329", "zones/*/instances", None),
        ("projects/lab-project/global/networks/", "global/networks", None),
        ("projects/lab-project/global/networks/Net", "global/networks", None),
        ("projects/lab-project/zones/B/instances/node1", "zones/*/instances", None),
    ],
)
def test_a_path_and_what_is_none(text, middle, path):
    assert parse_path(text, middle) == path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("zones/z/instances/i", "projects/mine/zones/z/instances/i"),
        ("projects/other/zones/z/instances/i", "projects/other/zones/z/instances/i"),
        ("instances/i", None),
        ("i", None),
        ("/zones/z/instances/i", None),
        ("https://x/zones/z/instances/i", None),
    ],
)
def test_a_path_that_a_project_completes(text, path):
    assert parse_path(text, "zones/*/instances", "mine") == path


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("my-project", True),
        ("p", True),
        ("example.com:my-project", True),
        ("", False),
        (":my-project", False),
        ("example..com:my-project", False),
        ("my-project-", False),
        ("My-project", False),
        ("my/project", False),
        ("419080500002", False),
    ],
)
def test_the_id_of_a_project(text, known):
    assert is_project(text) is known
