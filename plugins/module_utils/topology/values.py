# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The allowed values of options that become part of a command, a unit, a file's name or nginx's configuration.

A value with a natural grammar is held to it. So it means the same wherever it is written. nginx's free texts are
quoted. Those of keepalived and of the agent's configuration are in keepalived/values.py and agent/config.py.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ..base import url

Check = Callable[[str], str]  # what is wrong, and what to do; empty if nothing is


class Whole(NamedTuple):
    """A check of all entries of a list together, once each of them is good."""

    check: Callable[[list[str]], str]
    each: Check | None = None


def _pattern(pattern: str, advice: str) -> Check:
    def check(value: str) -> str:
        return "" if re.fullmatch(pattern, value) else f"is {_shown(value)}; {advice}"

    return check


def _shown(value: str) -> str:
    return repr(value if len(value) <= 60 else f"{value[:60]}...")


def _address(value: str) -> str:
    try:
        ipaddress.ip_interface(value)
    except ValueError:
        return f"is {_shown(value)}; write an address such as 192.0.2.10 or 192.0.2.10/24"
    return f"is {_shown(value)}; leave out the % and what follows" if "%" in value else ""


def _plain_address(value: str) -> str:
    plain = _address(value) == "" and "/" not in value
    return "" if plain else f"is {_shown(value)}; write an address without a length, such as 192.0.2.10"


def _once(values: list[str]) -> str:
    """nginx refuses to listen on an address twice, however that is written."""
    addresses = [ipaddress.ip_address(value) for value in values]
    twice = next((value for value, address in zip(values, addresses) if addresses.count(address) > 1), "")
    return f"has {twice} more than once; leave out all but one" if twice else ""


def _port(value: str) -> str:
    return (
        "" if re.fullmatch("[0-9]{1,5}", value) and 1 <= int(value) <= 65535 else f"is {_shown(value)}; use 1 to 65535"
    )


def _url(value: str) -> str:
    """It may contain a password, and is not shown."""
    if re.fullmatch(r"(https?|tcp|udp)://[^\s\x00-\x1f\x7f]{1,2000}", value):
        return ""
    return "is not a URL; write it like http://192.0.2.10/healthz, tcp://192.0.2.10:5432 or udp://192.0.2.10:7"


def _url_or_none(value: str) -> str:
    return _url(value) if value else ""


# Seconds, longer than a restart of the agent.
SHORTEST_VERDICT = 3


def _outlasts_a_restart(value: str) -> str:
    if re.fullmatch("[0-9]{1,6}", value) and int(value) >= SHORTEST_VERDICT:
        return ""
    return (
        f"is {_shown(value)}, which a mere restart of the agent would outlast; give {SHORTEST_VERDICT} seconds or more"
    )


def _asked_url(value: str) -> str:
    """What the script asks; it may contain a password by mistake, and is not shown."""
    asked = url.parse(value)
    if asked is not None and asked.scheme == "http" and asked.in_range:
        return ""
    return "is no URL that the script can ask; write it like http://127.0.0.1:8080/healthz?full=1, with no user"


def _directives(lines: list[str]) -> str:
    """Each is written as it is; the text after it has to keep its meaning."""
    depth, open_statement = 0, False
    for kind, token in _nginx_tokens("\n".join(lines)):
        if kind == "unknown":
            return f"has {_shown(token)}, where a quote is not closed or a control character is; correct it"
        if len(token.encode(errors="surrogateescape")) > 4000:
            return "has a word of more than 4,000 bytes, which nginx does not read; shorten it"
        if kind != "end":
            open_statement = True
            continue
        depth += {"{": 1, "}": -1}.get(token, 0)
        if depth < 0:
            return "ends a block that it did not begin; remove the }, or quote it"
        if token == "}" and open_statement:
            return "has a line that does not end before a }; end it with ;"
        open_statement = False
    if depth:
        return "begins a block that it does not end; add the }"
    return "has a line that does not end; end it with ;" if open_statement else ""


_NGINX = re.compile(
    r"""
    (?P<space>\s+|\#[^\n]*)
    | (?P<end>[;{}])
    | (?P<word>("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')(?=[\s;{)]|$) | (?:\\.|\$\{|[^\s;{}"'\\\#])(?:\\.|\$\{|[^\s;{\\])*)
    | (?P<unknown>.+)
    """,
    re.VERBOSE | re.DOTALL,
)


def _nginx_tokens(text: str) -> Iterator[tuple[str, str]]:
    """As nginx takes a configuration apart."""
    if re.search(r"[\x00-\x08\x0e-\x1f\x7f]", text):
        yield "unknown", text
        return
    for match in _NGINX.finditer(text):
        if match.lastgroup != "space":
            yield str(match.lastgroup), match.group()


def nginx_quote(word: str) -> str:
    """A word as nginx's configuration has it. A $ still begins a variable, for which nginx knows no escape."""
    if re.fullmatch(r"[\w./:*-]+", word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


# Part of a directory's name on the controller; a command has it quoted.
_title = _pattern(
    r"[^\x00-\x1f\x7f/.][^\x00-\x1f\x7f/]{0,99}", "use at most 100 characters, no / and no control characters"
)
_file_name = _pattern(r"\w[\w.-]{0,99}", "use letters, digits and . _ - only, and begin with none of . -")
_user = _pattern(r"[A-Za-z_][A-Za-z0-9_-]{0,31}", "write the name of a user")
_unit = _pattern(r"[A-Za-z0-9:_.@\\-]{1,250}", "write the name of a systemd unit, such as nginx.service")
_path = _pattern(r"/[\w./@+:,=~-]{0,900}", "write an absolute path of letters, digits and . / @ + : , = ~ _ - only")
_interface = _pattern(r"[\w.:@-]{1,15}", "write the name of an interface, such as eth0")
_header = _pattern("[A-Za-z0-9-]{1,100}", "write the name of a header, such as X-Vip-Node")
_header_value = _pattern(
    r"[^\x00-\x1f\x7f$]{1,255}|\$hostname",
    "use at most 255 characters, and no $ and no control characters; or write $hostname",
)
_server_name = _pattern(r"[^\x00-\x1f\x7f]{1,1000}", "write names with a space between them")
_url_path = _pattern("/[!-~]{0,1000}", "begin with /, and use no spaces and ASCII only")
_host_port = _pattern(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+):[0-9]{1,5}", "write it like 127.0.0.1:5432")
_text = _pattern(r"[^\x00-\x1f\x7f]{1,500}", "use at most 500 characters, and no control characters")
_memory = _pattern(r"[0-9]{1,15}(\.[0-9]{1,3})?[KMGTPE%]?|infinity", "write it as systemd does, such as 128M")
_scheduler = _pattern("[a-z0-9_]{1,16}", "write the name of a scheduler, such as mh")


_VALUES: dict[str, Any] = {
    "drill_addresses": _address,
    "drill_node_header": _header,
    "drill_service": _unit,
    "drill_topology": _title,
    "drill_url": _url_or_none,
    "health_check_checks": {
        "name": _file_name,
        "process": _text,
        "url": _asked_url,
        "tcp": _host_port,
        "restart": _unit,
    },
    "health_check_user": _user,
    "local_address_python": _path,
    "lvs_director_schedulers": _scheduler,
    "lvs_real_server_addresses": _address,
    "lvs_real_server_drain_file": _path,
    "vip_drain_file": _path,
    "nginx_drain_file": _path,
    "nginx_drain_path": lambda value: _url_path(value) if value else "",
    "nginx_health_path": _url_path,
    "nginx_http_extra": Whole(_directives),
    "nginx_listen_addresses": Whole(_once, _plain_address),
    "nginx_node_header": _header,
    "nginx_node_name": _header_value,
    "nginx_port": _port,
    "nginx_server_extra": Whole(_directives),
    "nginx_server_name": _server_name,
    "vip_agent_fifo": _path,
    "vip_agent_memory_max": _memory,
    "vip_agent_python": _path,
    "vip_agent_verdict_lasts_s": _outlasts_a_restart,
    "vip_interface": _interface,
    "vrrp_interface": _interface,
}


def value_problems(given: Mapping[str, Any]) -> list[str]:
    """The problems of these options, in sentences. Each has its check here; a KeyError tells of one without."""
    return [problem for name, value in given.items() for problem in _problems(name, value, _VALUES[name])]


def _problems(path: str, value: Any, check: Any) -> Iterator[str]:
    if isinstance(check, Whole):
        found = list(_problems(path, value, check.each)) if check.each else []
        problem = "" if found else check.check([str(line) for line in value])
        yield from [f"{path} {problem}"] if problem else found
    elif isinstance(value, (list, tuple)):
        for position, item in enumerate(value):
            yield from _problems(f"{path}[{position}]", item, check)
    elif isinstance(value, Mapping) and isinstance(check, Mapping):
        for name, inner in check.items():
            if value.get(name) is not None:
                yield from _problems(f"{path}.{name}", value[name], inner)
    elif isinstance(value, Mapping) or isinstance(check, Mapping):
        yield (
            f"{path} is {'' if isinstance(value, Mapping) else 'not '}a dictionary; "
            "write the options as the role's documentation shows"
        )
    else:
        problem = check(str(value))
        if problem:
            yield f"{path} {problem}"


OLDEST_PYTHON = (3, 9)


def python_problems(version: str, python: str, host: str, program: str, option: str) -> list[str]:
    """Why a program of ours cannot run with this Python: see the filter python_problems."""
    numbers = re.match(r"(\d+)\.(\d+)", str(version))
    if numbers and tuple(map(int, numbers.groups())) >= OLDEST_PYTHON:
        return []
    is_it = f"is Python {version}" if numbers else "cannot be run"
    return [
        f"{python} on {host} {is_it}, and {program} needs Python {'.'.join(map(str, OLDEST_PYTHON))} or newer; "
        f"give the path of one as {option}"
    ]
