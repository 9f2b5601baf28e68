# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the modules for routes of Google Cloud against one in memory, where time costs nothing."""

from __future__ import annotations

import functools
import json

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import gcp, gcp_library, run
from ansible_collections.cloudha.vip.plugins.module_utils.failover import engine
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover import cloud

OPTIONS = {"project": "p", "auth_kind": "accesstoken", "access_token": "sekret", "name": cloud.NAME}
READS = ("list", "instance", "network", "subnetworks", "find", "firewalls", "permissions", "all", "named")


class Cloud(cloud.Cloud):
    """With what only the modules ask for."""

    project = "p"

    def __init__(self, **keys):
        super().__init__(**keys)
        self.firewalls = [
            {
                "name": "vrrp",
                "network": cloud.URL + cloud.NETWORK,
                "allowed": [{"IPProtocol": "112"}],
                "sourceRanges": ["10.100.0.0/16"],
            }
        ]
        self.missing = set()

    def all_routes(self):
        self._send("before", "all", "")
        return [self._shown(each) for each in self.routes]

    def named_route(self, name):
        self._send("before", "named", name)
        found = self.named(name)
        return found and self._shown(found)

    def list_firewalls(self, network):
        self._send("before", "firewalls", network)
        return self.firewalls

    def test_permissions(self, path, permissions):
        self._send("before", "permissions", path)
        return set(permissions) - self.missing

    def may_follow_operations(self):
        return "compute.globalOperations.get" not in self.missing

    @property
    def mutations(self):
        return [request for request in self.requests if request[0] not in READS]


def runner(module, there, monkeypatch, capsys, client=(gcp, "compute"), **usual):
    """A function that runs the module as Ansible would, and returns its result.

    client: the function that connects, as (where it is, its name). usual: options of each run, beside OPTIONS.
    """
    monkeypatch.setattr(*client, lambda *_, **_watch: there)
    # The library is for the client only.
    monkeypatch.setattr(gcp_library, "require", lambda _module: None)
    monkeypatch.setattr(run.time, "sleep", there.clock.sleep)
    monkeypatch.setattr(run.time, "monotonic", there.clock)
    quick = functools.partial(engine.apply, sleep=there.clock.sleep, clock=there.clock, chance=lambda: 0.5)
    monkeypatch.setattr(run.engine, "apply", quick)

    def run_module(**options):
        arguments = {name: value for name, value in {**OPTIONS, **usual, **options}.items() if value is not None}
        with patch_module_args(arguments), pytest.raises(SystemExit) as ended:
            module.main()
        result = json.loads(capsys.readouterr().out)
        assert ended.value.code == (1 if result.get("failed") else 0), result
        assert "sekret" not in json.dumps(result)
        return result

    return run_module
