# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection, installed as the README says from a clone, with each ansible-core that it is for.

CI tries the oldest and the newest one that this machine has a Python for; ``make versions`` tries all.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import yaml
from releases import ALL, NEWEST, OLDEST, SUPPORTED, User, ends, left_out

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = """
all:
  children:
    vip_nodes: {hosts: {web1: {}, web2: {}}}
    vip_real_servers: {hosts: {real1: {}}}
    vip_clients: {hosts: {probe1: {}}}
  vars: {vip_address: 192.168.7.246/22, vip_interface: eth0}
"""


@pytest.fixture(params=SUPPORTED if ALL else sorted({OLDEST, NEWEST}), scope="module")
def user(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> User:
    """Somebody who has that release, and the collection."""
    this = User(request.param, tmp_path_factory.mktemp(f"ansible-{request.param}"))
    (this.home / "inventory.yml").write_text(INVENTORY)
    this.run(f"cd {shlex.quote(str(ROOT))} && ansible-galaxy collection install --force .")
    return this


def test_every_playbook_is_understood(user: User) -> None:
    books = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))
    assert len(books) > 10
    names = " ".join(f"cloudha.vip.{name}" for name in books)
    said = user.run(f"ansible-playbook --syntax-check -i inventory.yml {names}")
    assert said.count("playbook: ") == len(books)


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("module", "plugins/modules/*.py"),
        ("role", "roles/*/meta/argument_specs.yml"),
        ("filter", "plugins/filter/*.yml"),
    ],
)
def test_all_documentation_is_found(user: User, kind: str, files: str) -> None:
    listed = json.loads(user.run(f"ansible-doc --list --json --type {kind} cloudha.vip"))
    # A role without tasks, for others to depend on, is listed without entry points, and has no documentation.
    names = [name for name, about in listed.items() if kind != "role" or about["entry_points"]]
    expected = {
        path.parts[1] if kind == "role" else path.stem for path in (each.relative_to(ROOT) for each in ROOT.glob(files))
    }
    assert {f"cloudha.vip.{name}" for name in expected} == set(names)
    documents = json.loads(user.run(f"ansible-doc --json --type {kind} {' '.join(names)}"))
    assert set(documents) == set(names)
    # What cannot be read is not missing from the list, it says "error" in its place.
    assert [name for name, document in documents.items() if "error" in document] == []


@pytest.mark.parametrize("verb", ["drill", "switchover"])
def test_a_verb_begins_and_says_what_it_needs(user: User, verb: str) -> None:
    """Beyond the check of its arguments, of which each release has its own idea."""
    alone = "all: {children: {vip_nodes: {hosts: {web1: {ansible_connection: local}}}, vip_clients: {hosts: {}}}}"
    (user.home / "alone.yml").write_text(alone)
    given = json.dumps({"vip_address": "192.0.2.1/24", "ansible_become": False})
    done = user.try_to(f"ansible-playbook -i alone.yml cloudha.vip.{verb} -e {shlex.quote(given)}")
    assert done.returncode != 0
    assert "the group vip_nodes has 1" in " ".join(done.stdout.split()), done.stdout + done.stderr


def test_the_releases_are_those_the_collection_claims() -> None:
    claimed = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["requires_ansible"]
    assert claimed == f">={min(SUPPORTED)}.0"
    assert f"| ansible-core | {', '.join(SUPPORTED)} |" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize(
    ("minors", "oldest", "newest", "missing"),
    [
        # Debian 12, Debian 13, and a machine with both.
        ({11}, "2.17", "2.19", ["2.20", "2.21"]),
        ({13}, "2.18", "2.21", ["2.17"]),
        ({11, 13}, "2.17", "2.21", []),
        # None is skipped, with this as the reason.
        ({8}, "2.17", "2.21", list(SUPPORTED)),
    ],
)
def test_the_tried_releases_are_those_with_a_python(
    minors: set[int], oldest: str, newest: str, missing: list[str]
) -> None:
    def has(release: str) -> bool:
        first, last = SUPPORTED[release]
        return any(first <= minor <= last for minor in minors)

    assert ends(has) == (oldest, newest)
    line = left_out(has)
    assert [release for release in SUPPORTED if f"{release} needs Python 3." in line] == missing
    assert line.startswith("LEFT OUT") == bool(missing)


def test_a_release_without_a_python_is_told() -> None:
    """At the end of the run, where pytest shows warnings. A skipped test says nothing there."""
    if line := left_out():
        warnings.warn(line, stacklevel=1)


@pytest.mark.parametrize(
    ("tried", "missing"),
    [
        ("3.9 3.10 3.11 3.12 3.13", ""),
        ("3.11", "3.9 3.10 3.12 3.13"),
        ("3.9 3.11 3.12", "3.10 3.13"),
        ("", "3.9 3.10 3.11 3.12 3.13"),
    ],
)
def test_a_python_of_nodes_that_was_not_tried_is_told(tried: str, missing: str) -> None:
    """Whatever the end of ansible-test is."""
    script = (ROOT / "tests/ansible-test").read_text()
    (function,) = re.findall(r"^say_untried\(\) \{\n(?:.*\n)*?\}", script, re.MULTILINE)
    (ending,) = re.findall(r"^trap '.*' EXIT$", script, re.MULTILINE)
    (wanted,) = re.findall(r"^ +wanted='(.*)' tried=", script, re.MULTILINE)
    begin = f"set -euo pipefail\n{function}\nscratch=/nonexistent wanted='{wanted}' tried='{tried}'\n{ending}\n"
    for command, code in (("true", 0), ("exit 3", 3)):
        done = subprocess.run(["bash", "-c", begin + command], capture_output=True, text=True, check=False)
        assert done.returncode == code
        found = re.findall(r"^WARNING: NOT TRIED with Python ([\d. ]+) of nodes", done.stderr, re.MULTILINE)
        assert found == ([missing] if missing else []), done.stderr


def test_make_versions_runs_every_scenario() -> None:
    """Also those that CI leaves out: nothing else would run them."""
    # Not by pytest --collect-only: it would remove the logs of the last run.
    ask = "import test_molecule as it; print(*it.SCENARIOS, sep='\\n')"
    environment = {**os.environ, "VERSIONS": "all", "PYTHONPATH": f"{os.environ['PYTHONPATH']}:{ROOT}/tests/system"}
    done = subprocess.run([sys.executable, "-c", ask], env=environment, capture_output=True, text=True, check=True)
    scenarios = [path.parent.name for path in (ROOT / "extensions/molecule").glob("*/molecule.yml")]
    assert sorted(done.stdout.split()) == sorted(scenarios)
    script = (ROOT / "tests/versions").read_text()
    assert script.index("export VERSIONS=all") < script.index("-m left_out tests/system/test_molecule.py")
