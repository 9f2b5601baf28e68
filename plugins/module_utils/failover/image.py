# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The procedure for an image: a builder is made from another image, somebody prepares it, and its disk becomes the
image.

Rules, which the tests check after each request:

1. An image that is ready is never changed, whoever made it. If it is there, no builder is made.
2. The image is made of the disk of a builder without power, so that its file systems are whole.
3. When the image is ready the builder goes, with its disk. It does not go before.
4. Only what was made for this image is changed or deleted, by its label. What is in the way is named.
5. A builder that was made otherwise than it would be made now is made anew. Its label has a digest of how it was made.
   Who prepared a builder names it by its id, so that no other one becomes the image.
6. An image that an instance template names is not deleted.

The name of an image, of a builder and of a disk can be taken once. That is the lock between two runs: the second one
meets what the first one made, and goes on with it. What the API does by itself is waited for, also that of a run which
was killed.

| file              | does                                                                        |
|-------------------|-----------------------------------------------------------------------------|
| image_goal.py     | what can be wanted, and what it means for the API                           |
| image_look.py     | reads what is there                                                         |
| image_decide.py   | from what is there and what is wanted to the next change: rules 1 to 6      |
| image_steps.py    | the requests that do it, and the permissions that they take                 |
| image_inspect.py  | looks at images and builders for a person                                   |
"""

from __future__ import annotations

from dataclasses import replace

from ..base.errors import Denied
from .checked import Checked
from .facts import ask
from .gcp_objects import Change, forecast, missing_permissions
from .image_decide import decide, foresee, problems
from .image_goal import BUILDING, PRESENT, goal_problems
from .image_look import Observed, look
from .image_steps import permissions, to_item
from .outcome import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .image_decide import Next
    from .image_goal import ImageGoal
    from .image_look import ImageApi
    from .plan import Memory, Pause, Step

# Questions whose answers hold for a run: a family is what it is when the run begins.
_LASTING = ("get_source", "get_subnetwork")


def _foreseen(observed: Observed) -> tuple[list[Next], list[Observed]]:
    return forecast(observed, decide, foresee)


class Procedure:
    """observe, plan and wanted_diff for one run. notes: the checks that were not possible before the first change."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def observe(self, client: ImageApi, goal: ImageGoal, memory: Memory) -> Checked:
        wrong = goal_problems(goal)
        if wrong:
            raise Refused(wrong)
        observed = look(client, goal, memory.facts.get("answers"))
        observed, found = ask(client, observed, problems)
        items: list[Next] = []
        then = observed
        if not found:
            observed, (items, states) = ask(client, observed, _foreseen)
            then = states[-1]
        memory.facts["answers"] = {key: each for key, each in observed.answers.items() if key[0] in _LASTING}
        if items and "asked" not in memory.facts:
            self._check_permissions(client, observed, items, then)
            memory.facts["asked"] = True
        return Checked(observed, found, items, then)

    def plan(self, checked: Checked, goal: ImageGoal, memory: Memory) -> Iterator[Step | Pause]:
        for item in checked.items:
            yield to_item(item, memory)

    @staticmethod
    def wanted_diff(checked: Checked) -> dict[str, Any]:
        return checked.then.to_diff()

    def _check_permissions(self, client: ImageApi, o: Observed, items: list[Next], then: Observed) -> None:
        """A caller that can make a builder, and no image, would find out when the builder is ready.

        Without an answer the run goes on, with a note.
        """
        if o.goal.state == BUILDING:
            items = items + _foreseen(then.changed(goal=replace(o.goal, state=PRESENT)))[0]
        missing, unanswered = missing_permissions(client, permissions(o, [i for i in items if isinstance(i, Change)]))
        if unanswered:
            self.notes.append(f"the caller's permissions were not checked: {unanswered}")
        if missing:
            raise Denied("; ".join(missing), resource=o.goal.name, status=403)
