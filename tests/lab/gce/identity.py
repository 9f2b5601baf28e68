# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who asks, and what they may: principals, their tokens and permissions."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Sequence

from lab.gce.errors import ApiError
from lab.gce.world import Principal

# The metadata server gives the same token until so shortly before its end.
_RENEW_BEFORE = 300.0


class Identity:
    """``tokens``: token -> principal, and when it ends (None: never). ``permissions``: of each principal, None: all.

    ``elsewhere``: its permissions in projects in which they are others.
    """

    def __init__(self, principals: Sequence[Principal]) -> None:
        self._lock = threading.Lock()
        self.permissions = {each.name: each.permissions for each in principals}
        self.elsewhere = {each.name: dict(each.elsewhere) for each in principals}
        self.tokens: dict[str, tuple[str, float | None]] = {
            token: (each.name, None) for each in principals for token in each.tokens
        }

    def caller(self, token: str | None) -> str:
        """The principal of a token."""
        if not token:
            raise ApiError(401, "required", "Login Required: the request has no access token.")
        with self._lock:
            principal, end = self.tokens.get(token, ("", None))
        if not principal or (end is not None and time.monotonic() >= end):
            raise ApiError(401, "authError", "Invalid Credentials: the access token is unknown, or has expired.")
        return principal

    def mint(self, account: str, lifetime: float) -> tuple[str, int]:
        """A token for a service account, and for how many seconds it is good; the same one while it is long enough."""
        now = time.monotonic()
        with self._lock:
            for token, (principal, end) in self.tokens.items():
                if principal == account and end is not None and end - now > min(_RENEW_BEFORE, lifetime / 2):
                    return token, int(end - now)
            token = f"ya29.{secrets.token_urlsafe(36)}"
            self.tokens[token] = account, now + lifetime
            return token, int(lifetime)

    def expire(self, principal: str) -> int:
        """End the tokens that were minted for a principal; how many there were."""
        with self._lock:
            ended = [token for token, (name, end) in self.tokens.items() if name == principal and end is not None]
            for token in ended:
                del self.tokens[token]
            return len(ended)

    def granted(self, caller: str, permission: str, path: str) -> bool:
        """Whether a principal has a permission in the project of a path. One that the world does not know has none."""
        elsewhere = self.elsewhere.get(caller, {})
        permissions = elsewhere.get(path.split("/")[1], self.permissions.get(caller, frozenset()))
        return permissions is None or permission in permissions

    def require(self, caller: str, resource: str, *permissions: str) -> None:
        """Refuse who lacks one of the permissions."""
        for permission in permissions:
            if not self.granted(caller, permission, resource):
                raise ApiError(403, "forbidden", f"Required '{permission}' permission for '{resource}'")
