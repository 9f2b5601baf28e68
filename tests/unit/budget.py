# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Counts the changes that each run of the engine sends, whatever the engine itself counts."""

from __future__ import annotations

import functools

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import Lost, Unavailable
from ansible_collections.cloudha.vip.plugins.module_utils.failover import engine

# The same figures as in the engine, on purpose: whoever changes those changes what users are promised.
MAKES_SOMETHING, OVERWRITES = (4, 8), (16, 64)


class Counted:
    """A procedure whose steps are counted: those that took effect, or may have; a repeated request id is one change."""

    def __init__(self, procedure):
        self._procedure = procedure
        self.planned = 0
        self.sent = {False: set(), True: set()}

    def observe(self, *arguments):
        return self._procedure.observe(*arguments)

    def plan(self, *arguments):
        items = list(self._procedure.plan(*arguments))
        steps = [item for item in items if isinstance(item, engine.Step)]
        self.planned = self.planned or len(steps)
        for step in steps:
            step.do = functools.partial(self._do, step.contested, step.do)
        return items

    def _do(self, contested, do, client, request_id):
        try:
            result = do(client, request_id)
        except Unavailable as error:
            if isinstance(error, Lost) or error.status in (500, 502, 504):
                self.sent[contested].add(request_id)
            raise
        self.sent[contested].add(request_id)
        return result

    def beyond(self):
        """What was sent beyond the budget; empty if nothing was."""
        for contested, (per_step, least) in ((False, MAKES_SOMETHING), (True, OVERWRITES)):
            if len(self.sent[contested]) > max(least, per_step * self.planned):
                count = len(self.sent[contested])
                return f"{count} changes, of {self.planned} planned at first (contested: {contested})"
        return ""


def count(tell):
    """Have all runs counted; tell(text) is called for each that spends too much. Returns what takes it back."""
    run = engine.run

    def counted_run(procedure, *arguments, **options):
        counted = Counted(procedure)
        try:
            return (yield from run(counted, *arguments, **options))
        finally:
            if counted.beyond():
                tell(counted.beyond())

    def restore():
        engine.run = run

    engine.run = counted_run
    return restore


@pytest.fixture(autouse=True)
def nothing_is_spent_beyond_its_budget():
    """No run of any procedure, in any test, may send more changes than it is allowed."""
    beyond = []
    restore = count(beyond.append)
    yield beyond
    restore()
    assert not beyond, beyond
