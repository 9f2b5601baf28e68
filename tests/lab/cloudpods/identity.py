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
from lab.cloudpods.world import User, World

_DOMAIN = {"id": "default", "name": "Default"}
_SERVICES = (("compute_v2", "region2"), ("identity", "keystone"))
_FACES = ("admin", "internal", "public")


# A role -> the policies that the service has for it.
_POLICIES: dict[str, dict[str, list[str]]] = {
    "admin": {"system": ["sysadmin"]},
    "project_owner": {"project": ["project-admin"]},
    "project_editor": {"project": ["project-editor"]},
    "project_viewer": {"project": ["project-viewer"]},
}


@dataclass(frozen=True)
class Caller:
    """A user, by name, in a project, by id; the project is empty for a token that is for none."""

    user: str
    project: str
    role: str

    @property
    def system(self) -> bool:
        """Whether it is an admin of the whole cloud."""
        return self.role == "admin"

    def sees(self, row: dict[str, Any]) -> bool:
        """Whether it may look at something."""
        return self.system or row.get("is_public", False) or row.get("tenant_id", self.project) == self.project

    def may(self, doing: str) -> bool:
        """Whether its role allows to do this in its project."""
        return doing in {"project_viewer": ("get", "list")}.get(self.role, (doing,)) and not (
            self.role == "project_editor" and doing in ("create", "delete")
        )


class Identity:
    """Tokens. ``projects``: name -> id."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._users = {each.name: (each, each.id or uuid4().hex) for each in world.users}
        self.projects = {each.name: each.id or uuid4().hex for each in world.projects}
        self._ids = {each: uuid4().hex for each in (*_POLICIES, *(name for _, name in _SERVICES))}
        self._ids |= {
            f"{kind}-{face}": uuid4().hex for kind, _ in _SERVICES for face in ("admin", "internal", "public")
        }
        self._lock = threading.Lock()
        self._tokens: dict[str, tuple[Caller, float]] = {}
        unknown = {each.role for each in world.users} - _POLICIES.keys()
        if unknown:
            raise ValueError(f"there is no role {', '.join(sorted(unknown))}; there are {', '.join(_POLICIES)}")

    def project_name(self, project: str) -> str:
        """The name of a project."""
        return next(name for name, each in self.projects.items() if each == project)

    def caller(self, token: str | None) -> Caller | None:
        """Who has a token; None for one that is unknown, or has expired, or is for no project."""
        caller = self._holder(token or "")
        return caller if caller and caller.project else None

    def _holder(self, token: str) -> Caller | None:
        with self._lock:
            caller, end = self._tokens.get(token, (None, 0.0))
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
        if methods == ["password"]:
            user, user_id = self._user(asked.get("password", {}).get("user", {}), known)
        elif methods == ["token"]:
            given = str((asked.get("token") or {}).get("id", ""))
            holder = self._holder(given)
            if holder is None:
                details = f'authUserByTokenV3: token.TokenStrDecode: token "{given}" not found: [auth] token not found'
                raise ApiError(401, "UnauthorizedError", f"unauthorized {details}")
            user, user_id = self._users[holder.user]
            known(user.name)
        else:
            raise ApiError(401, "UnauthorizedError", f"unauthorized unsupported auth methods {methods}")
        scope = (auth.get("scope") or {}).get("project")
        project = self._project(user, scope) if scope else ("", "")
        token = secrets.token_urlsafe(48)
        with self._lock:
            self._tokens[token] = Caller(user.name, project[1], user.role), time.monotonic() + lifetime
        now = datetime.now(UTC)
        role = {"id": self._ids[user.role], "name": user.role}
        for_a_project: dict[str, Any] = {
            "catalog": [self._service(*each, urls[each[0]]) for each in _SERVICES],
            "policies": _POLICIES[user.role],
            "project": {"domain": _DOMAIN, "id": project[1], "name": project[0]},
            "roles": [role],
        }
        person = {"domain": _DOMAIN, "id": user_id, "name": user.name}
        projects = [{"domain": _DOMAIN, "id": self.projects[name], "name": name} for name in user.projects]
        for_none: dict[str, Any] = {
            "projects": projects,
            "role_assignments": [
                {
                    "policies": _POLICIES[user.role],
                    "role": {"domain": _DOMAIN, **role},
                    "scope": {"project": each},
                    "user": person,
                }
                for each in projects
            ],
        }
        return token, {
            "id": token,
            "token": {
                "access_key": {"expire": 0},
                "audit_ids": [given] if methods == ["token"] else [str(list(self._users).index(user.name) + 1)],
                "context": {"ip": "127.0.0.1", "source": (auth.get("context") or {}).get("source", "api")},
                "expires_at": _moment(now + timedelta(seconds=lifetime)),
                "is_domain": False,
                "issued_at": _moment(now),
                "methods": methods,
                "user": {**person, "is_system_account": user.role == "admin"},
                **(for_a_project if scope else for_none),
            },
        }

    def _user(self, given: Any, known: Callable[[str], None]) -> tuple[User, str]:
        """Who logs in with a password."""
        domain = given.get("domain") or {}
        if not _names_domain(domain):
            raise ApiError(404, "UserNotFound", f"domain {domain.get('id') or domain.get('name')}: UserNotFound")
        found = [each for each in self._users.values() if _is(given, each[0].name, each[1])]
        if not found:
            raise ApiError(404, "UserNotFound", "idp: UserNotFound")
        user, user_id = found[0]
        known(user.name)
        if not secrets.compare_digest(str(given.get("password", "")).encode(), user.password.encode()):
            raise ApiError(401, "WrongPassword", "Authenticate: usrExt.VerifyPassword: WrongPassword")
        return user, user_id

    def _project(self, user: User, scope: Any) -> tuple[str, str]:
        """The project that a token shall be for."""
        project = next((pair for pair in self.projects.items() if _is(scope, *pair)), None)
        if project is None:
            details = "unauthorized ProjectManager.FetchProject: q.First: sql: no rows in result set"
            raise ApiError(401, "UnauthorizedError", details)
        if project[0] not in user.projects:
            raise ApiError(401, "UnauthorizedError", f"unauthorized user {user.name} not in project {project[0]}")
        return project

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
    return given.get("name") == name and _names_domain(given.get("domain") or {})


def _names_domain(domain: dict[str, Any]) -> bool:
    return (domain.get("id") or domain.get("name", "Default")) in _DOMAIN.values()


def _moment(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
