# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.node import record as module

OURS = "# Made by the role\n"
CONF = "/etc/web/web.conf"
EVERY_KIND = {
    "programs": ["/usr/sbin/web"],
    "files": [CONF],
    "directories": ["/etc/web"],
    "units": ["web.service"],
    "sysctl": ["net.ipv4.ip_forward"],
}


class Node:
    """A node's files below a directory, and what its commands say."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.kernel = {"net.ipv4.ip_forward": "1"}
        self.packaged: set[str] = set()
        self.changed: set[str] = set()
        self.state = {"is-active": "inactive\n", "is-enabled": ""}

    def run(self, command: list[str]) -> tuple[int, str]:
        if command[0] == "sysctl" and command[1] == "--values":
            return (0, self.kernel[command[2]] + "\n") if command[2] in self.kernel else (1, "unknown")
        if command[0] == "sysctl":
            name, _is, value = command[-1].partition("=")
            self.kernel[name] = value
            return 0, ""
        if command[0] == "systemctl":
            return 0, self.state[command[1]]
        if command[0] == "dpkg":
            return 0, "".join(f"??5?????? c {path}\n" for path in sorted(self.changed))
        return int(command[-1] not in self.packaged), f"web-common, web: {command[-1]}\n"

    def record(self, part: str = "web") -> module.Record:
        return module.Record(part, self.root / "var/lib/cloudha-vip/before", self.root, self.run)

    def write(self, path: str, text: str, mode: int = 0o644) -> Path:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        return file

    def take_away(self) -> None:
        record = self.record()
        record.restore(record.to_restore([CONF], OURS))
        record.tell_the_kernel(record.to_tell_the_kernel())
        record.forget()


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_on_a_fresh_node_all_is_ours_and_nothing_is_left(node: Node) -> None:
    assert node.record().add(EVERY_KIND, OURS)
    conf = node.write(CONF, OURS)
    assert node.record().made() == {
        "programs": ["/usr/sbin/web"],
        "files": [CONF],
        "directories": ["/etc/web"],
        "users": [],
        "groups": [],
    }
    node.take_away()
    assert not conf.exists() and not (node.root / "var/lib/cloudha-vip").exists()


def test_which_programs_are_there_now_whatever_was_before(node: Node) -> None:
    assert node.record().installed(["/usr/sbin/web"]) == []
    node.write("/usr/sbin/web", "")
    assert node.record().installed(["/usr/sbin/web", "/usr/sbin/none"]) == ["/usr/sbin/web"]


def test_what_was_there_before_comes_back_as_it_was(node: Node) -> None:
    conf = node.write(CONF, "theirs\n", 0o640)
    node.write("/usr/sbin/web", "")
    node.state = {"is-active": "active\n", "is-enabled": "enabled\n"}
    node.record().add(EVERY_KIND, OURS)
    node.write(CONF, OURS, 0o600)
    node.kernel["net.ipv4.ip_forward"] = "0"
    record = node.record()
    assert not any(record.made().values())
    assert record.known is not None and record.known["units"]["web.service"] == {"active": True, "enabled": True}
    node.take_away()
    assert conf.read_text() == "theirs\n" and conf.stat().st_mode & 0o777 == 0o640
    assert node.kernel == {"net.ipv4.ip_forward": "1"}


def test_a_link_comes_back_as_a_link(node: Node) -> None:
    target = node.write("/srv/web.conf", "theirs\n")
    (node.root / "etc/web").mkdir(parents=True)
    (node.root / "etc/web/web.conf").symlink_to(target)
    node.record().add({"files": [CONF]}, OURS)
    (node.root / "etc/web/web.conf").unlink()
    node.write(CONF, OURS)
    node.take_away()
    assert os.readlink(node.root / "etc/web/web.conf") == str(target) and target.read_text() == "theirs\n"


def test_a_second_run_does_not_take_our_file_for_theirs(node: Node) -> None:
    node.write(CONF, "theirs\n")
    assert node.record().add(EVERY_KIND, OURS)
    node.write(CONF, OURS)
    assert not node.record().add(EVERY_KIND, OURS), "nothing is recorded twice"
    node.take_away()
    assert (node.root / CONF[1:]).read_text() == "theirs\n"


def test_without_a_record_our_file_is_still_not_theirs(node: Node) -> None:
    node.write(CONF, OURS)
    node.record().add(EVERY_KIND, OURS)
    node.take_away()
    assert not (node.root / CONF[1:]).exists()


def test_a_file_that_somebody_else_has_written_since_stays(node: Node) -> None:
    node.record().add(EVERY_KIND, OURS)
    conf = node.write(CONF, "written by hand\n")
    node.take_away()
    assert conf.read_text() == "written by hand\n"


def test_without_a_record_nothing_is_taken_away(node: Node) -> None:
    conf = node.write(CONF, "theirs\n")
    record = node.record()
    assert record.known is None and not any(record.made().values())
    assert record.to_restore([CONF], OURS) == [] and record.to_tell_the_kernel() == {}
    node.take_away()
    assert conf.read_text() == "theirs\n"


def test_files_that_nobody_of_us_brought_are_told(node: Node) -> None:
    node.record().add(EVERY_KIND, OURS)
    node.write(CONF, OURS)
    node.write("/etc/web/mime.types", "of the package")
    node.packaged = {CONF, "/etc/web/mime.types"}
    node.changed = {CONF}
    assert node.record().strangers(OURS) == []
    node.write("/etc/web/conf.d/mine.conf", "")
    assert node.record().strangers(OURS) == ["/etc/web/conf.d/mine.conf"]


def test_a_file_that_somebody_else_has_written_since_is_theirs(node: Node) -> None:
    node.record().add(EVERY_KIND, OURS)
    node.packaged = {CONF, "/etc/web/mime.types"}
    node.write("/etc/web/mime.types", "")
    node.write(CONF, "of the package\n")
    assert node.record().strangers(OURS) == [], "the role was stopped before it wrote its own"
    node.write(CONF, "written by hand\n")
    node.changed = {CONF}
    assert node.record().strangers(OURS) == [CONF]
    node.changed = {CONF, "/etc/web/mime.types"}
    assert node.record().strangers(OURS) == ["/etc/web/mime.types", CONF]


def test_an_unpackaged_file_without_our_mark_is_theirs(node: Node) -> None:
    node.record().add(EVERY_KIND, OURS)
    node.write(CONF, "written by hand\n")
    assert node.record().strangers(OURS) == [CONF]


@pytest.mark.parametrize("kind", ["users", "groups"])
def test_a_user_that_two_parts_need_goes_with_the_last(node: Node, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []

    def known(name: str) -> None:
        if name not in names:
            raise KeyError(name)

    monkeypatch.setattr(pwd, "getpwnam", known)
    monkeypatch.setattr(grp, "getgrnam", known)
    node.record("first").add({kind: ["checks"]}, OURS)
    names.append("checks")
    node.record("second").add({kind: ["checks"]}, OURS)
    assert node.record("first").made()[kind] == [], "the other one needs it"
    node.record("first").forget()
    assert node.record("second").made()[kind] == ["checks"]
    node.record("second").forget()
    node.record("third").add({kind: ["checks"]}, OURS)
    assert node.record("third").made()[kind] == [], "it was there before"


def test_what_is_new_in_a_role_is_recorded_beside_the_old(node: Node) -> None:
    node.record().add({"files": [CONF]}, OURS)
    node.write(CONF, OURS)
    other = node.write("/etc/web/other.conf", "theirs\n")
    assert node.record().add({"files": [CONF, "/etc/web/other.conf"]}, OURS)
    other.write_text(OURS)
    node.take_away()
    assert not (node.root / CONF[1:]).exists() and other.read_text() == "theirs\n"


class Killed(BaseException):
    pass


@pytest.mark.parametrize("what", ["record", "take_away"])
def test_killed_at_any_step_and_run_again_it_converges(
    tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_replace, real_unlink = Path.replace, Path.unlink
    for dying in range(50):
        node = Node(tmp_path / str(dying))
        conf = node.write(CONF, "theirs\n")
        if what == "take_away":
            node.record().add(EVERY_KIND, OURS)
            node.write(CONF, OURS)
            node.kernel["net.ipv4.ip_forward"] = "0"
        steps = 0

        def step(real, *args, dying=dying, **kwargs):
            nonlocal steps
            if steps == dying:
                raise Killed
            steps += 1
            return real(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", lambda *a: step(real_replace, *a))
            patch.setattr(Path, "unlink", lambda *a, **k: step(real_unlink, *a, **k))
            try:
                node.record().add(EVERY_KIND, OURS) if what == "record" else node.take_away()
                survived = True
            except Killed:
                survived = False
        if what == "record":
            assert conf.read_text() == "theirs\n", "recording changes nothing"
            node.record().add(EVERY_KIND, OURS)
            node.write(CONF, OURS)
        node.take_away()
        assert conf.read_text() == "theirs\n"
        assert not (node.root / "var/lib/cloudha-vip").exists()
        assert sorted(p.name for p in conf.parent.iterdir()) == ["web.conf"], "no leftovers"
        if survived:
            break
    else:
        pytest.fail("it never ends")
    assert dying > 1


def test_a_damaged_record_is_not_taken_for_none(node: Node) -> None:
    node.write("/var/lib/cloudha-vip/before/web/record.json", "{")
    with pytest.raises(OSError, match=r"record\.json is damaged"):
        node.record()


def test_a_run_that_was_interrupted_is_unfinished(tmp_path):
    node = Node(tmp_path)
    record = node.record()
    assert not record.unfinished
    record.add(EVERY_KIND, OURS)
    record.begin()
    assert node.record().unfinished and not node.record("other").unfinished
    node.record().begin()
    node.record().finish()
    node.record().finish()
    assert not node.record().unfinished
    record.begin()
    node.record().forget()
    assert not node.record().unfinished
