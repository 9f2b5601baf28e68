# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module of Ansible, for options that have suboptions beside options that are secret."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

from ..base import masking

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Module(AnsibleModule):
    """Refuses a text in place of suboptions by the option's name, and without telling the secrets.

    Ansible looks for the secrets among the suboptions, too. If it cannot read them it knows no secret at all, and
    shows all options as they were given.
    """

    def __init__(self, **settings: Any) -> None:
        self.are_options_read = False
        super().__init__(**settings)
        self.are_options_read = True

    def fail_json(self, msg: str, **more: Any) -> None:
        if not self.are_options_read:
            secrets = [self.params.get(name) for name, spec in self.argument_spec.items() if spec.get("no_log")]
            self.no_log_values.update(text for text, _secret in masking.leaves(secrets) if text)
            if msg.startswith("dictionary requested"):
                msg = f"{' or '.join(self._unread())}: {msg}"
        super().fail_json(msg, **more)

    def _unread(self) -> list[str]:
        """The options with suboptions that have none. Of a list of texts, Ansible leaves an empty list."""
        given = {name: self.params.get(name) for name, spec in self.argument_spec.items() if "options" in spec}
        return [name for name, value in given.items() if isinstance(value, str) or value == []]
