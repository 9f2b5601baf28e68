# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The secrets that this process was given or has fetched, and texts without them.

There is one set of secrets for the process. Sessions put the secrets into it that they send and get, and each
CloudError takes them out of its own text. So a client cannot forget it, and a secret of one cloud is not told by
another.
"""

from __future__ import annotations

import html
import json
import re
import threading
from urllib.parse import quote, quote_plus, unquote_plus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

MASK = "***"
# A secret of fewer characters would be found in every text: it is masked where it is a word of its own.
SHORT = 4
# What is left of a secret that was cut: half of it is masked, but never less than 8, and always 16 characters.
LEAST_PIECE, SURE_PIECE = 8, 16
# The agent gets a token every hour, UCloudStack has a signature for every request.
KEPT = 256
BODY_LIMIT = 256 * 1024

# Not what only says where a token is from, or of which kind it is.
SECRET_NAME = re.compile(
    r"(?i)^(?!.*_(?:type|uri|url)$).*(?:passw|passphrase|passcode|secret|token|private|assertion|signature)"
)
_USER_INFO = re.compile(r"//[^/?#\s:]*:([^/?#\s]*)@")
_HEADERS = ("authorization", "proxy-authorization", "x-auth-token", "x-subject-token", "x-service-token", "cookie")
# An escape begins at the first of its backslashes: whoever tries at each of a long run takes the square of its time.
_ESCAPED = re.compile(
    rb"%([0-9A-Fa-f]{2})"
    rb"|(?<!\\)\\+u([Dd][89ABab][0-9A-Fa-f]{2})\\+u([Dd][C-Fc-f][0-9A-Fa-f]{2})"
    rb"|(?<!\\)\\+u([0-9A-Fa-f]{4})"
    rb"|(?<!\\)\\+x([0-9A-Fa-f]{2})"
    rb"|(?<!\\)\\+([nrtbfv0])"
    rb"|(&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,6});)"
)
# A backslash before a quote or a slash, the plus for a blank, and wherever a line may have been broken.
_IGNORED = frozenset(b" \t\r\n\v\f\b\0+\\")
_LEVELS = 5

_turn = threading.Lock()
_known: dict[str, None] = {}  # the one that was used last is at the end
_search: list[tuple[list[re.Pattern[str]], dict[int, set[bytes]]]] = []
_listeners: list[Callable[[str], None]] = []


def keep(*secrets: Any) -> None:
    """From now on, no text has them. It passes over everything that is no text, or is empty."""
    for secret in secrets:
        if not isinstance(secret, str) or not secret.strip():
            continue
        with _turn:
            new = secret not in _known
            _known.pop(secret, None)
            _known[secret] = None
            if len(_known) > KEPT:
                del _known[next(iter(_known))]
            if new:
                _search.clear()
        if new:
            _tell(secret)


def keep_request(headers: Mapping[str, Any], body: bytes | str | None = None) -> None:
    """The secrets of a request or an answer: those of its headers, and of its body if that is JSON or a form."""
    for name, value in headers.items():
        if name.lower() in _HEADERS:
            text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
            keep(text.partition(" ")[2].strip() or text)
    if body and len(body) <= BODY_LIMIT:
        text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
        keep(*secrets_in(_fields(text)))


def secrets_in(value: Any) -> Iterator[str]:
    """The texts in a structure of any depth whose key says that they are secret."""
    return (text for text, secret in leaves(value) if secret)


def leaves(value: Any, inherited: bool = False) -> Iterator[tuple[str, bool]]:
    """All values of a structure as texts, and whether each is secret by its key, or if wished by any key above it."""
    waiting: list[tuple[Any, bool]] = [(value, False)]
    while waiting:
        value, secret = waiting.pop()
        if isinstance(value, dict):
            for key, part in value.items():
                # {"token": {"id": ...}} is one; {"password": {"user": {"name", "password"}}} says it further in.
                named = bool(SECRET_NAME.search(str(key)))
                plain = not isinstance(part, dict) or set(part) == {"id"} or inherited
                waiting.append((part, (named and plain) or (secret and (inherited or key == "id"))))
        elif isinstance(value, (list, tuple)):
            waiting += ((part, secret) for part in value)
        elif value is not None and not isinstance(value, bool):
            yield str(value), secret


def passwords_in_urls(value: Any) -> Iterator[str]:
    """Of all texts in a structure: https://user:password@host."""
    for text, _secret in leaves(value):
        for password in _USER_INFO.findall(text):
            yield from (password, unquote_plus(password))


def forms(secret: str) -> set[str]:
    """The usual spellings of a secret, for a caller that can only compare: JSON and URLs have their own ways."""
    return {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], quote(secret, safe="")} | {
        quote(secret),
        quote_plus(secret),
        repr(secret)[1:-1],
        html.escape(secret),
    }


def watch(listener: Callable[[str], None]) -> None:
    """It is told each form of each secret, those that are known and those to come."""
    _listeners.append(listener)
    for secret in list(_known):
        _tell(secret)


def forget() -> None:
    """All of it; for tests."""
    _known.clear()
    _search.clear()
    _listeners.clear()


def masked(text: str) -> str:
    """The text without the secrets, also where JSON, a URL or HTML has escaped them, or they were cut, or broken."""
    if not _known:
        return text
    shorts, pieces = _searched()
    for short in shorts:
        text = short.sub(MASK, text)
    if not pieces:
        return text
    data = text.encode("utf-8", "surrogatepass")
    hidden: set[int] = set()
    for plain, begins, ends in _readings(data):
        for size, known in pieces.items():
            for at in range(len(plain) - size + 1):
                if plain[at : at + size] in known:
                    hidden.update(range(begins[at], ends[at + size - 1]))
    if not hidden:
        return text
    cut, at = [], 0
    while at < len(data):
        start = at
        covered = at in hidden
        while at < len(data) and (at in hidden) == covered:
            at += 1
        cut.append(MASK.encode() if covered else data[start:at])
    return b"".join(cut).decode("utf-8", "replace")


def _tell(secret: str) -> None:
    if len(secret) >= SHORT:
        for form in forms(secret):
            for listener in _listeners:
                listener(form)


def _searched() -> tuple[list[re.Pattern[str]], dict[int, set[bytes]]]:
    """Patterns for the short secrets; and for the others, by their length, the pieces that give one away."""
    with _turn:
        if not _search:
            shorts: list[re.Pattern[str]] = []
            pieces: dict[int, set[bytes]] = {}
            for secret in _known:
                readings = {reading[0] for reading in _readings(secret.encode("utf-8", "surrogatepass"))}
                if len(secret) < SHORT:
                    shorts.append(re.compile(rf"(?<!\w){re.escape(secret)}(?!\w)"))
                for plain in readings:
                    size = min(len(plain), max(LEAST_PIECE, min((len(plain) + 1) // 2, SURE_PIECE)))
                    if size >= SHORT:
                        found = (plain[at : at + size] for at in range(len(plain) - size + 1))
                        pieces.setdefault(size, set()).update(found)
            _search[:] = [(shorts, pieces)]
        return _search[0]


def _readings(data: bytes) -> Iterator[tuple[bytes, list[int], list[int]]]:
    """The text as it is, and with one layer of escapes after the other undone; where each byte begins and ends in it.

    Each reading is given again without the parts that may have been added or lost on the way. It is also given
    without its characters beyond ASCII, if it has any: they may be in another encoding.
    """
    plain, begins, ends = data, list(range(len(data))), list(range(1, len(data) + 1))
    for _level in range(_LEVELS):
        yield plain, begins, ends
        yield _without(plain, begins, ends, lambda byte: byte in _IGNORED)
        if not plain.isascii():
            yield _without(plain, begins, ends, lambda byte: byte in _IGNORED or byte > 127)
        found = list(_ESCAPED.finditer(plain))
        if not found:
            return
        new, new_begins, new_ends, at = bytearray(), [], [], 0
        for match in found:
            new += plain[at : match.start()]
            new_begins += begins[at : match.start()]
            new_ends += ends[at : match.start()]
            value, at = _unescaped(match), match.end()
            new += value
            new_begins += [begins[match.start()]] * len(value)
            new_ends += [ends[match.end() - 1]] * len(value)
        plain, begins, ends = bytes(new + plain[at:]), new_begins + begins[at:], new_ends + ends[at:]


def _without(
    plain: bytes, begins: list[int], ends: list[int], ignored: Callable[[int], bool]
) -> tuple[bytes, list[int], list[int]]:
    kept = [at for at, byte in enumerate(plain) if not ignored(byte)]
    return bytes(plain[at] for at in kept), [begins[at] for at in kept], [ends[at] for at in kept]


def _unescaped(match: re.Match[bytes]) -> bytes:
    percent, high, low, four, two, letter, entity = match.groups()
    if percent or two:
        return bytes.fromhex((percent or two).decode())
    if high:
        text = chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00)
    elif four:
        text = chr(int(four, 16))
    elif entity:
        text = html.unescape(entity.decode())
    else:
        text = "\n" if letter else ""
    return text.encode("utf-8", "surrogatepass")


def _fields(text: str) -> Any:
    if text[:1] in ("{", "["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return None
    fields = (field.partition("=") for field in text.split("&"))
    return {unquote_plus(key): unquote_plus(value) for key, _equals, value in fields}
