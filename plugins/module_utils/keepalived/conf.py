# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads and writes the syntax of keepalived.conf: words, quotes, comments, blocks, conditions and parameters."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple


class ConfError(ValueError):
    """The text is not understood; the message says where and what to do."""


class Statement(NamedTuple):
    words: list[str]  # without their quotes; the first is the keyword
    block: list[Statement] | None  # what is between its braces; None without braces

    @property
    def keyword(self) -> str:
        return self.words[0]

    @property
    def arguments(self) -> list[str]:
        return self.words[1:]


# Gives the names and contents of the files which a file includes by a pattern.
Read = Callable[[str, str], Iterable[tuple[str, str]]]

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
    | (?P<comment>[#!].*)
    | (?P<brace>[{}])
    | (?P<word> (?: "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' | \$\{[^}]*\} | \\. | [^\s{}#!"'\\] )+ )
    """,
    re.VERBOSE,
)
_QUOTED = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""")
_ESCAPED = re.compile(r"""\\(["'\\])""")
_DEFINITION = re.compile(r"\s*\$([A-Za-z_]\w*)=(.*?)\s*$")
_PARAMETER = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*)(?=\s|$))")
_CONDITION = re.compile(r"\s*@(\^?)(\S+)\s*(.*)")
_PLAIN = re.compile(r"[^\s{}#!\"'\\]+")
_DEPTH = 20  # of includes and of parameters within parameters


def parse(text: str, config_id: str = "", read: Read | None = None, name: str = "keepalived.conf") -> list[Statement]:
    """The statements of a file, those of included files in their places.

    config_id: that of keepalived's option --config-id, by default the node's short host name; lines for another one
    are left out. read: gives the files of an include; without it, an include is an error.
    """
    root: list[Statement] = []
    open_blocks = [root]
    last: Statement | None = None  # where a brace on the next line belongs
    where = name
    for where, line in _lines(text, config_id, read, name, {}, 0):
        words: list[str] = []
        for kind, token in _tokens(line, where):
            if kind == "word":
                words.append(_unquote(token))
                continue
            if words:
                last = Statement(words, None)
                open_blocks[-1].append(last)
                words = []
            if token == "{":
                if last is None or not open_blocks[-1] or open_blocks[-1][-1] is not last:
                    raise ConfError(f"{where}: a block begins without a name; put the name before the brace")
                block: list[Statement] = []
                open_blocks[-1][-1] = last._replace(block=block)
                open_blocks.append(block)
            elif len(open_blocks) == 1:
                raise ConfError(f"{where}: a block ends which never began; remove the brace, or add the one before it")
            else:
                open_blocks.pop()
            last = None
        if words:
            last = Statement(words, None)
            open_blocks[-1].append(last)
    if len(open_blocks) > 1:
        raise ConfError(f"{where}: the file ends within a block; add {len(open_blocks) - 1} closing brace(s)")
    return root


def render(statements: Iterable[Statement], indent: int = 0) -> list[str]:
    """The lines of statements."""
    lines = []
    for statement in statements:
        line = " " * indent + " ".join(quote(word) for word in statement.words)
        if statement.block is None:
            lines.append(line)
        else:
            lines += [f"{line} {{", *render(statement.block, indent + 4), " " * indent + "}"]
    return lines


def quote(word: str) -> str:
    """A word as it is written."""
    if _PLAIN.fullmatch(word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _unquote(token: str) -> str:
    parts = _QUOTED.split(token)
    return "".join(_ESCAPED.sub(r"\1", part[1:-1]) if number % 2 else part for number, part in enumerate(parts))


def _tokens(line: str, where: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(line):
        match = _TOKEN.match(line, position)
        if not match:
            raise ConfError(f"{where}: a quote is never closed; close it on the same line")
        position = match.end()
        if match.lastgroup in ("brace", "word"):
            yield str(match.lastgroup), match.group()


def _lines(
    text: str, config_id: str, read: Read | None, name: str, parameters: dict[str, str], depth: int
) -> Iterator[tuple[str, str]]:
    """Lines with their places, after conditions, parameters and includes."""
    if depth > _DEPTH:
        raise ConfError(f"{name}: includes are nested more than {_DEPTH} deep; break the circle")
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{name}:{number}"
        if line.rstrip().endswith("\\") or line.lstrip().startswith(("~SEQ", "~LST")):
            raise ConfError(f"{where}: definitions over many lines, ~SEQ and ~LST are not understood; write them out")
        line = _substitute(line, parameters)
        condition = _CONDITION.match(line)
        if condition:
            negated, wanted, line = condition.groups()
            if bool(negated) == (wanted == config_id):
                continue
        definition = _DEFINITION.match(line)
        if definition:
            parameters[definition[1]] = definition[2]
            continue
        words = line.split()
        if len(words) == 2 and re.fullmatch(r"include[rmwba]?", words[0]):
            if read is None:
                raise ConfError(f"{where}: {words[1]} is included; put its content here")
            for file, content in read(name, words[1]):
                yield from _lines(content, config_id, read, file, parameters, depth + 1)
            continue
        yield where, line


def _substitute(line: str, parameters: dict[str, str]) -> str:
    for _round in range(_DEPTH):
        if _DEFINITION.match(line):
            break  # it is replaced where it is used
        before = line
        line = _PARAMETER.sub(lambda m: parameters.get(m[1] or m[2], m[0]), line)
        if line == before:
            break
    return line


def without_secrets(statements: Iterable[Statement]) -> list[Statement]:
    """The same, with nothing after the keywords of secrets."""
    return [
        Statement(
            [s.keyword] if s.keyword in ("auth_pass", "password") else s.words,
            None if s.block is None else without_secrets(s.block),
        )
        for s in statements
    ]


def load(path: str, config_id: str = "") -> list[Statement] | None:
    """The statements of a file and of those which it includes; None if there is no such file."""
    if not os.path.exists(path):
        return None
    return parse(_read(path), config_id, _included, path)


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8", errors="surrogateescape")


def _included(including: str, pattern: str) -> list[tuple[str, str]]:
    names = sorted(glob.glob(os.path.join(os.path.dirname(including), pattern)))
    return [(name, _read(name)) for name in names]
