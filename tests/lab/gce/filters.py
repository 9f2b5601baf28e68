# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters of lists: expressions as in Google's AIP-160, and the older ones with regular expressions."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from lab.gce.errors import ApiError

Test = Callable[[Mapping[str, Any]], bool]


def _tokens(word: str) -> re.Pattern[str]:
    quoted = r"""\s*(?:(?P<parenthesis>[()])|"(?P<double>(?:\\.|[^"\\])*)"|'(?P<single>(?:\\.|[^'\\])*)'"""
    return re.compile(f"{quoted}|(?P<operator>!=|<=|>=|=|:|<|>)|(?P<word>{word}+))")


_TOKEN = _tokens(r"""[^\s()=:<>!"']""")
# What follows an operator may be a URL.
_VALUE = _tokens(r"""[^\s()"'=!<>]""")
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def parse(text: str | None) -> Test:
    """The test that a list's ``filter`` is; ApiError if it is none."""
    if not text or not text.strip():
        return lambda item: True
    try:
        return _Parser(text).whole()
    except (ValueError, re.error, IndexError):
        raise ApiError(
            400, "invalid", f"Invalid value for field 'filter': '{text}'. Invalid list filter expression."
        ) from None


class _Parser:
    """By recursive descent: terms, AND (or nothing) between them binds weaker than OR, as AIP-160 has it."""

    def __init__(self, text: str) -> None:
        legacy = re.fullmatch(r"\s*([\w.]+)\s+(eq|ne)\s+(.*?)\s*", text, re.DOTALL)
        # The literal of a single old expression needs no quotes, whatever is in it.
        self.single = legacy.groups() if legacy and not re.match(r"""["']""", legacy[3]) else None
        self.tokens: list[tuple[str, str]] = []
        at = 0
        while self.single is None and text[at:].strip():
            before = self.tokens[-1] if self.tokens else ("", "")
            value = before[0] == "operator" or before in (("word", "eq"), ("word", "ne"))
            match = (_VALUE if value else _TOKEN).match(text, at)
            if not match or match.lastgroup is None:
                raise ValueError(text)
            self.tokens.append((match.lastgroup, match[match.lastgroup]))
            at = match.end()
        self.at = 0
        self.kinds: set[str] = set()

    def whole(self) -> Test:
        if self.single is not None:
            return _legacy(*self.single)
        test = self.conjunction()
        if self.at != len(self.tokens) or len(self.kinds) > 1:  # both kinds of expressions in one filter
            raise ValueError
        return test

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")

    def conjunction(self) -> Test:
        tests = [self.disjunction()]
        while self.peek() not in (("end", ""), ("parenthesis", ")")):
            if self.peek() == ("word", "AND"):
                self.at += 1
            tests.append(self.disjunction())
        return lambda item: all(test(item) for test in tests)

    def disjunction(self) -> Test:
        tests = [self.term()]
        while self.peek() == ("word", "OR"):
            self.at += 1
            tests.append(self.term())
        return lambda item: any(test(item) for test in tests)

    def term(self) -> Test:
        kind, text = self.peek()
        self.at += 1
        if (kind, text) in (("word", "NOT"), ("word", "-")):
            inner = self.term()
            return lambda item: not inner(item)
        if (kind, text) == ("parenthesis", "("):
            test = self.conjunction()
            if self.peek() != ("parenthesis", ")"):
                raise ValueError
            self.at += 1
            return test
        if kind != "word":
            raise ValueError
        sign_kind, sign = self.peek()
        value_kind, value = self.tokens[self.at + 1]
        self.at += 2
        if value_kind not in ("word", "double", "single"):
            raise ValueError
        if (sign_kind, sign) in (("word", "eq"), ("word", "ne")):
            self.kinds.add("legacy")
            return _legacy(text, sign, value)
        if sign_kind != "operator":
            raise ValueError
        self.kinds.add("standard")
        return _standard(text, sign, re.sub(r"\\(.)", r"\1", value) if value_kind != "word" else value)


def _values(item: Any, field: str) -> list[str]:
    """What is at a field; of a list, each."""
    found = [item]
    for part in field.split("."):
        lists = [each if isinstance(each, list) else [each] for each in found]
        found = [one[part] for each in lists for one in each if isinstance(one, Mapping) and part in one]
    flat = [one for each in found for one in (each if isinstance(each, list) else [each])]
    return [str(one).lower() if isinstance(one, bool) else str(one) for one in flat]


def _legacy(field: str, sign: str, value: str) -> Test:
    pattern = re.compile(value)
    return lambda item: any(pattern.fullmatch(each) for each in _values(item, field)) == (sign == "eq")


def _standard(field: str, sign: str, value: str) -> Test:
    if sign in _ORDER:
        return lambda item: any(_ORDER[sign](_comparable(each), _comparable(value)) for each in _values(item, field))
    if sign == ":":
        if value == "*":
            return lambda item: bool(_values(item, field))
        return lambda item: any(value.strip("*").lower() in each.lower() for each in _values(item, field))
    if "*" in value:
        pattern = re.compile(".*".join(map(re.escape, value.split("*"))))
        return lambda item: any(pattern.fullmatch(each) for each in _values(item, field)) == (sign == "=")
    return lambda item: (value in _values(item, field)) == (sign == "=")


def _comparable(text: str) -> tuple[bool, float, str]:
    """Numbers before texts."""
    try:
        return False, float(text), ""
    except ValueError:
        return True, 0.0, text
