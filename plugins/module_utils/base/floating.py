# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which addresses can be floating ones. An agent loads this file, so it imports nothing."""

from __future__ import annotations

# By the version of IP: first and last address, the network, and what it is for. No router leads a client there.
_NEVER = {
    4: (
        (0, 0x00FFFFFF, "0.0.0.0/8", "no address of a host"),
        (0x7F000000, 0x7FFFFFFF, "127.0.0.0/8", "each host's own loopback"),
        (0xA9FE0000, 0xA9FEFFFF, "169.254.0.0/16", "link-local"),
        (0xE0000000, 0xEFFFFFFF, "224.0.0.0/4", "multicast"),
        (0xFFFFFFFF, 0xFFFFFFFF, "255.255.255.255/32", "broadcast"),
    ),
    6: (
        (0, 1, "::/127", "no address of a host, and its loopback"),
        (0xFE80 << 112, (0xFEC0 << 112) - 1, "fe80::/10", "link-local"),
        (0xFF00 << 112, (1 << 128) - 1, "ff00::/8", "multicast"),
    ),
}


def never_floats(first: int, last: int, version: int = 4) -> str:
    """Why not all addresses of a network can be floating ones, as the rest of a sentence; "" if they can."""
    for begin, end, network, what in _NEVER[version]:
        if first <= end and begin <= last:
            where = "is in" if begin <= first and last <= end else "has addresses of"
            return f"{where} {network} ({what}), where no client reaches a host: choose another one"
    return ""


def check_floating(text: str, first: int, last: int) -> None:
    """Raise a ValueError, with the sentence, if not all addresses of an IPv4 network can be floating ones."""
    wrong = never_floats(first, last)
    if wrong:
        raise ValueError(f"{text!r} {wrong}")
