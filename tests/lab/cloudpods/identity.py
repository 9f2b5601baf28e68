# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Identity v3: who asks, for which project."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from lab.cloudpods.errors import ApiError
from lab.cloudpods.world import World

_DOMAIN = {"id": "default", "name": "Default"}
_SERVICES = (("compute_v2", "region2"), ("identity", "keystone"))
_FACES = ("admin", "internal", "public")


@dataclass(frozen=True)
class Caller:
    """A user, by name, in a project, by id."""

    user: str
    project: str


class Identity:
    """Tokens. ``projects``: name -> id."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._users = {each.name: (each, each.id or uuid4().hex) for each in world.users}
        self.projects = {each.name: each.id or uuid4().hex for each in world.projects}
        self._ids = {each: uuid4().hex for each in ("role", *(name for _, name in _SERVICES))}
        self._ids |= {
            f"{kind}-{face}": uuid4().hex for kind, _ in _SERVICES for face in ("admin", "internal", "public")
        }
        self._lock = threading.Lock()
        self._tokens: dict[str, tuple[Caller, float]] = {}

    def project_name(self, project: str) -> str:
        """The name of a project."""
        return next(name for name, each in self.projects.items() if each == project)

    def caller(self, token: str | None) -> Caller | None:
        """Who has a token; None for one that is unknown, or has expired."""
        with self._lock:
            caller, end = self._tokens.get(token or "", (None, 0.0))
        return caller if time.monotonic() < end else None

    def expire(self, user: str) -> int:
        """End the tokens of a user; how many there were."""
        if user not in self._users:
            raise ValueError(f"there is no user {user}; there are {', '.join(sorted(self._users))}")
        with self._lock:
            ended = [token for token, (caller, _) in self._tokens.items() if caller.user == user]
            for token in ended:
                del self._tokens[token]
            return len(ended)

    def token(
        self, body: Any, lifetime: float, urls: dict[str, str], known: Callable[[str], None]
    ) -> tuple[str, dict[str, Any]]:
        """A new token, and what is answered with it.

        ``urls``: service type -> URL; ``known`` is told the user's name, before its password is looked at.
        """
        try:
            auth = body["auth"]
            asked, methods = auth["identity"], auth["identity"]["methods"]
        except (TypeError, LookupError):
            raise ApiError(400, "InputParameterError", "auth.identity.methods is missing") from None
        if methods != ["password"]:
            raise ApiError(401, "UnauthorizedError", f"unauthorized unsupported auth methods {methods}")
        given = asked.get("password", {}).get("user", {})
        found = [each for each in self._users.values() if _is(given, each[0].name, each[1])]
        if not found:
            raise ApiError(401, "UserNotFound", "Authenticate: UserNotFound")
        user, user_id = found[0]
        known(user.name)
        if not secrets.compare_digest(str(given.get("password", "")).encode(), user.password.encode()):
            raise ApiError(401, "WrongPassword", "Authenticate: usrExt.VerifyPassword: WrongPassword")
        scope = (auth.get("scope") or {}).get("project") or {}
        project = next((pair for pair in self.projects.items() if _is(scope, *pair)), None)
        if project is None:
            details = "unauthorized ProjectManager.FetchProject: q.First: sql: no rows in result set"
            raise ApiError(401, "UnauthorizedError", details)
        if project[0] not in user.projects:
            raise ApiError(401, "UnauthorizedError", f"unauthorized user {user.name} not in project {project[0]}")
        token = secrets.token_urlsafe(48)
        with self._lock:
            self._tokens[token] = Caller(user.name, project[1]), time.monotonic() + lifetime
        now = datetime.now(UTC)
        return token, {
            "id": token,
            "token": {
                "access_key": {"expire": 0},
                "audit_ids": ["1"],
                "catalog": [self._service(*each, urls[each[0]]) for each in _SERVICES],
                "context": {"ip": "127.0.0.1", "source": (auth.get("context") or {}).get("source", "api")},
                "expires_at": _moment(now + timedelta(seconds=lifetime)),
                "is_domain": False,
                "issued_at": _moment(now),
                "methods": methods,
                "policies": "",
                "project": {"domain": _DOMAIN, "id": project[1], "name": project[0]},
                "roles": [{"id": self._ids["role"], "name": user.role}],
                "user": {"domain": _DOMAIN, "id": user_id, "is_system_account": True, "name": user.name},
            },
        }

    def _service(self, kind: str, name: str, url: str) -> dict[str, Any]:
        region = self._world.region
        endpoints = [
            {
                "id": self._ids[f"{kind}-{face}"],
                "interface": face,
                "name": f"{kind}-{face}",
                "region": region,
                "region_id": region,
                "url": url,
            }
            for face in _FACES
        ]
        # In the order of their ids, which is none.
        endpoints.sort(key=lambda endpoint: endpoint["id"])
        return {"endpoints": endpoints, "id": self._ids[name], "name": name, "type": kind}


def _is(given: Any, name: str, id_: str) -> bool:
    """Whether a reference, by id or by name and domain, means this one."""
    if not isinstance(given, dict):
        return False
    if given.get("id"):
        return given["id"] == id_
    domain = given.get("domain") or {}
    return given.get("name") == name and (domain.get("id") or domain.get("name", "Default")) in _DOMAIN.values()


def _moment(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
