# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection, installed as the README says from a clone, with each ansible-core that it is for.

CI tries the oldest and the newest one; ``make versions`` tries all.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from lab.image import cache_directory

ROOT = Path(__file__).resolve().parents[2]
# ansible-core -> the Pythons that its controller runs with.
SUPPORTED = {"2.17": (10, 12), "2.18": (11, 13), "2.19": (11, 13), "2.20": (12, 14), "2.21": (12, 14)}
RELEASES = list(SUPPORTED) if os.environ.get("VERSIONS") == "all" else ["2.17", "2.21"]
INVENTORY = """
all:
  children:
    vip_nodes: {hosts: {web1: {}, web2: {}}}
    vip_real_servers: {hosts: {real1: {}}}
    vip_clients: {hosts: {probe1: {}}}
  vars: {vip_address: 192.168.7.246/22, vip_interface: eth0}
"""


def python_for(release: str) -> str | None:
    """A Python of this machine that can run ``release``."""
    oldest, newest = SUPPORTED[release]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for minor in range(newest, oldest - 1, -1):
        for each in (f"python3.{minor}", *map(str, pyenv.glob(f"versions/3.{minor}.*/bin/python3"))):
            # There may be a shim that does not run, or one without the venv module.
            test = f"import ensurepip, sys, venv; sys.exit(sys.version_info[:2] != (3, {minor}))"
            if (
                shutil.which(each)
                and subprocess.run([each, "-c", test], capture_output=True, check=False).returncode == 0
            ):
                return each
    return None


@pytest.fixture(params=RELEASES, scope="module")
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with that release's commands, in an empty home with the collection installed."""
    release = request.param
    python = python_for(release)
    if python is None:
        pytest.skip("ansible-core {} needs Python 3.{} to 3.{}".format(release, *SUPPORTED[release]))
    bin_directory = cache_directory() / f"ansible-core-{release}" / "bin"
    with open(cache_directory() / f"ansible-core-{release}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (bin_directory.parent / ".complete").exists():
            subprocess.run([python, "-m", "venv", "--clear", bin_directory.parent], check=True)
            pip = [bin_directory / "python", "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
            subprocess.run([*pip, f"ansible-core=={release}.*"], check=True)
            (bin_directory.parent / ".complete").touch()
    home = tmp_path_factory.mktemp(f"ansible-{release}")
    (home / "inventory.yml").write_text(INVENTORY)
    (home / "bin").symlink_to(bin_directory)
    # As the README says for a clone, but for where it goes to.
    run(home, "ansible-galaxy", "collection", "install", "--force", ".", cwd=ROOT)
    assert run(home, "ansible", "--version").startswith(f"ansible [core {release}.")
    return home


def run(home: Path, command: str, *words: str, cwd: Path | None = None) -> str:
    """Run one of the release's commands as somebody who has nothing but it and the collection."""
    environment = {"HOME": str(home), "PATH": f"{home}/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "ANSIBLE_NOCOLOR": "1"}
    where = cwd or home
    done = subprocess.run(
        [home / "bin" / command, *words],
        env=environment,
        cwd=where,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"{command} {' '.join(words)}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def test_every_playbook_is_understood(installed: Path) -> None:
    books = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))
    assert len(books) > 10
    said = run(
        installed,
        "ansible-playbook",
        "--syntax-check",
        "-i",
        "inventory.yml",
        *(f"cloudha.vip.{name}" for name in books),
    )
    assert said.count("playbook: ") == len(books)


@pytest.mark.parametrize("kind", ["module", "role", "filter"])
def test_all_documentation_is_found(installed: Path, kind: str) -> None:
    directory = {"module": ROOT / "plugins/modules", "role": ROOT / "roles", "filter": ROOT / "plugins/filter"}[kind]
    listed = set(json.loads(run(installed, "ansible-doc", "--list", "--json", "--type", kind, "cloudha.vip")))
    if kind == "role":
        expected = {path.parent.parent.name for path in directory.glob("*/meta/argument_specs.yml")}
        # Listed, too, is a role of variables alone, which has no entry point to describe.
        listed -= {f"cloudha.vip.{path.name}" for path in directory.iterdir() if not (path / "tasks").is_dir()}
    elif kind == "module":
        expected = {path.stem for path in directory.glob("*.py")}
    else:
        expected = {path.stem for path in directory.glob("*.y*ml")}
    assert {f"cloudha.vip.{name}" for name in expected} <= listed
    if listed:
        documents = json.loads(run(installed, "ansible-doc", "--json", "--type", kind, *sorted(listed)))
        assert set(documents) == listed
        # What cannot be read is not missing from the list, it says "error" in its place.
        assert [name for name, document in documents.items() if "error" in document] == []


@pytest.mark.parametrize("verb", ["drill", "switchover"])
def test_a_verb_begins_and_says_what_it_needs(installed: Path, verb: str) -> None:
    """Beyond the check of its arguments, of which each release has its own idea."""
    alone = "all: {children: {vip_nodes: {hosts: {web1: {ansible_connection: local}}}, vip_clients: {hosts: {}}}}"
    (installed / "alone.yml").write_text(alone)
    given = json.dumps({"vip_address": "192.0.2.1/24", "ansible_become": False})
    done = subprocess.run(
        [installed / "bin/ansible-playbook", "-i", "alone.yml", f"cloudha.vip.{verb}", "-e", given],
        env={"HOME": str(installed), "PATH": f"{installed}/bin:/usr/bin:/bin", "LANG": "C.UTF-8"},
        cwd=installed,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode != 0
    assert "the group vip_nodes has 1" in " ".join(done.stdout.split()), done.stdout + done.stderr


def test_the_releases_are_those_the_collection_claims(request: pytest.FixtureRequest) -> None:
    claimed = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["requires_ansible"]
    assert claimed == f">={next(iter(SUPPORTED))}.0"
    assert f"| ansible-core | {', '.join(SUPPORTED)} |" in (ROOT / "README.md").read_text()
