# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to a request to the API between its arrival and its answer, and what the lab can tell it."""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from lab import web
from lab.ucloudstack.actions import ACTIONS, Call, parse
from lab.ucloudstack.cloud import Cloud
from lab.ucloudstack.dataplane import DataPlane
from lab.ucloudstack.errors import SERVICE, ApiError, HttpError
from lab.ucloudstack.world import Key, World

PATH = "/api"


class Emulator:
    """A tenant with its API and its log.

    ``requests``: what the API was asked, oldest first: when (mono_ns, wall_ns, end_mono_ns), with whose key, HTTP's
    method and path, the action (name), whether it is a mutation, the HTTP status (0: the connection was lost) and the
    RetCode (code). ``violations``: errors of our own; there shall be none. ``hooks`` are called with ("before" |
    "after", the request's entry).
    """

    def __init__(self, world: World, plane: DataPlane) -> None:
        self.cloud = Cloud(world, plane)
        self.requests: list[dict[str, Any]] = []
        self.violations: list[str] = []
        self.hooks: list[Callable[[str, dict[str, Any]], None]] = []
        self._keys = {each.public: each for each in world.keys}

    def close(self) -> None:
        """End its threads."""
        self.cloud.close()

    def handle(self, verb: str, target: str, kind: str, text: bytes) -> dict[str, Any]:
        """The answer to a request whose body is of this kind; raises HttpError and `lab.web.Dropped`."""
        entry = web.begin(self.requests, verb, target)
        entry |= {"name": "", "mutation": False, "code": None}
        try:
            for hook in self.hooks:
                hook("before", entry)
            answer = self._answer(verb, target, kind, text, entry)
            entry |= {"status": 200, "code": 0}
            return answer
        except ApiError as error:
            entry |= {"status": 200, "code": error.code}
            return _refusal(entry["name"], error.code, str(error))
        except HttpError as error:
            entry["status"] = error.status
            raise
        except web.Dropped:
            entry["status"] = 0
            raise
        except Exception:
            # Ours, not the caller's: the lab's tests make sure that there was none.
            self.violations.append(f"{verb} {target}: {traceback.format_exc()}")
            sys.stderr.write(self.violations[-1])
            entry |= {"status": 200, "code": SERVICE[0]}
            return _refusal(entry["name"], *SERVICE)
        finally:
            entry["end_mono_ns"] = time.monotonic_ns()
            for hook in self.hooks:
                hook("after", entry)

    def _answer(self, verb: str, target: str, kind: str, text: bytes, entry: dict[str, Any]) -> dict[str, Any]:
        split = urlsplit(target)
        if split.path != PATH or verb not in ("GET", "POST"):
            raise HttpError(404)
        fields = _fields(split.query if verb == "GET" else text.decode("utf-8", "replace"), kind)
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
        for fault in faults:
            if fault.kind == "slow" and not action.mutates:
                time.sleep(fault.seconds)
            if fault.kind == "lose-before":
                raise web.Dropped
            if fault.kind == "status" and fault.reason is None:
                raise HttpError(fault.status, fault.retry_after)
            if fault.kind == "status":
                assert fault.reason is not None
                raise ApiError(int(fault.reason), message=fault.message or "the lab's API was told to say so")
        if key.actions is not None and name not in key.actions:
            raise ApiError(114, name)
        self._check_scope(fields)
        call = Call(cloud, parse(action, fields), faults)
        with cloud.lock:
            said = action.do(call)
        if any(fault.kind == "lose-after" for fault in faults):
            raise web.Dropped
        return {"Action": f"{name}Response", "RetCode": 0, "Message": "", **said}

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

    # --- what the lab can tell it

    def admin(self, verb: str, path: str, body: Any = None) -> Any:
        """One request of the admin socket; ValueError says what is wrong with it."""
        verbs: dict[tuple[str, str], Callable[[], Any]] = {
            ("GET", "/behaviour"): self.cloud.behaviour.to_json,
            ("PATCH", "/behaviour"): lambda: self._behave(body),
            ("POST", "/settle"): self.cloud.settle,
            ("GET", "/log"): lambda: list(self.requests),
            ("DELETE", "/log"): self.requests.clear,
            ("GET", "/state"): lambda: {**self.cloud.state(), "violations": self.violations},
        }
        if (verb, path) not in verbs:
            raise ValueError(f"there is no {verb} {path}; there are {', '.join(' '.join(each) for each in verbs)}")
        return verbs[verb, path]()

    def _behave(self, told: Mapping[str, Any]) -> Any:
        with self.cloud.lock:
            self.cloud.behaviour.change(told)
            return self.cloud.behaviour.to_json()


def signature(fields: Mapping[str, str], private: str) -> str:
    """Of all fields but the signature itself, as the vendor's manual says."""
    digest = hashlib.sha1()
    for key, value in sorted(fields.items()):
        if key != "Signature":
            digest.update(f"{key}{value}".encode())
    digest.update(private.encode())
    return digest.hexdigest()


def _fields(text: str, kind: str) -> dict[str, str]:
    """The fields of a query, a form, or an object."""
    if kind.partition(";")[0].strip() != "application/json":
        return dict(parse_qsl(text, keep_blank_values=True))
    try:
        body = json.loads(text)
    except ValueError:
        raise ApiError(4, "JSON") from None
    return dict(_flat("", body))


def _flat(name: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [pair for key, item in items for pair in _flat(f"{name}.{key}" if name else str(key), item)]
    if value is None or not name:
        return []
    return [(name, str(value).lower() if isinstance(value, bool) else str(value))]


def _refusal(action: str, code: int, message: str) -> dict[str, Any]:
    return {"Action": f"{action}Response", "RetCode": code, "Message": message}
