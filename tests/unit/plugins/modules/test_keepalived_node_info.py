# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role keepalived asks a node before it changes anything."""

from __future__ import annotations

import json
import sys

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.cloudha.vip.plugins.modules import keepalived_info, keepalived_node_info

IP = """#!/bin/sh
cat <<'END'
[{"ifname": "lo", "address": "00:00:00:00:00:00", "addr_info": [
  {"local": "127.0.0.1", "prefixlen": 8, "scope": "host"}]},
 {"ifname": "eth0", "address": "52:54:00:12:34:56", "addr_info": [
  {"local": "192.168.7.247", "prefixlen": 22, "scope": "global"},
  {"local": "fd00::1", "prefixlen": 64, "scope": "global", "deprecated": true}]}]
END
"""
WEB = """vrrp_instance web {
    interface eth0
    virtual_router_id 66
    authentication {
        auth_pass x1
    }
}
"""


@pytest.fixture
def node(tmp_path, monkeypatch, capsys):
    (tmp_path / "ip").write_text(IP)
    (tmp_path / "ip").chmod(0o755)
    ip = str(tmp_path / "ip")
    monkeypatch.setattr(keepalived_node_info.AnsibleModule, "get_bin_path", lambda *_given, **_more: ip)
    monkeypatch.setattr(keepalived_node_info, "KEEPALIVED", str(tmp_path / "keepalived"))

    def run(module=keepalived_node_info, **options):
        with patch_module_args(options), pytest.raises(SystemExit):
            module.main()
        return json.loads(capsys.readouterr().out)

    return run


def test_the_interfaces_are_those_of_ip(node):
    found = node(paths=[])
    assert found["interfaces"] == {"lo": ["127.0.0.1/8"], "eth0": ["192.168.7.247/22", "fd00::1/64"]}
    assert (found["passing"], found["scopes"]) == (["fd00::1"], {"127.0.0.1": "host"})
    assert found["macs"]["eth0"] == "52:54:00:12:34:56"
    assert found["changed"] is False and found["configurations"] == []


def test_whether_keepalived_is_installed(node, tmp_path):
    assert node(paths=[])["installed"] is False
    (tmp_path / "keepalived").touch()
    assert node(paths=[])["installed"] is True


def test_each_configuration_is_told_and_one_that_is_not_understood_is_no_problem(node, tmp_path):
    (tmp_path / "good").write_text(WEB)
    (tmp_path / "bad").write_text("vrrp_instance ~SEQ(a, 1, 2) {")
    paths = [str(tmp_path / name) for name in ("good", "bad", "none")]
    good, bad, none = node(paths=paths)["configurations"]
    assert node(paths=paths)["problems"] == []
    assert good["variables"]["keepalived_instances"][0]["name"] == "web" and len(good["checksum"]) == 40
    assert bad["variables"] is False and len(bad["checksum"]) == 40
    assert none == {"path": paths[2], "checksum": None, "variables": {}, "secret": False}
    alone = node(keepalived_info, path=paths[0])
    assert (alone["variables"], alone["checksum"]) == (good["variables"], good["checksum"])
    assert node(keepalived_info, path=paths[1])["checksum"] == bad["checksum"]


def test_one_that_cannot_be_read_is_a_problem(node, tmp_path):
    (found,) = node(paths=[str(tmp_path)])["configurations"]
    assert found["variables"] is False
    assert node(paths=[str(tmp_path)])["problems"] == [f"{tmp_path} cannot be read: Is a directory; use become"]


def test_one_that_the_reader_fails_on_is_a_problem_and_its_words_are_no_secret(node, tmp_path, monkeypatch):
    def fails(*_given):
        raise RuntimeError("auth_pass x1")

    monkeypatch.setattr(keepalived_node_info, "read", fails)
    found = node(paths=["/etc/keepalived/keepalived.conf"])
    assert found["problems"] == ["/etc/keepalived/keepalived.conf cannot be understood: RuntimeError"]


def test_a_password_is_for_tasks_with_no_log_only(node, tmp_path):
    (tmp_path / "good").write_text(WEB)
    for quiet in (False, True):
        (found,) = node(paths=[str(tmp_path / "good")], secret_words="AUTH_PASS", _ansible_no_log=quiet)[
            "configurations"
        ]
        assert ("x1" in json.dumps(found)) is quiet and found["secret"] is True
    (found,) = node(paths=[str(tmp_path / "good")], secret_words="token")["configurations"]
    assert found["secret"] is False


@pytest.mark.parametrize(
    ("script", "version"),
    [("#!/bin/sh\necho 3.6.8\n", "3.6.8"), ("#!/bin/sh\nexit 1\n", ""), (None, "")],
)
def test_the_version_of_another_python(node, tmp_path, script, version):
    python = tmp_path / "python"
    if script:
        python.write_text(script)
        python.chmod(0o755)
    assert node(paths=[], python=str(python))["python_version"] == version


def test_the_version_of_this_python(node):
    own = ".".join(map(str, sys.version_info[:3]))
    assert node(paths=[], python=sys.executable)["python_version"] == own
    assert node(paths=[])["python_version"] == ""
