# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists: filters, pages, and which fields are wanted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lab.cloudpods.errors import bad_input, not_here

Row = dict[str, Any]

_LIMIT = 2048
_ABOUT_THE_LIST = {"limit", "offset", "field", "filter", "details", "scope"}
_FILTER = re.compile(r"(\w+)\.(\w+)\((.*)\)")
_TESTS: dict[str, Callable[[str, list[str]], bool]] = {
    "equals": lambda value, words: value == words[0],
    "notequals": lambda value, words: value != words[0],
    "in": lambda value, words: value in words,
    "contains": lambda value, words: words[0] in value,
    "startswith": lambda value, words: value.startswith(words[0]),
    "endswith": lambda value, words: value.endswith(words[0]),
}

Query = Mapping[str, list[str]]


def answer(name: str, rows: Iterable[Row], query: Query, columns: set[str]) -> Row:
    """What a list answers; ``rows``: oldest first; ``columns``: those that may be filtered by with NAME=VALUE."""
    found = [row for row in rows if _wanted(row, query, columns)]
    found.reverse()
    limit, offset = _number(query, "limit") or _LIMIT, _number(query, "offset")
    page = [picked(row, query) for row in found[offset : offset + limit]]
    if not found:
        return {name: []}
    return {name: page, "limit": limit, "total": len(found), **({"offset": offset} if offset else {})}


def one(row: Row, query: Query) -> Row:
    """What is shown of a single thing: all; the names of its project only to who asks for no fields, or for these."""
    fields = query.get("field")
    away = {"project", "project_domain", "tenant"} - set(fields) if fields else set()
    return {key.lstrip("~"): value for key, value in row.items() if key not in away}


def picked(row: Row, query: Query) -> Row:
    """What a list shows of a row: the fields that were asked for; all but the hidden ones, unless some were."""
    fields = query.get("field")
    if fields:
        return {key.lstrip("~"): value for key, value in row.items() if key.lstrip("~") in fields}
    return {key: value for key, value in row.items() if not key.startswith("~")}


def _wanted(row: Row, query: Query, columns: set[str]) -> bool:
    for key, values in query.items():
        if key.partition(".")[0] == "filter":
            if not all(_passes(row, text) for text in values):
                return False
        elif key in columns:
            if _text(row.get(key)) not in [value.lower() for value in values]:
                return False
        elif key not in _ABOUT_THE_LIST:
            raise not_here(f"a list by {key}")
    return True


def _passes(row: Row, text: str) -> bool:
    match = _FILTER.fullmatch(text)
    if not match or match[2] not in _TESTS:
        raise not_here(f"the filter {text}")
    return _TESTS[match[2]](_text(row.get(match[1])), [word.strip("'\"").lower() for word in match[3].split(",")])


def _text(value: Any) -> str:
    """As the database compares it: without case."""
    return "" if value is None else str(value).lower()


def _number(query: Query, key: str) -> int:
    text = query.get(key, ["0"])[0]
    if not text.isdecimal():
        raise bad_input(f"invalid {key} {text}")
    return int(text)
