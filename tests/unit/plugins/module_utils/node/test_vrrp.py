# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import signal
import struct
import subprocess

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.node import vrrp
from ansible_collections.cloudha.vip.plugins.module_utils.node.vrrp import Heard, parse_packet, parse_states

# As keepalived 2.2.7 writes it, shortened.
DATA = """\
------< VRRP Topology >------
 VRRP Instance = web
   VRRP Version = 3
   State = FAULT
   Flags:
     Using unicast
   Wantstate = FAULT
   Interface = eth0
   Tracked scripts :
     chk_app weight 0
     chk_other weight 0
   Tracked interfaces :
     eth1 weight 0
   Tracked files :
     drain, weight 1
     nginx, weight 0
   Using smtp notification = no
 VRRP Instance = db
   State = BACKUP
   Master router = 192.168.7.247
   Interface = eth0
   Tracked files :
     drain, weight 1
------< VRRP Scripts >------
 VRRP Script = chk_app
   Command = '/usr/bin/false'
   Status = BAD
   Tracking instances :
     web, weight 0
 VRRP Script = chk_other
   Status = GOOD
------< VRRP Track files >------
 Track file = drain
   Status = -10
   Weight = 1
 Track file = nginx
   Status = 1
   Weight = 0
------< Interfaces >------
 Name = eth0
   State = UP, RUNNING
 Name = eth1
   State = not UP, not RUNNING
"""


def test_the_states_of_instances_and_what_has_failed():
    assert parse_states(DATA) == {
        "web": {"state": "FAULT", "hears": None, "failed": ["script chk_app", "interface eth1", "file nginx (1)"]},
        "db": {"state": "BACKUP", "hears": "192.168.7.247", "failed": []},
    }


@pytest.mark.parametrize("answer", [DATA, DATA[:200], None])
def test_no_file_is_left_of_what_keepalived_said(tmp_path, monkeypatch, answer):
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/pid").symlink_to("pid:[1]")
    (tmp_path / "76/ns").mkdir(parents=True)
    (tmp_path / "76/ns/pid").symlink_to("pid:[1]")
    (tmp_path / "76/exe").symlink_to("/usr/sbin/keepalived")
    (tmp_path / "76/stat").write_text("76 (keepalived) S 1 76 76")
    data = tmp_path / "76/root/tmp/keepalived.data"
    data.parent.mkdir(parents=True)
    data.write_text(DATA)  # of somebody who asked before

    def ask(process, number):
        assert (process, number) == (76, signal.SIGUSR1)
        if answer is None:
            raise ProcessLookupError
        data.write_text(answer)

    monkeypatch.setattr(vrrp.os, "kill", ask)
    assert set(vrrp.read_states(300, tmp_path)) == ({"web", "db"} if answer == DATA else set())
    assert not data.exists()


@pytest.mark.parametrize("make", ["mkdir -p %s/sub", "ln -s /etc/passwd %s", "mkfifo %s", "echo lie > %s"])
def test_whatever_is_in_the_place_of_keepalived_s_answer_makes_way(tmp_path, make):
    path = tmp_path / "keepalived.data"
    subprocess.run(["sh", "-c", make % path], check=True)
    vrrp._hold(path)
    assert path.is_file() and not path.is_symlink() and path.read_text() == ""
    assert path.stat().st_uid == os.geteuid()
    assert os.listdir(tmp_path) == ["keepalived.data"]


def test_who_always_makes_it_again_is_told_of(tmp_path, monkeypatch):
    def refuse(_own, path):
        raise IsADirectoryError(path)

    monkeypatch.setattr(vrrp.os, "replace", refuse)
    with pytest.raises(vrrp.HinderedError, match="again and again"):
        vrrp._hold(tmp_path / "keepalived.data")
    assert os.listdir(tmp_path) == []


def test_a_drained_node_and_a_lost_link():
    text = DATA.replace("Status = -10", "Status = -254").replace("State = UP, RUNNING", "State = UP, not RUNNING")
    assert parse_states(text)["db"]["failed"] == ["file drain (-254)", "interface eth0"]


def test_a_script_that_has_not_run_yet_has_not_failed():
    text = DATA.replace("   Status = BAD", "   Init state = INIT\n   Status = BAD")
    assert parse_states(text)["web"]["failed"] == ["interface eth1", "file nginx (1)"]


@pytest.mark.parametrize("text", ["", "------< VRRP Topology >------\n"])
def test_no_instances(text):
    assert parse_states(text) == {}


PACKET = struct.pack("!BBBBHH4s", 0x31, 66, 254, 1, 19, 0, bytes((192, 168, 7, 246)))


def test_whose_packet_it_is():
    assert parse_packet(PACKET, 6, "fe80::1%eth0") == Heard(66, "fe80::1", 254)
    for options in (0, 2):  # words of options in the IP header
        header = bytes([0x45 + options]) + bytes(19 + 4 * options)
        assert parse_packet(header + PACKET, 4, "192.168.7.247") == Heard(66, "192.168.7.247", 254)


@pytest.mark.parametrize("body", [b"", PACKET[:7], b"\x32" + PACKET[1:], PACKET[:1] + b"\x00" + PACKET[2:]])
def test_what_is_no_announcement(body):
    assert parse_packet(body, 6, "fe80::1") is None
    assert parse_packet(b"\x45" + bytes(19) + body, 4, "192.168.7.247") is None
    assert parse_packet(b"", 4, "192.168.7.247") is None
