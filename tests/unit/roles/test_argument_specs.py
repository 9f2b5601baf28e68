# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every way into a role checks its variables: a wrong type is told at the door, and not by a crash further in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if (path / "tasks").is_dir())
# What a topology is made of: each has the same entry points.
PARTS = [role for role in ROLES if role != "drill" and (ROOT / "roles" / role / "tasks/absent.yml").is_file()]


def files():
    for directory in ("roles", "playbooks", "extensions", "bench", "docs"):
        for path in (ROOT / directory).rglob("*"):
            if path.suffix in (".yml", ".md"):
                yield path


def entered():
    """Each (role, entry point) that something of the collection uses, or tells users of."""
    for path in files():
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            match = re.search(r"tasks_from: *(\"?\{\{.*?\}\}|[\w/]+)", line)
            if not match:
                continue
            named = "\n".join([line, lines[number - 1]])
            if re.search(r"name: *\"cloudha\.vip\.\{\{", named):  # whichever part it is
                entry = match[1]
                yield from ((part, entry) for part in PARTS if (ROOT / f"roles/{part}/tasks/{entry}.yml").is_file())
                continue
            role = re.search(r"name: *cloudha\.vip\.(\w+)", named)
            own = path.name == "README.md" and path.parent.name in ROLES
            assert role or own, f"{path}:{number + 1}: the role's name is not on the line before"
            yield role[1] if role else path.parent.name, match[1]


def specs(role):
    return yaml.safe_load((ROOT / "roles" / role / "meta/argument_specs.yml").read_text())["argument_specs"]


def test_the_entry_points_are_found():
    assert {("keepalived", "check"), ("keepalived", "export"), ("holder", "wait"), ("gcp_route", "holder")} <= set(
        entered()
    )


@pytest.mark.parametrize(("role", "entry"), sorted(set(entered())))
def test_every_entry_point_which_others_use_has_an_argument_spec(role, entry):
    assert (ROOT / "roles" / role / "tasks" / f"{entry}.yml").is_file()
    assert entry in specs(role)


@pytest.mark.parametrize("part", PARTS)
def test_every_part_has_the_same_entry_points(part):
    assert {"main", "absent"} <= set(specs(part))
    tasks = {path.stem for path in (ROOT / "roles" / part / "tasks").glob("*.yml")}
    assert tasks & {"main", "absent", "check", "holder", "move"} <= set(specs(part))


@pytest.mark.parametrize("role", ROLES)
def test_every_argument_spec_belongs_to_an_entry_point(role):
    for entry in specs(role):
        assert (ROOT / "roles" / role / "tasks" / f"{entry}.yml").is_file()


@pytest.mark.parametrize("role", ROLES)
def test_no_description_lost_a_colon(role):
    """An unquoted colon ends a key in YAML: writers left it out of examples, which could not be copied then."""

    def texts(options):
        for name, option in options.items():
            yield name, option.get("description", "")
            yield from texts(option.get("options") or {})

    for entry, spec in specs(role).items():
        for name, given in ((entry, spec.get("description", "")), *texts(spec.get("options") or {})):
            for text in given if isinstance(given, list) else [given]:
                assert isinstance(text, str), f"{name}: {text}"
                assert not re.search(r"\{\w+ [\{'\"\w]", text), f"{name}: {text}"
