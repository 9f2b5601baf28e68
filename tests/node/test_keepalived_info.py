# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module keepalived_info on a node."""

from __future__ import annotations

import pytest

CONFIGURATION = """
vrrp_instance web {
    interface eth0
    virtual_router_id 66
    authentication {
        auth_type PASS
        auth_pass hunter22
    }
    @node1 priority 254
    @node2 priority 253
    include addresses
}
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "addresses").write_text("virtual_ipaddress {\n 192.168.7.246/22\n}\n")
    path = tmp_path / "keepalived.conf"
    path.write_text(CONFIGURATION)
    return path


@pytest.fixture
def node(new_namespace):
    return new_namespace()


def test_variables_without_the_password(node, path):
    result = node.module("keepalived_info", {"path": str(path), "config_id": "node2"})
    (instance,) = result["variables"]["keepalived_instances"]
    assert (instance["priority"], instance["addresses"]) == (253, ["192.168.7.246/22"])
    assert "auth_pass" not in instance
    assert "hunter22" not in str(result)
    assert "set no_log to get it" in str(result["notes"])
    assert (result["exists"], result["changed"]) == (True, False)


def test_the_password_for_a_task_with_no_log(node, path):
    result = node.module("keepalived_info", {"path": str(path), "_ansible_no_log": True})
    assert result["variables"]["keepalived_instances"][0]["auth_pass"] == "hunter22"


def test_no_configuration(node, tmp_path):
    result = node.module("keepalived_info", {"path": str(tmp_path / "none.conf")})
    assert (result["exists"], result["variables"], result["notes"]) == (False, {}, [])


def test_a_configuration_with_a_mistake(node, path):
    path.write_text("vrrp_instance web {\n")
    result = node.module("keepalived_info", {"path": str(path)})
    assert result["failed"] is True
    assert result["msg"].endswith("keepalived.conf:1: the file ends within a block; add 1 closing brace(s)")


def test_an_include_that_no_file_matches_is_told(node, path):
    path.write_text(CONFIGURATION.replace("include addresses", "include ${_PWD}/addresses\n    include conf.d/*.conf"))
    result = node.module("keepalived_info", {"path": str(path)})
    assert result["variables"]["keepalived_instances"][0]["addresses"] == ["192.168.7.246/22"]
    assert any("conf.d/*.conf is included, and no file matches it" in note for note in result["notes"])
