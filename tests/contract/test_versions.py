# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection, installed as the README says from a clone, with each ansible-core that it is for.

CI tries the oldest and the newest one; ``make versions`` tries all.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import yaml
from releases import ALL, NEWEST, OLDEST, SUPPORTED, User

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = """
all:
  children:
    vip_nodes: {hosts: {web1: {}, web2: {}}}
    vip_real_servers: {hosts: {real1: {}}}
    vip_clients: {hosts: {probe1: {}}}
  vars: {vip_address: 192.168.7.246/22, vip_interface: eth0}
"""


@pytest.fixture(params=SUPPORTED if ALL else [OLDEST, NEWEST], scope="module")
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
    assert claimed == f">={OLDEST}.0"
    assert f"| ansible-core | {', '.join(SUPPORTED)} |" in (ROOT / "README.md").read_text()
