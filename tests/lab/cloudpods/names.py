# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a name: Cloudpods and its database change it without a word."""

from __future__ import annotations

from lab.cloudpods.errors import ApiError

LONGEST = 128
_REFUSED = "/\\;\n\r\t"
# The readings of the characters that were recorded. The service knows them all.
_PINYIN = {"双": "shuang", "网": "wang"}


def kept(name: str) -> str:
    """What the service takes of it, before it is cut at LONGEST: so two names that are cut may be the same."""
    if any(each in name for each in _REFUSED):
        details = 'name should not contains any of "/\\\\;\\n\\r\\t"'
        raise ApiError(400, "InvalidFormatError", f"{details}: InvalidFormatError")
    # The database has three bytes for a character.
    return "".join(each if ord(each) < 0x10000 else "\ufffd\ufffd" for each in name.strip())


def same(one: str, other: str) -> bool:
    """Whether two names are the same one to the database."""
    return one.lower() == other.lower()


def latin(name: str) -> str:
    """A name in an EIP's name: ideographs as they are read; other letters that ASCII does not have are left out."""
    return "".join(_PINYIN.get(each, each if each.isascii() else "") for each in name)
