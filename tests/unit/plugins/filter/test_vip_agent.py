# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.filter.vip_agent_problems import FilterModule

problems = FilterModule().filters()["vip_agent_problems"]


def test_problems_name_the_variable_of_the_role():
    assert problems({"checks": [{"name": "web", "type": "tcp", "port": 70000}]}) == [
        "vip_agent_checks[0].port: must be from 1 to 65535, not 70000"
    ]


def test_problems_of_an_action():
    action = {"type": "gcp_route", "instance": "VI_2", "name": "r", "destination": "10.200.1.1", "network": "n"}
    assert problems({"instances": [{"name": "VI_1"}], "actions": [action]}) == [
        "vip_agent_actions[0].destination: must be an IPv4 range with its length and no bits beyond that, "
        "such as 10.200.1.1/32, not '10.200.1.1'",
        "vip_agent_actions[0].instance: 'VI_2' is none of the instances: VI_1",
    ]


ACTION = {"type": "gcp_route", "instance": "VI_1", "name": "r", "destination": "10.200.1.1/32", "network": "n"}


@pytest.mark.parametrize("place", ["/tmp", "/var/tmp", "/home/me", "/root", "//run/user/0"])
@pytest.mark.parametrize(
    ("key", "config"),
    [
        ("fifo", lambda path: {"fifo": path}),
        (
            "checks[0].tls_ca_file",
            lambda path: {"checks": [{"name": "a", "type": "http", "url": "https://[::1]/", "tls_ca_file": path}]},
        ),
        ("checks[0].command", lambda path: {"checks": [{"name": "a", "type": "command", "command": [path, "/tmp/x"]}]}),
        (
            "actions[0].ca_file",
            lambda path: {"instances": [{"name": "VI_1"}], "actions": [{**ACTION, "ca_file": path}]},
        ),
    ],
)
def test_a_path_that_the_service_cannot_see_is_refused(place, key, config):
    (said,) = problems(config(f"{place}/it"))
    assert said.startswith(f"vip_agent_{key}: the agent does not see {place}/it")
    assert problems(config("/etc/tmp/it")) == []


def test_no_problem():
    assert problems({"checks": [{"name": "web", "type": "tcp", "port": 80}]}) == []
