# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tarball that a user installs: every link leads somewhere, and nothing is there by mistake.

``TARBALL`` names a tarball that is built already, as ``make release`` does.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
# Everything at the top of the tarball; a new name here is a decision.
TOP = {
    "CHANGELOG.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "COPYING", "FILES.json", "LICENSES", "MAINTAINERS.md",
    "MANIFEST.json", "README.md", "changelogs", "docs", "meta", "playbooks", "plugins", "requirements.yml", "roles",
}  # fmt: skip
GALAXY = yaml.safe_load((ROOT / "galaxy.yml").read_text())
# The release writes it; before the first one the repository has none.
GENERATED = {"CHANGELOG.md"}
LINK = re.compile(
    r"\]\(<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\)|\b(?:src|href)=\"([^\"]+)\"|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE
)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection as `ansible-galaxy collection build` packs it."""
    directory = tmp_path_factory.mktemp("tarball")
    tarball = Path(os.environ.get("TARBALL") or directory / f"cloudha-vip-{GALAXY['version']}.tar.gz")
    if not os.environ.get("TARBALL"):
        build = ["ansible-galaxy", "collection", "build", "--output-path", str(directory), str(ROOT)]
        subprocess.run(build, check=True, capture_output=True)
    (directory / "vip").mkdir()
    # Not tarfile: the Python of Debian 12 has no filters yet, and others warn without one.
    subprocess.run(["tar", "--extract", f"--file={tarball}", f"--directory={directory}/vip"], check=True)
    return directory / "vip"


def anchors(page: Path) -> set[str]:
    """What GitHub and Galaxy make of the page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ +(.+?) *$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def dead(page: Path, top: Path) -> list[str]:
    """The relative links of ``page`` that lead nowhere, or out of ``top``."""
    found = []
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for groups in LINK.findall(text):
        link = next(filter(None, groups))
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        path, _mark, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        here = target.is_relative_to(top.resolve()) and target.exists()
        if not here or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            found.append(link)
    return found


def lost(text: str, top: Path) -> list[str]:
    """The absolute URLs in ``text`` that lead into the repository, to a file that it lacks."""
    name = re.escape(GALAXY["repository"].removeprefix("https://github.com/"))
    url = rf"https://(?:github\.com/{name}/(?:blob|tree|raw)|raw\.githubusercontent\.com/{name})/main/([\w./-]+\w)"
    return [path for path in re.findall(url, text) if path not in GENERATED and not (top / path).exists()]


def test_no_link_of_the_tarball_is_dead(unpacked: Path) -> None:
    pages = sorted(unpacked.rglob("*.md"))
    assert {"README.md", "docs", "roles"} <= {page.relative_to(unpacked).parts[0] for page in pages}
    # It is made by a tool, which escapes what is no link.
    pages.remove(unpacked / "CHANGELOG.md") if (unpacked / "CHANGELOG.md").exists() else None
    assert {str(page.relative_to(unpacked)): links for page in pages if (links := dead(page, unpacked))} == {}


def test_no_link_of_the_repository_is_dead() -> None:
    pages = [page for directory in ("docs", "roles", "bench", "tests") for page in (ROOT / directory).rglob("*.md")]
    pages += [page for page in ROOT.glob("*.md") if page.name not in GENERATED]
    assert {ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "bench/results/nodes.md"} <= set(pages)
    assert {str(page.relative_to(ROOT)): links for page in pages if (links := dead(page, ROOT))} == {}


def test_no_link_into_the_repository_is_dead(unpacked: Path) -> None:
    texts = {
        path: path.read_text()
        for path in unpacked.rglob("*")
        if path.suffix in (".md", ".rst", ".py", ".yml") and path.name not in GENERATED
    }
    assert sum(GALAXY["repository"] in text for text in texts.values()) >= 5
    found = {str(path.relative_to(unpacked)): paths for path, text in texts.items() if (paths := lost(text, ROOT))}
    assert found == {}


def test_a_dead_link_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "top" / "page.md"
    page.parent.mkdir()
    (tmp_path / "outside.md").touch()
    page.write_text(
        "# A, b: c\n[1](#a-b-c) [2](#none) [3](page.md) ![4](no.svg) [5](../outside.md) [6](https://x.example/y)\n"
    )
    assert dead(page, page.parent) == ["#none", "no.svg", "../outside.md"]
    repository = GALAXY["repository"]
    urls = f"[1]({repository}/blob/main/page.md) [2]({repository}/tree/main/docs/no). {repository}/issues"
    assert lost(urls, page.parent) == ["docs/no"]


def test_the_tarball_holds_nothing_by_mistake(unpacked: Path) -> None:
    assert {path.name for path in unpacked.iterdir()} <= TOP
    odd = [
        str(path)
        for path in unpacked.rglob("*")
        if path.name.startswith(".") or path.suffix in (".pyc", ".orig", ".rej")
    ]
    assert odd == []
    assert not os.environ.get("TARBALL") or (unpacked / "CHANGELOG.md").exists(), "a release has a changelog"
