# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""keepalived.conf of one node, from its settings.

Every value of a user goes through quote_word or quote_command; only the lists named extra, routes and rules are lines
in keepalived's own syntax.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .conf import quote_command, quote_word, split_command
from .instance import truth
from .versions import writes

Values = Mapping[str, Any]

_CHECKS = {"tcp": "TCP_CHECK", "http": "HTTP_GET", "ssl": "SSL_GET", "misc": "MISC_CHECK"}
_TRACKED = {
    "track_interface": "track_interfaces",
    "track_script": "track_scripts",
    "track_process": "track_processes",
    "track_file": "track_files",
}
_GROUP_EVENTS = ("notify_master", "notify_backup", "notify_fault", "notify_stop", "notify")
_EVENTS = (*_GROUP_EVENTS[:-1], "notify_master_rx_lower_pri", "notify")


def render(settings: Values, drain: str, version: str = "") -> str:
    """The text.

    settings: as settings() gives them. drain: the role's own track file. version: that of the node's keepalived, whose
    unknown keywords are left out where it works without them; by default, it knows all.
    """
    lines = ["# Written by Ansible, role cloudha.vip.keepalived. Do not change it here.", ""]
    lines += _block("global_defs", _global_defs(settings, version))
    lines += ["", "# To hand the addresses over, write -254 to the file; 0 is normal."]
    lines += _block("track_file drain", [f"file {_word(drain)}", "weight 1", "init_file 0"])
    for item in settings["keepalived_track_files"]:
        lines += ["", *_block(f"track_file {_name(item)}", _track_file(item))]
    for item in settings["keepalived_track_scripts"]:
        lines += ["", *_block(f"vrrp_script {_name(item)}", _track_script(item, settings))]
    for item in settings["keepalived_track_processes"]:
        lines += ["", *_block(f"vrrp_track_process {_name(item)}", _track_process(item))]
    for item in settings["keepalived_sync_groups"]:
        lines += ["", *_block(f"vrrp_sync_group {_name(item)}", _sync_group(item))]
    # Members of a group must track with weight 0, so that any number but 0 drains them.
    grouped = {name for group in settings["keepalived_sync_groups"] for name in group["instances"]}
    for item in settings["keepalived_instances"]:
        own = "drain weight 0" if item["name"] in grouped else "drain"
        lines += ["", *_block(f"vrrp_instance {_name(item)}", _instance(item, own))]
    for item in settings["keepalived_virtual_servers"]:
        where = f"fwmark {int(item['fwmark'])}" if "fwmark" in item else _place(item)
        lines += ["", *_block(f"virtual_server {where}", _virtual_server(item, settings))]
    return "\n".join([*lines, settings["keepalived_extra_config"].rstrip("\n"), ""])


def _global_defs(settings: Values, version: str) -> Iterator[str]:
    yield f"router_id {_word(settings['keepalived_router_id'])}"
    yield "enable_script_security"
    yield f"script_user {_word(settings['keepalived_script_user'])}"
    yield "vrrp_skip_check_adv_addr"
    yield "# After a split, the holder which stays must hear of the other one, or it announces its addresses no more."
    yield "vrrp_higher_prio_send_advert true"
    if float(settings["keepalived_startup_delay_s"]):
        yield f"vrrp_startup_delay {_number(settings['keepalived_startup_delay_s'])}"
    yield "# With timers below a second, a process which is scheduled late looks dead."
    yield "vrrp_no_swap"
    yield "max_auto_priority -1"
    if int(settings["keepalived_rt_priority"]):
        yield f"vrrp_rt_priority {int(settings['keepalived_rt_priority'])}"
        yield "vrrp_rlimit_rttime 1000000"
    else:
        yield "vrrp_priority -20"
    if settings["keepalived_notify_fifo"]:
        yield f"vrrp_notify_fifo {_word(settings['keepalived_notify_fifo'])}"
        if writes("fifo_write_vrrp_states_on_reload", version):
            yield "fifo_write_vrrp_states_on_reload"
    yield from settings["keepalived_global_extra"]


def _track_file(item: Values) -> Iterator[str]:
    yield f"file {_word(item['file'])}"
    yield f"weight {int(item['weight'])}"
    if "init" in item:
        yield f"init_file {int(item['init'])}" + (" overwrite" if truth(item["overwrite"]) else "")


def _track_script(item: Values, settings: Values) -> Iterator[str]:
    user = str(item.get("user", settings["keepalived_script_user"]))
    yield f"script {_command(item['script'])}"
    yield f"user {' '.join(_word(word) for word in user.split())}"
    yield from _numbers(item, ("interval", "timeout", "rise", "fall", "weight"))
    if truth(item["init_fail"]):
        yield "init_fail"


def _track_process(item: Values) -> Iterator[str]:
    yield f"process {' '.join(_word(word) for word in split_command(item['process']))}"
    yield from _words(item, ("param_match",))
    yield from _numbers(item, ("weight", "quorum"))
    if float(item["delay"]):
        yield f"delay {_number(item['delay'])}"
    if truth(item["full_command"]):
        yield "full_command"


def _sync_group(item: Values) -> Iterator[str]:
    yield from _block("group", (_word(name) for name in item["instances"]))
    yield from _tracked(item)
    yield from _commands(item, _GROUP_EVENTS)
    yield from item["extra"]


def _instance(item: Values, drain: str) -> Iterator[str]:
    yield "state BACKUP"
    yield f"interface {_word(item['interface'])}"
    yield from _numbers(item, ("virtual_router_id", "priority", "version"))
    yield f"advert_int {_number(item['advert_int_s'])}"
    if truth(item["nopreempt"]):
        yield "nopreempt"
    elif "preempt_delay" in item:
        yield f"preempt_delay {_number(item['preempt_delay'])}"
    if "auth_pass" in item:
        yield from _block("authentication", ["auth_type PASS", f"auth_pass {_word(item['auth_pass'])}"])
    if truth(item["unicast"]):
        yield f"unicast_src_ip {item['source_address']}"
        yield "check_unicast_src"
        yield from _block("unicast_peer", (str(peer) for peer in item["peers"]))
    elif item["source_address"]:
        yield f"mcast_src_ip {item['source_address']}"
    garp = ("master_delay", "master_repeat", "master_refresh", "master_refresh_repeat", "lower_prio_delay")
    yield from _numbers(item, [f"garp_{option}" for option in (*garp, "lower_prio_repeat")])
    # The list of a packet must match the receiver's own, so that only one address is announced.
    yield from _block("virtual_ipaddress", map(_address, item["addresses"][:1]))
    yield from _block("virtual_ipaddress_excluded", map(_address, item["addresses"][1:] + item["excluded_addresses"]))
    yield from _block("virtual_routes", item["routes"])
    yield from _block("virtual_rules", item["rules"])
    yield from _tracked(item, drain)
    yield from _commands(item, _EVENTS)
    yield from item["extra"]


def _virtual_server(item: Values, settings: Values) -> Iterator[str]:
    yield f"delay_loop {_number(item['delay_loop'])}"
    yield from _words(item, ("lvs_sched", "lvs_method"))
    yield from _numbers(item, ("persistence_timeout", "quorum"))
    if "fwmark" not in item:
        yield from _words(item, ("protocol",))
    if truth(item["ha_suspend"]):
        yield "ha_suspend"
    yield from _commands(item, ("quorum_up", "quorum_down"))
    if "sorry_server" in item:
        sorry = item["sorry_server"]
        yield f"sorry_server {sorry['address'] if 'fwmark' in item else _place(sorry)}"
    yield from item["extra"]
    for real in item["real_servers"]:
        where = real["address"] if "fwmark" in item else _place(real)
        yield from _block(f"real_server {where}", _real_server(real, "fwmark" in item, settings))


def _real_server(item: Values, marked: bool, settings: Values) -> Iterator[str]:
    yield f"weight {int(item['weight'])}"
    if truth(item["inhibit_on_failure"]):
        yield "inhibit_on_failure"
    if "check" in item:
        yield from _block(_CHECKS[item["check"]["type"]], _check(item, marked, settings))
    yield from item["extra"]


def _check(server: Values, marked: bool, settings: Values) -> Iterator[str]:
    item = server["check"]
    if item["type"] == "misc":
        yield f"misc_path {_command(item['command'])}"
        yield f"misc_timeout {math.ceil(float(item['timeout']))}"
        yield f"user {_word(settings['keepalived_script_user'])}"
    else:
        if "connect_port" in item or marked:
            yield f"connect_port {int(item.get('connect_port', server['port']))}"
        yield f"connect_timeout {_number(item['timeout'])}"
    if item["type"] in ("http", "ssl"):
        url = [f"path {_word(item['path'])}", f"status_code {int(item['status_code'])}"]
        yield from _block("url", [*url, *_words(item, ("virtualhost",))])
    yield f"retry {int(item['retry'])}"
    yield f"delay_before_retry {_number(item['delay_before_retry'])}"


# Parts of blocks


def _block(name: str, lines: Iterable[str]) -> list[str]:
    """Nothing, if there is nothing in it."""
    inner = [f"    {line}" for line in lines]
    return [f"{name} {{", *inner, "}"] if inner else []


def _tracked(item: Values, drain: str = "") -> Iterator[str]:
    for keyword, option in _TRACKED.items():
        entries = [drain] if drain and option == "track_files" else []
        for entry in item.get(option, []):
            given = entry if isinstance(entry, Mapping) else {"name": entry}
            weight = f" weight {int(given['weight'])}" if given.get("weight") is not None else ""
            entries.append(_word(given["name"]) + weight)
        yield from _block(keyword, entries)


def _address(entry: Values) -> str:
    more = (("dev", "device"), ("scope", "scope"), ("label", "label"))
    options = (f" {word} {_word(entry[key])}" for word, key in more if entry.get(key) is not None)
    return f"{entry['address']}{''.join(options)}"


def _place(item: Values) -> str:
    return f"{item['address']} {int(item['port'])}"


def _name(item: Values) -> str:
    return _word(item["name"])


def _numbers(item: Values, names: Iterable[str]) -> Iterator[str]:
    return (f"{name} {int(item[name])}" for name in names if name in item)


def _words(item: Values, names: Iterable[str]) -> Iterator[str]:
    return (f"{name} {_word(item[name])}" for name in names if name in item)


def _commands(item: Values, names: Iterable[str]) -> Iterator[str]:
    return (f"{name} {_command(item[name])}" for name in names if name in item)


def _command(text: str) -> str:
    return quote_command(split_command(text))


def _word(value: Any) -> str:
    return quote_word(str(value))


def _number(value: Any) -> str:
    return f"{float(value):.6f}".rstrip("0").rstrip(".")
