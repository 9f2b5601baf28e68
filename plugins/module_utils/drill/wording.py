# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of a report that depend on whether one node serves, or several at once."""

from __future__ import annotations

import typing as t

from .analysis import number, percent

Part = t.Mapping[str, t.Any]  # a report, a fault, or what one client saw of it

COLUMNS = (
    "*Gap*: the longest time between two good answers in a row, as a client saw it. *Detected*, *moved* and *first "
    "good answer*: time after the fault until a node noticed, until another node took the address, and until that "
    "node's first answer reached a client. *Two holders*: how long clients got answers from both. The numbers are "
    "those of the worst client."
)
COLUMNS_SHARED = (
    "All nodes serve at once. *Gap*: the time in which a client lost requests, while others of its requests were "
    "answered. *Detected*: time after the fault until a node noticed. *First good answer*: time after the fault from "
    "which on all were answered. *Share*: the part of the answers that the target gave before the fault; as much may "
    "be lost during a gap. The numbers are those of the worst client."
)
EXPLANATION = """
<p><b>Gap</b>: the longest time between two good answers in a row, as a client saw it. Without any fault it is about as
long as the time between two requests.
<b>Detected</b>: the first sign in the nodes' own event logs that the fault was noticed.
<b>Moved</b>: another node became master. <b>First good answer</b>: that node's first answer was complete at the client.
These three count from the moment just before the fault was injected.
<b>Two holders</b>: from the first answer by the new holder to the last one by the old.
Numbers are those of the worst client.</p>
"""
EXPLANATION_SHARED = """
<p>All nodes serve at once, so the loss of one costs its <b>share</b> of the requests: the part of the answers that it
gave before the fault. <b>Gap</b>: the time in which a client lost requests, from the last good answer before the first
lost one to the first good answer after the last. Without a lost one it is as short as the time between two requests.
<b>Detected</b>: the first sign in the nodes' own event logs that the fault was noticed.
<b>All answered</b>: the end of the gap. These two count from the moment just before the fault was injected.
Numbers are those of the worst client.</p>
"""


def shared(part: Part) -> bool:
    """Whether several nodes serve at once."""
    return "share" in part or "shared" in part


def columns(report: Part) -> str:
    """What the columns of a table mean, in Markdown."""
    return COLUMNS_SHARED if shared(report) else COLUMNS


def explanation(report: Part) -> str:
    """The same in HTML."""
    return EXPLANATION_SHARED if shared(report) else EXPLANATION


def beside(report: Part) -> str:
    """The name of the column that says how nodes answered beside each other."""
    return "share" if shared(report) else "two holders"


def seen_beside(part: Part) -> str:
    """The value for that column."""
    return percent(part["share"]) if shared(part) else number(part["split_brain_ms"])


def outage(part: Part) -> str:
    return "requests lost" if shared(part) else "no answer"


def gap(part: Part, duration: float) -> str:
    return "%s for %s" % ("requests lost" if shared(part) else "no good answer", number(duration))


def recovery(part: Part) -> str:
    """The moment from which on clients had what they had before."""
    return "all answered" if shared(part) else "first good answer"


def holders(audit: Part, part: Part) -> str:
    nodes = " and ".join(audit["holders"]) or "nobody"
    return "%s by %s" % ("served" if shared(part) else "held", nodes)
