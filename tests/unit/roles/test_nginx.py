# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the role nginx goes on after a run that was killed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

PREPARE = Path(__file__).parents[3] / "roles/nginx/tasks/prepare.yml"
SETTINGS, STARTED = "/etc/systemd/system/nginx.service.d/cloudha-vip.conf", "/run/nginx.pid"


@pytest.mark.parametrize(
    ("unread", "settings_at", "started_at", "restarts"),
    [
        ("yes", 100, 50, True),  # killed before systemd read the settings
        ("no", 100, 50, True),  # killed before the restart
        ("no", 100, None, False),  # it is started in any case
        ("yes", 100, 150, True),  # killed, and nginx started again by itself
        ("no", 100, 150, False),
        ("no", None, 150, False),
    ],
)
def test_nginx_starts_anew_unless_it_runs_with_its_settings(tmp_path, unread, settings_at, started_at, restarts):
    (block,) = [task["block"] for task in yaml.safe_load(PREPARE.read_text()) if "block" in task]
    (command,) = [task["ansible.builtin.shell"] for task in block if "ansible.builtin.shell" in task]
    for path, at in ((SETTINGS, settings_at), (STARTED, started_at)):
        assert path in command
        file = tmp_path / path.rpartition("/")[2]
        command = command.replace(path, str(file))
        if at is not None:
            file.touch()
            os.utime(file, (at, at))
    (tmp_path / "systemctl").write_text(
        f'#!/bin/sh\n[ "$*" = "show --property=NeedDaemonReload --value nginx" ] && echo {unread}\n'
    )
    (tmp_path / "systemctl").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(["sh", "-c", command], env={"PATH": path}, check=False)
    assert (done.returncode == 0) is restarts
