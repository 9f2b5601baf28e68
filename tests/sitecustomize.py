# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On the controller, too, Ansible's modules run in forks of a Python that has imported what they need."""

import importlib
import os
import sys

if sys.orig_argv[1:] == [] and os.environ.get("LAB_TWIN_OF") and "LAB_BYTECODE" in os.environ:
    importlib.import_module("lab.usercustomize")
