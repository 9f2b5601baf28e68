# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the role's variables of a host are of the right types, and can be written in keepalived's syntax."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from .conf import command_problem, split_command, word_problem
from .instance import Node, parse_address

Spec = Mapping[str, Any]


# Types


def structure_problems(node: Node, spec: Spec) -> Iterator[str]:
    """Values that should be lists or dictionaries and are not, and missing keys in them. With these, nothing else can
    be checked."""
    given = {name: node[name] for name in spec if node.get(name) is not None}
    return _structure(given, spec, "")


def _structure(given: Mapping[str, Any], spec: Spec, where: str) -> Iterator[str]:
    for name, option in spec.items():
        value, path = given.get(name), f"{where}{name}"
        if value is None:
            if where and option.get("required") and name != "addresses":  # of which another message tells more
                yield f"{path} is missing; add it"
        elif option["type"] == "list":
            if not isinstance(value, (list, tuple)):
                yield f"{path} is {_shown(value)}; write a list"
            else:
                for position, item in enumerate(value):
                    yield from _element(item, option, f"{path}[{_label(item, position)}]")
        elif option["type"] == "dict" and not isinstance(value, Mapping):
            yield f"{path} is {_shown(value)}; write a dictionary"
        elif option["type"] == "dict":
            yield from _structure(value, option.get("options") or {}, f"{path}.")
        elif isinstance(value, (list, tuple, Mapping)):
            yield f"{path} is {_shown(value)}; write a single value"


def _element(item: Any, option: Spec, path: str) -> Iterator[str]:
    wanted = option.get("elements", "raw")
    if wanted == "dict" and not isinstance(item, Mapping):
        yield f"{path} is {_shown(item)}; write a dictionary"
    elif wanted == "dict":
        yield from _structure(item, option.get("options") or {}, f"{path}.")
    elif item is None or isinstance(item, (list, tuple)) or (wanted == "str" and isinstance(item, Mapping)):
        yield f"{path} is {_shown(item)}; write a single value" + (" or a dictionary" if wanted == "raw" else "")


def _label(item: Any, position: int) -> Any:
    return item["name"] if isinstance(item, Mapping) and "name" in item else position


def _shown(value: Any) -> str:
    """The kind of the value, but not the value, which may be a secret."""
    kinds = {dict: "a dictionary", list: "a list", tuple: "a list", str: "a text", bool: "a boolean"}
    other = "empty" if value is None else "a number"
    return next((text for kind, text in kinds.items() if isinstance(value, kind)), other)


def scalar_problems(node: Node, spec: Spec) -> Iterator[str]:
    """Numbers, booleans and choices which are none. Expects no structure_problems."""
    return _scalars({name: node[name] for name in spec if name in node}, spec, _LEAST, "")


def _scalars(given: Mapping[str, Any], spec: Spec, least: Mapping[str, Any], where: str) -> Iterator[str]:
    for name, option in spec.items():
        value, path = given.get(name), f"{where}{name}"
        inner = option.get("options")
        if value is None or name in _CHECKED_WITH_THEIR_RANGE:
            continue
        if inner:
            for position, item in enumerate(value if option["type"] == "list" else [value]):
                label = f"[{_label(item, position)}]" if option["type"] == "list" else ""
                yield from _scalars(item, inner, least.get(name, {}), f"{path}{label}.")
        elif option["type"] in _SCALARS and not _SCALARS[option["type"]].holds(value):
            yield f"{path} is {value}; write {_SCALARS[option['type']].example}"
        elif name in least and float(value) < least[name]:
            yield f"{path} is {value}; use {least[name]} or more"
        elif name in least and name.endswith("port") and int(value) > 65535:
            yield f"{path} is {value}; use {least[name]} to 65535"
        elif "choices" in option and str(value) not in map(str, option["choices"]):
            yield f"{path} is {value}; choose one of {', '.join(map(str, option['choices']))}"


class _Scalar(NamedTuple):
    pattern: str
    example: str

    def holds(self, value: Any) -> bool:
        return re.fullmatch(self.pattern, str(value).lower()) is not None


_SCALARS = {
    "int": _Scalar(r"-?[0-9]{1,9}", "a whole number"),
    "float": _Scalar(r"-?[0-9]{1,9}(\.[0-9]+)?", "a number"),
    "bool": _Scalar("1|on|t|true|y|yes|0|off|f|false|n|no", "true or false"),
}
_LEAST: dict[str, Any] = {
    "keepalived_settle_timeout": 0,
    "keepalived_instances": {
        "garp_master_delay": 0,
        "garp_master_repeat": 0,
        "garp_master_refresh": 0,
        "garp_master_refresh_repeat": 0,
        "garp_lower_prio_delay": 0,
        "garp_lower_prio_repeat": 0,
    },
    "keepalived_track_scripts": {"interval": 1, "timeout": 1, "rise": 1, "fall": 1},
    "keepalived_track_processes": {"quorum": 1, "delay": 0},
    "keepalived_virtual_servers": {
        "port": 0,
        "fwmark": 1,
        "delay_loop": 0.001,
        "persistence_timeout": 0,
        "quorum": 1,
        "sorry_server": {"port": 0},
        "real_servers": {
            "port": 0,
            "weight": 0,
            "check": {
                "connect_port": 0,
                "timeout": 0.001,
                "retry": 0,
                "delay_before_retry": 0,
                "status_code": 100,
            },
        },
    },
}
_CHECKED_WITH_THEIR_RANGE = (
    "virtual_router_id",
    "priority",
    "version",
    "detection_ms",
    "keepalived_detection_ms",
    "keepalived_rt_priority",
    "keepalived_startup_delay_s",
    "preempt_delay",
)


# Syntax


def _name(value: str) -> str:
    plain = re.fullmatch(r"[\w.:-]{1,100}", value)
    return "" if plain else "breaks the syntax; use at most 100 letters, digits and . : _ - only"


def _word(value: str) -> str:
    problem = word_problem(value)
    return f"{problem}; keepalived has no way to write that, use another one" if problem else ""


def _absolute(value: str) -> str:
    return _word(value) or ("" if value.startswith("/") else "is no absolute path; write the path in full")


def _path(value: str) -> str:
    plain = re.fullmatch(r"/[\w./@+:,=~-]{0,900}", value)
    return "" if plain else "is no absolute path of letters, digits and . / @ + : , = ~ _ -; choose such a one"


def _command(value: str) -> str:
    problem = command_problem(value)
    advice = "write the path in full" if "absolute" in problem else "put the command into a script of its own"
    return f"{problem}; {advice}" if problem else ""


def _process(value: str) -> str:
    try:
        words = split_command(value)
    except ValueError as e:
        return f"cannot be split into words ({str(e).lower()}); close the quote"
    return next(filter(None, map(_word, words or [""])), "")


def _interface(value: str) -> str:
    plain = re.fullmatch(r"""[^\s/"'\\#!{}$\x00-\x1f]{1,15}""", value)
    return "" if plain else "is no name of an interface; use at most 15 letters, digits and . : _ -"


def _user(value: str) -> str:
    names = value.split(" ")
    plain = len(names) <= 2 and all(re.fullmatch(r"[A-Za-z0-9_][\w.@-]{0,99}\$?", name) for name in names)
    return "" if plain else "is no user; write its name, and by choice that of a group behind a space"


def _scope(value: str) -> str:
    return "" if re.fullmatch(r"[\w-]+", value) else "is no scope; use host, link, global, or a number"


def _line(value: str) -> str:
    if not value.strip():
        return "is empty; remove it"
    if re.search(r"[\x00-\x1f\x7f{}\"'\\#!$]", value):
        return "has a line break, a control character, or one of { } \" ' \\ # ! $; write one entry in one line"
    return _raw(value)


def _raw(value: str) -> str:
    if "\0" in value:
        return "has a NUL character; remove it"
    longest = max(len(line.encode(errors="surrogateescape")) for line in value.split("\n"))
    return f"has a line of {longest} bytes, and keepalived reads at most 1000; shorten it" if longest > 1000 else ""


def _address(value: str) -> str:
    if parse_address(value) and "%" not in value:
        return ""
    return "is not an address; write it without a prefix length, for example 192.0.2.10"


def _peer(value: str) -> str:
    usual = str(parse_address(value))  # as the role compares it
    return _address(value) or ("" if value == usual else f"is not in the usual spelling; write {usual}")


Check = Callable[[str], str]  # what is wrong, and what to do; empty if nothing is
_NOTIFY: dict[str, Check] = dict.fromkeys(
    ("notify", *(f"notify_{event}" for event in ("master", "backup", "fault", "stop", "master_rx_lower_pri"))), _command
)
_SYNTAX: dict[str, Any] = {
    "keepalived_python": _path,
    "keepalived_router_id": _word,
    "keepalived_script_user": _user,
    "keepalived_notify_fifo": lambda value: _absolute(value) if value else "",
    "keepalived_global_extra": _raw,
    "keepalived_extra_config": _raw,
    "keepalived_removed_peers": _peer,
    "keepalived_track_scripts": {"name": _name, "script": _command, "user": _user},
    "keepalived_track_files": {"name": _name, "file": _absolute},
    "keepalived_track_processes": {"name": _name, "process": _process},
    "keepalived_sync_groups": {"name": _name, "extra": _raw, **_NOTIFY},
    "keepalived_instances": {
        "interface": _interface,
        "addresses": {"label": _interface, "device": _interface, "scope": _scope},
        "excluded_addresses": {"label": _interface, "device": _interface, "scope": _scope},
        "routes": _line,
        "rules": _line,
        "extra": _raw,
        **_NOTIFY,
    },
    "keepalived_virtual_servers": {
        "quorum_up": _command,
        "quorum_down": _command,
        "sorry_server": {"address": _address},
        "extra": _raw,
        "real_servers": {
            "check": {"path": _word, "virtualhost": _word, "command": _command},
            "extra": _raw,
        },
    },
}


def syntax_problems(node: Node) -> Iterator[str]:
    """Values of which keepalived would read something else. Expects no structure_problems."""
    return _syntax(node, _SYNTAX, "")


def _syntax(given: Mapping[str, Any], table: Mapping[str, Any], where: str) -> Iterator[str]:
    for name, check in table.items():
        for path, item in _items(given, name, where):
            if isinstance(item, Mapping) and isinstance(check, Mapping):
                yield from _syntax(item, check, f"{path}.")
            elif item is not None and not isinstance(check, Mapping):
                problem = check(str(item))
                if problem:
                    yield f"{path} {problem}"


def _items(given: Mapping[str, Any], name: str, where: str) -> Iterator[tuple[str, Any]]:
    """A value, or each of a list of values, and where it is written."""
    value = given.get(name)
    if not isinstance(value, (list, tuple)):
        yield f"{where}{name}", value
        return
    for position, item in enumerate(value):
        yield f"{where}{name}[{_mark(item, position)}]", item


def _mark(item: Any, position: int) -> Any:
    if not isinstance(item, Mapping):
        return position
    return next((item[key] for key in ("name", "address", "fwmark") if item.get(key) is not None), position)


# Commands


class Command(NamedTuple):
    option: str  # which gives it
    words: list[str]
    user: str  # and by choice its group, behind a space


def commands(settings: Mapping[str, Any]) -> list[Command]:
    """All commands which keepalived is told to run. Expects no syntax_problems."""
    return list(_commands(settings, _SYNTAX, "", str(settings["keepalived_script_user"])))


def _commands(given: Mapping[str, Any], table: Mapping[str, Any], where: str, user: str) -> Iterator[Command]:
    for name, check in table.items():
        for path, item in _items(given, name, where):
            if isinstance(item, Mapping) and isinstance(check, Mapping):
                yield from _commands(item, check, f"{path}.", user)
            elif item is not None and check is _command:
                yield Command(path, split_command(str(item)), str(given.get("user") or user))
