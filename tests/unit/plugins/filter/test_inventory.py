# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbooks make of hosts and their variables."""

from __future__ import annotations

import jinja2
import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.cloudha.vip.plugins.filter import (
    address_entries,
    cloudpods_eip,
    host_values,
    topology_track_files,
    topology_written,
)

values = host_values.FilterModule().filters()["host_values"]
entries = address_entries.FilterModule().filters()["address_entries"]
eip = cloudpods_eip.FilterModule().filters()["cloudpods_eip"]
track_files = topology_track_files.FilterModule().filters()["topology_track_files"]
written = topology_written.FilterModule().filters()["topology_written"]

HOSTVARS = {
    "web1": {"member": "vm-1", "address": "10.0.0.1", "ansible_host": "192.0.2.1"},
    "web2": {"member": jinja2.StrictUndefined(name="nowhere"), "ansible_host": "192.0.2.2"},
    "web3": {"member": None},
}
FILES = {"keepalived.conf": "wrote_keepalived", "nginx.conf": "wrote_nginx"}


def test_a_variable_or_the_name():
    assert values(["web2", "web1"], HOSTVARS, "member") == ["web2", "vm-1"]


def test_none_is_a_value():
    assert values(["web3"], HOSTVARS, "member") == [None]


def test_the_first_variable_that_is_defined():
    assert values(list(HOSTVARS), HOSTVARS, "address", "ansible_host") == ["10.0.0.1", "192.0.2.2", "web3"]


def test_no_more_than_needed_is_read():
    class Broken(dict):
        def __getitem__(self, name):
            if name == "second":
                raise AssertionError("nobody needs it")
            return super().__getitem__(name)

    assert values(["a"], {"a": Broken(first=1, second=2)}, "first", "second") == [1]


@pytest.mark.parametrize("hosts", ["web1", {"web1": {}}])
def test_no_list_of_hosts(hosts):
    with pytest.raises(AnsibleFilterError, match="list of hosts"):
        values(hosts, HOSTVARS, "member")


def test_hosts_that_are_not_defined():
    with pytest.raises(jinja2.UndefinedError):
        values(jinja2.StrictUndefined(name="groups"), HOSTVARS, "member")


def test_each_address_has_the_settings():
    assert entries(["10.0.0.1/24", "fd00::1/64"], {"device": "eth0"}) == [
        {"address": "10.0.0.1/24", "device": "eth0"},
        {"address": "fd00::1/64", "device": "eth0"},
    ]
    assert entries([], {"device": "eth0"}) == []


def test_a_verdict_of_each_check():
    assert track_files([{"name": "app"}, {"name": "disk"}, {"name": "app"}]) == [
        {"name": "app", "file": "/run/cloudha-vip/check/app", "init": 1},
        {"name": "disk", "file": "/run/cloudha-vip/check/disk", "init": 1},
    ]


def test_a_file_of_the_inventory_takes_the_place_of_a_verdict():
    mine = [{"name": "disk", "file": "/run/mine"}, {"name": "other", "file": "/run/other"}]
    assert track_files([{"name": "disk"}, {"name": "app"}], mine) == [
        {"name": "app", "file": "/run/cloudha-vip/check/app", "init": 1},
        *mine,
    ]


@pytest.mark.parametrize(
    ("hostvars", "subject"),
    [
        ({"a": {}, "b": {"wrote_nginx": {"changed": False}}}, "neither keepalived.conf nor nginx.conf"),
        ({"a": {"wrote_nginx": {"changed": True}}, "b": {"wrote_nginx": {"skipped": True}}}, "a (nginx.conf)"),
        (
            {
                "a": {"wrote_keepalived": {"changed": True}, "wrote_nginx": {"changed": True}},
                "b": {"wrote_keepalived": {"changed": True}},
            },
            "a, b (keepalived.conf) and a (nginx.conf)",
        ),
    ],
)
def test_what_this_run_has_changed(hostvars, subject):
    told = written(["a", "b"], hostvars, FILES)
    assert told == f"This run has changed {subject}; the tasks above say what else."


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ((None,), {}),
        (("nginx-eip",), {"eip_id": "nginx-eip"}),
        (("nginx-eip", 100, "BGP"), {"eip_id": "nginx-eip"}),
        ((None, 100), {"bandwidth": 100}),
        ((None, "100", "BGP", None), {"bandwidth": "100", "bgp_type": "BGP"}),
        ((None, 100, None, "traffic"), {"bandwidth": 100, "charge_type": "traffic"}),
        # A line alone asks for nothing.
        ((None, None, "BGP", "traffic"), {}),
    ],
)
def test_an_eip_that_is_there_a_new_one_or_none(given, wanted):
    assert eip(*given) == wanted
