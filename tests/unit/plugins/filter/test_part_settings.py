# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which variables of a host its parts read."""

from __future__ import annotations

from ansible_collections.cloudha.vip.plugins.filter.part_settings import part_settings


def test_only_settings_that_the_parts_read_are_selected():
    variables = {"nginx_port": 80, "vip_port": 80, "gcp_access_token": "secret", "ansible_host": "10.0.0.1"}
    assert part_settings(variables, ["nginx"]) == {"nginx_port": 80, "vip_port": 80}
    assert part_settings(variables, []) == {"vip_port": 80}
