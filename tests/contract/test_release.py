# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's metadata agree with what it contains: versions, action groups, requirements."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())


def module_documentation(path: Path) -> dict[str, Any]:
    """What the module's DOCUMENTATION says."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DOCUMENTATION":
            return yaml.safe_load(ast.literal_eval(node.value))
    raise AssertionError(f"{path} has no DOCUMENTATION")


MODULES = {path.stem: module_documentation(path) for path in sorted((ROOT / "plugins/modules").glob("*.py"))}


def documented() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each module, filter and entry point of a role, with its name."""
    yield from MODULES.items()
    for path in sorted((ROOT / "plugins/filter").glob("*.yml")):
        yield path.stem, yaml.safe_load(path.read_text())["DOCUMENTATION"]
    for path in sorted(ROOT.glob("roles/*/meta/argument_specs.yml")):
        for entry, spec in yaml.safe_load(path.read_text())["argument_specs"].items():
            yield f"{path.parts[-3]} {entry}", spec


def versions(documentation: dict[str, Any]) -> list[str]:
    """Every ``version_added`` of the options, of all depths."""
    found = []
    for option in (documentation.get("options") or {}).values():
        found += [str(option["version_added"])] if "version_added" in option else []
        found += versions({"options": option.get("suboptions") or option.get("options")})
    return found


def problems(name: str, documentation: dict[str, Any], known: set[str]) -> list[str]:
    """Why the versions in one documentation cannot be right."""
    own = str(documentation.get("version_added"))
    wrong = [] if own in known else [f"{name} was added in {own}, which is no release"]
    for version in versions(documentation):
        if version not in known or version == own:
            wrong.append(f"{name} {own} has an option that was added in {version}")
    return wrong


@pytest.fixture(scope="module")
def known() -> set[str]:
    """The versions that were released, and the one that is next."""
    released = yaml.safe_load((ROOT / "changelogs/changelog.yaml").read_text())["releases"]
    return {*released, yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]}


def test_whatever_was_added_was_added_in_a_release(known: set[str]) -> None:
    everything = list(documented())
    assert len(everything) > 50
    assert [text for name, documentation in everything for text in problems(name, documentation, known)] == []


def test_a_version_that_never_was_is_seen() -> None:
    nested = {"version_added": "1.0.0", "options": {"a": {"suboptions": {"b": {"version_added": "1.0.0"}}}}}
    assert problems("x", nested, {"1.0.0"}) == ["x 1.0.0 has an option that was added in 1.0.0"]
    assert problems("x", {"version_added": "0.6.0"}, {"1.0.0"}) == ["x was added in 0.6.0, which is no release"]
    assert problems("x", {}, {"1.0.0"}) == ["x was added in None, which is no release"]
    assert (
        problems("x", {"version_added": "1.0.0", "options": {"a": {"version_added": "1.1.0"}}}, {"1.0.0", "1.1.0"})
        == []
    )


def test_modules_with_common_options_are_in_the_action_group_of_these() -> None:
    # A fragment may have parts, as in cloudha.vip.gcp.route.
    for group, members in RUNTIME["action_groups"].items():
        fragment = re.compile(rf"cloudha\.vip\.{group}(\..*)?")
        using = {
            name
            for name, documentation in MODULES.items()
            if any(map(fragment.fullmatch, documentation.get("extends_documentation_fragment", [])))
        }
        assert using, f"no module extends cloudha.vip.{group}"
        assert sorted(using) == members


def test_every_python_package_that_is_required_is_in_execution_environments() -> None:
    lines = (ROOT / "meta/ee-requirements.txt").read_text().splitlines()
    packaged = {re.split(r"[<>=~!]", line)[0] for line in lines if not line.startswith("#")}
    required: set[str] = set()
    for path in (ROOT / "plugins/doc_fragments").glob("*.py"):
        for block in re.findall(r"^requirements:\n((?:  .*\n)+)", path.read_text(), flags=re.MULTILINE):
            required |= set(re.findall(r"C\(([a-z][\w-]+)\)", block))
    for documentation in MODULES.values():
        # Programs, such as C(ip), have no version there.
        required |= set(re.findall(r"C\(([a-z][\w-]+)\) \d", "\n".join(documentation.get("requirements", []))))
    assert required == packaged


def test_the_first_release_compares_itself_with_nothing() -> None:
    """Nobody has had the code of which it could say that it is other now."""
    fragments = {path.name: path.read_text() for path in (ROOT / "changelogs/fragments").glob("*.yml")}
    if yaml.safe_load((ROOT / "changelogs/changelog.yaml").read_text())["releases"]:
        pytest.skip("there was a release")
    sections = {section for text in fragments.values() for section in yaml.safe_load(text)}
    assert sections == {"release_summary", "major_changes", "minor_changes"}
    compares = re.compile(r"\b(?:no longer|any more|anymore|fewer|less time)\b")
    assert [name for name, text in fragments.items() if compares.search(text)] == []


def test_the_readme_names_each_role() -> None:
    text = (ROOT / "README.md").read_text()
    roles = {path.parent.parent.name for path in ROOT.glob("roles/*/meta/main.yml")}
    assert len(roles) > 10 and {role for role in roles if f"](roles/{role}/README.md)" not in text} == set()


def test_the_readmes_times_of_the_pair_are_the_measured_ones() -> None:
    measured = json.loads((ROOT / "bench/results/failover.json").read_text())

    def spelled(median: float, more: bool) -> str:
        if more:
            return f"no answer in {measured['give_up_s']:.0f} s"
        return f"{median / 1000:.2f} s" if median < 1000 else f"{median / 1000:.1f} s"

    times = {
        each["fault"]: " | ".join(spelled(value["median"], value["more"]) for value in each["values"])
        for each in measured["faults"]
    }
    rows = {
        "node_power_off": "failover.md), power lost",
        "service_kill": "the same, the service killed",
        "service_hang": "the same, the service hangs",
        "planned_switchover": "the same, a planned switchover",
    }
    text = (ROOT / "README.md").read_text()
    assert [row for fault, row in rows.items() if f"{row} | {times[fault]} |" not in text] == []
