# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a keepalived that lives also sees, hears and is believed; its process is this test's own or a made-up one."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.keepalived import conf
from ansible_collections.cloudha.vip.plugins.module_utils.node import announcements, guard, health, in_force
from ansible_collections.cloudha.vip.plugins.plugin_utils.library import ROOT, collect

CONFIGURATION = """
track_file drain {
    file %(dir)s/drain
    weight 1
}
vrrp_track_file check {
    file "%(dir)s/a check/nginx"
}
track_file unused {
    file %(dir)s/elsewhere/unused
}
vrrp_instance WEB {
    interface eth0.100
    virtual_router_id 66
    unicast_src_ip 192.168.7.247
    virtual_ipaddress {
        192.168.7.246/22 dev eth1
    }
    virtual_ipaddress_excluded {
        fd00::246/64 dev eth2
    }
    track_interface {
        bond0
    }
    track_file {
        drain weight 0
    }
}
vrrp_instance WEB6 {
    interface eth0
    virtual_router_id 66
    virtual_ipaddress {
        fd00::245/64
    }
}
vrrp_sync_group G {
    track_file {
        check
    }
}
"""

DEAF = """
vrrp_instance WEB {
    interface lo
    unicast_src_ip 127.0.0.1
}
"""


@pytest.fixture
def statements(tmp_path):
    return conf.parse(CONFIGURATION % {"dir": tmp_path})


@pytest.fixture
def process(tmp_path):
    """A made-up /proc with a keepalived that has the descriptors of this test."""
    proc = tmp_path / "proc"
    runs(proc, 77, parent=76)
    runs(proc, 76)
    (proc / "76/fdinfo").mkdir()
    (proc / "self/ns").mkdir(parents=True)
    (proc / "self/ns/pid").symlink_to("pid:[1]")
    shutil.copy("/proc/self/mountinfo", proc / "self/mountinfo")
    (proc / "sys/fs").mkdir(parents=True)
    (proc / "sys/fs/inotify").symlink_to("/proc/sys/fs/inotify")
    for name in ("fd", "fdinfo"):
        (proc / "77" / name).symlink_to(f"/proc/{os.getpid()}/{name}")
    return proc


def runs(proc, number, parent=1, program="/usr/sbin/keepalived", namespace="pid:[1]"):
    (proc / f"{number}/ns").mkdir(parents=True)
    (proc / f"{number}/stat").write_text(f"{number} (keepalived) S {parent} {number} {number}")
    (proc / f"{number}/exe").symlink_to(program)
    (proc / f"{number}/ns/pid").symlink_to(namespace)


class Watching:
    """An inotify instance of this process, as keepalived's."""

    def __init__(self) -> None:
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self.libc.inotify_init1(os.O_CLOEXEC)
        if self.fd < 0:
            pytest.skip("no inotify instance is left on this machine")

    def add(self, path: Path) -> int:
        return self.libc.inotify_add_watch(self.fd, str(path).encode(), 0x2C8)


@pytest.fixture
def inotify():
    watching = Watching()
    yield watching
    os.close(watching.fd)


def test_the_files_of_instances_and_groups_are_to_be_watched_and_no_others(statements, tmp_path):
    assert in_force.track_files(statements) == [f"{tmp_path}/drain", f"{tmp_path}/a check/nginx"]


def test_a_keepalived_without_inotify_is_blind_to_every_file(statements, tmp_path, process):
    assert health.unwatched(in_force.track_files(statements), process) == [
        f"{tmp_path}/drain",
        f"{tmp_path}/a check/nginx",
    ]


def test_a_keepalived_that_ran_out_of_watches_is_blind_to_the_rest(statements, tmp_path, process, inotify):
    (tmp_path / "a check").mkdir()
    inotify.add(tmp_path)
    assert health.unwatched(in_force.track_files(statements), process) == [f"{tmp_path}/a check/nginx"]
    inotify.add(tmp_path / "a check")
    assert health.unwatched(in_force.track_files(statements), process) == []


def test_a_file_that_is_replaced_stays_watched_but_a_directory_does_not(tmp_path, process, inotify):
    directory = tmp_path / "run"
    directory.mkdir()
    file = directory / "drain"
    file.write_text("0")
    inotify.add(directory)
    (directory / "new").write_text("0")
    (directory / "new").rename(file)
    assert health.unwatched([str(file)], process) == []
    directory.rename(tmp_path / "old")
    directory.mkdir()
    file.write_text("0")
    assert health.unwatched([str(file)], process) == [str(file)]


def test_a_file_behind_a_link_is_watched_where_it_is(tmp_path, process, inotify):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/drain").write_text("0")
    (tmp_path / "drain").symlink_to("real/drain")
    inotify.add(tmp_path / "real")
    assert health.unwatched([f"{tmp_path}/drain"], process) == []


def test_a_keepalived_that_is_ending_is_not_blind(tmp_path, process):
    (process / "77/stat").unlink()
    assert health.unwatched([f"{tmp_path}/drain"], process) == []


def test_without_keepalived_nothing_is_amiss(tmp_path, process):
    for number in (76, 77):
        (process / f"{number}/stat").write_text(f"{number} (keepalived) Z 1 77 77")
    assert health.unwatched([f"{tmp_path}/drain"], process) == []


def test_the_message_names_the_files_and_the_limits(process):
    (sentence,) = health.problems(health.Health(["/run/cloudha-vip/drain"], []), process)
    limit = Path("/proc/sys/fs/inotify/max_user_instances").read_text().strip()
    for part in (
        "/run/cloudha-vip/drain",
        f"fs.inotify.max_user_instances (now {limit};",
        "fs.inotify.max_user_watches",
    ):
        assert part in sentence


def test_an_interface_that_was_made_anew_is_deaf(statements):
    names = in_force.interfaces(statements)
    assert names == ["eth0.100", "eth1", "eth2", "bond0", "eth0"]
    before = {"eth0": 2, "eth0.100": 3, "bond0": 4, "eth1": 5, "eth9": 9}
    # Made anew; gone, which its state tells; not there before; another one renamed to its name; not keepalived's.
    now = {"eth0": 2, "eth0.100": 7, "eth2": 8, "bond0": 6, "eth9": 10}
    assert health.deaf(names, before, now) == ["eth0.100", "bond0"]


@pytest.mark.parametrize(
    ("recorded", "deaf"),
    [
        (None, []),
        ("", []),
        ("eth0 999\nhalf a line\n", []),
        (f"lo {socket.if_nametoindex('lo')}\n", []),
        ("eth0 1\nlo 999\n", ["lo"]),
    ],
)
def test_links_that_were_never_recorded_are_not_deaf(tmp_path, process, recorded, deaf):
    (tmp_path / "keepalived.conf").write_text("vrrp_instance WEB {\n    interface lo\n}\n")
    if recorded is not None:
        (tmp_path / "keepalived.links").write_text(recorded)
    assert health.health(tmp_path, process).deaf == deaf


@pytest.mark.parametrize(
    ("written", "withheld"), [(DEAF, False), (DEAF + "# not finished", True), ("", True), (None, True)]
)
def test_a_configuration_that_is_not_in_force_is_not_put_in_force_by_the_guard(tmp_path, process, written, withheld):
    node = Node(tmp_path, process, written)
    found = node.health()
    assert found == health.Health([], ["lo"], withheld)
    (sentence,) = health.problems(found, process)
    assert ("The guard does not reload it" in sentence) is withheld
    (tmp_path / "keepalived.links").unlink()
    assert node.health() == health.Health([], []), "nothing is withheld from a keepalived that hears"


def test_the_first_process_is_no_companion_and_no_containers(process):
    runs(process, 40, parent=1, program="/usr/bin/dash")
    runs(process, 41, parent=1, namespace="pid:[2]")
    runs(process, 42)
    (process / "42/exe").unlink()  # it ends, and its id may be another's soon
    assert health.first_process(process) == 76
    for number in (76, 77):
        (process / f"{number}/stat").write_text(f"{number} (keepalived) Z 1 77 77")
    assert health.first_process(process) is None


class Node:
    """With a keepalived that is deaf on lo, and a guard that asks no real systemctl."""

    def __init__(self, path, proc, written=DEAF):
        self.path, self.proc = path, proc
        (path / "keepalived.conf").write_text(DEAF)
        (path / "keepalived.links").write_text("lo 999\n")
        if written is not None:
            (path / "written").write_text(written)
        self.asked, self.code = [], 0

    def health(self):
        return health.health(self.path, self.proc, self.path / "written")

    def popen(self, command):
        self.asked.append(command)
        return self

    def poll(self):
        return self.code


@pytest.fixture
def node(tmp_path, process, monkeypatch):
    made = Node(tmp_path, process)
    monkeypatch.setattr(guard.subprocess, "Popen", made.popen)
    monkeypatch.setattr(guard, "_is_up", lambda name: True)
    made.guard = guard.Guard(tmp_path, process, tmp_path / "written")
    monkeypatch.setattr(made.guard, "_held", set)
    return made


def test_a_deaf_keepalived_is_reloaded_and_no_job_of_the_operator_is_touched(node):
    node.guard._look(100.0)
    assert node.asked == [["systemctl", "--job-mode=fail", "reload", "keepalived.service"]]


def test_a_reload_that_does_not_help_is_tried_again_less_and_less_often(node):
    asked_at = []
    for tenth in range(1000, 1700):
        before = len(node.asked)
        node.guard._look(tenth / 10)
        asked_at += [tenth / 10] * (len(node.asked) - before)
    assert asked_at == [100.0, 101.0, 103.0, 108.0, 118.0, 148.0]
    (node.path / "keepalived.links").unlink()
    node.guard._look(171.0)
    (node.path / "keepalived.links").write_text("lo 999\n")
    for now in (179.0, 180.0):
        node.guard._look(now)
    assert len(node.asked) == 8, "the next time is a first time"


def test_one_reload_at_a_time_and_the_guard_lives_meanwhile(node):
    node.code = None  # it runs
    for now in range(100, 200):
        node.guard._look(now)
    assert len(node.asked) == 1
    assert time.monotonic_ns() - json.loads((node.path / "keepalived.json").read_text())["mono"] < 5e9


def test_nothing_is_reloaded_before_the_interface_is_up_and_has_the_source_address(node, monkeypatch):
    monkeypatch.setattr(guard, "_is_up", lambda name: False)
    node.guard._look(100.0)
    monkeypatch.setattr(guard, "_is_up", lambda name: True)
    node.guard.addresses.held.pop("127.0.0.1", None)
    node.guard._look(101.0)
    assert node.asked == []
    node.guard.addresses.held["127.0.0.1"] = "lo"
    node.guard._look(102.0)
    assert len(node.asked) == 1


def test_nothing_is_reloaded_while_the_written_configuration_is_not_in_force(node):
    (node.path / "written").write_text(DEAF + "# not finished")
    for now in range(100, 110):
        node.guard._look(now)
    said = json.loads((node.path / "keepalived.json").read_text())
    assert (node.asked, said["deaf"], said["withheld"]) == ([], ["lo"], True)
    assert "The guard does not reload it" in said["problems"][0]
    (node.path / "written").write_text(DEAF)
    node.guard._look(110.0)
    assert len(node.asked) == 1


def test_every_look_shows_that_the_guard_lives_and_only_a_change_is_put_in_words(node, monkeypatch):
    words = []
    monkeypatch.setattr(guard, "problems", lambda found, _proc: words.append(found) or ["deaf"])
    monkeypatch.setattr(guard, "_say", words.append)
    written = []
    for tenth in range(1000, 1300, 5):
        node.guard._look(tenth / 10)
        written.append(json.loads((node.path / "keepalived.json").read_text())["mono"])
    assert len(set(written)) == len(written)
    assert [word for word in words if "reloading" not in word] == [health.Health([], ["lo"]), "deaf"]


def test_a_guard_whose_code_was_replaced_ends_so_that_systemd_starts_the_new_one(node, monkeypatch):
    code = node.path / "code.py"
    code.write_text("old")
    monkeypatch.setattr(guard, "CODE", [str(code)])
    node.guard.code = guard._versions(guard.CODE)
    node.guard._look(100.0)
    assert not node.guard.outdated
    code.unlink()
    node.guard._look(102.0)
    assert not node.guard.outdated, "what is removed is not started anew"
    (node.path / "new.py").write_text("new")
    (node.path / "new.py").rename(code)
    node.guard.look_due = time.monotonic()
    node.guard.run()  # it returns


def test_each_file_of_the_guard_that_is_replaced_counts():
    """Those which the role lays on the nodes."""
    laid = {str(ROOT / name) for name in collect(["node/guard.py"]) if not name.endswith("__init__.py")}
    assert len(laid) >= 7 and laid <= set(guard.CODE)


def test_on_a_node_the_guard_knows_its_files_and_no_others(tmp_path):
    """There, unlike here, a directory without __init__.py is no more than that."""
    laid = collect(["node/guard.py"])
    for name, text in laid.items():
        (tmp_path / "cloudha_vip" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cloudha_vip" / name).write_text(text)
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from cloudha_vip.node import guard;"
        "print(guard._versions(guard.CODE) is not None, *guard.CODE, sep='\\n')"
    )
    said = subprocess.run([sys.executable, "-Isc", script], capture_output=True, text=True, check=True).stdout.split()
    assert said[0] == "True", "else it would not see that it was replaced"
    assert set(said[1:]) == {str(tmp_path / "cloudha_vip" / name) for name in laid}


def test_a_look_that_is_due_sooner_is_not_put_off(node):
    node.guard.look_due = due = time.monotonic() + 0.01
    node.guard._look_within(guard.SOON)
    assert node.guard.look_due == due
    node.guard.look_due = float("inf")
    node.guard._look_within(guard.SOON)
    assert time.monotonic() < node.guard.look_due <= time.monotonic() + guard.SOON


def test_one_router_id_on_two_interfaces_is_two_routers():
    text = """
    vrrp_instance A {
        interface eth0
        virtual_router_id 66
        unicast_peer {
            192.168.7.248
            fd00:0::248 min_ttl 254
        }
    }
    vrrp_instance B {
        interface eth1
        virtual_router_id 66
    }
    vrrp_instance C {
        interface eth2
        virtual_router_id 66
        use_vmac
    }
    """
    a, b, c = in_force.instances(conf.parse(text))
    for source, interface, hearing in [
        ("192.168.7.248", "eth1", [True, True, True]),
        ("fd00::248", "eth9", [True, False, True]),
        ("192.168.7.249", "eth0", [True, False, True]),
        ("10.0.0.2", "eth1", [False, True, True]),
        ("10.0.0.2", "vrrp.66", [False, False, True]),
        ("10.0.0.2", "", [False, False, True]),
    ]:
        assert [instance.hears(source, interface) for instance in (a, b, c)] == hearing, (source, interface)


def test_both_families_of_one_router_id_are_told_apart(statements):
    web, web6 = in_force.instances(statements)
    assert (web.virtual_router_id, web.family, web.sources) == (66, 4, ("192.168.7.247",))
    assert web.addresses == ("192.168.7.246", "fd00::246")
    assert (web6.virtual_router_id, web6.family, web6.sources) == (66, 6, ())


@pytest.mark.parametrize(
    ("packet", "says"),
    [
        (bytes([0x31, 66, 253, 1, 0, 16, 0, 0, 192, 168, 7, 246]), (66, 253, 0.16)),
        (bytes([0x31, 66, 0, 1, 0x01, 0x2C, 0, 0]), (66, 0, 3.0)),
        (bytes([0x21, 7, 100, 1, 1, 2, 0, 0]), (7, 100, 2.0)),
        (bytes([0x41, 7, 100, 1, 1, 2, 0, 0]), None),
        (bytes([0x32, 7, 100, 1, 1, 2, 0, 0]), None),
        (b"\x31", None),
    ],
)
def test_advertisements(packet, says):
    assert announcements.advertisement(packet) == says


def test_after_a_split_nothing_is_announced_until_the_other_node_is_silent():
    repeated = announcements.Announcements()
    for beat in range(10):  # it goes on: this node's keepalived may be the one that hangs
        assert repeated.due(beat * 0.16 + 0.1599) == []
        repeated.contested("WEB", 0.16, (beat + 1) * 0.16)
    times = []
    for tick in range(4000):
        if repeated.due(1.6 + tick / 1000):
            times.append(tick)
    assert times[0] == 200, "an interval and a quarter after its last word"
    assert max(b - a for a, b in ((times[n - 1], times[n]) for n in range(1, len(times)))) <= 300 and times[-1] > 1200
    assert repeated.next() is None


@pytest.mark.parametrize("interval", [0.16, 1.0, 6.0])
def test_nothing_is_announced_while_another_node_goes_on(interval):
    repeated = announcements.Announcements()
    for beat in range(3):
        repeated.contested("WEB", interval, beat * interval)
        assert repeated.due((beat + 0.99) * interval) == []


def test_announcements_are_such_that_a_neighbour_must_believe_them():
    mac = bytes.fromhex("020000000001")
    frame = announcements.gratuitous_arp(mac, "192.168.7.246")
    operation, sender, own, _target, asked = struct.unpack("!H6s4s6s4s", frame[20:])
    # Linux believes a gratuitous reply only if its target is its sender, and a request always.
    assert (operation, sender, own, asked) == (1, mac, socket.inet_aton("192.168.7.246"), own)
    packet = announcements.neighbour_advertisement(mac, "fd00::246", router=False)
    assert (packet[0], packet[4], packet[-8:]) == (136, 0x20, b"\x02\x01" + mac)
    assert announcements.neighbour_advertisement(mac, "fd00::246", router=True)[4] == 0xA0


def test_it_tells_what_the_configuration_in_force_consists_of(node):
    def told():
        node.guard._look(100.0)
        return json.loads((node.path / "keepalived.json").read_text()).get("in_force")

    loaded = node.path / "keepalived.conf"
    loaded.write_text("vrrp_sync_group G {\n}\nvrrp_instance VI_1 {\n}\nvrrp_instance VI_2 {\n}\n")
    since = loaded.stat().st_mtime_ns
    assert told() == {"since": since, "members": ["GROUP G", "INSTANCE VI_1", "INSTANCE VI_2"]}
    loaded.rename(node.path / "elsewhere")
    assert told()["since"] == since  # one that starts replaces it
    loaded.write_text("vrrp_instance VI_1 {\n")  # one that is not understood
    assert told() is None
    loaded.write_text("global_defs {\n}\n\n")
    assert told() == {"since": loaded.stat().st_mtime_ns, "members": []}
