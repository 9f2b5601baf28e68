# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import resource

from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.inotify import LIMIT, inotify_problem


def test_a_machine_with_instances_left_has_no_problem():
    before = len(os.listdir("/proc/self/fd"))
    assert inotify_problem() is None
    assert len(os.listdir("/proc/self/fd")) == before, "those taken are given back"


def test_a_machine_without_one_says_which_limit_to_raise():
    # As the kernel refuses one too many: to use up the machine's would harm others.
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = [os.open("/dev/null", os.O_RDONLY)]
    last = max(map(int, os.listdir("/proc/self/fd")))
    while files[-1] < last:  # other tests may have left holes below their files
        files.append(os.open("/dev/null", os.O_RDONLY))
    resource.setrlimit(resource.RLIMIT_NOFILE, (files[-1] + 20, before[1]))
    try:
        said = inotify_problem(100)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for file in files:
            os.close(file)
    with open(LIMIT, encoding="ascii") as f:
        limit = f.read().strip()
    assert "of 100 inotify instances are left" in said
    assert f"fs.inotify.max_user_instances (now {limit};" in said
