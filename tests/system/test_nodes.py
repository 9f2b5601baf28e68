# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes are added, removed, replaced, and fail; the client is served all the time, by one holder.

The number of nodes is two; CLOUDHA_TEST_NODES=5 makes it five, and takes the cases which take long, too.
`bench/nodes.py` makes a table of several.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from cases import CASES, LONG, WHOLE, Case
from logs import kept
from nodes import GROUP, TOPOLOGY, Nodes

from lab.lab import Lab

ASKED = os.environ.get("CLOUDHA_TEST_NODES")
SIZE = int(ASKED or 2)
pytestmark = pytest.mark.in_order


@pytest.fixture(scope="module")
def nodes(lab_name: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with kept(Lab(lab_name("nodes"))) as lab:
        lab.up(f"onprem_active_standby:{SIZE + 1}")
        these = Nodes(lab, tmp_path_factory.mktemp("nodes"), SIZE)
        yield these
        print(*these.rows, sep="\n")


@pytest.mark.parametrize("case", [case for case in CASES if ASKED or case not in LONG], ids=lambda case: case.__name__)
def test(nodes: Nodes, case: Case) -> None:
    """In this order: each begins with the group as the one before left it. After the first ones keepalived is alone."""
    nodes.use(TOPOLOGY if case in WHOLE else GROUP)
    case(nodes)
