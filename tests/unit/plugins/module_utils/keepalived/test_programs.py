# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pwd

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.programs import arguments_problem, program_problems

ME = pwd.getpwuid(os.geteuid()).pw_name
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "tell"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    for directory in (tmp_path, *list(tmp_path.parents)[:3]):
        if directory.stat().st_uid == os.geteuid() and str(directory) != "/tmp":
            directory.chmod(0o755)
    return path


def problems(program, user=ME, **more):
    return list(program_problems({"option": "notify", "words": [str(program), "x"], "user": user}, **more))


def only(*args, **kwargs):
    (problem,) = problems(*args, **kwargs)
    assert problem.startswith("notify runs ")
    assert "; " in problem
    return problem


def test_a_program_of_the_system():
    assert problems("/bin/true") == problems("/bin/true", "nobody") == []


def test_a_program_which_is_not_there(tmp_path):
    assert f"{tmp_path}/none as {ME}, which cannot be found (No such file or directory)" in only(tmp_path / "none")


def test_a_link_which_leads_nowhere(tmp_path):
    (tmp_path / "link").symlink_to("none")
    assert "cannot be found" in only(tmp_path / "link")


@root_only
@pytest.mark.parametrize("mode", [0o644, 0o700, 0o754])
def test_a_program_which_its_user_may_not_execute(program, mode):
    program.chmod(mode)
    assert f"nobody may not execute (mode {mode:04o})" in only(program, "nobody")
    program.chmod(0o755)
    assert problems(program, "nobody") == []


@root_only
def test_a_program_in_a_directory_which_its_user_may_not_enter(program):
    program.parent.chmod(0o700)
    assert "cannot be found (Permission denied)" in only(program, "nobody")


def test_a_directory_is_no_program(tmp_path):
    assert "is no file" in problems(tmp_path)[0]


def test_a_user_who_is_not_there(program):
    assert (
        only(program, "nobody2")
        == "notify runs as nobody2, and there is no user nobody2; make it, or choose another one"
    )
    assert only(program, f"{ME} group2").endswith("there is no group group2; make it, or choose another one")
    assert problems(program, "nobody2", pretended=("nobody2",)) == []


@root_only
def test_what_root_runs_must_be_safe_from_others(program):
    program.chmod(0o777)
    assert "others than root can change" in only(program, "root")
    assert problems(program, "nobody") == []


def test_an_interpreter_which_is_not_there(program):
    program.write_text("#!/usr/bin/python9 -I\n")
    assert any("begins with #!/usr/bin/python9, which is not there" in text for text in problems(program))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('DAEMON_ARGS=""', ""),
        ('# DAEMON_ARGS="-f /etc/other.conf"', ""),
        ('DAEMON_ARGS="-D -S 3 --config-id=first --log-detail"', ""),
        ('DAEMON_ARGS="-D -f /etc/other.conf"', "-f, by which keepalived would read /etc/other.conf"),
        ('  DAEMON_ARGS="-Df/etc/other.conf"', "-Df/etc/other.conf, by which"),
        ("DAEMON_ARGS=--use-file=/etc/other.conf", "--use-file=/etc/other.conf, by which"),
        ("DAEMON_ARGS=-C", "-C, by which keepalived would run without VRRP; remove it there"),
        ("DAEMON_ARGS=--check", "--check, by which"),
        ("DAEMON_ARGS=-f\nDAEMON_ARGS=-D", ""),
        ("OTHER=-f", ""),
        ('DAEMON_ARGS="-D -f /etc/keepalived/keepalived.conf"', ""),
        ("DAEMON_ARGS=--use-file=/etc/keepalived/keepalived.conf", ""),
        ('DAEMON_ARGS="--use-file /etc/x.conf"', "would read /etc/x.conf; remove it there"),
        ("DAEMON_ARGS=-mf/etc/x.conf", "would read /etc/x.conf; remove it there"),
        ('DAEMON_ARGS="-D \\\n-f /etc/x.conf"', "would read /etc/x.conf; remove it there"),
        ("DAEMON_ARGS = -f", "would read another configuration"),
        ('DAEMON_ARGS="-f', ""),
    ],
)
def test_arguments_that_an_operator_gave_to_the_service(tmp_path, text, told):
    file = tmp_path / "default"
    file.write_text(text + "\n")
    problem = arguments_problem([(str(tmp_path / "none"), "X"), (str(file), "DAEMON_ARGS")])
    assert told in problem
    assert bool(problem) == bool(told)
    assert not problem or problem.startswith(f"DAEMON_ARGS in {file} has ")
