# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The requests that make an image, what they take, and a forecast of their effects."""

from __future__ import annotations

from .gcp_objects import DELETE, INSERT, Change, send, step_of
from .image_decide import BUILDER, DISK, IMAGE, START, STOP, Wait
from .plan import Pause, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .image_decide import Next
    from .image_look import ImageApi, Observed
    from .plan import Memory

TURN = 1.0  # seconds between two looks at what the API does by itself


def to_item(following: Next, memory: Memory) -> Step | Pause:
    """The step that carries out a change. Raises the reason, if the API refuses it again and again."""
    if isinstance(following, Wait):
        return Pause(TURN, following.reason)
    # Another run may have started what this one is about to use.
    loose = following.verb == START or (following.verb, following.kind) in ((INSERT, IMAGE), (DELETE, DISK))
    return step_of(following, memory, _send, loose)


def _send(client: ImageApi, change: Change, request_id: str) -> None:
    if change.verb == START:
        client.start_instance(change.path, request_id)
    elif change.verb == STOP:
        client.stop_instance(change.path, request_id)
    else:
        send(client, change, request_id)


# --- permissions


def permissions(o: Observed, changes: Iterable[Change]) -> dict[str, set[str]]:
    """What the changes take, by where it has to be granted: the path of a project, or of the subnetwork."""
    goal = o.goal
    project = f"projects/{goal.project}"
    needed: dict[str, set[str]] = {}
    for change in changes:
        needed.setdefault(project, set()).update(_permissions(change))
        if (change.verb, change.kind) == (INSERT, BUILDER):
            given = {
                "compute.instances.setMetadata": goal.metadata,
                "compute.instances.setServiceAccount": goal.service_account,
                "compute.instances.setTags": goal.tags,
            }
            needed[project].update(name for name, value in given.items() if value)
            where = needed.setdefault(goal.subnetwork or project, set())
            where.add("compute.subnetworks.use")
            where.update(["compute.subnetworks.useExternalIp"] if goal.external else [])
    return needed


def _permissions(change: Change) -> Iterator[str]:
    if change.kind == IMAGE:
        yield "compute.globalOperations.get"
        yield f"compute.images.{change.verb}"
        if change.verb == INSERT:
            yield "compute.disks.useReadOnly"
        return
    yield "compute.zoneOperations.get"
    yield f"compute.{change.kind}.{change.verb}"
    if change.verb == INSERT:
        yield from ("compute.disks.create", "compute.instances.setLabels")
