# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How things are called: URLs, paths, numbers, moments."""

from __future__ import annotations

import base64
import re
import secrets
from datetime import datetime, timedelta, timezone

# Whichever host is asked: the answers name this one.
HOST = "https://www.googleapis.com/compute/v1/"
_HOST = re.compile(r"(?:https?://[^/]+/)?(?:compute/[a-z0-9]+/)?(?=projects/|global/|zones/|regions/)|^/+")
NAME = re.compile("[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")
_PACIFIC = timezone(timedelta(hours=-8))


def relative(url: str, project: str) -> str:
    """projects/P/... of a full or partial URL, whichever host and version of the API it names; "" if it is none.

    ``project`` is the path of the project that a partial one means.
    """
    match = _HOST.match(url)
    if not match:
        return ""
    path = url[match.end() :]
    return path if path.startswith("projects/") else f"{project}/{path}"


def new_id() -> str:
    """A number that nothing else has."""
    return str(secrets.randbits(60) | 1 << 60)


def now_text() -> str:
    """The API's way to write a moment: in Google's own time zone."""
    return datetime.now(_PACIFIC).isoformat(timespec="milliseconds")


def fingerprint() -> str:
    """A new one each time, in the base64 for URLs: nobody can guess it."""
    return base64.urlsafe_b64encode(secrets.token_bytes(8)).decode()


def same_fingerprint(one: str, other: str) -> bool:
    """Some clients write base64 in the other alphabet."""
    return one.translate(str.maketrans("+/", "-_")).rstrip("=") == other.rstrip("=")
