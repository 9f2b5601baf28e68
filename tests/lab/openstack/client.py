# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The smallest client that will do: the lab's own way to put things into its cloud, and to look at them."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit


class Refused(Exception):
    """An answer of 400 and above: ``status``, and the ``body`` as text."""

    def __init__(self, method: str, path: str, status: int, body: str) -> None:
        super().__init__(f"{method} {path}: {status} {body}")
        self.status = status
        self.body = body


class Client:
    """Asks the API at ``url``, logged in with ``session``; each request has a connection of its own."""

    def __init__(self, url: str, session: Session | None = None, timeout: float = 30.0) -> None:
        split = urlsplit(url)
        self._address, self._base, self._timeout = split.netloc, split.path.rstrip("/"), timeout
        self._session = session

    def call(self, method: str, path: str, body: object = None) -> Any:
        """What the answer's JSON says. Raises Refused, or OSError without an answer."""
        if self._session is None:
            return self.send(method, path, body)[1]
        try:
            return self.send(method, path, body, {"X-Auth-Token": self._session.token})[1]
        except Refused as refused:
            if refused.status != 401:
                raise
        # A lab may stay up longer than a token.
        self._session.login()
        return self.send(method, path, body, {"X-Auth-Token": self._session.token})[1]

    def send(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[http.client.HTTPResponse, Any]:
        """The answer, and its JSON."""
        connection = http.client.HTTPConnection(self._address, timeout=self._timeout)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, self._base + path, text, {"Content-Type": "application/json", **(headers or {})})
            response = connection.getresponse()
            content = response.read().decode()
        except http.client.HTTPException as error:
            raise ConnectionError(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()
        if response.status >= 400:
            raise Refused(method, path, response.status, content)
        return response, json.loads(content) if content else None


class Session:
    """Somebody who is known to the Keystone at ``url``."""

    def __init__(self, url: str, user: str, password: str, project: str) -> None:
        self._keystone = Client(url)
        domain = {"domain": {"id": "default"}}
        person = {"name": user, "password": password, **domain}
        identity = {"methods": ["password"], "password": {"user": person}}
        self._wish = {"auth": {"identity": identity, "scope": {"project": {"name": project, **domain}}}}
        self.token = ""
        self.login()

    def login(self) -> None:
        """Get a token."""
        response, _ = self._keystone.send("POST", "/v3/auth/tokens", self._wish)
        self.token = response.headers["X-Subject-Token"]

    def about(self, token: str) -> dict[str, Any]:
        """What Keystone says of somebody's ``token``; Refused, if it is none."""
        try:
            headers = {"X-Auth-Token": self.token, "X-Subject-Token": token}
            return self._keystone.send("GET", "/v3/auth/tokens", headers=headers)[1]["token"]
        except Refused as refused:
            if refused.status != 401:
                raise
        self.login()
        headers = {"X-Auth-Token": self.token, "X-Subject-Token": token}
        return self._keystone.send("GET", "/v3/auth/tokens", headers=headers)[1]["token"]
