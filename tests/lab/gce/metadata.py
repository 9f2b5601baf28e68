# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metadata server: what an instance can ask about itself."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from email.message import Message
from ipaddress import IPv4Address, IPv4Network
from typing import Any, NamedTuple

from lab.gce.cloud import Cloud
from lab.gce.errors import ApiError

_ROOT = "/computeMetadata/v1/"
_TEXT, _JSON = "application/text", "application/json"


class Said(NamedTuple):
    """An answer."""

    status: int
    kind: str
    text: str


def ask(cloud: Cloud, instance: str | None, path: str, query: Mapping[str, str], headers: Message) -> Said:
    """What the metadata server says to an instance (None: the request comes from none)."""
    if headers.get("Metadata-Flavor") != "Google" or headers.get("X-Forwarded-For"):
        return Said(403, "text/html", "The request needs the header Metadata-Flavor: Google, and no X-Forwarded-For.\n")
    if path == "/":  # By this Google's libraries find out whether they are on a machine of Google's.
        return Said(200, _TEXT, "0.1/\ncomputeMetadata/\n")
    with cloud.lock:
        unknown = instance is None or instance not in cloud.all_instances
    if instance is None or unknown or not path.startswith(_ROOT):
        return Said(404, "text/html", "Not found.\n")
    try:
        value = _look_up(cloud, instance, path[len(_ROOT) :])
    except ApiError as error:
        return Said(error.status, "text/html", f"{error}\n")
    return _said(value, query)


def _said(value: Any, query: Mapping[str, str]) -> Said:
    recursive = query.get("recursive", "").lower() == "true"
    form = query.get("alt", "json" if recursive or _is_token(value) else "text")
    if form == "json":
        return Said(200, _JSON, json.dumps(value if recursive or not _is_directory(value) else _names(value)))
    if isinstance(value, list) and not _is_directory(value):
        return Said(200, _TEXT, "\n".join(map(str, value)))
    if _is_directory(value):
        return Said(200, _TEXT, "".join(f"{name}\n" for name in _names(value)))
    return Said(200, _TEXT, str(value))


def _is_token(value: Any) -> bool:
    return isinstance(value, dict) and "access_token" in value


def _is_directory(value: Any) -> bool:
    return (isinstance(value, dict) and not _is_token(value)) or (
        isinstance(value, list) and any(isinstance(each, dict) for each in value)
    )


def _names(value: Any) -> list[str]:
    """What is in a directory; those that are directories too end with a slash."""
    if isinstance(value, list):
        return [f"{n}/" for n in range(len(value))]
    return [f"{_dashed(name)}{'/' if isinstance(item, (dict, list)) else ''}" for name, item in value.items()]


def _dashed(name: str) -> str:
    """projectId -> project-id; the name of an account stays."""
    return name if "@" in name else re.sub("[A-Z]", lambda match: "-" + match[0].lower(), name)


def _look_up(cloud: Cloud, name: str, path: str) -> Any:
    segments = [segment for segment in path.split("/") if segment]
    value: Any = _tree(cloud, name)
    account = value["instance"]["serviceAccounts"].get("default", {}).get("email")
    if account and segments in (["instance", "service-accounts", each, "token"] for each in ("default", account)):
        token, seconds = cloud.mint(account)
        return {"access_token": token, "expires_in": seconds, "token_type": "Bearer"}
    for segment in segments:
        if isinstance(value, list) and segment.isdigit() and int(segment) < len(value):
            value = value[int(segment)]
        elif isinstance(value, dict) and segment in map(_dashed, value):
            value = next(item for key, item in value.items() if _dashed(key) == segment)
        else:
            raise ApiError(404, "notFound", f"The metadata server has nothing at {path}.")
    return value


def _tree(cloud: Cloud, name: str) -> dict[str, Any]:
    with cloud.lock:
        instance = cloud.instance(name)
    project = cloud.project_of(instance)
    number, zone = int(project["id"]), instance["zone"].rpartition("/")[2]
    accounts: dict[str, Any] = {}
    for each in instance.get("serviceAccounts", []):
        entry = {"aliases": ["default"], "email": each["email"], "scopes": each["scopes"]}
        accounts = {"default": entry, each["email"]: entry}
    return {
        "instance": {
            "attributes": {each["key"]: each["value"] for each in instance["metadata"].get("items", ())},
            "description": instance.get("description", ""),
            "hostname": f"{name}.{zone}.c.{project['name']}.internal",
            "id": int(instance["id"]),
            "machineType": f"projects/{number}/machineTypes/{instance['machineType'].rpartition('/')[2]}",
            "name": name,
            "networkInterfaces": [_interface(cloud, each) for each in instance["networkInterfaces"]],
            "serviceAccounts": accounts,
            "tags": instance["tags"].get("items", []),
            "zone": f"projects/{number}/zones/{zone}",
        },
        "project": {"attributes": {}, "numericProjectId": number, "projectId": project["name"]},
    }


def _interface(cloud: Cloud, interface: Mapping[str, Any]) -> dict[str, Any]:
    subnetwork = cloud.subnetworks[interface["subnetwork"].rpartition("/")[2]]
    return {
        "accessConfigs": [],
        "dnsServers": ["169.254.169.254"],
        "gateway": subnetwork["gatewayAddress"],
        "ip": interface["networkIP"],
        "ipAliases": [each["ipCidrRange"] for each in interface.get("aliasIpRanges", [])],
        "mac": "42:01:" + IPv4Address(interface["networkIP"]).packed.hex(":"),
        "mtu": 1460,
        "network": f"projects/{cloud.world.number}/networks/{interface['network'].rpartition('/')[2]}",
        "subnetmask": str(IPv4Network(subnetwork["ipCidrRange"]).netmask),
    }
