# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No value of the inventory is read as something else: a hostile one is refused by name, or quoted where it is written.

Every option of every role, as the argument specifications list them, is given each hostile value; Ansible's own
validation and what the role asserts judge it, without a node. Then each template of the roles that becomes a command, a
unit or a configuration is read: an expression there is quoted for its grammar, a number, or made of nothing but what
is always refused, and of the role's own words.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from jinja2 import meta, nodes

from ansible_collections.cloudha.vip.plugins.filter.local_address_problems import local_address_problems
from ansible_collections.cloudha.vip.plugins.filter.vip_agent_config import vip_agent_config
from ansible_collections.cloudha.vip.plugins.filter.vip_agent_problems import vip_agent_problems
from ansible_collections.cloudha.vip.plugins.module_utils.agent import kinds
from ansible_collections.cloudha.vip.plugins.module_utils.agent.config import ACTION_OPTIONS
from ansible_collections.cloudha.vip.plugins.module_utils.keepalived import conf
from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.problems import find_problems
from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.render import render
from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.settings import settings
from ansible_collections.cloudha.vip.plugins.module_utils.topology.scripts import track_scripts
from ansible_collections.cloudha.vip.plugins.module_utils.topology.values import value_problems

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir())

HOSTILE = ['"', "'", ";", "#", "}", "{", "$(touch /x)", "`touch /x`", "%n", "\\", "\n", "\nMEND\n", "\0", "x" * 10_000]
HOSTILE += [" ", "|", "&", ">", "$HOME", "*"]

# Options that are written as they are, on purpose.
THE_USERS_OWN = {
    "drill_hooks": "commands for a shell of the controller",
    "keepalived_extra_config": "lines of keepalived.conf",
    "keepalived_global_extra": "lines of keepalived.conf",
    "extra": "lines of keepalived.conf",
    "nginx_page": "the content of a web page",
    "nginx_http_extra": "lines of nginx.conf, each of which has to end what it begins",
    "nginx_server_extra": "lines of nginx.conf, each of which has to end what it begins",
}
# Variables beside options.
THE_ROLES_OWN = {
    "ansible_managed": "Ansible's own text",
    "drill_id": "a time and a random number",
    "drill_run": "a fault of the catalog, and a number",
    "drill_mark": "of these two",
    "__keepalived": "what keepalived_problems has found nothing wrong with; only numbers are taken from it",
    "__keepalived_content": "keepalived.conf, into which each value of this test was written",
    "nginx_user": "by the family of the system",
    "nginx_modules": "by the family of the system",
    "nginx_document_root": "by the family of the system",
    "nginx_answers": "in a comment, in JSON, which is one line; elsewhere each of it is quoted",
}
# Variables that are shell commands, or parts of such; what is in them is checked as they are.
COMMANDS = ("switchover_lock_shell", "drill_catalog", "drill_ask", "drill_continue", "switchover_release")
QUOTES = {
    "shell": ("quote", "int", "float", "hash"),
    "nginx": ("nginx_quote", "int"),
    "json": ("to_nice_json",),
    "plain": ("int",),
}


# The options, and who refuses their values


class Option(NamedTuple):
    role: str
    entry: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.role}/{self.entry}: {'.'.join(self.path)}"


@functools.cache
def specs(role: str) -> dict[str, Any]:
    path = ROOT / "roles" / role / "meta/argument_specs.yml"
    if not (ROOT / "roles" / role / "tasks").is_dir():  # only variables, for the roles that depend on it
        return {}
    found = yaml.safe_load(path.read_text())["argument_specs"]
    if role == "vip_agent":
        # Ansible's validation does not know them: the agent's kinds of actions declare them.
        declared = [ACTION_OPTIONS, *(kinds.find(kind).options for kind in kinds.known())]
        found["main"]["options"]["vip_agent_actions"]["options"] = {
            name: of_agent(kind) for options_of in declared for name, kind in options_of.items()
        }
    return found


def of_agent(kind: Any) -> dict[str, Any]:
    """What the agent declares, as an argument spec."""
    if isinstance(kind, dict):
        return {"type": "list", "elements": "dict", "options": {name: of_agent(inner) for name, inner in kind.items()}}
    types = {str: "str", int: "int", bool: "bool", list: "list", kinds.Path: "path"}
    return {"type": types[kind]}


def options() -> Iterator[Option]:
    def walk(role: str, entry: str, given: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[Option]:
        for name, spec in given.items():
            if spec.get("options"):
                yield from walk(role, entry, spec["options"], (*above, name))
            else:
                yield Option(role, entry, (*above, name))

    for role in ROLES:
        for entry, spec in specs(role).items():
            if (role, entry) == ("keepalived", "check"):  # main begins with it
                assert spec["options"] == specs(role)["main"]["options"]
                continue
            yield from walk(role, entry, spec.get("options") or {})


def spec_of(option: Option, depth: int = 0) -> Mapping[str, Any]:
    """Of the option, or of that which it is in."""
    spec: Any = {"options": specs(option.role)[option.entry]["options"]}
    for name in option.path[: depth or None]:
        spec = spec["options"][name]
    return spec


# What is good beside an option, and before what is hostile.
CHECK = {"type": "http", "path": "/", "timeout": 1}
SERVER = {"address": "192.168.7.10", "port": 80}
ROUTE = {"type": "gcp_route", "instance": "VI_1", "name": "r", "destination": "10.2.1.1/32", "network": "n"}
RANGE = {"type": "gcp_alias_ip", "instance": "VI_1", "name": "r", "ranges": ["10.1.1.1"]}
RANGE["peers"] = ["projects/p-roject/zones/z/instances/i"]
MEMBER = {"type": "gcp_route_member", "name": "r", "destination": "10.2.1.1/32", "network": "n"}
MEMBER["members"] = [{"instance": "projects/p-roject/zones/z/instances/i"}]
PORT = {"type": "health_port", "instance": "VI_1", "name": "p", "port": 6000}
INSTANCE = {"name": "VI_1", "interface": "eth0", "virtual_router_id": 66, "addresses": ["192.168.7.246/22"]}
INSTANCE["unicast"] = False
OTHER = {**INSTANCE, "name": "VI_2", "virtual_router_id": 67, "addresses": ["192.168.7.245/22"]}
BESIDE: dict[str, dict[str, Any]] = {
    "health_check_checks": {"name": "app"},
    "vip_agent_checks": {"name": "app", "type": "http", "url": "http://127.0.0.1/"},
    "vip_agent_actions": ROUTE,
    "vip_agent_actions.members": {"instance": "projects/p-roject/zones/z/instances/i"},
    "keepalived_instances": INSTANCE,
    "keepalived_sync_groups": {"name": "G", "instances": ["VI_1", "VI_2"]},
    "keepalived_track_scripts": {"name": "chk", "script": "/bin/true"},
    "keepalived_track_files": {"name": "file", "file": "/run/x"},
    "keepalived_track_processes": {"name": "proc", "process": "nginx"},
    "keepalived_virtual_servers": {**SERVER, "real_servers": [{**SERVER, "check": CHECK}]},
    "keepalived_virtual_servers.real_servers": {**SERVER, "check": CHECK},
    "keepalived_virtual_servers.real_servers.check": CHECK,
    "keepalived_virtual_servers.sorry_server": SERVER,
    "keepalived_instances.addresses": {"address": "192.168.7.246/22"},
    "keepalived_instances.excluded_addresses": {"address": "192.168.7.244/22"},
}
GOOD = {
    "url": "http://127.0.0.1/x",
    "command": "/bin/true",
    "script": "/bin/true",
    "tcp": "127.0.0.1:80",
    "drill_url": "http://127.0.0.1/x",
    "host": "127.0.0.1",
    "instance": "VI_1",
    "vip_agent_actions.type": "gcp_route",
    "on_source_failure": "stop",
    "vip_agent_actions.port": "6000",
    "vip_agent_actions.members.instance": "projects/p-roject/zones/z/instances/i",
    "mode": "http",
    "destination": "10.2.1.1/32",
    "project": "p-roject",
    "network": "n",
    "ranges": "10.1.1.1",
    "range_name": "r",
    "interface": "nic0",
    "peers": "projects/p-roject/zones/z/instances/i",
    "endpoint": "https://compute.googleapis.com/compute/v1",
    "metadata_url": "http://169.254.169.254",
    "vip_agent_memory_max": "128M",
    "vip_agent_instances": '{"name": "VI_1"}',
    "vip_agent_checks.status": "200",
    "vip_agent_checks.interval_ms": "100",
    "vip_agent_checks.timeout_ms": "100",
    "nginx_health_path": "/x",
    "nginx_drain_path": "/x",
    "nginx_drain_file": "/run/x",
    "nginx_server_extra": "x;",
    "nginx_http_extra": "x;",
    "keepalived_detection_ms": "600",
    "keepalived_instances.interface": "eth0",
    "keepalived_instances.addresses": "192.168.7.243/22",
    "keepalived_instances.excluded_addresses": "192.168.7.243/22",
    "keepalived_instances.detection_ms": "600",
    "keepalived_instances.version": "3",
    "keepalived_instances.unicast": "false",
    "keepalived_instances.source_address": "192.168.7.247",
    "keepalived_instances.peers": "192.168.7.248",
    "keepalived_sync_groups.instances": "VI_1",
    **dict.fromkeys(["keepalived_instances.track_interfaces", "keepalived_sync_groups.track_interfaces"], "eth0"),
    **dict.fromkeys(["notify", *(f"notify_{e}" for e in ("master", "backup", "fault", "stop"))], "/bin/true"),
    **dict.fromkeys(["notify_master_rx_lower_pri", "quorum_up", "quorum_down"], "/bin/true"),
    "keepalived_virtual_servers.quorum": "1",
    **dict.fromkeys(["file", "keepalived_notify_fifo"], "/run/x"),
    **dict.fromkeys(["address", "keepalived_removed_peers"], "192.168.7.9"),
    **dict.fromkeys(["port", "nginx_port"], "80"),
    "status_code": "200",
    "keepalived_absent_ok": "node1",
    **dict.fromkeys(["drill_addresses", "lvs_real_server_addresses", "nginx_listen_addresses"], "192.0.2.1"),
    "local_address_addresses": "192.0.2.1",
    "holder_looks": '{"item": "node1"}',
}
# What such a value needs beside it.
NEEDS: dict[str, dict[str, Any]] = {
    "keepalived_instances.auth_pass": {"version": 2, "detection_ms": 5000},
    "keepalived_instances.preempt_delay": {"nopreempt": False},
    "keepalived_instances.peers": {"unicast": True},
    "keepalived_virtual_servers.fwmark": {"address": None, "port": None},
}
GOOD_OF_TYPE = {"int": "5", "float": "5", "bool": "true", "path": "/run/x"}


def given(option: Option, value: Any) -> Any:
    """The value of the variable, where the option has this one."""
    for depth in range(len(option.path), 0, -1):
        spec = spec_of(option, depth)
        if depth < len(option.path):
            value = {**BESIDE.get(".".join(option.path[:depth]), {}), option.path[depth]: value}
            value.update(NEEDS.get(".".join(option.path), {}))
        if spec["type"] == "list":
            value = [value]
        elif spec["type"] == "dict" and not isinstance(value, dict):
            value = {"planned_switchover": value}
    return value


def good_value(option: Option) -> str:
    spec = spec_of(option)
    usual = (spec.get("choices") or [GOOD_OF_TYPE.get(spec.get("elements") or spec["type"], "x")])[0]
    return str(GOOD.get(".".join(option.path)) or GOOD.get(option.path[-1]) or usual)


def hostile_values(option: Option) -> list[str]:
    return [text for hostile in HOSTILE for text in (hostile, f"{good_value(option)}{hostile}")]


def problems(option: Option, value: str) -> list[str]:
    """What a user reads who gives the option this value; empty if it is taken."""
    name, variable = option.path[0], given(option, value)
    spec = spec_of(option, 1)
    if name == "vip_agent_actions":
        spec = {key: item for key, item in spec.items() if key != "options"}
    validator = ArgumentSpecValidator({name: as_ansible(spec)})
    found = validator.validate({name: variable}).error_messages
    if found or option.role == "keepalived":
        return found or keepalived_problems(name, variable)
    if not refuses_first(option.role, option.entry):
        return []
    wanted = {name: variable}
    if name == "local_address_addresses":
        return local_address_problems(variable)
    if option.role == "vip_agent" and name in ("vip_agent_checks", "vip_agent_actions"):
        config = agent_config(name.removeprefix("vip_agent_"), variable, option.path[-1])
        return vip_agent_problems(vip_agent_config(config))
    known = {**role_variables(option.role), **HOST, **wanted}
    return value_problems(evaluated(known.get(f"{option.role}_values", {}), known, tuple(wanted)))


def evaluated(value: Any, known: Mapping[str, Any], plain: tuple[str, ...]) -> Any:
    """As Ansible's templates are. plain: names of values that are none."""
    if isinstance(value, dict):
        return {key: evaluated(item, known, plain) for key, item in value.items()}
    if not isinstance(value, str) or "{{" not in value:
        return value
    names, expression = compiled(value)
    return expression({n: known[n] if n in plain else evaluated(known[n], known, plain) for n in names if n in known})


@functools.cache
def compiled(template: str) -> tuple[set[str], Any]:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    environment.filters["extract"] = lambda key, container: container[key]
    single = re.fullmatch(r"\s*\{\{(.*)\}\}\s*", template, re.DOTALL)
    assert single, template
    names = meta.find_undeclared_variables(environment.parse(template))
    return names, environment.compile_expression(single[1], undefined_to_none=False)


def as_ansible(spec: Mapping[str, Any]) -> dict[str, Any]:
    """As Ansible's validator takes it."""
    kept = {key: item for key, item in spec.items() if key in ("type", "elements", "choices", "required")}
    if spec.get("options"):
        kept["options"] = {name: as_ansible(inner) for name, inner in spec["options"].items()}
    return kept


HOST = {
    "inventory_hostname": "node1",
    "ansible_host": "192.168.7.247",
    "groups": {"vip_nodes": ["node1"], "vip_clients": ["node1"]},
    "hostvars": {"node1": {}},
    "vip_address": "192.168.7.246/22",
    "drill_topology": "pair",
    "health_check_checks": [],
}


def agent_config(key: str, value: Any, option: str) -> dict[str, Any]:
    config = {
        "node": "n",
        "fifo": "/run/f",
        "event_log_max_mb": 16,
        "instances": [{"name": "VI_1", "addresses": []}],
        "checks": [],
        "actions": [],
    }
    if key == "actions" and option in ("ranges", "range_name", "interface", "peers", "on_source_failure"):
        value = [{**RANGE, option: value[0][option]}]
    if key == "actions" and {"members", "hold_back"} & set(value[0]):
        value = [{**MEMBER, **{name: value[0][name] for name in ("members", "hold_back") if name in value[0]}}]
    elif key == "actions" and option in ("port", "address", "mode"):
        value = [{**PORT, option: value[0][option]}]
    if key == "checks" and option in ("host", "port"):
        value = [{"name": "app", "type": "tcp", "port": 80, option: value[0][option]}]
    if key == "checks" and option == "command":
        value = [{"name": "app", "type": "command", "command": ["/bin/true", *value[0][option]]}]
    if key == "checks" and option == "status":
        value = [{**value[0], option: [*value[0][option]]}]
    return {**config, key: value}


@functools.cache
def role_variables(role: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in (ROOT / "roles" / role / directory / "main.yml" for directory in ("defaults", "vars")):
        found.update(yaml.safe_load(path.read_text()) if path.exists() else {})
    return found


@functools.cache
def refuses_first(role: str, entry: str) -> bool:
    """Whether this way into the role asserts that nothing is wrong, before it does anything but look."""
    directory = ROOT / "roles" / role / "tasks"
    for task, own in tasks_of(directory / f"{entry}.yml"):
        if "ansible.builtin.import_tasks" in task:
            return refuses_first(role, task["ansible.builtin.import_tasks"].removesuffix(".yml"))
        if task.get("ansible.builtin.assert", {}).get("that") == f"{role}_mistakes == []":
            rule = str({**role_variables(role), **own}[f"{role}_mistakes"])
            return f"{role}_values | cloudha.vip.value_problems" in rule and (
                role != "local_address" or "local_address_problems" in rule
            )
        if not {"ansible.builtin.assert", "ansible.builtin.stat", "cloudha.vip.vip_info"} & set(task):
            return False
    return False


TRACKED = {
    "keepalived_track_scripts": [{"name": "x", "script": "/bin/true"}],
    "keepalived_track_files": [{"name": "x", "file": "/run/x"}],
    "keepalived_track_processes": [{"name": "x", "process": "nginx"}],
}


def keepalived_problems(name: str, variable: Any) -> list[str]:
    node: dict[str, Any] = {"keepalived_instances": [INSTANCE, OTHER], **TRACKED, name: variable}
    if name == "keepalived_instances":
        node[name] = [*variable, OTHER]
    node["interfaces"] = {"lo": ["127.0.0.1/8"], "eth0": ["192.168.7.247/22"]}
    spec = specs("keepalived")["main"]["options"]
    found = find_problems({"node1": node}, spec)
    if not found and not any(raw in str(variable) for raw in ("'extra'",)) and name not in THE_USERS_OWN:
        text = render(settings({"node1": node}, "node1", spec), "/run/drain", "2.2.7")
        assert all(statement.keyword for statement in conf.parse(text)), text
    return found


@functools.cache
def taken() -> dict[Option, list[str]]:
    """The hostile values that each option may have."""
    return {option: [value for value in hostile_values(option) if not problems(option, value)] for option in options()}


def always_refused(role: str, name: str) -> bool:
    """Whether an option, with all that is in it, takes no hostile value, whichever way the role is entered."""
    mine = [values for option, values in taken().items() if option.role == role and option.path[0] == name]
    return bool(mine) and not any(mine)


# The templates, and what is written where


class Written(NamedTuple):
    where: str
    grammar: str
    text: str
    role: str
    known: Mapping[str, Any]  # variables of the task and of the role


def tasks_of(path: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each task, and the variables that it and its blocks have."""

    def walk(
        items: list[dict[str, Any]] | None, above: dict[str, Any]
    ) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        for task in items or []:
            own = {**above, **task.get("vars", {})}
            yield task, {**own, "item": task["loop"]} if "loop" in task else own
            for key in ("block", "rescue", "always"):
                yield from walk(task.get(key), own)

    yield from walk(yaml.safe_load(path.read_text()), {})


def written() -> Iterator[Written]:
    for role in ROLES:
        directory = ROOT / "roles" / role
        files = [*directory.glob("tasks/*.yml"), *directory.glob("handlers/*.yml")]
        known = {
            name: value
            for path in directory.glob("vars/*.yml")
            for name, value in yaml.safe_load(path.read_text()).items()
        }
        known = {**role_variables(role), **known}
        for path in files:
            for task, _own in tasks_of(path):
                known.update({k: v for k, v in task.get("ansible.builtin.set_fact", {}).items() if k not in known})
        for path in files:
            for task, own in tasks_of(path):
                for grammar, text in commands_of(directory, task):
                    where = f"{role}/{path.name}: {task['name']}"
                    yield Written(where, grammar, text, role, {**known, **own})
        for name in COMMANDS:
            if name in known:
                yield from (Written(f"{role}: {name}", "shell", text, role, known) for text in texts(known[name]))


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        # What only judges a fault is no command.
        yield from (text for key, item in value.items() if key != "slack_ms" for text in texts(item))
    elif isinstance(value, str):
        yield value


def commands_of(directory: Path, task: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What a task writes or runs, with its grammar. Arguments of modules, and of argv, are nobody's grammar."""
    for module, grammar in (("shell", "shell"), ("command", "shell")):
        command = task.get(f"ansible.builtin.{module}")
        if isinstance(command, str):
            yield grammar, command
        elif command and "cmd" in command:
            yield grammar, command["cmd"]
    program = task.get("cloudha.vip.node_program", {}).get("files", ())
    yield from (("plain", file["content"]) for file in program if "content" in file)
    yield from (("shell", file["validate"]) for file in program if "validate" in file)
    for source in [task.get("ansible.builtin.template", {}).get("src"), *(file.get("template") for file in program)]:
        if not source:
            continue
        grammars = {"nginx.conf.j2": "nginx", "config.json.j2": "json", "companion.j2": "shell"}
        yield grammars.get(source, "plain"), (directory / "templates" / source).read_text()
    yield "plain", str(task.get("ansible.builtin.copy", {}).get("content", ""))
    included = task.get("ansible.builtin.include_tasks", "")
    yield "plain", included["file"] if isinstance(included, dict) else included


def unsafe(one: Written) -> list[str]:
    """The expressions in it that may bring something hostile."""
    parsed = parse(one.text)
    known = {**one.known, **locals_of(parsed)}
    safe = functools.partial(is_safe, role=one.role, known=known, quotes=QUOTES[one.grammar])
    outputs = [node for output in parsed.find_all(nodes.Output) for node in output.nodes]
    return [str(node) for node in outputs if not isinstance(node, nodes.TemplateData) and not safe(node)]


def parse(text: str) -> nodes.Template:
    # Filters of collections have dots in their names, which Jinja itself does not know.
    return jinja2.Environment().parse(re.sub(r"cloudha\.vip\.|ansible\.builtin\.", "", text))


def locals_of(parsed: nodes.Template) -> dict[str, Any]:
    loops = {loop.target.name: loop.iter for loop in parsed.find_all(nodes.For) if isinstance(loop.target, nodes.Name)}
    sets = {
        each.target.name: each.node for each in parsed.find_all(nodes.Assign) if isinstance(each.target, nodes.Name)
    }
    return {**loops, **sets}


def is_safe(
    node: nodes.Node, role: str, known: Mapping[str, Any], quotes: tuple[str, ...], seen: tuple[str, ...] = ()
) -> bool:
    again = functools.partial(is_safe, role=role, known=known, quotes=quotes, seen=seen)
    if isinstance(node, nodes.Filter) and node.name in quotes:
        return True
    if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and node.node.name == "lookup":
        return all(isinstance(each, nodes.Const) for each in node.args)  # a file of the role
    if isinstance(node, nodes.Filter) and node.name == "join" and isinstance(node.node, nodes.Filter):
        mapped = node.node
        if mapped.name == "map" and isinstance(mapped.args[0], nodes.Const) and mapped.args[0].value in quotes:
            return True
    if isinstance(node, nodes.CondExpr):
        return again(node.expr1) and (node.expr2 is None or again(node.expr2))
    if isinstance(node, nodes.Name):
        return name_is_safe(node.name, role, known, quotes, seen)
    if isinstance(node, nodes.Concat):
        return all(again(part) for part in node.nodes)
    if isinstance(node, (nodes.Getitem, nodes.Getattr)):
        return again(node.node)
    return all(again(child) for child in node.iter_child_nodes())


def name_is_safe(
    name: str, role: str, known: Mapping[str, Any], quotes: tuple[str, ...], seen: tuple[str, ...]
) -> bool:
    if name in THE_ROLES_OWN or name in COMMANDS or name in THE_USERS_OWN or always_refused(role, name):
        return True
    if name in seen or name not in known or any(option.path[0] == name for option in taken() if option.role == role):
        return False
    value = known[name]
    if isinstance(value, nodes.Node):
        return is_safe(value, role, known, quotes, (*seen, name))
    return all(
        isinstance(node, nodes.TemplateData) or is_safe(node, role, known, quotes, (*seen, name))
        for text in texts_within(value)
        for output in parse(text).find_all(nodes.Output)
        for node in output.nodes
    )


def texts_within(value: Any) -> Iterator[str]:
    if isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts_within(item)
    else:
        yield str(value)


def within_quotes(text: str) -> list[str]:
    """The expressions that are quoted by a filter where the shell's own quotes are open, and end them."""
    found, state, position = [], "", 0
    pieces = re.split(r"(\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\})", text, flags=re.DOTALL)
    for piece in pieces:
        if piece.startswith("{"):
            quoted = re.search(r"\| *quote( \}\}|\) \| join)", re.sub(r"\s+", " ", piece))
            if piece.startswith("{{") and state and quoted:
                found.append(piece)
            continue
        position = 0
        while position < len(piece):
            character = piece[position]
            if not state and character == "#" and (not position or piece[position - 1].isspace()):
                position = piece.find("\n", position)
                if position < 0:
                    break
            elif character == "\\" and state != "'":
                position += 1
            elif character == state:
                state = ""
            elif not state and character in "'\"":
                state = character
            position += 1
    return found


# The tests


def test_every_option_takes_a_good_value() -> None:
    """Else the tests below would show nothing about it."""
    refused = {str(option): problems(option, good_value(option)) for option in taken()}
    assert {name: found for name, found in refused.items() if found} == {}


def test_a_hostile_value_is_refused_by_the_name_of_its_option() -> None:
    nameless = []
    for option in taken():
        for value in hostile_values(option):
            found = problems(option, value)
            if found and not any(name in text for name in (option.path[0], option.path[-1]) for text in found):
                nameless.append((str(option), value[:40], found))
    assert nameless == []


def test_the_options_with_a_grammar_take_nothing_hostile() -> None:
    """Of each kind one, so that nothing above is empty by mistake."""
    assert len(taken()) > 250
    for role, name in (("drill", "drill_node_header"), ("nginx", "nginx_port"), ("vip_agent", "vip_agent_fifo")):
        assert always_refused(role, name)
    for role, name in (("health_check", "health_check_user"), ("lvs_real_server", "lvs_real_server_drain_file")):
        assert always_refused(role, name)
    assert not always_refused("nginx", "nginx_node_name") and not always_refused("switchover", "switchover_group")


def test_what_can_be_hostile_is_quoted_where_it_is_written() -> None:
    everything = list(written())
    assert len(everything) > 100
    assert {one.where: unsafe(one) for one in everything if unsafe(one)} == {}


def test_what_is_quoted_is_not_quoted_once_more() -> None:
    shell = [one for one in written() if one.grammar == "shell"]
    assert {one.where: within_quotes(one.text) for one in shell if within_quotes(one.text)} == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("echo {{ x | quote }}", []),
        ("echo '{{ x | quote }}'", ["{{ x | quote }}"]),
        ('echo "a # {{ x | quote }}"', ["{{ x | quote }}"]),
        ("# don't\necho {{ x | quote }}", []),
        ("echo 'a' \\' {{ (x ~ y) | quote }}", []),
        ("echo '{{ x | int }}'", []),
    ],
)
def test_what_is_within_quotes(text: str, found: list[str]) -> None:
    assert within_quotes(text) == found


@pytest.mark.parametrize(
    ("grammar", "text", "known", "safe"),
    [
        ("shell", "echo {{ nginx_node_name }}", {}, False),
        ("shell", "echo {{ nginx_node_name | quote }}", {}, True),
        ("shell", "echo {{ nginx_node_header }}", {}, True),
        ("shell", "echo {{ nginx_port }}", {}, True),
        ("shell", "echo {{ mine }}", {"mine": "a {{ nginx_node_name }}"}, False),
        ("shell", "echo {{ mine }}", {"mine": "a {{ nginx_node_header }}"}, True),
        ("shell", "echo {{ item.name }}", {"item": "{{ nginx_listen_addresses }}"}, True),
        ("shell", "echo {{ hostvars[nginx_port].x }}", {}, False),
        ("shell", "{% for each in nginx_server_extra2 %}{{ each }}{% endfor %}", {}, False),
        ("shell", "{% for each in nginx_listen_addresses %}{{ each }}{% endfor %}", {}, True),
        ("plain", "x={{ nginx_node_name | quote }}", {}, False),
        ("nginx", "x {{ nginx_node_name | cloudha.vip.nginx_quote }}", {}, True),
    ],
)
def test_what_is_safe(grammar: str, text: str, known: dict[str, Any], safe: bool) -> None:
    assert (unsafe(Written("", grammar, text, "nginx", known)) == []) == safe


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_check_of_health_check_gets_its_words_as_they_are(hostile: str) -> None:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    environment.filters["cloudha.vip.health_check_scripts"] = track_scripts
    template = environment.from_string(role_variables("health_check")["health_check_track_scripts"])
    check = {"name": "app", "url": f"http://127.0.0.1/{hostile}", "process": f"a{hostile}", "restart": f"b{hostile}"}
    given = {**role_variables("health_check"), "health_check_checks": [check], "health_check_user": "u"}
    (script,) = ast.literal_eval(template.render(given).strip())
    words = [f"{word}={check[word]}" for word in ("name", "process", "url", "restart")]
    assert conf.split_command(script["script"]) == ["/usr/local/sbin/vip-health-check", *words]
