# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The companion of the service, without keepalived and systemd."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROLE = Path(__file__).resolve().parents[5] / "roles/keepalived"
BEFORE = """
global_defs {
    router_id node1
}
vrrp_instance VI_1 {
    state BACKUP
    interface eth0
    virtual_router_id 66
    unicast_peer {
        192.168.7.248
    }
    virtual_ipaddress {
        192.168.7.246/22 dev eth0
    }
}
vrrp_instance VI_2 {
    interface eth1
    use_vmac vrrp.67
    virtual_router_id 67
}
"""


@pytest.fixture
def companion(tmp_path):
    jinja2 = pytest.importorskip("jinja2")
    template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(
        (ROLE / "templates/companion.j2").read_text().replace("| dirname", "").replace("/usr/sbin/keepalived", "true")
    )
    made = tmp_path / "companion"
    made.write_text(
        template.render(
            ansible_managed="",
            __keepalived_config=tmp_path / "config",
            __keepalived_loaded=tmp_path / "loaded",
            __keepalived_links=tmp_path / "links",
            __keepalived_companion="",
            keepalived_python="",
        )
    )
    made.chmod(0o700)
    return str(made)


@pytest.fixture
def needs_restart(companion, tmp_path):
    def ask(before, after):
        if before is not None:
            (tmp_path / "loaded").write_text(before)
        (tmp_path / "config").write_text(after)
        done = subprocess.run([companion, "needs-restart"], capture_output=True, text=True, env=os.environ, check=False)
        assert done.stderr == ""
        assert (done.returncode == 0) == bool(done.stdout)
        return done.stdout

    return ask


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("    interface eth0\n", "    interface eth0\n    use_vmac\n", "VI_1: use_vmac;"),
        ("    interface eth0\n", "    interface eth0.100\n", "VI_1: interface eth0.100;"),
        ("    use_vmac vrrp.67\n", "", "VI_2: use_vmac vrrp.67;"),
        ("use_vmac vrrp.67", "use_vmac vrrp.68", "use_vmac vrrp.68;"),
        ("use_vmac vrrp.67", "use_vmac vrrp.67\n    vmac_xmit_base", "vmac_xmit_base;"),
        ("use_vmac vrrp.67", "use_ipvlan", "use_ipvlan;"),
    ],
)
def test_a_changed_interface_of_an_instance_needs_a_restart(needs_restart, old, new, says):
    assert says in needs_restart(BEFORE, BEFORE.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ("dev eth0", "dev eth1"),  # an address may move to another device
        ("192.168.7.248", "192.168.7.249"),
        ("interface eth1\n", "  interface   eth1\n"),
        ("VI_2", "VI_3"),  # keepalived takes one away and makes another
        ("router_id node1", "router_id node2"),
    ],
)
def test_anything_else_is_left_to_a_reload(needs_restart, old, new):
    assert needs_restart(BEFORE, BEFORE.replace(old, new) if old else BEFORE) == ""


def test_a_new_and_a_removed_instance_need_none(needs_restart):
    one = BEFORE[: BEFORE.index("vrrp_instance VI_2")]
    assert needs_restart(BEFORE, one) == ""
    assert needs_restart(one, BEFORE) == ""


def test_without_a_configuration_in_force_there_is_nothing_to_compare(needs_restart):
    assert needs_restart(None, BEFORE) == ""


@pytest.mark.parametrize("code", [0, 1])
def test_a_restart_at_once_reads_a_configuration_without_the_delay_and_leaves_the_whole_one(companion, tmp_path, code):
    whole = BEFORE.replace("    router_id", "    vrrp_startup_delay 4\n    router_id")
    (tmp_path / "config").write_text(whole)
    systemctl = f'#!/bin/sh\necho "$*" > {tmp_path}/asked\ncp {tmp_path}/config {tmp_path}/read\nexit {code}\n'
    (tmp_path / "systemctl").write_text(systemctl)
    (tmp_path / "systemctl").chmod(0o700)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run([companion, "at-once"], env={**os.environ, "PATH": path}, check=False)
    assert done.returncode == code
    assert (tmp_path / "asked").read_text() == "restart keepalived.service\n"
    assert (tmp_path / "read").read_text() == BEFORE
    assert (tmp_path / "config").read_text() == whole
    assert not (tmp_path / "loaded.whole").exists()
    if code == 0:
        assert (tmp_path / "loaded").read_text() == whole, "the role finds nothing left to do"
