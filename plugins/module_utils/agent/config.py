# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent's configuration: one JSON file, every mistake reported with the key it is in."""

from __future__ import annotations

import json
import os
import re
import socket

from .guard import UNIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT_PATH = "/etc/vip-agent/config.json"
_REQUIRED = object()
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_URL = re.compile(r"(https?)://(\[[0-9A-Fa-f:.]+\]|[^/:\[\]@?#]+)(?::([0-9]{1,5}))?(/[!-~]*)?")
_HOST_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*")
_GCP_NAME = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")
_GCP_PROJECT = re.compile(r"(?:[a-z0-9.-]+:)?[a-z][-a-z0-9]{2,62}[a-z0-9]")
_GCP_INTERFACE = re.compile(r"nic[0-9]{1,2}(?:\.[0-9]{1,4})?")


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


class GcpAction(Action):
    endpoint: str
    ca_file: str | None
    metadata_url: str


class GcpRouteAction(GcpAction):
    """None: the metadata server's project; the priority, tags and description that the route has."""

    type = "gcp_route"
    destination: str
    network: str
    project: str | None
    priority: int | None
    tags: list[str] | None
    description: str | None
    lease: float
    settle: float


class GcpAliasIpAction(GcpAction):
    """ranges: in CIDR notation. range_name: "" for the primary range of the subnet, None to find it out.

    peers: from which the ranges may be taken, as projects/P/zones/Z/instances/I.
    """

    type = "gcp_alias_ip"
    ranges: list[str]
    range_name: str | None
    interface: str
    peers: list[str]
    stop_source: bool


class Config:
    node: str
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


class _Section:
    """Takes keys from an object, and remembers what is wrong with them."""

    def __init__(self, data: Any, where: str, problems: list[str]) -> None:
        self.where = where
        self.problems = problems
        self.data: dict[str, Any] = {}
        if isinstance(data, dict):
            self.data = dict(data)
        else:
            self.problem("", f"must be an object, not {json.dumps(data)}")

    def problem(self, key: str, text: str) -> None:
        path = ".".join(part for part in (self.where, key) if part)
        self.problems.append(f"{path}: {text}" if path else text)

    def take(self, key: str, kind: type, default: Any = _REQUIRED) -> Any:
        value = self.data.pop(key, None)
        if value is None:
            if default is _REQUIRED:
                self.problem(key, "is required")
                return kind()
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            names = {str: "a text", int: "a whole number", bool: "true or false", list: "a list"}
            self.problem(key, f"must be {names[kind]}, not {json.dumps(value)}")
            return kind() if default is _REQUIRED else default
        if isinstance(value, str) and not _is_text(value):
            self.problem(key, f"must have neither a NUL nor half a character in it, unlike {json.dumps(value)}")
            return "" if default is _REQUIRED else default
        return value

    def number(self, key: str, low: int, high: int, default: Any = _REQUIRED) -> int:
        value = self.take(key, int, default)
        if not low <= value <= high:
            self.problem(key, f"must be from {low} to {high}, not {value}")
        return value

    def some(self, key: str) -> list[Any]:
        """A list that is not empty."""
        if self.data.get(key) == []:
            self.problem(key, "must not be empty")
        return list(self.take(key, list))

    def path(self, key: str, default: Any = _REQUIRED) -> Any:
        value = self.take(key, str, default)
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
    section = _Section(data, "", problems)
    config = Config()
    config.node = section.take("node", str, os.uname().nodename)
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
        _instance(_Section(item, f"instances[{index}]", problems))
        for index, item in enumerate(section.take("instances", list, []))
    ]
    config.checks = [
        _check(_Section(item, f"checks[{index}]", problems))
        for index, item in enumerate(section.take("checks", list, []))
    ]
    config.actions = [
        _action(_Section(item, f"actions[{index}]", problems), config.instances)
        for index, item in enumerate(section.take("actions", list, []))
    ]
    for key, named in (("instances", config.instances), ("checks", config.checks), ("actions", config.actions)):
        names = [item.name for item in named]
        for name in sorted({name for name in names if names.count(name) > 1}):
            section.problem(key, f"the name {name!r} is used more than once")
    section.end()
    if problems:
        raise ConfigError("\n".join(problems))
    return config


def _instance(section: _Section) -> Instance:
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


def _check(section: _Section) -> Check:
    kinds = {"http": _http, "tcp": _tcp, "command": _command}
    kind = section.take("type", str)
    if kind and kind not in kinds:
        section.problem("type", f"must be one of {', '.join(kinds)}, not {kind!r}")
    check = kinds[kind](section) if kind in kinds else Check()
    check.name = section.name("name")
    check.interval = section.number("interval_ms", 10, 3_600_000, 100) / 1000
    check.timeout = section.number("timeout_ms", 10, 600_000, 250) / 1000
    check.fall = section.number("fall", 1, 1000, 2)
    check.rise = section.number("rise", 1, 1000, 3)
    if kind in kinds:
        section.end()
    return check


def _tcp(section: _Section) -> Check:
    check = TcpCheck()
    check.host = _host(section, "host", section.take("host", str, "127.0.0.1"))
    check.port = section.number("port", 1, 65535)
    return check


def _http(section: _Section) -> Check:
    check = HttpCheck()
    url = section.take("url", str)
    match = _URL.fullmatch(url)
    if url and not match:
        section.problem("url", f"must be like http://127.0.0.1:8080/healthz, not {url!r}")
    scheme, host, port, path = match.groups() if match else ("http", "127.0.0.1", None, None)
    check.tls = scheme == "https"
    check.host = _host(section, "url", host.strip("[]"))
    check.port = int(port or (443 if check.tls else 80))
    if not 1 <= check.port <= 65535:
        section.problem("url", f"the port must be from 1 to 65535, not {check.port}")
    check.path = path or "/"
    check.host_header = section.take("host_header", str, f"{host}:{port}" if port else host)
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


def _command(section: _Section) -> Check:
    check = CommandCheck()
    check.command = section.take("command", list)
    if not check.command or not all(isinstance(word, str) and _is_text(word) for word in check.command):
        section.problem("command", "must be a list of texts: the program and its arguments")
    elif not check.command[0].startswith("/"):
        section.problem("command", f"the program must be an absolute path, not {check.command[0]!r}")
    return check


def _action(section: _Section, instances: list[Instance]) -> Action:
    kinds = {"gcp_route": _gcp_route, "gcp_alias_ip": _gcp_alias_ip}
    kind = section.take("type", str)
    if kind and kind not in kinds:
        section.problem("type", f"must be one of {', '.join(kinds)}, not {kind!r}")
    action: Action = kinds[kind](section) if kind in kinds else Action()
    given = isinstance(section.data.get("name"), str)
    action.name = section.take("name", str)
    if given and not (action.name.strip() and action.name.isprintable()):
        section.problem("name", f"must be a text in one line, not {action.name!r}")
    elif given and kind == "gcp_route" and not _GCP_NAME.fullmatch(action.name):
        section.problem("name", f"{action.name!r} is no name of a route: {_GCP_NAME_IN_WORDS}")
    action.instance = section.take("instance", str)
    known = [instance.name for instance in instances]
    if action.instance and action.instance not in known:
        section.problem(
            "instance", f"{action.instance!r} is none of the instances: {', '.join(known) or 'there are none'}"
        )
    action.check_interval = section.number("check_interval_s", 1, 3600, 10)
    action.timeout = section.number("timeout_s", 5, 3600, 60)
    if kind in kinds:
        section.end()
    return action


_GCP_NAME_IN_WORDS = "1 to 63 small letters, digits or '-', a letter first, and no '-' at the end"


def _gcp_route(section: _Section) -> Action:
    action = GcpRouteAction()
    action.destination = section.take("destination", str)
    if action.destination and not _span(action.destination):
        section.problem(
            "destination",
            f"must be an IPv4 range with its length and no bits beyond that, such as 10.200.1.1/32, "
            f"not {action.destination!r}",
        )
    action.project = section.take("project", str, None)
    if action.project is not None and not _GCP_PROJECT.fullmatch(action.project):
        section.problem("project", f"{action.project!r} is no id of a project")
    action.network = section.take("network", str)
    # A path as the API writes it, with or without what stands before it, or a name in the project.
    path = re.fullmatch(r"(?:https?://.*/)?projects/([^/]+)/global/networks/([^/]+)", action.network)
    if path and _GCP_PROJECT.fullmatch(path[1]) and _GCP_NAME.fullmatch(path[2]):
        action.network = f"projects/{path[1]}/global/networks/{path[2]}"
    elif action.network and not _GCP_NAME.fullmatch(action.network):
        section.problem(
            "network", f"must be a name or like projects/PROJECT/global/networks/NAME, not {action.network!r}"
        )
    if path and action.project not in (None, path[1]):
        # The API takes no route elsewhere.
        section.problem(
            "project", f"must be that of the network, {path[1]}, or be left out, and not {action.project!r}"
        )
    action.priority = section.take("priority", int, None)
    if action.priority is not None and not 1 <= action.priority <= 65535:
        # 0 would leave no room for the temporary route that has to be better.
        section.problem("priority", f"must be from 1 to 65535, not {action.priority}")
    action.tags = section.take("tags", list, None)
    if not all(isinstance(tag, str) and _GCP_NAME.fullmatch(tag) for tag in action.tags or ()):
        section.problem("tags", f"must be a list of network tags, each {_GCP_NAME_IN_WORDS}")
    action.description = section.take("description", str, None)
    action.lease = section.number("lease_s", 1, 600, 20)
    action.settle = section.number("settle_ms", 0, 60_000, 1000) / 1000
    _gcp_api(section, action)
    return action


def _gcp_alias_ip(section: _Section) -> Action:
    action = GcpAliasIpAction()
    action.ranges = _ranges(section)
    action.range_name = section.take("range_name", str, None)
    if action.range_name and not _GCP_NAME.fullmatch(action.range_name):
        section.problem("range_name", f"{action.range_name!r} is no name of a secondary range: {_GCP_NAME_IN_WORDS}")
    action.interface = section.take("interface", str, "nic0")
    if not _GCP_INTERFACE.fullmatch(action.interface):
        section.problem("interface", f"must be like nic0, not {action.interface!r}")
    action.peers = _peers(section)
    choice = section.take("on_source_failure", str, "fail")
    if choice not in ("fail", "stop"):
        section.problem("on_source_failure", f"must be one of fail, stop, not {choice!r}")
    action.stop_source = choice == "stop"
    _gcp_api(section, action)
    return action


def _ranges(section: _Section) -> list[str]:
    ranges: list[str] = []
    spans: list[tuple[int, int]] = []
    for index, text in enumerate(section.some("ranges")):
        cidr = text if isinstance(text, str) and "/" in text else f"{text}/32"
        span = _span(cidr) if isinstance(text, str) else None
        if span is None:
            section.problem(
                f"ranges[{index}]",
                "must be an IPv4 address, or a range with its length and no bits beyond that, such as 10.100.9.0/28, "
                f"not {json.dumps(text)}",
            )
            continue
        other = next((ranges[n] for n, (first, last) in enumerate(spans) if first <= span[1] and span[0] <= last), None)
        if other:
            section.problem(f"ranges[{index}]", f"{cidr} overlaps {other}")
        ranges.append(cidr)
        spans.append(span)
    return ranges


def _peers(section: _Section) -> list[str]:
    """With or without what the API writes before a path."""
    peers: list[str] = []
    for index, text in enumerate(section.some("peers")):
        path = re.fullmatch(r"(?:https?://.*/)?projects/([^/]+)/zones/([^/]+)/instances/([^/]+)", str(text))
        if not path or not _GCP_PROJECT.fullmatch(path[1]) or not all(map(_GCP_NAME.fullmatch, path.groups()[1:])):
            section.problem(
                f"peers[{index}]", f"must be like projects/PROJECT/zones/ZONE/instances/NAME, not {json.dumps(text)}"
            )
            continue
        peer = "projects/{}/zones/{}/instances/{}".format(*path.groups())
        if peer in peers:
            section.problem(f"peers[{index}]", f"{peer} is there twice")
        peers.append(peer)
    return peers


def _gcp_api(section: _Section, action: GcpAction) -> None:
    action.endpoint = _service(section, "endpoint", "https://compute.googleapis.com/compute/v1")
    action.ca_file = section.path("ca_file", None)
    action.metadata_url = _service(section, "metadata_url", "http://169.254.169.254")


def _span(cidr: str) -> tuple[int, int] | None:
    """First and last address of an IPv4 network; None if it is none."""
    address, _slash, length = cidr.partition("/")
    try:
        first = int.from_bytes(socket.inet_pton(socket.AF_INET, address), "big")
    except (OSError, ValueError):
        return None
    rest = (1 << 32 - int(length)) - 1 if re.fullmatch("[0-9]|[12][0-9]|3[0-2]", length) else -1
    return None if rest < 0 or first & rest else (first, first | rest)


def _service(section: _Section, key: str, default: str) -> str:
    url = str(section.take(key, str, default)).rstrip("/")
    match = _URL.fullmatch(url)
    if not match or not 1 <= int(match[3] or 80) <= 65535 or set("?#") & set(url):
        section.problem(key, f"must be like {default}, not {url!r}")
    return url


def _host(section: _Section, key: str, host: str) -> str:
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
    """What can be written to a file, an address or a name of a file."""
    return "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)
