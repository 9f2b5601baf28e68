# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to a request to the API between its arrival and its answer, and what the lab can tell the API."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from lab.emulation import behaviour, emulator
from lab.emulation.server import Verbs
from lab.ucloudstack.actions import ACTIONS, Call, parse
from lab.ucloudstack.cloud import Cloud
from lab.ucloudstack.dataplane import DataPlane
from lab.ucloudstack.errors import ApiError, HttpError
from lab.ucloudstack.world import Key, World

PATH = "/api"


class Emulator(emulator.Emulator):
    """A tenant with its API and its log, which has the RetCode (code) besides what every API's log has."""

    def __init__(self, world: World, plane: DataPlane) -> None:
        super().__init__()
        self.cloud = Cloud(world, plane)
        self._keys = {each.public: each for each in world.keys}

    def close(self) -> None:
        """End its thread."""
        self.cloud.close()

    def answer(
        self, verb: str, target: str, token: str | None, text: bytes, entry: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """See `lab.emulation.emulator.Emulator`; who asks is in the text."""
        entry["code"] = None
        try:
            said = self._answer(verb, target, text, entry)
        except ApiError as error:
            error.action = entry["name"]
            entry["code"] = error.code
            raise
        entry["code"] = 0
        return {"Action": f"{entry['name']}Response", "RetCode": 0, "Message": "", **said}, {}

    def bug(self) -> HttpError:
        """See `lab.emulation.emulator.Emulator`."""
        return HttpError(500)

    def _answer(self, verb: str, target: str, text: bytes, entry: dict[str, Any]) -> dict[str, Any]:
        split = urlsplit(target)
        if split.path != PATH:
            raise HttpError(404)
        fields = _fields(text.decode("utf-8", "replace") if verb == "POST" else split.query)
        name = entry["name"] = fields.get("Action", "")
        if not name:
            raise ApiError(101)
        key = self._caller(fields)
        entry["caller"] = key.name
        action = ACTIONS.get(name)
        if action is None:
            raise ApiError(110, name)
        entry["mutation"] = action.mutates
        cloud = self.cloud
        with cloud.lock:
            faults = cloud.behaviour.meet(verb, f"{split.path}/{name}", key.name)
        behaviour.begin(faults, deferred=action.mutates)
        if key.actions is not None and name not in key.actions:
            raise ApiError(114, name)
        self._check_scope(fields)
        call = Call(cloud, parse(action, fields), faults)
        with cloud.lock:
            said = action.do(call)
        behaviour.end(faults)
        return said

    def _caller(self, fields: Mapping[str, str]) -> Key:
        if not fields.get("PublicKey"):
            raise ApiError(103)
        if not fields.get("Signature"):
            raise ApiError(104)
        key = self._keys.get(fields["PublicKey"])
        if key is None or not hmac.compare_digest(signature(fields, key.private), fields["Signature"]):
            raise ApiError(109)
        return key

    def _check_scope(self, fields: Mapping[str, str]) -> None:
        world = self.cloud.world
        if not fields.get("Region"):
            raise ApiError(102)
        if fields["Region"] != world.region:
            raise ApiError(12000, fields["Region"])
        if fields.get("CompanyID", str(world.company)) != str(world.company):
            raise ApiError(27001, fields["CompanyID"])


def signature(fields: Mapping[str, str], private: str) -> str:
    """Of all fields but the signature itself, as the vendor's manual says."""
    digest = hashlib.sha1()
    for key, value in sorted(fields.items()):
        if key != "Signature":
            digest.update(f"{key}{value}".encode())
    digest.update(private.encode())
    return digest.hexdigest()


def _fields(text: str) -> dict[str, str]:
    """The fields of a query, a form, or an object."""
    if not text.lstrip().startswith("{"):
        return dict(parse_qsl(text, keep_blank_values=True))
    try:
        return dict(_flat("", json.loads(text)))
    except ValueError:
        raise ApiError(4, "JSON") from None


def _flat(name: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [pair for key, item in items for pair in _flat(f"{name}.{key}" if name else str(key), item)]
    if value is None or not name:
        return []
    return [(name, str(value).lower() if isinstance(value, bool) else str(value))]


def _behave(emulator: Emulator, told: Mapping[str, Any]) -> Any:
    cloud = emulator.cloud
    with cloud.lock:
        cloud.behaviour.change(told)
        if "faults" in told and not any(fault.kind == "never-ends" for fault in cloud.behaviour.faults):
            cloud.unstick()
        return cloud.behaviour.to_json()


VERBS: Verbs = {
    ("GET", "/behaviour"): lambda emulator, _: emulator.cloud.behaviour.to_json(),
    ("PATCH", "/behaviour"): _behave,
    ("GET", "/log"): lambda emulator, _: list(emulator.requests),
    ("DELETE", "/log"): lambda emulator, _: emulator.requests.clear(),
    ("GET", "/state"): lambda emulator, _: {
        "servers": [{"name": each.name, "status": each.state} for each in emulator.cloud.world.vms],
        **emulator.cloud.state(),
        "violations": emulator.violations,
    },
}
