# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for names, against Cloud DNS in memory."""

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import gcp_dns
from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import Unavailable
from ansible_collections.cloudha.vip.plugins.modules import gcp_dns_name, gcp_dns_name_info
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.dns_cloud import (
    NAME,
    NEW,
    OLD,
    OTHER,
    ZONE,
    Cloud,
    once,
    record,
)
from ansible_collections.cloudha.vip.tests.unit.plugins.modules import gcp_run

OPTIONS = {"name": "db.ha.internal", "managed_zone": ZONE}


@pytest.fixture
def there():
    return Cloud(record(OLD))


@pytest.fixture
def run(there, monkeypatch, capsys):
    return gcp_run.runner(gcp_dns_name, there, monkeypatch, capsys, (gcp_dns, "client"), **OPTIONS)


@pytest.fixture
def info(there, monkeypatch, capsys):
    return gcp_run.runner(gcp_dns_name_info, there, monkeypatch, capsys, (gcp_dns, "client"), **OPTIONS)


def test_moves(run, there):
    wanted = {"addresses": [NEW], "expected": [OLD], "ttl": 5}
    preview = run(**wanted, _ansible_check_mode=True)
    assert there.mutations == [] and preview["changed"]
    result = run(**wanted)
    assert result["diff"] == preview["diff"] and there.addresses == [NEW]
    assert result["diff"] == {
        "before": {"name": NAME, "type": "A", "addresses": [OLD], "ttl": 30},
        "after": {"name": NAME, "type": "A", "addresses": [NEW], "ttl": 5},
    }
    assert (result["address"], result["addresses"], result["previous_addresses"]) == (NAME, [NEW], [OLD])
    assert (result["ttl"], result["previous_ttl"], result["notes"]) == (5, 30, [])
    assert [(step["name"], step["resource"], step["attempts"]) for step in result["steps"]] == [
        ("change record", f"{NAME} A", 1)
    ]
    assert not run(**wanted)["changed"] and there.mutations == ["change"]


def test_another_has_moved_it(run, there):
    there.put(OTHER)
    result = run(addresses=[NEW], expected=[OLD])
    assert result["failed"] and not result["changed"] and result["addresses"] == [OTHER] and there.addresses == [OTHER]
    assert result["problems"] == [f"expected: {NAME} has {OTHER}, and not {OLD}: somebody else has changed it"]


def test_absent(run, there):
    result = run(state="absent", expected=[OLD])
    assert (result["changed"], result["addresses"], result["ttl"], there.addresses) == (True, [], None, [])
    assert not run(state="absent", expected=[OLD])["changed"]


def test_wrong_options(run, there):
    for options, words in (
        ({"addresses": []}, "addresses: give at least one"),
        ({"ttl": "soon"}, "ttl"),
        ({"type": "MX"}, "type"),
        ({"managed_zone": None}, "managed_zone"),
    ):
        assert words in run(**{"addresses": [NEW], **options})["msg"]
    assert there.requests == []


def test_tells(info, there):
    result = info()
    assert (result["changed"], result["exists"], result["addresses"], result["ttl"]) == (False, True, [OLD], 30)
    assert (result["address"], result["pending"], result["problems"]) == (NAME, False, [])
    assert result["zone"] == {"name": ZONE, "dns_name": "ha.internal.", "visibility": "private", "networks": ["n"]}
    there.put(NEW)
    assert info()["pending"] and there.mutations == []
    there.missing = {"dns.changes.create"}
    assert ["dns.changes.create" in each for each in info()["problems"]] == [True]
    assert info(preflight=False)["problems"] == []
    there.fault = once("before", "permissions", Unavailable("not now", status=503))
    assert info()["problems"] == ["not now"]
    result = info(name="x.ha.internal")
    assert (result["exists"], result["addresses"], result["ttl"]) == (False, [], None)


def test_a_passing_failure_is_tried_again(info, there):
    there.fault = once("before", "records", Unavailable("not now", status=503))
    assert info()["exists"] and there.requests.count("records") == 2
