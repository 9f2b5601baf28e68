# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides the next step on the way to an image. Pure: from facts and a goal to a Change, or a Wait.

The rules that are meant by numbers are those of image.py.
"""

from __future__ import annotations

from typing import NamedTuple

from ..base.errors import Denied, Invalid, NotFound
from ..clouds.gce_names import full_url, last_part, normalise
from .gcp_instances import UNUSABLE, address_problems, holder_problems, image_problems, place_problems
from .gcp_objects import DELETE, INSERT, NOUNS, Change
from .image_goal import ABSENT, BUILDING, PRESENT
from .image_look import BECOMES, READY, RUNNING, STOPPED, SUSPENDED, Observed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Union

    Next = Union[Change, "Wait"]

START, STOP = "start", "stop"
IMAGE, BUILDER, DISK = "images", "instances", "disks"


class Wait(NamedTuple):
    """The API is about to change the state of something by itself."""

    kind: str
    reason: str


def decide(o: Observed) -> Next | None:
    """The next change; None if nothing is left."""
    state = o.goal.state
    if state != ABSENT and o.is_ready:
        return next(_take_builder_away(o), None) if state == PRESENT else None
    if state == ABSENT:
        return next(_take_builder_away(o), None) or next(_take_image_away(o), None)
    return next(_take_image_away(o), None) or next(_build(o) if state == BUILDING else _capture(o), None)


def _take_image_away(o: Observed) -> Iterator[Next]:
    """The image itself, or half of one that nothing will ever complete."""
    if o.image:
        yield from _wait(IMAGE, o.goal.name, o.image)
        yield Change(DELETE, o.goal.path)


def _take_builder_away(o: Observed) -> Iterator[Next]:
    """Rule 3: the disk goes with the builder. It may be left of a builder that could not be made."""
    if o.builder and o.is_mine(o.builder):
        yield from _wait(BUILDER, o.goal.builder, o.builder)
        yield Change(DELETE, o.goal.builder_path)
    elif not o.builder and o.disk and o.is_mine(o.disk):
        yield from _wait(DISK, o.goal.builder, o.disk)
        yield Change(DELETE, o.goal.disk_path)


def _build(o: Observed) -> Iterator[Next]:
    if o.builder and not o.is_as_wanted():
        yield from _take_builder_away(o)
    if o.builder:
        yield from _wait(BUILDER, o.goal.builder, o.builder)
        if o.builder["status"] in STOPPED:
            yield Change(START, o.goal.builder_path)
        elif o.builder["status"] != RUNNING:
            yield from _take_builder_away(o)
        return
    yield from _take_builder_away(o)
    body = o.goal.builder_body(normalise(o.source()["selfLink"]))
    yield Change(INSERT, o.goal.builder_path, body)


def _capture(o: Observed) -> Iterator[Next]:
    """Rule 2: of a disk that nothing writes to any more."""
    if not o.builder:
        return  # a problem, of which the caller is told
    yield from _wait(BUILDER, o.goal.builder, o.builder)
    if o.builder["status"] not in STOPPED:
        yield Change(STOP, o.goal.builder_path)
    yield Change(INSERT, o.goal.path, o.goal.image_body())


def _wait(kind: str, name: str, resource: dict[str, Any]) -> Iterator[Wait]:
    status = resource["status"]
    if status in BECOMES:
        yield Wait(kind, f"the {NOUNS[kind]} {name} is {status}")


def foresee(o: Observed, following: Next) -> Observed:
    """The state after a change or a wait, if no other actor changes anything."""
    verb, kind = (following.verb, following.kind) if isinstance(following, Change) else ("", following.kind)
    found = {IMAGE: o.image, BUILDER: o.builder, DISK: o.disk}
    if isinstance(following, Change) and verb == INSERT:
        status = READY if kind == IMAGE else RUNNING
        found[kind] = {**following.value, "status": status, "selfLink": full_url(following.path)}
        if kind == BUILDER:
            found[DISK] = {"labels": o.goal.owned, "status": READY}
    elif verb == DELETE:
        found[kind] = None
        found[DISK] = None if kind == BUILDER else found[DISK]
    else:
        before = found[kind] or {}
        after = {START: RUNNING, STOP: STOPPED[0]}.get(verb) or BECOMES[before["status"]]
        found[kind] = {**before, "status": after} if after else None
    return o.changed(image=found[IMAGE], builder=found[BUILDER], disk=found[DISK])


# --- what forbids to go on


def problems(o: Observed) -> list[str]:
    """The blocking problems. Raises Unread."""
    goal = o.goal
    if goal.state == ABSENT:
        return list(_removal_problems(o))
    if o.is_ready:
        return list(_image_problems(o))
    found = list(_remnant_problems(o))
    if goal.state == BUILDING:
        return [*found, *_source_problems(o), *([] if o.builder else _place_problems(o))]
    if found or (o.image and o.image["status"] in BECOMES):
        return found  # what becomes of it is not known yet
    return list(_capture_problems(o))


def _image_problems(o: Observed) -> Iterator[str]:
    """Rule 1: it is as it is, also if it cannot be used any more."""
    state = ((o.image or {}).get("deprecated") or {}).get("state")
    if state in UNUSABLE:
        yield (
            f"name: the image {o.goal.name} is deprecated as {state}, and the API makes no instance from it: choose"
            " another name, or make it active again"
        )


def _remnant_problems(o: Observed) -> Iterator[str]:
    """What is in the way, and was not made for this image."""
    goal = o.goal
    if o.image and o.image["status"] not in BECOMES and not o.is_mine(o.image):
        yield (
            f"name: the image {goal.name} is {o.image['status']}, and it was not made here: delete it, or choose"
            " another name"
        )
    for kind, found in ((BUILDER, o.builder), (DISK, None if o.builder else o.disk)):
        if found and not o.is_mine(found):
            yield (
                f"builder: the {NOUNS[kind]} {goal.builder} in {goal.zone} was not made for the image {goal.name}:"
                " choose another name for the builder"
            )


def _source_problems(o: Observed) -> Iterator[str]:
    try:
        source = o.source()
    except (Denied, Invalid, NotFound) as error:
        yield f"source_image: {error}"
        return
    yield from image_problems("source_image", str(o.goal.source), source, o.goal.disk_size_gb)


def _place_problems(o: Observed) -> Iterator[str]:
    """Where the builder is to be, and what. Whoever may not read the subnetwork may use it all the same."""
    goal = o.goal
    yield from place_problems(o, f"projects/{goal.project}/zones/{goal.zone}", goal.machine_type)
    if not goal.subnetwork:
        return
    try:
        subnetwork = o.answer("get_subnetwork", goal.subnetwork)
    except NotFound as error:
        yield f"subnetwork: {goal.subnetwork} does not exist ({error})"
        return
    except Denied:
        return
    network = normalise(subnetwork.get("network"))
    if goal.network and goal.network != network:
        yield f"network: the subnetwork {last_part(goal.subnetwork)} is on {network}, and not on {goal.network}"
    if goal.address:
        cidr = str(subnetwork.get("ipCidrRange"))
        yield from address_problems("address", goal.address, cidr, last_part(goal.subnetwork))
        yield from holder_problems(o, "address", goal.address, goal.builder_path, network)


def _capture_problems(o: Observed) -> Iterator[str]:
    goal = o.goal
    if o.builder is None:
        yield (
            f"there is no image {goal.name}, and no builder {goal.builder} in {goal.zone} that could become it: run"
            " state=building first"
        )
        return
    found = str(o.builder.get("id"))
    if goal.expected_builder not in (None, found):
        yield (
            f"expected_builder: the builder {goal.builder} has the id {found}, and not {goal.expected_builder}:"
            " somebody made it anew, and nobody knows what is on it. Prepare it again, from state=building on"
        )
    if o.builder["status"] == SUSPENDED:
        yield f"the builder {goal.builder} in {goal.zone} is {SUSPENDED}: resume it, or prepare another one"


def _removal_problems(o: Observed) -> Iterator[str]:
    goal = o.goal
    if not o.image:
        return
    if not o.is_mine(o.image):
        yield f"name: the image {goal.name} was not made here, and it stays: delete it by other means"
        return
    users = o.users()
    if users:
        yield (
            f"name: the image {goal.name} is used by the instance template{'s' if users[1:] else ''}"
            f" {', '.join(map(last_part, users))}: delete {'them' if users[1:] else 'it'} first"
        )
