# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role havip has a variable for each option of its module, so that a new cloud's options are not forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import havip

ROOT = Path(__file__).resolve().parents[3]
# By other variables, or by none: the README of the role says why.
OTHERWISE = {"address", "members", "vip_type"}
NONE = {"exclusive", "restore_source_check", "state", "vip_id"}
GIVEN = yaml.safe_load((ROOT / "roles/havip/vars/main.yml").read_text())


def test_each_option_has_a_variable():
    assert not set(GIVEN["havip_login"]) & set(GIVEN["havip_wanted"])
    assert {*GIVEN["havip_login"], *GIVEN["havip_wanted"]} == set(havip.BIND_SPEC) - NONE
    # The login is havip_info's, too.
    assert set(GIVEN["havip_login"]) <= set(havip.INFO_SPEC)


@pytest.mark.parametrize("option", sorted(set(havip.BIND_SPEC) - NONE - OTHERWISE - {"provider"}))
def test_it_has_the_name_of_the_option(option):
    value = {**GIVEN["havip_login"], **GIVEN["havip_wanted"]}[option]
    assert value == f"{{{{ havip_{option} | default(omit) }}}}"
