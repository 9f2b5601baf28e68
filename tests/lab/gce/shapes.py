# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a request says of an instance to be: in its own body, or in that of an instance template."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from lab.gce import labels
from lab.gce.errors import ApiError, invalid, required
from lab.gce.names import HOST, NAME, fingerprint
from lab.gce.projects import MALFORMED, Projects
from lab.gce.resources import Resource

# What an instance and a template's properties have in common, in the lab.
FIELDS = frozenset(
    {"description", "machineType", "canIpForward", "disks", "networkInterfaces", "tags", "labels", "metadata"}
    | {"serviceAccounts", "scheduling", "shieldedInstanceConfig"}
)
_DISK = {"autoDelete", "boot", "deviceName", "diskSizeGb", "initializeParams", "interface", "mode", "source", "type"}
_PARAMS = {"description", "diskName", "diskSizeGb", "diskType", "labels", "sourceImage"}
_INTERFACE = {"name", "network", "networkIP", "stackType", "subnetwork"}
_IMPLIED = {"mode": "READ_WRITE", "type": "PERSISTENT", "stackType": "IPV4_ONLY"}
_MACHINE_TYPE = re.compile("[a-z][0-9a-z]*-[-0-9a-z]+")
_FINGERPRINTED = {"kind", "fingerprint", "items"}


def check(given: Resource, where: str, more: tuple[str, ...] = ()) -> None:
    """Refuse what the lab has no instance with, and what cannot be.

    ``where``: how errors call what is given; ``more``: the fields that it may have besides.
    """
    _only(given, FIELDS.union(more), where)
    if not given.get("machineType"):
        raise required(f"{where}.machineType")
    if not _MACHINE_TYPE.fullmatch(given["machineType"].rpartition("/")[2]):
        raise invalid(f"{where}.machineType", given["machineType"], MALFORMED)
    boot_disk(given, where)
    interface(given, where)
    labels.check(given.get("labels", {}))
    for tag in given.get("tags", {}).get("items") or ():
        if not NAME.fullmatch(tag):
            raise invalid(f"{where}.tags.items", tag, f"Must be a match of regex '{NAME.pattern}'")
    keys = [str(each.get("key", "")) for each in given.get("metadata", {}).get("items") or ()]
    for key in keys:
        if not re.fullmatch("[-_a-zA-Z0-9]{1,128}", key) or keys.count(key) > 1:
            raise invalid(f"{where}.metadata.items", key, "It is no key of its own.")
    if len(given.get("serviceAccounts") or ()) > 1:
        raise invalid(f"{where}.serviceAccounts", "", "At most one service account can be specified.")
    for name in ("tags", "metadata"):
        _only(given.get(name) or {}, _FINGERPRINTED, f"{where}.{name}")


def boot_disk(given: Resource, where: str) -> Resource:
    """The only disk."""
    disks = given.get("disks") or []
    if not disks:
        raise required(f"{where}.disks")
    if len(disks) > 1:
        raise ApiError(501, "notImplemented", "This lab has no instance with several disks.")
    disk: Resource = disks[0]
    field = f"{where}.disks[0]"
    _only(disk, _DISK, field)
    if not disk.get("boot"):
        raise invalid(f"{field}.boot", "false", "The first disk must be a boot disk.")
    if bool(disk.get("source")) == bool(disk.get("initializeParams")):
        raise invalid(field, "", "Exactly one of source and initializeParams must be specified.")
    params = disk.get("initializeParams") or {}
    _only(params, _PARAMS, f"{field}.initializeParams")
    if not disk.get("source") and not params.get("sourceImage"):
        raise ApiError(501, "notImplemented", "This lab has no disk without an image.")
    return disk


def interface(given: Resource, where: str) -> Resource:
    """The only network interface."""
    interfaces = given.get("networkInterfaces") or []
    if not interfaces:
        raise required(f"{where}.networkInterfaces")
    if len(interfaces) > 1:
        raise ApiError(501, "notImplemented", "This lab has no instance with several network interfaces.")
    nic: Resource = interfaces[0]
    _only(nic, _INTERFACE, f"{where}.networkInterfaces[0]")
    return nic


def needs(given: Resource) -> Iterator[tuple[str, str]]:
    """URLs in it, and the permissions on what they lead to."""
    for disk in given.get("disks") or ():
        if disk.get("source"):
            yield disk["source"], "compute.disks.use"
        image = (disk.get("initializeParams") or {}).get("sourceImage")
        if image:
            yield image, "compute.images.useReadOnly"
    for nic in given.get("networkInterfaces") or ():
        if nic.get("subnetwork"):
            yield nic["subnetwork"], "compute.subnetworks.use"
        if "/addresses/" in (nic.get("networkIP") or ""):
            yield nic["networkIP"], "compute.addresses.useInternal"


def subnetwork(projects: Projects, nic: Resource, field: str, project: str, region: str) -> Resource:
    """Where the interface is."""
    if not nic.get("subnetwork"):
        why = "Network interface must specify a subnet if the network resource is in custom subnet mode."
        raise invalid(field, "", why)
    found = projects.subnetwork(nic["subnetwork"], project, region)
    if nic.get("network"):
        name = projects.network(nic["network"], project, shared=True)
        if projects.networks[name]["selfLink"] != found["network"]:
            raise invalid(f"{field}.subnetwork", nic["subnetwork"], f"It is not in the network {name}.")
    return found


def stored(body: Resource, scope: str, subnetwork: Resource, address: str) -> Resource:
    """An instance as it is stored, but for its disk and who it is."""
    metadata, tags = body.get("metadata") or {}, (body.get("tags") or {}).get("items")
    return {
        "name": body["name"],
        **{name: body[name] for name in ("description", "labels", "shieldedInstanceConfig") if body.get(name)},
        "zone": HOST + scope,
        "machineType": f"{HOST}{scope}/machineTypes/{body['machineType'].rpartition('/')[2]}",
        "canIpForward": body.get("canIpForward", False),
        "tags": {"fingerprint": fingerprint(), **({"items": tags} if tags else {})},
        "labelFingerprint": fingerprint(),
        "fingerprint": fingerprint(),
        "networkInterfaces": [
            {
                "kind": "compute#networkInterface",
                "name": "nic0",
                "network": subnetwork["network"],
                "subnetwork": subnetwork["selfLink"],
                "networkIP": address,
                "stackType": "IPV4_ONLY",
                "fingerprint": fingerprint(),
            }
        ],
        "metadata": {
            "kind": "compute#metadata",
            "fingerprint": fingerprint(),
            **({"items": list(metadata["items"])} if metadata.get("items") else {}),
        },
        "scheduling": {
            "onHostMaintenance": "MIGRATE",
            "automaticRestart": True,
            "preemptible": False,
            **(body.get("scheduling") or {}),
        },
        "deletionProtection": False,
        "startRestricted": False,
    }


def attached(given: Resource, disk: Resource) -> Resource:
    """A disk as the instance has it."""
    return {
        "kind": "compute#attachedDisk",
        "type": "PERSISTENT",
        "mode": "READ_WRITE",
        "interface": "SCSI",
        "index": 0,
        "boot": True,
        "autoDelete": bool(given.get("autoDelete")),
        "deviceName": given.get("deviceName") or "persistent-disk-0",
        "diskSizeGb": disk["sizeGb"],
        "source": disk["selfLink"],
    }


def with_metadata(given: Resource, more: Mapping[str, str]) -> Resource:
    """The same with these items of metadata, too."""
    metadata: Resource = given.get("metadata") or {}
    items = [each for each in metadata.get("items") or () if each["key"] not in more]
    items += [{"key": key, "value": value} for key, value in more.items()]
    return {**given, "metadata": {**metadata, "items": items}}


def _only(given: Resource, known: frozenset[str] | set[str], where: str) -> None:
    """Refuse what the lab does not have; nothing, or what is so anyway, is no matter."""
    more = [name for name, value in given.items() if value and name not in known and _IMPLIED.get(name) != value]
    more += [name for name, value in _IMPLIED.items() if (given.get(name) or value) != value]
    if more:
        raise ApiError(501, "notImplemented", f"This lab has no {where} with {', '.join(sorted(more))}.")
