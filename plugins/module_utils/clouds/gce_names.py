# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names, paths, IPv4 addresses and times as Compute Engine writes them.

A path names a resource from projects/ on: projects/P/zones/Z/instances/I. An agent loads this file, so it imports
nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAME_LENGTH = 63
NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


def normalise(url: Any, network: str = "") -> str:
    """The path of a resource, from any spelling of its URL: any host, any version of the API. Addresses stay.

    network: the path of a network, whose project completes a URL that begins with zones/, regions/ or global/.
    """
    text = str(url or "")
    begin = text.find("projects/")
    if begin >= 0:
        return text[begin:].rstrip("/")
    if network.startswith("projects/") and text.startswith(("zones/", "global/", "regions/")):
        return f"projects/{network.split('/')[1]}/{text}".rstrip("/")
    return text


def full_url(path: str) -> str:
    """The URL of a path as the API writes it. Some fields take no shorter spelling."""
    return f"https://www.googleapis.com/compute/v1/{path}"


def project_of(path: str) -> str:
    """The project in a path; "" in anything else."""
    return path.split("/")[1] if path.startswith("projects/") else ""


def zone_of(path: str) -> str:
    """The zone in the path of an instance."""
    return path.split("/")[3]


def last_part(url: Any) -> str:
    """The name at the end of a path or URL."""
    return str(url).rpartition("/")[2]


def is_path(text: str, middle: str) -> bool:
    """Whether a text is projects/P/<middle>/N. middle: such as global/networks; * stands for any one part."""
    parts = text.split("/")
    pattern = ["projects", "*", *middle.split("/"), "*"]
    return len(parts) == len(pattern) and all(p == q or (q == "*" and p) for p, q in zip(parts, pattern))


def is_name(text: str) -> bool:
    """Whether a resource can have this name."""
    known = 0 < len(text) <= NAME_LENGTH and NAME_CHARACTERS.issuperset(text)
    return known and text[0].isalpha() and text[-1] != "-"


def is_zone(text: str) -> bool:
    """Whether a zone can have this name: that of a region, such as us-central1, with a dash and more."""
    return is_name(text) and text.count("-") > 1


def is_project(text: str) -> bool:
    """Whether a project can have this id, such as my-project or example.com:my-project.

    A project's number is none: the API's own paths have the id, and paths are compared.
    """
    domain, colon, name = text.rpartition(":")
    return is_name(name) and (not colon or all(map(_is_label, domain.split("."))))


def _is_label(text: str) -> bool:
    return bool(text) and NAME_CHARACTERS.issuperset(text)


def parse_path(text: str, middle: str, project: str = "") -> str | None:
    """The path projects/P/<middle>/N that a text is, or that a URL ends with; None of any other text.

    middle: as for is_path. project: completes a text that begins with <middle>.
    """
    begin = text.find("projects/")
    before, path = (text[:begin], text[begin:]) if begin >= 0 else ("", f"projects/{project}/{text}")
    known = (
        (not before or (before.startswith(("https://", "http://", "//")) and before.endswith("/")))
        and is_path(path, middle)
        and is_project(project_of(path))
        and all(map(is_name, path.split("/")[2:]))
    )
    return path if known else None


def _is_number(text: str, most: int) -> bool:
    """Whether a text is a number of up to three digits as everybody writes it."""
    return len(text) < 4 and text.isdecimal() and int(text) <= most and str(int(text)) == text


def parse_address(text: str) -> int | None:
    """An IPv4 address as a number; None if the text is none."""
    parts = text.split(".")
    if len(parts) != 4 or not all(_is_number(p, 255) for p in parts):
        return None
    a, b, c, d = (int(p) for p in parts)
    return a << 24 | b << 16 | c << 8 | d


def dotted(address: int) -> str:
    """The text of an IPv4 address that is a number."""
    return ".".join(str(address >> shift & 255) for shift in (24, 16, 8, 0))


def parse_cidr(text: str) -> tuple[int, int]:
    """The first and the last address of an IPv4 network, as numbers. The ValueError names the mistake in the text."""
    address, slash, length = text.partition("/")
    first = parse_address(address)
    if first is None:
        raise ValueError(f"{text!r} is not an IPv4 network in CIDR notation, such as 10.200.1.1/32")
    if not slash:
        raise ValueError(f"{text!r} is an address, not a network: write {text}/32")
    if not _is_number(length, 32):
        raise ValueError(f"{text!r} is not an IPv4 network: its prefix length must be a number from 0 to 32")
    size = 1 << (32 - int(length))
    if first % size:
        base = dotted(first - first % size)
        raise ValueError(f"{text!r} has bits beyond its prefix length: write {base}/{length}, or {address}/32")
    return first, first + size - 1


def parse_range(text: str) -> tuple[str, tuple[int, int]]:
    """An IPv4 address or network in CIDR notation, and its first and last address. The ValueError names the
    mistake."""
    cidr = text if "/" in text else f"{text}/32"
    return cidr, parse_cidr(cidr)


def as_cidr(text: Any) -> str:
    """An IPv4 address or network in CIDR notation; any other text as it is."""
    try:
        return parse_range(str(text))[0]
    except ValueError:
        return str(text)


def format_cidr(first: int, last: int) -> str:
    """The text of an IPv4 network, of which the first and the last address are given as numbers."""
    return f"{dotted(first)}/{33 - (last - first + 1).bit_length()}"


def parse_time(text: str) -> float:
    """Seconds since 1970 of 2026-11-21T03:00:00.123-08:00, or with Z."""
    date, _t, rest = text.partition("T")
    year, month, day = (int(part) for part in date.split("-"))
    sign = 0
    clock, offset = rest.rstrip("Z"), "0:0"
    for mark, direction in (("+", 1), ("-", -1)):
        if mark in rest:
            sign = direction
            clock, _mark, offset = rest.partition(mark)
    hours, minutes, seconds = clock.split(":")
    offset_hours, offset_minutes = offset.split(":")
    # Days since 1970 in the Gregorian calendar, with years that begin in March.
    year -= month < 3
    days = year * 365 + year // 4 - year // 100 + year // 400 + (153 * ((month - 3) % 12) + 2) // 5 + day - 719469
    local = days * 86400 + int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return local - sign * (int(offset_hours) * 3600 + int(offset_minutes) * 60)
