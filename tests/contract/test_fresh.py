# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What make fresh gives back when its root is gone: the limit that all labs share."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FRESH = (ROOT / "tests/fresh").read_text()
# They end with their function's brace, or on their line.
FUNCTIONS = "\n".join(re.findall(r"^instances_(?:before\(\).*|back\(\) \{\n(?:.*\n)*?\})", FRESH, re.MULTILINE))


@pytest.mark.parametrize(
    ("before", "meanwhile", "after"),
    [
        # The root's lab was interrupted, or it was not.
        ((128, None), (512, None), (128, None)),
        ((128, None), (128, None), (128, None)),
        # A lab of this machine began meanwhile, and found what the root's lab had raised.
        ((128, None), (900, 512), (900, 128)),
        # A lab of this machine has raised it, and goes on, or has ended.
        ((512, 128), (900, 128), (900, 128)),
        ((512, 128), (900, None), (128, None)),
    ],
)
def test_the_limit_is_as_it_was(tmp_path: Path, before: tuple, meanwhile: tuple, after: tuple) -> None:
    limit, note = tmp_path / "limit", tmp_path / "note"

    def run(command: str) -> str:
        script = f"set -euo pipefail; LIMIT={limit} NOTE={note}\n{FUNCTIONS}\n{command}"
        return subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True).stdout.strip()

    def put(numbers: tuple) -> None:
        limit.write_text(f"{numbers[0]}\n")
        note.unlink(missing_ok=True)
        if numbers[1]:
            note.write_text(f"{numbers[1]}\n")

    put(before)
    found = run("instances_before")
    put(meanwhile)
    run(f"instances_back {found}")
    assert (int(limit.read_text()), int(note.read_text()) if note.exists() else None) == after


def test_an_interrupted_run_gives_it_back() -> None:
    clean = re.search(r"^clean\(\) \{\n(.*?)^\}", FRESH, re.MULTILINE | re.DOTALL)
    assert clean and 'instances_back "$instances"' in clean.group(1)
