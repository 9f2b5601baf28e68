# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent's configuration: one JSON file, every mistake reported with the key it is in."""

from __future__ import annotations

import json
import os
import re
import socket

from ..base import url as urls
from . import kinds
from .guard import UNIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT_PATH = "/etc/vip-agent/config.json"
REQUIRED = object()
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_HOST_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*")


class ConfigError(Exception):
    """The configuration cannot be used; one line for each mistake."""


class Check:
    type: str
    name: str
    interval: float
    timeout: float
    fall: int
    rise: int


class TcpCheck(Check):
    type = "tcp"
    host: str
    port: int


class HttpCheck(TcpCheck):
    type = "http"
    tls: bool
    path: str
    host_header: str
    status: list[int]
    body: str | None
    tls_verify: bool
    tls_ca_file: str | None
    tls_server_name: str


class CommandCheck(Check):
    type = "command"
    command: list[str]


class Instance:
    name: str
    addresses: list[str]


class Action:
    type: str
    name: str
    instance: str
    check_interval: float
    timeout: float


# What a check and any action may have, with the types. A kind of action has options of its own.
CHECK_OPTIONS: dict[str, type] = {
    "type": str,
    "name": str,
    "interval_ms": int,
    "timeout_ms": int,
    "fall": int,
    "rise": int,
    "host": str,
    "port": int,
    "url": str,
    "host_header": str,
    "status": list,
    "body": str,
    "tls_verify": bool,
    "tls_ca_file": kinds.Path,
    "tls_server_name": str,
    "command": list,
}
ACTION_OPTIONS: dict[str, type] = {"type": str, "name": str, "check_interval_s": int, "timeout_s": int}


class Config:
    node: str
    keepalived: bool
    fifo: str
    drain_file: str
    check_dir: str
    state_dir: str
    event_log: str
    event_log_max_mb: int
    keepalived_pid_file: str
    keepalived_health: str
    keepalived_guard: str
    instances: list[Instance]
    checks: list[Check]
    actions: list[Action]


class Section:
    """Takes keys from an object, and remembers the errors in them.

    options: the keys that a parser may take, with their types; None if any. The type of a list of objects is a dict of
    their options.
    """

    def __init__(self, data: Any, where: str, problems: list[str], options: dict[str, Any] | None = None) -> None:
        self.where = where
        self.problems = problems
        self.options = options
        self.data: dict[str, Any] = {}
        if isinstance(data, dict):
            self.data = dict(data)
        else:
            self.problem("", f"must be an object, not {json.dumps(data)}")

    def problem(self, key: str, text: str) -> None:
        path = ".".join(part for part in (self.where, key) if part)
        self.problems.append(f"{path}: {text}" if path else text)

    def take(self, key: str, kind: type, default: Any = REQUIRED) -> Any:
        declared = None if self.options is None else self.options.get(key)
        if self.options is not None and (list if isinstance(declared, dict) else declared) is not kind:
            # What the role converts for the agent it knows from there.
            raise TypeError(f"{self.where}: the option {key!r} is declared as {declared}, not as {kind}")
        value = self.data.pop(key, None)
        kind = str if kind is kinds.Path else kind
        if value is None:
            if default is REQUIRED:
                self.problem(key, "is required")
                return kind()
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            names = {str: "a text", int: "a whole number", bool: "true or false", list: "a list"}
            self.problem(key, f"must be {names[kind]}, not {json.dumps(value)}")
            return kind() if default is REQUIRED else default
        if isinstance(value, str) and not _is_text(value):
            self.problem(key, f"must have neither a NUL nor half a character in it, unlike {json.dumps(value)}")
            return "" if default is REQUIRED else default
        return value

    def number(self, key: str, low: int, high: int, default: Any = REQUIRED) -> int:
        value = self.take(key, int, default)
        if not low <= value <= high:
            self.problem(key, f"must be from {low} to {high}, not {value}")
        return value

    def some(self, key: str) -> list[Any]:
        """A list that is not empty."""
        if self.data.get(key) == []:
            self.problem(key, "must not be empty")
        return list(self.take(key, list))

    def path(self, key: str, default: Any = REQUIRED) -> Any:
        value = self.take(key, kinds.Path, default)
        if value is not None and not value.startswith("/"):
            self.problem(key, f"must be an absolute path, not {value!r}")
        return value

    def name(self, key: str) -> str:
        given = key in self.data
        value = self.take(key, str)
        if given and not _NAME.fullmatch(value):
            self.problem(
                key, f"{value!r} must be 1 to 64 letters, digits, '_', '-' or '.', and start with none of '-.'"
            )
        return value

    def end(self) -> None:
        for key in self.data:
            self.problem(key, "is not a known key")


def load(path: str) -> Config:
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not JSON: {error}") from error
    try:
        return parse(data)
    except ConfigError as error:
        raise ConfigError("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from None


def parse(data: Any) -> Config:
    problems: list[str] = []
    section = Section(data, "", problems)
    config = Config()
    config.node = section.take("node", str, "") or os.uname().nodename
    config.keepalived = section.take("keepalived", bool, True)
    config.fifo = section.path("fifo", "/run/cloudha-vip/notify")
    config.drain_file = section.path("drain_file", "/run/cloudha-vip/drain")
    config.check_dir = section.path("check_dir", "/run/cloudha-vip/check")
    config.state_dir = section.path("state_dir", "/run/cloudha-vip/agent")
    config.event_log = section.path("event_log", "/var/lib/vip-agent/events.jsonl")
    config.event_log_max_mb = section.number("event_log_max_mb", 1, 4096, 16)
    config.keepalived_pid_file = section.path("keepalived_pid_file", "/run/keepalived.pid")
    config.keepalived_health = section.path("keepalived_health", "/run/cloudha-vip/keepalived.json")
    config.keepalived_guard = section.path("keepalived_guard", UNIT)
    config.instances = [
        _instance(Section(item, f"instances[{index}]", problems))
        for index, item in enumerate(section.take("instances", list, []))
    ]
    config.checks = [
        _check(Section(item, f"checks[{index}]", problems, CHECK_OPTIONS))
        for index, item in enumerate(section.take("checks", list, []))
    ]
    config.actions = [
        _action(Section(item, f"actions[{index}]", problems), config.instances)
        for index, item in enumerate(section.take("actions", list, []))
    ]
    if config.instances and not config.keepalived:
        section.problem("instances", "must be empty without keepalived")
    for key, named in (("instances", config.instances), ("checks", config.checks), ("actions", config.actions)):
        names = [item.name for item in named]
        for name in sorted({name for name in names if names.count(name) > 1}):
            section.problem(key, f"the name {name!r} is used more than once")
    section.end()
    if problems:
        raise ConfigError("\n".join(problems))
    return config


def _instance(section: Section) -> Instance:
    instance = Instance()
    # Any name that keepalived accepts: it is compared, not used as a file name.
    instance.name = section.take("name", str)
    instance.addresses = []
    for index, text in enumerate(section.take("addresses", list, [])):
        address = normal_address(text) if isinstance(text, str) else None
        if address:
            instance.addresses.append(address)
        else:
            section.problem(f"addresses[{index}]", f"{json.dumps(text)} is not an IP address")
    section.end()
    return instance


def _check(section: Section) -> Check:
    parsers = {"http": _http, "tcp": _tcp, "command": _command}
    kind = section.take("type", str)
    if kind and kind not in parsers:
        section.problem("type", f"must be one of {', '.join(parsers)}, not {kind!r}")
    check = parsers[kind](section) if kind in parsers else Check()
    check.name = section.name("name")
    check.interval = section.number("interval_ms", 10, 3_600_000, 100) / 1000
    check.timeout = section.number("timeout_ms", 10, 600_000, 250) / 1000
    check.fall = section.number("fall", 1, 1000, 2)
    check.rise = section.number("rise", 1, 1000, 3)
    if kind in parsers:
        section.end()
    return check


def _tcp(section: Section) -> Check:
    check = TcpCheck()
    check.host = _host(section, "host", section.take("host", str, "127.0.0.1"))
    check.port = section.number("port", 1, 65535)
    return check


def _http(section: Section) -> Check:
    check = HttpCheck()
    given = section.take("url", str)
    url = urls.parse(given)
    if url is None or url.scheme == "tcp":
        if given:
            section.problem("url", f"must be like http://127.0.0.1:8080/healthz, not {given!r}")
        url = urls.Url("http", "127.0.0.1", None, "")
    check.tls = url.scheme == "https"
    check.host = _host(section, "url", url.host.strip("[]"))
    check.port = urls.PORTS[url.scheme] if url.port is None else url.port
    if not url.in_range:
        section.problem("url", f"the port must be from 1 to 65535, not {check.port}")
    check.path = url.path or "/"
    check.host_header = section.take("host_header", str, url.host if url.port is None else f"{url.host}:{url.port}")
    if not re.fullmatch(r"[!-~]+", check.host_header):
        section.problem("host_header", "must be printable ASCII without spaces")
    status = section.take("status", list, [200])
    if not status or not all(isinstance(code, int) and 100 <= code <= 599 for code in status):
        section.problem("status", f"must be a list of HTTP status codes, not {json.dumps(status)}")
    check.status = status
    check.body = section.take("body", str, None)
    check.tls_verify = section.take("tls_verify", bool, True)
    check.tls_ca_file = section.path("tls_ca_file", None)
    named = section.data.get("tls_server_name") is not None
    check.tls_server_name = section.take("tls_server_name", str, _without_port(check.host_header))
    if (check.tls or named) and not (
        _HOST_NAME.fullmatch(check.tls_server_name) or normal_address(check.tls_server_name)
    ):
        key, advice = ("tls_server_name", "") if named else ("host_header", "; or set tls_server_name")
        section.problem(key, f"{check.tls_server_name!r} is no name that a certificate could have{advice}")
    return check


def _without_port(host: str) -> str:
    """The host of a URL or of a header: [fd00::1]:443 and [fd00::1] are fd00::1."""
    return re.sub(r":[0-9]*$", "", host) if not host.startswith("[") else host[1:].partition("]")[0]


def _command(section: Section) -> Check:
    check = CommandCheck()
    check.command = section.take("command", list)
    if not check.command or not all(isinstance(word, str) and _is_text(word) for word in check.command):
        section.problem("command", "must be a list of texts: the program and its arguments")
    elif not check.command[0].startswith("/"):
        section.problem("command", f"the program must be an absolute path, not {check.command[0]!r}")
    return check


def _action(section: Section, instances: list[Instance]) -> Action:
    name = section.take("type", str)
    kind: Any = None
    try:
        kind = kinds.find(name) if name else None
    except kinds.UnknownKind as error:
        section.problem("type", str(error))
    if kind:
        section.options = {**ACTION_OPTIONS, **kind.options}
    action = kind.parse(section) if kind else Action()
    action.type = name
    given = isinstance(section.data.get("name"), str)
    action.name = section.take("name", str)
    if given and not (action.name.strip() and action.name.isprintable()):
        section.problem("name", f"must be a text in one line, not {action.name!r}")
    action.instance = section.take("instance", str) if kind is None or "instance" in kind.options else ""
    known = [instance.name for instance in instances]
    if action.instance and action.instance not in known:
        section.problem(
            "instance", f"{action.instance!r} is none of the instances: {', '.join(known) or 'there are none'}"
        )
    if kind and not issubclass(kind, kinds.Follower):  # a follower asks nobody, and waits for nobody
        action.check_interval = section.number("check_interval_s", 1, 3600, kind.machine.usual_check_interval_s)
        action.timeout = section.number("timeout_s", 5, 3600, 60)
    if kind:
        section.end()
    return action


def _host(section: Section, key: str, host: str) -> str:
    """An address: looking up a name could block the agent, and its failure would say nothing about the service."""
    if host == "localhost":
        return "127.0.0.1"
    address = normal_address(host)
    if not address:
        section.problem(key, f"{host!r} is not an IP address; to ask for a name, give it as host_header")
        return host
    return address


def normal_address(text: str) -> str | None:
    """An address in the form the kernel prints, without the prefix length; None if it is none."""
    plain = text.partition("/")[0]
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            return socket.inet_ntop(family, socket.inet_pton(family, plain))
        except (OSError, ValueError):
            continue
    return None


def _is_text(value: str) -> bool:
    """A value that can be written to a file, an address or a name of a file."""
    return "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)
