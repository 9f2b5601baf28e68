# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Compute Engine takes for an instance: tags, labels, metadata, its account, address and disk. Pure.

A group would find out the mistakes only by and by, with an instance that it cannot make.
"""

from __future__ import annotations

import re

from ..base.errors import Denied, Invalid, NotFound
from ..clouds.gce_names import format_cidr, is_name, last_part, parse_address, parse_cidr
from .alias_look import Fleet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from .facts import Facts

SCOPE = "https://www.googleapis.com/auth/"
MOST_TAGS = MOST_LABELS = 64
LONGEST_VALUE, LONGEST_METADATA = 256, 512  # KiB
SMALLEST_DISK, LARGEST_DISK = 1, 65536
# Of a deprecated image that the API makes no instance from.
UNUSABLE = ("OBSOLETE", "DELETED")
_LABEL_KEY, _LABEL = re.compile("[a-z][a-z0-9_-]{0,62}"), re.compile("[a-z0-9_-]{0,63}")
_METADATA_KEY = re.compile("[A-Za-z0-9_-]{1,127}")
_ACCOUNT = re.compile("[!-?A-~]+@[A-Za-z0-9-]+([.][A-Za-z0-9-]+)+")


def expand_scope(scope: str) -> str:
    """The URL of a scope, of which the last part is enough."""
    return scope if "/" in scope else f"{SCOPE}{scope}"


def is_account(text: str) -> bool:
    """Whether a service account can have this e-mail address."""
    return bool(_ACCOUNT.fullmatch(text))


def tag_problems(tags: Iterable[str], option: str = "tags") -> Iterator[str]:
    tags = list(tags)
    if len(tags) > MOST_TAGS:
        yield f"{option}: {len(tags)} are too many: give at most {MOST_TAGS}"
    for tag in tags:
        if not is_name(tag):
            yield (
                f"{option}: {tag!r} is no network tag: use 1 to 63 of a-z, 0-9 and -, with a letter first and no - last"
            )


def label_problems(labels: Mapping[str, str], most: int = MOST_LABELS) -> Iterator[str]:
    if len(labels) > most:
        yield f"labels: {len(labels)} are too many: give at most {most}"
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key):
            yield f"labels: {key!r} is no key: use 1 to 63 of a-z, 0-9, _ and -, with a letter first"
        if not _LABEL.fullmatch(value):
            yield f"labels: {value!r} of {key!r} is no value: use at most 63 of a-z, 0-9, _ and -"


def metadata_problems(metadata: Mapping[str, str]) -> Iterator[str]:
    """A value may be secret: no sentence has one."""
    sizes = {key: len(value.encode("utf-8", "surrogatepass")) for key, value in metadata.items()}
    for key, size in sizes.items():
        if not _METADATA_KEY.fullmatch(key):
            yield f"metadata: {key!r} is no key: use 1 to 127 of letters, digits, _ and -"
        if size > LONGEST_VALUE << 10:
            yield f"metadata: the value of {key} is longer than {LONGEST_VALUE} KiB"
    if sum(sizes.values()) > LONGEST_METADATA << 10:
        yield f"metadata: all values together are longer than {LONGEST_METADATA} KiB"


def disk_problems(size_gb: int | None) -> Iterator[str]:
    if size_gb is not None and not SMALLEST_DISK <= size_gb <= LARGEST_DISK:
        yield f"disk_size_gb: {size_gb} is not from {SMALLEST_DISK} to {LARGEST_DISK}"


def image_problems(option: str, path: str, image: Mapping[str, Any], disk_size_gb: int | None) -> Iterator[str]:
    """Why no instance can be made from an image."""
    state = (image.get("deprecated") or {}).get("state")
    if state not in UNUSABLE:
        state = image.get("status")
    if state not in (None, "READY"):
        yield f"{option}: {path} is {state}, and the API makes no instance from it: choose another image"
    least = int(image.get("diskSizeGb") or 0)
    if disk_size_gb is not None and SMALLEST_DISK <= disk_size_gb < least:
        yield f"disk_size_gb: {disk_size_gb} is too small for {path}: give at least {least}, or leave it out"


def place_problems(facts: Facts, zone: str, machine_type: str) -> Iterator[str]:
    """Whether a zone is there, and has such machines. zone: its path. Raises Unread.

    Whoever may not read machine types may use them all the same.
    """
    try:
        facts.answer("get", f"{zone}/machineTypes/{machine_type}")
    except Denied:
        return
    except (Invalid, NotFound) as error:
        if error.status == 400:
            yield f"zone: {last_part(zone)} does not exist ({error})"
        else:
            yield (
                f"machine_type: there is no {machine_type} in {last_part(zone)} ({error}): choose another one, or"
                " another zone"
            )


def in_use(option: str, address: str | None, instance: str, others: Iterable[str]) -> str:
    """others: the paths of what has the address that an instance is to have."""
    return (
        f"{option}: the address {address} of {last_part(instance)} is in use by {', '.join(sorted(others))}: choose"
        " another one, or free it first"
    )


def holder_problems(facts: Facts, option: str, address: str, instance: str, network: str | None) -> Iterator[str]:
    """Which other instances have an address that an instance is to have. instance, network: their paths. Raises Unread.

    Whoever may not list instances learns it later.
    """
    try:
        instances, _silent = facts.answer("list_instances")
    except Denied:
        return
    fleet, number = Fleet(instances), parse_address(address) or 0
    found = [place for first, last, place, _alias in fleet.spans if first <= number <= last]
    others = {place[0] for place in found if fleet.network(place) == network and place[0] != instance}
    if others:
        yield in_use(option, address, instance, others)


def address_problems(option: str, address: str, cidr: str, subnetwork: str) -> Iterator[str]:
    """Why no instance in a subnetwork can have an address. cidr: its primary range."""
    first, last = parse_cidr(cidr)
    number = parse_address(address) or 0
    if not first <= number <= last:
        yield (
            f"{option}: {address} is outside of {format_cidr(first, last)}, the primary range of the subnetwork"
            f" {subnetwork}: choose one inside"
        )
    elif number in (first, first + 1, last - 1, last):
        yield (
            f"{option}: {address} is one of the four that Google keeps of {format_cidr(first, last)}, the first two"
            " and the last two: choose another one"
        )
