# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy of the collection with the example of docs/extending.md: a mechanism and a topology, both named by_hand."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def extended(above: Path) -> Path:
    """The copy, below the directory above, where Ansible and Python find it as a collection."""
    copy = above / "ansible_collections/cloudha/vip"
    listing = ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    tracked = subprocess.run(listing, check=True, capture_output=True, text=True).stdout
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    (change,) = re.findall(r"^```diff\n(.*?)^```", (copy / "docs/extending.md").read_text(), re.DOTALL | re.MULTILINE)
    subprocess.run(["git", "apply", "--whitespace=error", "-"], cwd=copy, input=change, text=True, check=True)
    return copy
