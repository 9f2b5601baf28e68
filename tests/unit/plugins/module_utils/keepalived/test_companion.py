# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The companion of the service, without keepalived and systemd."""

from __future__ import annotations

import os
import signal
import subprocess
import time
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


WHOLE = BEFORE.replace("    router_id", "    vrrp_startup_delay 4\n    router_id")


@pytest.fixture
def at_once(companion, tmp_path):
    """Starts it; systemctl runs the lines given, where keepalived would be restarted."""
    (tmp_path / "config").write_text(WHOLE)
    (tmp_path / "config").chmod(0o600)

    def start(lines, verb="at-once"):
        (tmp_path / "systemctl").write_text(f"#!/bin/sh\ncd {tmp_path}\n{lines}\n")
        (tmp_path / "systemctl").chmod(0o700)
        path = f"{tmp_path}:{os.environ['PATH']}"
        return subprocess.Popen([companion, verb], env={**os.environ, "PATH": path}, start_new_session=True)

    return start


def left(directory):
    return {path.name for path in directory.iterdir()} - {"companion", "systemctl", "asked", "read", "links", "loaded"}


@pytest.mark.parametrize("code", [0, 1])
def test_a_restart_at_once_reads_a_configuration_without_the_delay_and_leaves_the_whole_one(at_once, tmp_path, code):
    process = at_once(f'echo "$*" > asked; ./companion clean; cp config read; exit {code}')
    assert process.wait(10) == code
    assert (tmp_path / "asked").read_text() == "restart keepalived.service\n"
    assert (tmp_path / "read").read_text() == BEFORE
    assert (tmp_path / "config").read_text() == WHOLE
    assert (tmp_path / "config").stat().st_mode & 0o777 == 0o600
    assert left(tmp_path) == {"config"}
    if code == 0:
        assert (tmp_path / "loaded").read_text() == WHOLE, "the role finds nothing left to do"


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGKILL])
def test_a_restart_at_once_that_is_ended_leaves_the_whole_configuration_to_the_next_start(at_once, tmp_path, number):
    if number != signal.SIGKILL:  # which a parent such as nohup may have it ignore
        signal.signal(number, signal.SIG_DFL)
    process = at_once("./companion clean; cp config copy; mv copy read; exec sleep 1000")  # read comes whole
    deadline = time.monotonic() + 10
    while not (tmp_path / "read").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, number)
    assert process.wait(10) != 0
    assert (tmp_path / "read").read_text() == BEFORE
    assert at_once("", "clean").wait(10) == 0
    assert (tmp_path / "config").read_text() == WHOLE
    assert left(tmp_path) == {"config"}


def test_what_a_killed_restart_left_is_not_put_in_the_place_of_a_newer_configuration(at_once, tmp_path):
    (tmp_path / "config.whole").write_text(WHOLE.replace("eth0", "eth7"))
    assert at_once("", "clean").wait(10) == 0
    assert (tmp_path / "config").read_text() == WHOLE
    assert left(tmp_path) == {"config"}
