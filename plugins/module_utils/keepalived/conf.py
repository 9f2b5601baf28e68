# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads and writes the syntax of keepalived.conf: words, quotes, comments, blocks, conditions and parameters."""

from __future__ import annotations

import glob
import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple


class ConfError(ValueError):
    """The text is not understood; the message names the place and the remedy."""


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
_ESCAPED = re.compile(r"""\\([0-7]{3}|["'\\])""")
_DEFINITION = re.compile(r"\s*\$([A-Za-z_]\w*)=(.*?)\s*$")
_PARAMETER = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*)(?=\s|$))")
_CONDITION = re.compile(r"\s*@(\^?)(\S+)\s*(.*)")
_UNKNOWN = re.compile(r"[^#!]*\$\{?(_INSTANCE|_RANDOM|_ENV)\b")  # keepalived's own, whose values are not known here
_PLAIN = re.compile(r"[^\s{}#!\"'\\]+")
_DEPTH = 20  # of includes and of parameters within parameters
_LONGEST = 900  # bytes of a word: keepalived takes lines of 1,022 bytes, and what is longer for two lines


def parse(
    text: str,
    config_id: str = "",
    read: Read | None = None,
    name: str = "keepalived.conf",
    notes: list[str] | None = None,
) -> list[Statement]:
    """The statements of a file, those of included files in their places.

    config_id: that of keepalived's option --config-id, by default the node's short host name; lines for another one
    are left out. read: gives the files of an include; without it, an include is an error. notes: gains a sentence for
    each include that no file matches.
    """
    root: list[Statement] = []
    open_blocks = [root]
    last: Statement | None = None  # where a brace on the next line belongs
    where = name
    known = {"_HASH": "#", "_BANG": "!"}
    for where, line in _lines(text, config_id, read, name, known, 0, [] if notes is None else notes):
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
    if "\\" in word or '"' not in word:
        return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
    # What is in single quotes, all versions understand alike; but they want double quotes in pairs.
    return f"'{word}'" if "'" not in word and word.count('"') % 2 == 0 else '"' + word.replace('"', '\\"') + '"'


def word_problem(word: str) -> str:
    """Why keepalived would not read this word as it is; empty if it would."""
    if not word:
        return "is empty"
    for pattern, what in (
        (r"[\x00-\x1f\x7f]", "has a control character or a line break"),
        (r'"', "has a double quote"),
        (r"\\", "has a backslash"),
        (r"\$\{?[A-Za-z_]", "has a $ which keepalived takes for a parameter"),
    ):
        if re.search(pattern, word):
            return what
    return _too_long(word)


def quote_word(word: str) -> str:
    """A word of a keyword which knows double quotes and no escapes: most of them. Expects no word_problem."""
    return word if _PLAIN.fullmatch(word) else f'"{word}"'


def split_command(command: str) -> list[str]:
    """The program and its arguments, quoted as in a shell. Raises ValueError."""
    return shlex.split(command, posix=True)


def command_problem(command: str) -> str:
    """Why keepalived would not run this command as it is; empty if it would."""
    try:
        words = split_command(command)
    except ValueError as e:
        return f"cannot be split into words ({str(e).lower()})"
    if not words:
        return "is empty"
    if not words[0].startswith("/"):
        return "is no absolute path, and keepalived would not run it"
    if any("\0" in word for word in words):
        return "has a NUL character"
    if any("\\" in word for word in words):
        return "has a backslash, which the versions of keepalived read differently"
    return _too_long(quote_command(words))


def quote_command(words: Iterable[str]) -> str:
    r"""A command as the value of script, notify, misc_path and their like.

    keepalived takes it apart twice: a line into words, and the word into the program and its arguments. Up to 2.2
    both know escapes, later only the second one. Only double quotes count in the search for comments and blocks. A $
    begins a parameter even within quotes. So there is no escaped quote in it, and each escape means the same in the
    first and in the second step. An argument is in single quotes within double quotes, where \\042 is a double quote.
    For a single quote it is the other way round.
    """
    return '"' + " ".join(_argument(word) for word in words) + '"'


def _argument(word: str) -> str:
    if not word:
        return "''"
    if re.fullmatch(r"[^\s\"'\\$\x00-\x1f\x7f]+", word):
        return word
    quoted = ""
    for part in filter(None, re.split(r"('+)", word)):
        quoted += '"\'"' + r"\047" * len(part) + '"\'"' if part[0] == "'" else f"'{_escape(part)}'"
    return quoted


def _escape(text: str) -> str:
    return re.sub(r'["$\x00-\x1f\x7f]', lambda m: f"\\{ord(m[0]):03o}", text)


def _too_long(word: str) -> str:
    length = len(word.encode(errors="surrogateescape"))
    return f"is {length} bytes long, and keepalived reads at most {_LONGEST}" if length > _LONGEST else ""


def _unquote(token: str) -> str:
    parts = _QUOTED.split(token)
    return "".join(_ESCAPED.sub(_unescape, part[1:-1]) if number % 2 else part for number, part in enumerate(parts))


def _unescape(match: re.Match[str]) -> str:
    return chr(int(match[1], 8)) if match[1].isdigit() else match[1]


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
    text: str,
    config_id: str,
    read: Read | None,
    name: str,
    parameters: dict[str, str],
    depth: int,
    notes: list[str],
) -> Iterator[tuple[str, str]]:
    """Lines with their places, after conditions, parameters and includes."""
    if depth > _DEPTH:
        raise ConfError(f"{name}: includes are nested more than {_DEPTH} deep; break the circle")
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{name}:{number}"
        if line.rstrip().endswith("\\") or line.lstrip().startswith(("~SEQ", "~LST")):
            raise ConfError(f"{where}: definitions over many lines, ~SEQ and ~LST are not understood; write them out")
        line = _substitute(line, {"_PWD": os.path.dirname(os.path.abspath(name)), **parameters})
        condition = _CONDITION.match(line)
        if condition:
            negated, wanted, line = condition.groups()
            if bool(negated) == (wanted == config_id):
                continue
        definition = _DEFINITION.match(line)
        if definition:
            parameters[definition[1]] = definition[2]
            continue
        unknown = _UNKNOWN.match(line)
        if unknown:
            raise ConfError(f"{where}: what keepalived makes of ${unknown[1]} is not known here; write it out")
        words = line.split()
        if len(words) == 2 and re.fullmatch(r"include[rmwba]?", words[0]):
            if read is None:
                raise ConfError(f"{where}: {words[1]} is included; put its content here")
            files = list(read(name, words[1]))
            if not files:
                notes.append(f"{where}: {words[1]} is included, and no file matches it")
            for file, content in files:
                yield from _lines(content, config_id, read, file, parameters, depth + 1, notes)
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


def load(path: str, config_id: str = "", notes: list[str] | None = None) -> list[Statement] | None:
    """The statements of a file and of those which it includes; None if there is no such file."""
    if not os.path.exists(path):
        return None
    return parse(_read(path), config_id, _included, path, notes)


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8", errors="surrogateescape")


def _included(including: str, pattern: str) -> list[tuple[str, str]]:
    names = sorted(glob.glob(os.path.join(os.path.dirname(including), pattern)))
    return [(name, _read(name)) for name in names]
