# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles for Google Cloud ask its API for."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.clouds.gce import Compute
from ansible_collections.cloudha.vip.plugins.module_utils.topology.addresses import plain

jinja2 = pytest.importorskip("jinja2")
yaml = pytest.importorskip("yaml")

ROLES = Path(__file__).resolve().parents[3] / "roles"
TASKS = ROLES / "gcp_route/tasks"


@pytest.mark.parametrize("address", ["10.200.1.1", "10.200.1.1/32"])
def test_the_route_to_an_address_is_asked_for_as_the_playbook_has_made_it(address):
    (ask, *_more) = yaml.safe_load((TASKS / "holder.yml").read_text())
    environment = jinja2.Environment()
    environment.filters["cloudha.vip.vip_plain"] = plain
    asked = environment.from_string(ask["cloudha.vip.gcp_route_info"]["destination"]).render(holder_addresses=[address])
    assert asked == "10.200.1.1/32"


@pytest.mark.parametrize(("role", "module"), [("gcp_route", "gcp_route_info"), ("gcp_alias_ip", "alias_ip_info")])
def test_a_slow_answer_is_an_answer(role, module):
    """The timeout of a module is for all that it does: the login, and the request."""
    (ask, *_more) = yaml.safe_load((ROLES / role / "tasks/holder.yml").read_text())
    of_a_request = inspect.signature(Compute).parameters["timeout"].default
    assert ask[f"cloudha.vip.{module}"]["timeout"] > of_a_request
