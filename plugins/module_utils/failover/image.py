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

from .checked import CheckedProcedure, check
from .gcp_objects import Change, forecast, missing_permissions
from .image_decide import decide, foresee, problems
from .image_goal import BUILDING, PRESENT, goal_problems
from .image_look import look
from .image_steps import permissions, to_item
from .outcome import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .checked import Checked
    from .image_decide import Next
    from .image_goal import ImageGoal
    from .image_look import ImageApi, Observed
    from .plan import Memory, Pause, Step

# Questions whose answers hold for a run: a family is what it is when the run begins.
_LASTING = ("get_source", "get_subnetwork")


def _foreseen(observed: Observed) -> tuple[list[Next], list[Observed]]:
    return forecast(observed, decide, foresee)


class Procedure(CheckedProcedure):
    """For one run."""

    def observe(self, client: ImageApi, goal: ImageGoal, memory: Memory) -> Checked:
        wrong = goal_problems(goal)
        if wrong:
            raise Refused(wrong)
        observed = look(client, goal, memory.facts.get("answers"))
        checked = check(client, observed, problems, _foreseen)
        memory.facts["answers"] = checked.observed.answered(*_LASTING)
        if checked.items:
            self.check_permissions(memory, goal.name, lambda: missing_permissions(client, _needed(checked)))
        return checked

    def plan(self, checked: Checked, goal: ImageGoal, memory: Memory) -> Iterator[Step | Pause]:
        for item in checked.items:
            yield to_item(item, memory)


def _needed(checked: Checked) -> dict[str, set[str]]:
    """The permissions. A caller that can make a builder, and no image, would find out when the builder is ready."""
    o, items = checked.observed, checked.items
    if o.goal.state == BUILDING:
        items = items + _foreseen(checked.then.changed(goal=replace(o.goal, state=PRESENT)))[0]
    return permissions(o, [each for each in items if isinstance(each, Change)])
