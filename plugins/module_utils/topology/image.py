# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The name of an image, which follows from what goes into it."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..clouds.gce_names import NAME_LENGTH, is_name

DIGITS = 10
LONGEST_PREFIX = NAME_LENGTH - DIGITS - 1
# Everybody who sees the name can try out what may have gone into it. So each try takes a fifth of a second, and what
# was tried for another project or prefix is of no use. PBKDF2 is the one way that all Pythons have, also with FIPS.
ROUNDS = 600_000
_OMIT = "__omit_place_holder__"  # ansible-core before 2.19 makes up the rest of it anew in each run


def image_name(prefix: str, project: str, source: str, contents: Mapping[str, bytes], variables: Any) -> str:
    """PREFIX-xxxxxxxxxx. source: the id of the image that it is made from. contents: files by their names.

    Raises ValueError with a sentence.
    """
    if not is_name(prefix) or len(prefix) > LONGEST_PREFIX:
        raise ValueError(
            f"{prefix!r} is no prefix: use 1 to {LONGEST_PREFIX} of a-z, 0-9 and -, with a letter first and no - last"
        )
    if not source:
        raise ValueError("source is empty; give the id of the source image")
    files = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    whole = {"source": str(source), "files": files, "variables": plain(variables)}
    text = json.dumps(whole, sort_keys=True).encode()
    digest = hashlib.pbkdf2_hmac("sha256", text, f"cloudha.vip image {project} {prefix}".encode(), ROUNDS)
    return f"{prefix}-{base64.b32encode(digest).decode().lower()[:DIGITS]}"


def plain(value: Any, where: str = "variables") -> Any:
    """The value with texts only. Releases of ansible-core differ in what becomes a number, a boolean or nothing."""
    if isinstance(value, Mapping):
        return {_text(key, where): plain(each, f"{where}.{key}") for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each, f"{where}[{number}]") for number, each in enumerate(value)]
    return _text(value, where)


def _text(value: Any, where: str) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime.date):
        return value.isoformat()
    # What is encrypted in an inventory is a sequence of characters before 2.19, and its text is what it was.
    known = isinstance(value, (str, int, float, Sequence)) and not isinstance(value, bytes)
    if not known or str(value).startswith(_OMIT):
        raise ValueError(f"{where} is {type(value).__name__}, and no text, number, boolean, list or dictionary")
    return str(value)
