# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the instances of a group are made of: the options, and where an instance template has them. Pure."""

from __future__ import annotations

import copy
import hashlib
import json

from ..clouds.gce_names import full_url, last_part, normalise
from .gcp_instances import SCOPE
from .group_goal import HASH_LENGTH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Resource = dict[str, Any]

MACHINE_TYPE = "e2-small"
SCOPES = (f"{SCOPE}cloud-platform",)
FIELDS = (
    "image",
    "machine_type",
    "disk_size_gb",
    "network",
    "subnetwork",
    "can_ip_forward",
    "tags",
    "service_account",
    "service_account_scopes",
    "metadata",
    "labels",
)
# What the API adds to a template.
_OUTPUT = frozenset(("fingerprint", "kind", "shieldedInstanceIntegrityPolicy"))


def read_properties(properties: Resource, project: str) -> Resource:
    """An instance template's properties, as the options have them."""
    base = f"projects/{project}"
    disk, interface = _boot_disk(properties), _first(properties, "networkInterfaces")
    account, start = _first(properties, "serviceAccounts"), disk.get("initializeParams") or {}
    return {
        "image": normalise(start.get("sourceImage"), base),
        "machine_type": last_part(properties.get("machineType") or ""),
        "disk_size_gb": int(start.get("diskSizeGb") or disk.get("diskSizeGb") or 0),
        "network": normalise(interface.get("network"), base),
        "subnetwork": normalise(interface.get("subnetwork"), base),
        "can_ip_forward": bool(properties.get("canIpForward")),
        "tags": sorted((properties.get("tags") or {}).get("items") or ()),
        "service_account": account.get("email") or "",
        "service_account_scopes": sorted(account.get("scopes") or ()),
        "metadata": {
            str(each.get("key")): str(each.get("value") or "")
            for each in (properties.get("metadata") or {}).get("items") or ()
        },
        "labels": dict(properties.get("labels") or {}),
    }


def differences(found: Resource, wanted: Mapping[str, Any]) -> list[str]:
    """The options that ask for something else. found: as read_properties() tells it."""
    different = [name for name in wanted if found[name] != wanted[name]]
    if not found["network"] and found["subnetwork"] == wanted.get("subnetwork", found["subnetwork"]):
        # A template need not say the network of its subnetwork.
        different = [name for name in different if name != "network" or not found["subnetwork"]]
    return different


def write_properties(present: Resource, wanted: Mapping[str, Any]) -> Resource:
    """The properties of a template like the present one, but for what is wanted. present: {} if there is none."""
    properties = _without_output(copy.deepcopy(present))
    if not present:
        wanted = {"machine_type": MACHINE_TYPE, **wanted}
    if "machine_type" in wanted:
        properties["machineType"] = wanted["machine_type"]
    if "can_ip_forward" in wanted:
        properties["canIpForward"] = wanted["can_ip_forward"]
    if "tags" in wanted:
        properties["tags"] = {"items": sorted(wanted["tags"])}
    if "labels" in wanted:
        properties["labels"] = dict(wanted["labels"])
    if "metadata" in wanted:
        items = [{"key": key, "value": value} for key, value in sorted(wanted["metadata"].items())]
        properties["metadata"] = {"items": items}
    _write_disk(properties, wanted)
    _write_interface(properties, wanted)
    _write_account(properties, wanted)
    return properties


def _write_disk(properties: Resource, wanted: Mapping[str, Any]) -> None:
    if "image" not in wanted and "disk_size_gb" not in wanted:
        return
    disk = _boot_disk(properties)
    if not disk:
        disk = {"boot": True, "autoDelete": True, "type": "PERSISTENT", "mode": "READ_WRITE"}
        properties["disks"] = [disk]
    start = disk["initializeParams"] = dict(disk.get("initializeParams") or {})
    if "image" in wanted:
        start["sourceImage"] = full_url(wanted["image"])
    if "disk_size_gb" in wanted:
        disk.pop("diskSizeGb", None)
        start["diskSizeGb"] = str(wanted["disk_size_gb"])


def _write_interface(properties: Resource, wanted: Mapping[str, Any]) -> None:
    names = [name for name in ("network", "subnetwork") if name in wanted]
    interfaces = properties.setdefault("networkInterfaces", [{}])
    present = {name: normalise(interfaces[0].get(name)) for name in names}
    if all(present[name] == wanted[name] for name in names):
        return
    # The one that is not said follows from the other, or is the network's own.
    rest = {name: value for name, value in interfaces[0].items() if name not in ("network", "subnetwork")}
    interfaces[0] = {**rest, **{name: full_url(wanted[name]) for name in names}}


def _write_account(properties: Resource, wanted: Mapping[str, Any]) -> None:
    if wanted.get("service_account") == "":
        properties.pop("serviceAccounts", None)
    elif "service_account" in wanted or "service_account_scopes" in wanted:
        account = dict(_first(properties, "serviceAccounts"))
        account["email"] = wanted.get("service_account") or account.get("email") or "default"
        account["scopes"] = sorted(wanted.get("service_account_scopes") or account.get("scopes") or SCOPES)
        properties["serviceAccounts"] = [account]


def hash_of(properties: Resource) -> str:
    """The end of the name of a template that has these."""
    text = json.dumps(properties, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_LENGTH]


def _boot_disk(properties: Resource) -> Resource:
    disks = properties.get("disks") or [{}]
    return next((each for each in disks if each.get("boot")), disks[0])


def _first(properties: Resource, name: str) -> Resource:
    return (properties.get(name) or [{}])[0]


def _without_output(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_output(each) for name, each in value.items() if name not in _OUTPUT}
    return [_without_output(each) for each in value] if isinstance(value, list) else value
