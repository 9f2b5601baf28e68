# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a user can run a program, as keepalived would find out only when it needs it; and how it is run itself."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import re
import shlex
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

# Where the service takes arguments of keepalived from: Debian's file, and Red Hat's.
SERVICE_ARGUMENTS = (("/etc/default/keepalived", "DAEMON_ARGS"), ("/etc/sysconfig/keepalived", "KEEPALIVED_OPTIONS"))
CONFIGURATION = "/etc/keepalived/keepalived.conf"
_FLAGS = "DdGIlmnPRVXx"  # the short options without an argument
_FILE = re.compile(rf"(?:--use-f[ile]*|-[{_FLAGS}]*f)=?(.*)")
_NO_VRRP = re.compile(rf"--check$|-[{_FLAGS}]*C")


def arguments_problem(files: Iterable[tuple[str, str]] = SERVICE_ARGUMENTS) -> str:
    """Settings that an operator gave the service, and that the role cannot work with; empty if there are none."""
    for file, variable in files:
        words = _arguments(file, variable)
        for word, following in zip(words, [*words[1:], ""]):
            effect = ""
            names_file = _FILE.fullmatch(word)
            if names_file and (names_file[1] or following) != CONFIGURATION:
                effect = f"read {names_file[1] or following or 'another configuration'}"
            elif _NO_VRRP.match(word):
                effect = "run without VRRP"
            if effect:
                return f"{variable} in {file} has {word}, by which keepalived would {effect}; remove it there"
    return ""


def _arguments(file: str, variable: str) -> list[str]:
    try:
        lines = Path(file).read_text(errors="replace").replace("\\\n", " ").splitlines()
        pairs = [line.partition("=") for line in lines]
        # Of several lines, systemd takes the last one.
        values = [value for name, _equals, value in pairs if name.strip() == variable]
        return " ".join(shlex.split(values[-1])).split() if values else []
    except (OSError, ValueError):
        return []


def program_problems(command: Mapping[str, Any], pretended: tuple[str, ...] = ()) -> Iterator[str]:
    """Why a command cannot be run; nothing if it can.

    command: option, words and user, as values.commands() gives them. pretended: users that the run will create.
    """
    option, program, user = command["option"], command["words"][0], command["user"]
    if user in pretended and not _exists(user):
        return
    try:
        uid, gid = _ids(user)
    except KeyError as e:
        yield f"{option} runs as {user}, and there is no {e.args[0]}; make it, or choose another one"
        return
    where = f"{option} runs {program} as {user}, which"
    try:
        real = _real_path(program, uid, gid)
    except OSError as e:
        yield f"{where} cannot be found ({e.strerror}); install it on this node, where {user} may reach it"
        return
    status = os.stat(real)
    if not stat.S_ISREG(status.st_mode):
        yield f"{where} is no file; name a program"
    elif not _executable(status, uid, gid):
        yield f"{where} {user} may not execute (mode {stat.S_IMODE(status.st_mode):04o}); make it executable"
    elif 0 in (uid, gid) or _becomes_root(status):
        for part in (Path(real), *Path(real).parents):
            if _writable_by_others(os.stat(part)):
                yield f"{where} others than root can change by way of {part}, and keepalived refuses it; protect it"
                return
    interpreter = _interpreter(real)
    if interpreter and not os.path.exists(interpreter):
        yield f"{where} begins with #!{interpreter}, which is not there; install it"


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _ids(user: str) -> tuple[int, int]:
    name, _space, group = user.partition(" ")
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise KeyError(f"user {name}") from None
    try:
        return entry.pw_uid, grp.getgrnam(group).gr_gid if group else entry.pw_gid
    except KeyError:
        raise KeyError(f"group {group}") from None


def _real_path(program: str, uid: int, gid: int) -> str:
    """The target of the path for this user. Raises OSError."""
    receiver, sender = os.pipe()
    child = os.fork()
    if not child:  # becomes the user, as what another one may reach cannot be asked for otherwise
        try:
            if os.geteuid() == 0:
                os.setgroups([gid])
                os.setgid(gid)
                os.setuid(uid)
            os.stat(program)
            os.write(sender, b"0" + os.fsencode(os.path.realpath(program)))
        except OSError as e:
            os.write(sender, str(e.errno).encode())
        finally:
            os._exit(0)
    os.close(sender)
    with os.fdopen(receiver, "rb") as file:
        answer = file.read()
    os.waitpid(child, 0)
    if not answer.startswith(b"0"):
        error = int(answer or errno.EIO)
        raise OSError(error, os.strerror(error), program)
    return os.fsdecode(answer[1:])


def _executable(status: os.stat_result, uid: int, gid: int) -> bool:
    """As keepalived decides it, without access control lists."""
    mode = status.st_mode
    if uid == 0:
        return bool(mode & 0o111)
    if uid == status.st_uid:
        return bool(mode & stat.S_IXUSR)
    return bool(mode & (stat.S_IXGRP if gid == status.st_gid else stat.S_IXOTH))


def _becomes_root(status: os.stat_result) -> bool:
    mode = status.st_mode
    return bool((status.st_uid == 0 and mode & stat.S_ISUID) or (status.st_gid == 0 and mode & stat.S_ISGID))


def _writable_by_others(status: os.stat_result) -> bool:
    mode = status.st_mode
    sticky = stat.S_ISDIR(mode) and mode & stat.S_ISVTX
    by_group = status.st_gid and mode & stat.S_IWGRP
    return bool(status.st_uid or (not sticky and (by_group or mode & stat.S_IWOTH)))


def _interpreter(path: str) -> str:
    try:
        with open(path, "rb") as file:
            first = file.readline(256)
    except OSError:  # a program that may be run, but not read
        return ""
    words = first[2:].split() if first.startswith(b"#!") else []
    return os.fsdecode(words[0]) if words else ""
