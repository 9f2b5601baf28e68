# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which release of keepalived knows the keywords that the role writes.

A keyword which is not listed is older than 2.0.11. The releases were read from keepalived's git tags.
"""

from __future__ import annotations

import re

# What a node cannot do without.
NEEDED = {
    "max_auto_priority": (2, 1, 0),
    "vrrp_rlimit_rttime": (2, 1, 0),
    "check_unicast_src": (2, 1, 0),
    "param_match": (2, 0, 16),
    "vrrp_startup_delay": (2, 0, 14),
    "vrrp_track_process": (2, 0, 11),
}
# Without it, a fifo is told of transitions only, not of the states after a reload.
OPTIONAL = {"fifo_write_vrrp_states_on_reload": (2, 2, 5)}
LEAST = max(NEEDED.values())


def parse_version(text: str) -> tuple[int, ...]:
    """From the output of keepalived --version, or a plain version; empty if it is not understood."""
    match = re.search(r"(?:Keepalived v|^)(\d+(?:\.\d+)+)", text)
    return tuple(int(number) for number in match[1].split(".")) if match else ()


def writes(keyword: str, version: str) -> bool:
    """Whether a keepalived of this version is given the keyword; one whose version is not known is."""
    return parse_version(version) >= OPTIONAL[keyword] if parse_version(version) else True


def version_problem(text: str) -> str:
    """Why the role cannot work with this version; empty if it can."""
    found = parse_version(text)
    if not found or found >= LEAST:
        return ""
    unknown = ", ".join(keyword for keyword, since in NEEDED.items() if found < since)
    number, least = (".".join(map(str, v)) for v in (found, LEAST))
    return f"keepalived {number} does not know {unknown}; install {least} or newer"
