# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
import time

from ansible import constants
from ansible.plugins.callback import CallbackBase
from ansible.release import __version__

DOCUMENTATION = """
name: payload_cache
type: aggregate
short_description: Keep what is sent with a module from one run of Ansible to the next
description:
  - Ansible packs each module with what it imports and throws the packages away when a run ends.
  - The tests run the same modules in hundreds of runs; two fifths of the time of a scenario went into packing them.
  - Packages are kept for one state of the collection and one version of Ansible, beside E(ANSIBLE_HOME).
"""

_KEPT_S = 86400


def _state() -> str:
    """What the packages are made from."""
    import ansible_collections.cloudha.vip as collection

    digest = hashlib.sha256(f"{__version__} {constants.__file__} {sys.version}".encode())
    for where in ("modules", "module_utils"):
        for directory, _directories, files in sorted(os.walk(os.path.join(*collection.__path__, "plugins", where))):
            for name in sorted(files):
                if name.endswith(".py"):
                    with open(os.path.join(directory, name), "rb") as file:
                        digest.update(f"{where}/{name}\0".encode() + file.read())
    return digest.hexdigest()[:16]


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "payload_cache"

    def __init__(self) -> None:
        super().__init__()
        kept = os.path.join(constants.ANSIBLE_HOME, "payloads")
        mine = os.path.join(kept, _state())
        os.makedirs(mine, exist_ok=True)
        os.utime(mine)
        for other in os.scandir(kept):
            with contextlib.suppress(FileNotFoundError):  # another run clears up, too
                if other.stat().st_mtime < time.time() - _KEPT_S:
                    shutil.rmtree(other, ignore_errors=True)
        os.symlink(mine, os.path.join(constants.DEFAULT_LOCAL_TMP, "ansiballz_cache"))
