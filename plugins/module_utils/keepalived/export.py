# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From keepalived.conf, however it was written, to the variables of the role which make the same.

Only values that differ from the role's defaults are given, so that the variables read as a person would write them.
Settings without a variable of their own go into the lists named extra. A note names each setting that cannot be kept.
"""

from __future__ import annotations

import ipaddress
import shlex
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from .conf import Statement, quote, render, split_command
from .instance import marker
from .timers import objective_for

Variables = dict[str, Any]


class Export(NamedTuple):
    variables: Variables
    notes: list[str]  # what the variables do not keep


class Option(NamedTuple):
    convert: Callable[[list[str]], Any]  # from the words after the keyword; ValueError when there is no such value
    theirs: Any = None  # keepalived's default
    ours: Any = None  # the role's default


def _one(words: list[str]) -> str:
    (word,) = words
    return word


def _words(words: list[str]) -> str:
    return words[0] if len(words) == 1 else " ".join(quote(word) for word in words)


def _command(words: list[str]) -> str:
    """As the role wants it, with the quotes of a shell. Words behind the command are a user, or not read at all."""
    return shlex.join(split_command(_one(words)))


def _program(words: list[str]) -> str:
    """keepalived reads the first word only, which may be a whole command in quotes; people write it without, too."""
    return shlex.join(split_command(words[0]) if len(words) == 1 else words)


def _whole(words: list[str]) -> int:
    return int(_one(words))


def _seconds(words: list[str]) -> float:
    value = float(_one(words))
    return int(value) if value.is_integer() else value


def _flag(words: list[str]) -> bool:
    return not words or {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}[_one(words)]


_NOTIFY = {
    f"notify{event}": Option(_command)
    for event in ("", "_master", "_backup", "_fault", "_stop", "_master_rx_lower_pri")
}
GLOBALS = {  # the role's defaults
    "keepalived_rt_priority": 0,
    "keepalived_script_user": "keepalived_script",
    "keepalived_startup_delay_s": 4,
}
SCRIPT = {
    "script": Option(_program),
    "interval": Option(_whole, 1, 1),
    "timeout": Option(_whole, 0, 1),  # 0: the interval
    "rise": Option(_whole, 1, 2),
    "fall": Option(_whole, 1, 2),
    "weight": Option(_whole, 0, 0),
    "user": Option(_words),
    "init_fail": Option(_flag, False, True),
}
FILE = {"file": Option(_one), "weight": Option(_whole, 1, 0)}
PROCESS = {
    "process": Option(shlex.join),
    "weight": Option(_whole, 1, 0),
    "quorum": Option(_whole, 1, 1),
    "delay": Option(_seconds, 0, 0),
    "full_command": Option(_flag, False, False),
    "param_match": Option(_one),
}
INSTANCE = {
    "interface": Option(_one),
    "virtual_router_id": Option(_whole),
    "priority": Option(_whole, 100),
    "version": Option(_whole, 2, 3),
    "nopreempt": Option(_flag, False, True),
    "preempt_delay": Option(_seconds),
    "garp_master_delay": Option(_whole, 5, 1),
    "garp_master_repeat": Option(_whole, 5, 5),
    "garp_master_refresh": Option(_whole, 0, 10),
    "garp_master_refresh_repeat": Option(_whole, 1, 1),
    "garp_lower_prio_delay": Option(_whole, None, 1),  # None: garp_master_delay
    "garp_lower_prio_repeat": Option(_whole, None, 5),  # None: garp_master_repeat
    **_NOTIFY,
}
SYNC_GROUP = {name: option for name, option in _NOTIFY.items() if name != "notify_master_rx_lower_pri"}
VIRTUAL_SERVER = {
    "protocol": Option(_one, "TCP", "TCP"),
    "delay_loop": Option(_seconds, 60, 2),
    "lvs_sched": Option(_one, "wlc", "wlc"),
    "lvs_method": Option(_one, "NAT", "DR"),
    "persistence_timeout": Option(_whole),
    "ha_suspend": Option(_flag, False, False),
    "quorum": Option(_whole, 1, 1),
    "quorum_up": Option(_command),
    "quorum_down": Option(_command),
}
REAL_SERVER = {"weight": Option(_whole, 1, 1), "inhibit_on_failure": Option(_flag, False, False)}
_CHECKS = {"TCP_CHECK": "tcp", "HTTP_GET": "http", "SSL_GET": "ssl", "MISC_CHECK": "misc"}
CHECK = {
    "connect_port": Option(_whole),
    "timeout": Option(_seconds, 5, 1),
    "retry": Option(_whole, 1, 1),
    "delay_before_retry": Option(_seconds, 1, 1),
    "path": Option(_one),
    "status_code": Option(_whole, None, 200),
    "virtualhost": Option(_one),
    "command": Option(_program),
}
_SYNONYMS = {
    "lb_algo": "lvs_sched",
    "lb_kind": "lvs_method",
    "vrrp_version": "version",
    "nb_get_retry": "retry",
    "connect_timeout": "timeout",
    "misc_timeout": "timeout",
    "misc_path": "command",
}
_TRACK = {
    "track_script": "track_scripts",
    "track_file": "track_files",
    "track_interface": "track_interfaces",
    "track_process": "track_processes",
}
_OWN_FILE = "drain"  # the role tracks it anyway
# The role writes these lines itself.
_OWN_GLOBALS = (
    ["enable_script_security"],
    ["vrrp_skip_check_adv_addr"],
    ["vrrp_higher_prio_send_advert", "true"],
    ["vrrp_no_swap"],
    ["vrrp_priority", "-20"],
    ["max_auto_priority", "-1"],
    ["vrrp_rlimit_rttime", "1000000"],
    ["fifo_write_vrrp_states_on_reload"],
)
_OWN_LINES = (["check_unicast_src"], ["native_ipv6"], ["preempt"], ["accept"])


def export(statements: Iterable[Statement]) -> Export:
    """The variables of one node from its parsed configuration."""
    exporter = _Exporter(list(statements))
    return Export(exporter.variables(), exporter.notes)


class _Exporter:
    def __init__(self, statements: list[Statement]) -> None:
        self.statements = statements
        self.notes: list[str] = []
        self.globals = [inner for s in statements if s.keyword == "global_defs" for inner in s.block or []]
        self.script_user = next(
            (s.arguments for s in self.globals if s.keyword == "script_user"), ["keepalived_script"]
        )
        # keepalived's defaults of an instance, as global_defs changes them
        self.defaults: Variables = {}
        for s in self.globals:
            if s.keyword[5:] in INSTANCE and s.keyword.startswith(("vrrp_version", "vrrp_garp_")):
                self.defaults[s.keyword[5:]] = INSTANCE[s.keyword[5:]].convert(s.arguments)

    def variables(self) -> Variables:
        handlers: dict[str, tuple[str, Callable[[Statement], Variables]]] = {
            "vrrp_instance": ("keepalived_instances", self.instance),
            "vrrp_sync_group": ("keepalived_sync_groups", self.sync_group),
            "vrrp_script": ("keepalived_track_scripts", self.script),
            "track_file": ("keepalived_track_files", self.file),
            "vrrp_track_file": ("keepalived_track_files", self.file),
            "vrrp_track_process": ("keepalived_track_processes", self.process),
            "track_process": ("keepalived_track_processes", self.process),
            "virtual_server": ("keepalived_virtual_servers", self.virtual_server),
        }
        found: Variables = self.global_defs()
        rest = []
        for statement in self.statements:
            if statement.keyword == "global_defs":
                continue
            variable, handler = handlers.get(statement.keyword, ("", None))
            if handler is None or statement.arguments[:1] == ["group"]:
                rest.append(statement)
            elif statement.arguments[:1] != [_OWN_FILE] or handler != self.file:
                found.setdefault(variable, []).append(handler(statement))
        if rest:
            found["keepalived_extra_config"] = "".join(f"{line}\n" for line in render(rest))
        _lift_objective(found)
        return found

    # Blocks

    def global_defs(self) -> Variables:
        found: Variables = {"keepalived_rt_priority": 0, "keepalived_startup_delay_s": 0}
        extra = []
        for statement in self.globals:
            keyword, arguments = statement.keyword, statement.arguments
            if keyword == "router_id":
                found["keepalived_router_id"] = _one(arguments)
            elif keyword == "script_user":
                found["keepalived_script_user"] = arguments[0]
                if arguments[0] == "root":
                    del found["keepalived_script_user"]
                    self.notes.append("global_defs: script_user root is left out, as scripts run unprivileged")
            elif keyword == "vrrp_notify_fifo":
                found["keepalived_notify_fifo"] = _one(arguments)
            elif keyword == "vrrp_startup_delay":
                found["keepalived_startup_delay_s"] = _seconds(arguments)
            elif keyword == "vrrp_rt_priority":
                found["keepalived_rt_priority"] = _whole(arguments)
            elif statement.words not in _OWN_GLOBALS and keyword[5:] not in self.defaults:
                extra.append(statement)
        if extra:
            found["keepalived_global_extra"] = render(extra)
        return {name: value for name, value in found.items() if value != GLOBALS.get(name)}

    def instance(self, statement: Statement) -> Variables:
        where = f"vrrp_instance {_name(statement)}"
        values, rest = _read(statement.block or [], INSTANCE, self.defaults)
        found: Variables = {"name": _name(statement), **values, "unicast": False}
        extra: list[Statement] = []
        advert_int_s, secret = 1.0, None
        for s in rest:
            if s.keyword == "advert_int":
                advert_int_s = float(_one(s.arguments))
            elif s.keyword == "state":
                if s.arguments == ["MASTER"]:
                    self.notes.append(f"{where}: state MASTER is left out, as all nodes start as BACKUP")
            elif s.keyword in ("unicast_src_ip", "mcast_src_ip") and len(s.arguments) == 1:
                found["source_address"] = s.arguments[0]
            elif s.keyword == "unicast_peer":
                found["unicast"] = True
                found["peers"] = [peer.keyword for peer in s.block or []]
                self.note_lost(where, [peer for peer in s.block or [] if peer.arguments], s.keyword)
            elif s.keyword in ("virtual_ipaddress", "virtual_ipaddress_excluded"):
                option = "addresses" if s.keyword == "virtual_ipaddress" else "excluded_addresses"
                found[option] = [self.address(where, a.words, found.get("interface")) for a in s.block or []]
            elif s.keyword in ("virtual_routes", "virtual_rules"):
                found[s.keyword[8:]] = render(s.block or [])
            elif s.keyword in _TRACK:
                self.track(where, s, found)
            elif s.keyword == "authentication":
                secret = next((inner.arguments for inner in s.block or [] if inner.keyword == "auth_pass"), None)
            elif s.words not in _OWN_LINES:
                extra.append(s)
        if found["unicast"]:
            del found["unicast"]
        mark = {"address": marker(found.get("virtual_router_id")), "device": "lo", "scope": "host"}
        if found.get("addresses") == [mark]:
            found["addresses"] = []
        elif not found.get("addresses"):
            self.notes.append(f"{where}: it announces no address; write addresses: [], and the role announces a mark")
        if any(":" in (a["address"] if isinstance(a, dict) else a) for a in found.get("addresses", [])):
            found.pop("version", None)  # keepalived knows IPv6 in version 3 only
        version = found.get("version", 3)
        if secret is not None and version == 3:
            self.notes.append(f"{where}: the password is left out, as VRRP version 3 has none")
        elif secret:
            found["auth_pass"] = secret[0][:8]  # keepalived uses no more of it
        elif secret is not None:
            self.notes.append(f"{where}: the password is left out, as it would be shown; set no_log to get it")
        if found.get("nopreempt", True):
            found.pop("preempt_delay", None)  # keepalived ignores it
        found["detection_ms"] = objective_for(advert_int_s, found["priority"], version)
        if extra:
            found["extra"] = render(extra)
        return found

    def sync_group(self, statement: Statement) -> Variables:
        where = f"vrrp_sync_group {_name(statement)}"
        values, rest = _read(statement.block or [], SYNC_GROUP)
        found: Variables = {"name": _name(statement), "instances": []}
        extra = []
        for s in rest:
            if s.keyword == "group":
                found["instances"] = [word for inner in s.block or [] for word in inner.words]
            elif s.keyword in _TRACK:
                self.track(where, s, found)
            else:
                extra.append(s)
        if extra:
            found["extra"] = render(extra)
        return {**found, **values}

    def script(self, statement: Statement) -> Variables:
        values, rest = _read(statement.block or [], SCRIPT)
        if values.get("user") == _words(self.script_user):
            del values["user"]
        if not values.get("timeout", 1):
            values["timeout"] = values.get("interval", 1)
        if values.get("timeout") == 1:
            del values["timeout"]
        self.note_lost(f"vrrp_script {_name(statement)}", rest)
        return {"name": _name(statement), **values}

    def file(self, statement: Statement) -> Variables:
        values, rest = _read(statement.block or [], FILE)
        for s in rest:
            if s.keyword == "init_file":
                numbers = [word for word in s.arguments if word != "overwrite"]
                values["init"] = int(numbers[0]) if numbers else 0
                if "overwrite" in s.arguments:
                    values["overwrite"] = True
        self.note_lost(f"track_file {_name(statement)}", [s for s in rest if s.keyword != "init_file"])
        return {"name": _name(statement), **values}

    def process(self, statement: Statement) -> Variables:
        values, rest = _read(statement.block or [], PROCESS)
        self.note_lost(f"track_process {_name(statement)}", rest)
        return {"name": _name(statement), **values}

    def virtual_server(self, statement: Statement) -> Variables:
        values, rest = _read(statement.block or [], VIRTUAL_SERVER)
        found: Variables = {}
        if statement.arguments[0] == "fwmark":
            found["fwmark"] = int(statement.arguments[1])
        else:
            found.update(_address_and_port(statement.arguments))
        extra = []
        for s in rest:
            if s.keyword == "sorry_server":
                values["sorry_server"] = _address_and_port(s.arguments)
            elif s.keyword == "real_server":
                values.setdefault("real_servers", []).append(self.real_server(s))
            else:
                extra.append(s)
        if extra:
            values["extra"] = render(extra)
        if "fwmark" in found:  # there, keepalived has no port, and the variables need one
            for server in (*values.get("real_servers", ()), *filter(None, [values.get("sorry_server")])):
                server.setdefault("port", 0)
        return {**found, **values}

    def real_server(self, statement: Statement) -> Variables:
        values, rest = _read(statement.block or [], REAL_SERVER)
        extra = []
        for s in rest:
            check = None if "check" in values else self.check(s)
            if check:
                values["check"] = check
            else:
                extra.append(s)
        if extra:
            values["extra"] = render(extra)
        return {**_address_and_port(statement.arguments), **values}

    def check(self, statement: Statement) -> Variables | None:
        """The check of a real server; None if it is more than the variables can say."""
        if statement.keyword not in _CHECKS:
            return None
        kind = _CHECKS[statement.keyword]
        values, rest = _read(statement.block or [], CHECK)
        rest = [s for s in rest if s.words != ["user", *self.script_user]]
        urls = [s for s in rest if s.keyword == "url"]
        if len(urls) == 1 and kind in ("http", "ssl"):
            inner, unknown = _read(urls[0].block or [], CHECK, dict.fromkeys(CHECK))
            values.update(inner)
            rest = [s for s in rest if s.keyword != "url"] + unknown
        if rest or (kind in ("http", "ssl")) != ("path" in values):
            return None
        return {"type": kind, **values}

    # Parts of blocks

    def address(self, where: str, words: list[str], interface: Any) -> str | Variables:
        text, *rest = words
        # keepalived takes an address without prefix length for a single one.
        address = str(ipaddress.ip_interface(text)) if "/" not in text else text
        found: Variables = {"address": address}
        while len(rest) >= 2 and rest[0] in ("dev", "label", "scope"):
            found["device" if rest[0] == "dev" else rest[0]] = rest[1]
            rest = rest[2:]
        if "device" in found and found["device"] == interface:
            del found["device"]
        if rest:
            self.notes.append(f"{where}: of the address {text}, {' '.join(rest)} is left out")
        return found if len(found) > 1 else address

    def track(self, where: str, statement: Statement, found: Variables) -> None:
        for s in statement.block or []:
            if statement.keyword == "track_file" and s.keyword == _OWN_FILE:
                continue
            item: str | Variables = s.keyword
            if s.arguments[:1] == ["weight"] and len(s.arguments) == 2:
                item = {"name": s.keyword, "weight": int(s.arguments[1])}
            else:
                self.note_lost(where, [s] if s.arguments else [], statement.keyword)
            found.setdefault(_TRACK[statement.keyword], []).append(item)

    def note_lost(self, where: str, statements: Iterable[Statement], within: str = "") -> None:
        for s in statements:
            self.notes.append(f"{where}: {' '.join([within, *s.words]).strip()} has no variable and is left out")


def _name(statement: Statement) -> str:
    return " ".join(statement.arguments)


def _read(
    block: list[Statement], table: dict[str, Option], theirs: Variables | None = None
) -> tuple[Variables, list[Statement]]:
    """The values of a block which differ from the role's defaults, in the table's order; and all other statements."""
    values = {name: option.theirs for name, option in table.items()}
    values.update(theirs or {})
    rest = []
    for statement in block:
        name = _SYNONYMS.get(statement.keyword, statement.keyword)
        try:
            if statement.block is not None:
                raise ValueError("a block is no value")
            values[name] = table[name].convert(statement.arguments)
        except (KeyError, ValueError):
            rest.append(statement)
    for name in ("delay", "repeat"):  # their defaults follow the other ones
        if values.get(f"garp_lower_prio_{name}", 0) is None:
            values[f"garp_lower_prio_{name}"] = values[f"garp_master_{name}"]
    return {n: values[n] for n, option in table.items() if values[n] is not None and values[n] != option.ours}, rest


def _address_and_port(words: list[str]) -> Variables:
    return {"address": words[0], **({"port": int(words[1])} if len(words) > 1 else {})}


def _lift_objective(found: Variables) -> None:
    """The objective most instances have is the node's; the others keep their own."""
    instances = found.get("keepalived_instances", [])
    for objective, _count in Counter(i["detection_ms"] for i in instances).most_common(1):
        if objective != 600:
            found["keepalived_detection_ms"] = objective
        for i in instances:
            if i["detection_ms"] == objective:
                del i["detection_ms"]
