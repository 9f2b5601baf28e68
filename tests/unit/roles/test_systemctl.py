# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nodes with an old systemd understand what roles and plugins ask of it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# systemd 246 brought -P, which the 239 of Enterprise Linux 8 does not know.
SHORT = re.compile(r"systemctl[^\n]*\bshow\b[^\n]*[\s\"']-[A-Za-z]*P\b")


def test_properties_are_asked_for_by_the_long_option():
    assert SHORT.search("systemctl show -P ActiveState") and SHORT.search('["systemctl", "show", "-P", "Id"]')
    files = [file for place in ("roles", "plugins") for file in (ROOT / place).rglob("*") if file.is_file()]
    texts = {str(file.relative_to(ROOT)): file.read_text(errors="replace") for file in files if file.suffix != ".pyc"}
    assert len(texts) > 100
    assert [name for name, text in texts.items() if SHORT.search(text)] == []
