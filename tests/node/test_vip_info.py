# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module vip_info on a node with an address, a drain file, checks and an event log."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def node(new_namespace):
    namespace = new_namespace()
    namespace.run("ip", "link", "add", "eth0", "address", "02:00:00:00:00:01", "type", "veth", "peer", "name", "eth1")
    namespace.run("ip", "link", "set", "eth0", "up")
    namespace.run("ip", "address", "add", "192.168.7.247/22", "dev", "eth0")
    namespace.run("ip", "address", "add", "192.168.7.246/22", "dev", "eth0")
    return namespace


def test_a_node_which_holds_the_address(node, tmp_path):
    (tmp_path / "check").mkdir()
    (tmp_path / "check" / "nginx").write_text("0\n")
    (tmp_path / "drain").write_text("-10\n")
    written = {"seq": 1, "wall_ns": 2, "mono_ns": 3, "spool": 4, "time": "2026-11-28T12:00:00.000000Z"}
    event = {"event": "transition", "kind": "INSTANCE", "name": "web", "state": "MASTER"}
    (tmp_path / "events.jsonl").write_text(json.dumps({**written, **event}) + "\n")
    result = node.module(
        "vip_info",
        {
            "addresses": ["192.168.7.246/22", "fd00::246"],
            "runtime_dir": str(tmp_path),
            "event_log": str(tmp_path / "events.jsonl"),
        },
    )
    assert result["addresses"] == [
        {"address": "192.168.7.246/22", "held": True, "interface": "eth0"},
        {"address": "fd00::246", "held": False, "interface": None},
    ]
    assert (result["holds_all"], result["holds_any"]) == (False, True)
    assert (result["drain"], result["checks"], result["instances"]) == (-10, {"nginx": True}, {"web": "MASTER"})
    assert result["interfaces"]["eth0"] == ["192.168.7.247/22", "192.168.7.246/22"]
    assert result["macs"]["eth0"] == "02:00:00:00:00:01"
    assert result["changed"] is False


def test_a_node_with_nothing_but_addresses(node, tmp_path):
    result = node.module("vip_info", {"runtime_dir": str(tmp_path / "a"), "event_log": str(tmp_path / "b")})
    assert [found["address"] for found in result["addresses"]] == ["192.168.7.247/22", "192.168.7.246/22"]
    assert (result["holds_all"], result["holds_any"]) == (True, True)
    assert (result["drain"], result["checks"], result["instances"]) == (None, {}, {})


def test_not_an_address(node):
    result = node.module("vip_info", {"addresses": ["web"]})
    assert result["failed"] is True
    assert "addresses: 'web' does not appear to be an IPv4 or IPv6" in result["msg"]
