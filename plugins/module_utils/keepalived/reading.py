# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The content of a configuration file, for the modules that show it; whether it can be understood or not."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, NamedTuple

from .conf import load, without_secrets
from .export import export


class Reading(NamedTuple):
    exists: bool
    checksum: str | None  # SHA-1 of the file itself, without what it includes
    variables: dict[str, Any]
    notes: list[str]
    mistake: str = ""  # why it is not understood


def read(path: str, config_id: str, secrets: bool) -> Reading:
    """Raises OSError for a file that cannot be read."""
    file = Path(path)
    checksum = hashlib.sha1(file.read_bytes()).hexdigest() if file.exists() else None
    notes: list[str] = []
    try:
        statements = load(path, config_id, notes)
        variables, lost = export((statements or []) if secrets else without_secrets(statements or []))
    except ValueError as error:
        return Reading(True, checksum, {}, notes, str(error))
    exists = statements is not None
    return Reading(exists, checksum, variables if exists else {}, notes + lost)


def has_line(path: str, words: str) -> bool:
    """Whether a line of the file matches a regular expression, in any case."""
    return any(re.search(words, line, re.IGNORECASE) for line in Path(path).read_text(errors="replace").splitlines())
