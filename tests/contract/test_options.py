# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every option of every role is given to the real program by a test that sees what it does. Reads the tests only."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.cloudha.vip.plugins.module_utils.agent import kinds
from ansible_collections.cloudha.vip.plugins.module_utils.agent.config import ACTION_OPTIONS

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.parent.parent.name for path in ROOT.glob("roles/*/meta/argument_specs.yml"))
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C, where it was built
# What runs on machines: the scenarios, the tests of whole topologies, the lab's inventories.
ON_MACHINES = ["extensions/molecule/*/*.yml", "extensions/molecule/*/*/*.yml", "tests/system/*.py"]
ON_MACHINES += ["tests/node/*.py", "tests/lab/inventory.py", "tests/lab/topology.py"]
# The real playbooks and roles refuse what is wrong, before any machine is asked.
ON_MACHINES += ["tests/contract/test_refused.py", "tests/contract/test_keepalived_check.py"]
# A mechanism of a test, with the real verbs.
ON_MACHINES += ["tests/contract/test_shared_address.py"]
# Roles for clouds hand variables to modules, as the modules' invocations show. The modules' tests show the effects.
ON_MACHINES += ["tests/contract/test_role_options.py"]
# Gives all options of a role to keepalived, which only reads them there.
READS_ONLY = ROOT / "tests/node/test_keepalived_grammar.py"
# What the agent does by itself with an action, the agent's own process has done to Google's API as it is emulated.
AGENT = ["tests/contract/agent_node.py", "tests/contract/test_agent_*.py"]
# Options that no test gives, and why.
# Not a user's: the roles drill and switchover give them to each other, in each drill and switchover.
EXCEPTIONS = {
    "switchover_source",
    "switchover_target",
    "switchover_ends_s",
    "holder_without",
    "switchover_lock_name",
    "switchover_lock_nodes",
    "switchover_lock_s",
    "switchover_lock_ended",
    "gcp_image_stand_in",
}


def files(*patterns: str) -> list[Path]:
    return sorted({path for pattern in patterns for path in ROOT.glob(pattern)} - {Path(__file__), READS_ONLY})


def of_yaml(path: Path) -> list[Any]:
    return list(yaml.load_all(path.read_text(), Loader=LOADER))


def options(role: str) -> Iterator[tuple[str, ...]]:
    """Paths, such as (vip_agent_checks, url)."""

    def walk(specification: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        for name, option in specification.items():
            yield (*above, name)
            yield from walk(option.get("options", {}), (*above, name))

    entries = of_yaml(ROOT / "roles" / role / "meta/argument_specs.yml")[0]["argument_specs"]
    yield from dict.fromkeys(path for entry in entries.values() for path in walk(entry.get("options", {})))
    if role == "vip_agent":  # the kinds of actions declare their own
        for options_of in (ACTION_OPTIONS, *(kinds.find(kind).options for kind in kinds.known())):
            for name, declared in options_of.items():
                yield "vip_agent_actions", name
                if isinstance(declared, dict):
                    yield from (("vip_agent_actions", name, inner) for inner in declared)


def of_python(path: Path) -> list[Any]:
    """The dictionaries and the keyword arguments of a file, names replaced by what the file assigns to them, or by
    what its functions of this name make."""
    tree = ast.parse(path.read_text())
    assigned = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    } | {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}

    # Each name once, as functions use each other; one that uses itself has nothing more in there.
    known: dict[str, Any] = {}

    def value(node: ast.AST | None) -> Any:
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            if node.id in assigned and node.id not in known:
                known[node.id] = None
                known[node.id] = value(assigned[node.id])
            return known.get(node.id)
        if isinstance(node, ast.Dict):
            both = zip(node.keys, node.values, strict=True)
            return [{key.value if isinstance(key, ast.Constant) else None: value(item)} for key, item in both]
        if isinstance(node, ast.Call):
            return [{word.arg: value(word.value)} for word in node.keywords] + [
                value(item) for item in [node.func, *node.args]
            ]
        return [value(item) for item in ast.iter_child_nodes(node)] if node else None

    return [value(tree)]


def pairs(top: Any) -> Iterator[tuple[str, Any]]:
    """Every key, with its value, at any depth."""
    left: list[Any] = [top]
    seen: set[Any] = set()
    while left:
        value = left.pop()
        if not isinstance(value, (dict, list)) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            yield from ((str(key), item) for key, item in value.items())
        left += value.values() if isinstance(value, dict) else value


@functools.cache
def given() -> dict[str, list[Any]]:
    """What the tests set: each variable with its values. Playbooks count where a test runs them."""
    tests = files(*ON_MACHINES)
    texts = "\n".join(path.read_text() for path in tests)
    played = [path for path in files("playbooks/*.yml") if re.search(rf"\b{path.stem}\b", texts)]
    found: dict[str, list[Any]] = {}
    for path in [*tests, *played, *files("playbooks/vars/*.yml", "playbooks/tasks/*.yml")]:
        for key, value in pairs(of_python(path) if path.suffix == ".py" else of_yaml(path)):
            found.setdefault(key, []).append(value)
    found["vip_agent_actions"] += [of_python(path) for path in files(*AGENT)]
    return found


@functools.cache
def keys_below(variable: str) -> set[str]:
    """The keys in its values, also in their templates and in the variables that these name."""
    keys: set[str] = set()
    left: list[Any] = [*given()[variable]]
    seen: set[Any] = set()
    while left:
        value = left.pop()
        # What a name stands for is one object, wherever the name is used.
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, str) and "{" in value:
            keys.update(re.findall(r"['\"](\w+)['\"]\s*:", value))
            # Variables: other words of templates are filters and tests.
            named = {word for word in re.findall(r"\b[a-z]\w+\b", value) if "_" in word and word in given()} - seen
            seen |= named
            left += [each for name in named for each in given()[name]]
        elif isinstance(value, list):
            left += value
        elif isinstance(value, dict):
            keys |= set(map(str, value))
            left += value.values()
    return keys


@pytest.mark.parametrize("role", ROLES)
def test_every_option_is_given_to_the_real_program(role: str) -> None:
    missing = []
    for top, *rest in options(role):
        path = ".".join([top, *rest])
        there = top in given() and (not rest or rest[-1] in keys_below(top))
        if not there and path not in EXCEPTIONS:
            missing.append(path)
    assert not missing, (
        f"no scenario, and no test in tests/system or tests/node, sets these options of the role {role} "
        f"and sees what they do: {', '.join(missing)}"
    )


def test_exceptions_are_options() -> None:
    assert {".".join(path) for role in ROLES for path in options(role)} >= EXCEPTIONS
