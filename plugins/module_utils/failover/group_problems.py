# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finds the problems that forbid to make an autohealing group what it should be. Pure: facts to sentences."""

from __future__ import annotations

from ..base.errors import Denied, NotFound
from ..clouds.gce_names import last_part, normalise
from .gcp_checks import clashes
from .gcp_instances import address_problems, holder_problems, image_problems, in_use, place_problems
from .gcp_objects import Item, plain
from .group_fields import MACHINE_TYPE
from .group_goal import ALLOWANCE, INITIAL_DELAY, MARK
from .group_wanted import address_path, members, wanted, wanted_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .group_look import Observed

# The options for fields that cannot be changed in place.
_OPTIONS = {"direction": "firewall", "network": "network", "purpose": "instances", "addressType": "instances"}


def problems(o: Observed, first: bool) -> list[str]:
    """The blocking problems. first: whether nothing was changed yet; only then it is asked whether all is fit.

    Raises Unread.
    """
    if not o.goal.present:
        return []
    # Without these nobody can say what is wanted.
    missing = list(_missing(o)) or list(_subnetwork_problems(o))
    if missing:
        return missing
    items = wanted(o).items
    found = [*_owner_problems(o, items), *_frozen_problems(o, items), *_address_problems(o)]
    if first:
        found += [*_image_problems(o), *_check_problems(o)]
        found += list(_place_problems(o)) or [*_instance_problems(o), *_holder_problems(o)]
    return found


def _missing(o: Observed) -> Iterator[str]:
    """What is needed to make it, and nothing tells."""
    goal, where = o.goal, f"there is no group {o.goal.name} in {o.goal.zone} that has one"
    made_of = o.made_of
    if not made_of["image"] and not goal.template.get("image"):
        yield f"image: give it, as {where}"
    if not o.subnetwork and not made_of["network"] and not goal.template.get("network"):
        yield f"subnetwork: give it, as {where}"
    elif not o.subnetwork and goal.members:
        yield "subnetwork: give it, for the addresses of the instances"
    if o.group is None and not goal.members:
        yield f"instances: give at least one, as {where}"


def _owner_problems(o: Observed, items: Sequence[Item]) -> Iterator[str]:
    for item in items:
        if item.found and o.is_anothers(item.path) and item.kind in ("firewalls", "instanceGroupManagers"):
            owner = item.found["description"][len(MARK) :]
            yield f"name: {item.label} was made for the group {owner}: choose another name"


def _frozen_problems(o: Observed, items: Sequence[Item]) -> Iterator[str]:
    for item in items:
        for name, (old, new) in item.frozen.items():
            what = f"{item.label} has {name} {plain(old)}, and {plain(new)} is wanted; the API does not change that"
            yield f"{_OPTIONS.get(name, name)}: {what}. Delete it, or choose another one"


def _subnetwork_problems(o: Observed) -> Iterator[str]:
    goal = o.goal
    if not o.subnetwork:
        return
    try:
        subnet = o.subnet()
    except NotFound as error:
        yield f"subnetwork: {o.subnetwork} does not exist ({error})"
        return
    except Denied:
        return
    wanted_network, network = goal.template.get("network"), normalise(subnet.get("network"))
    if wanted_network and network != wanted_network:
        yield f"network: the subnetwork {last_part(o.subnetwork)} is on {network}, and not on {wanted_network}"
    if o.subnetwork.split("/")[3] != goal.region:
        yield f"subnetwork: {o.subnetwork} is not in the region {goal.region} of the zone {goal.zone}"
    for member in members(o):
        if member.address:
            cidr = str(subnet.get("ipCidrRange"))
            yield from address_problems("instances", member.address, cidr, last_part(o.subnetwork))


def _image_problems(o: Observed) -> Iterator[str]:
    """An image that is not there would be found out by the group only, again and again."""
    template, made_of = o.goal.template, o.made_of
    image = template.get("image") or made_of["image"]
    if any(template.get(name) not in (None, made_of[name]) for name in ("image", "disk_size_gb")):
        try:
            found = o.answer("get", image)
        except NotFound as error:
            yield f"image: {image} does not exist ({error})"
            return
        except Denied:
            return  # of another project, whose images may be used all the same
        yield from image_problems("image", image, found, template.get("disk_size_gb"))


def _check_problems(o: Observed) -> Iterator[str]:
    goal = o.goal
    # One of another type begins as the present one is.
    found = o.resources.get(o.check_path) or o.resources.get(o.present_check or "") or {}
    yield from clashes(goal.check_kind, goal.check, o.check_path, found)


def _place_problems(o: Observed) -> Iterator[str]:
    """The zone of new instances, and what they are there."""
    made_of = o.made_of["machine_type"]
    machine_type = o.goal.template.get("machine_type") or made_of or MACHINE_TYPE
    if o.group is None or machine_type != made_of:
        yield from place_problems(o, o.goal.zone_path, machine_type)


def _instance_problems(o: Observed) -> Iterator[str]:
    for member in members(o):
        path = o.goal.instance_path(member.name)
        if member.name not in o.managed:
            try:
                o.instance(path)
                yield (
                    f"instances: {path} is there, and is not the group's: delete it, as the group makes its instances"
                    " itself, or choose another name"
                )
                continue
            except NotFound as error:
                if error.status == 400:
                    yield f"zone: {o.goal.zone} does not exist ({error})"
                    return


def _address_problems(o: Observed) -> Iterator[str]:
    """Who else has a reserved address. Only the reservation tells what is no instance of this project."""
    for member in members(o):
        place = address_path(o, member)
        if place is None or place not in o.resources:
            continue
        address = wanted_address(o, member) or o.resources[place].get("address")
        others = [user for user in o.users(place) if user != o.goal.instance_path(member.name)]
        if others:
            yield in_use("instances", address, member.name, others)


def _holder_problems(o: Observed) -> Iterator[str]:
    """Which instances have an address that nobody has reserved."""
    for member in members(o):
        if member.address and address_path(o, member) not in o.resources:
            path = o.goal.instance_path(member.name)
            yield from holder_problems(o, "instances", member.address, path, o.network)


def waiting_too_long(o: Observed, waited: dict[str, float]) -> list[str]:
    """What does not come up. waited: by the names of instances, for how long."""
    return [sentence for name, seconds in waited.items() for sentence in _stuck(o, name, seconds)]


SETTLE = 20.0  # for so long, the errors may be those of an attempt before the change
# What passes by itself, perhaps: the group tries again and again.
_ADVICE = (
    ("ZONE_RESOURCE_POOL_EXHAUSTED", "the zone has no such machine left: wait, or give another machine_type or zone"),
    ("QUOTA", "raise the quota, or delete what is not needed"),
    ("PERMISSION", "give the Google APIs service agent of the project the permission"),
)


def advice(code: str) -> str:
    """What to do about an error that the group had with an instance."""
    return next((words for part, words in _ADVICE if part in code), "correct what it says, and run it again")


def patience(o: Observed) -> float:
    """The seconds that one instance may take until it serves."""
    goal = o.goal
    if goal.healthy_within_s is not None:
        return goal.healthy_within_s
    delay = INITIAL_DELAY if o.initial_delay is None else o.initial_delay
    return float(delay + ALLOWANCE)


def _stuck(o: Observed, name: str, seconds: float) -> Iterator[str]:
    each = o.managed.get(name)
    if each is None:
        return
    others = [other.name for other in o.managed.values() if other.is_serving]
    serving = (
        f"{', '.join(others)} {'serve' if len(others) > 1 else 'serves'}" if others else "no other instance serves"
    )
    if each.errors and seconds >= SETTLE:
        code, text = each.errors[0]
        yield f"{each} cannot be made: {code}: {text.rstrip('. ')}: {advice(code)}; the group goes on trying; {serving}"
    elif seconds >= patience(o):
        image = last_part(o.made_of["image"])
        yield (
            f"{each} does not serve after {seconds:.0f} s, although it is made of the image {image}; {serving}, and no"
            f" other instance was replaced. See why the service does not answer the probes (the console of {name}, the"
            " health check, the firewall rule), and run it again with a good image, or with the former one"
        )
