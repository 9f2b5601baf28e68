# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.versions import (
    parse_version,
    version_problem,
    writes,
)

SAID = "Keepalived v{} (01/16,2022)\n\nCopyright(C) 2001-2022 ...\n\nBuilt with kernel headers for Linux 5.19.11\n"


def test_the_version_is_found_in_what_keepalived_says():
    assert parse_version(SAID.format("2.2.7")) == parse_version("2.2.7") == (2, 2, 7)
    assert parse_version("") == parse_version("bash: keepalived: command not found") == ()


# Debian 11, 12 and 13; Red Hat Enterprise Linux 8 and 9.
@pytest.mark.parametrize(
    ("version", "told"),
    [("2.1.5", False), ("2.2.7", True), ("2.3.3", True), ("2.2.4", False), ("2.2.8", True), ("", True)],
)
def test_a_keyword_which_is_newer_than_a_supported_release_is_left_out_there(version, told):
    assert version_problem(version) == ""
    assert writes("fifo_write_vrrp_states_on_reload", version) is told


@pytest.mark.parametrize("version", ["2.0.19", "2.0.10", "1.3.5"])
def test_a_release_without_what_the_role_needs_is_refused(version):
    problem = version_problem(SAID.format(version))
    assert problem.startswith(f"keepalived {version} does not know max_auto_priority")
    assert problem.endswith("install 2.1.0 or newer")
