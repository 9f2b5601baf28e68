# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.cloudha.vip.plugins.filter.gcp_instance_paths import gcp_instance_paths

HOSTVARS = {
    "node1": {"gcp_project": "p", "gcp_zone": "r-a"},
    "node2": {"gcp_project": "p", "gcp_instance_project": "service", "gcp_zone": "r-b", "gcp_instance": "vm-2"},
    "bare": {},
}


def test_each_host_by_its_own_variables():
    assert gcp_instance_paths(["node2", "node1"], HOSTVARS) == {
        "node2": "projects/service/zones/r-b/instances/vm-2",
        "node1": "projects/p/zones/r-a/instances/node1",
    }


def test_what_is_not_set_is_empty():
    assert gcp_instance_paths(["bare"], HOSTVARS) == {"bare": "projects//zones//instances/bare"}


def test_no_list():
    with pytest.raises(AnsibleFilterError, match="list of hosts"):
        gcp_instance_paths("node1", HOSTVARS)
