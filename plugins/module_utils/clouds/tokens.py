# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Access tokens for Google's APIs, and the metadata server that a machine of Google's cloud has them from."""

from __future__ import annotations

import contextlib
import threading
import time

from ..base import masking
from ..base.errors import CloudError, Denied, NotFound, Unavailable
from .session import StdlibSession, read_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from .session import Session

    class Tokens(Protocol):
        def get(self) -> str:
            """A token that is valid, as far as is known."""

        def invalidate(self, token: str) -> bool:
            """The API has refused it. Whether another one can be had."""


METADATA_URL = "http://169.254.169.254"
# Google's metadata server gives the same token until five minutes before its end: asking earlier gains nothing.
REFRESH_BEFORE = 225.0
# While a token is still good, the metadata server is not asked more often than this if it does not answer.
REFRESH_RETRY = 5.0


class Metadata:
    """The metadata server's answers about the machine that asks."""

    def __init__(self, url: str = METADATA_URL, session: Session | None = None, timeout: float = 2.0) -> None:
        self.url = url.rstrip("/")
        self._session = session or StdlibSession(url, connect_timeout=1.0)
        self._timeout = timeout

    def get(self, path: str) -> str:
        """The value at a path below /computeMetadata/v1/."""
        what = f"The metadata server at {self.url}: {path}"
        url = f"{self.url}/computeMetadata/v1/{path}"
        try:
            answer = self._session.request("GET", url, None, {"Metadata-Flavor": "Google"}, self._timeout)
        except CloudError as error:
            raise type(error)(f"{what}: {error}", resource=path) from error
        if answer.status == 404:
            raise NotFound(f"{what}: 404 not found", resource=path, status=404)
        if answer.status == 429 or answer.status >= 500:
            raise Unavailable(f"{what}: status {answer.status}", resource=path, status=answer.status)
        if answer.status != 200:
            raise Denied(f"{what}: status {answer.status}", resource=path, status=answer.status)
        if answer.headers.get("metadata-flavor") != "Google":
            raise Denied(f"{what}: answered by something that is not Google's metadata server", resource=path)
        return answer.body.decode("utf-8", "replace").strip()

    def project(self) -> str:
        return self.get("project/project-id")

    def zone(self) -> str:
        return self.get("instance/zone").rpartition("/")[2]

    def instance(self) -> str:
        return self.get("instance/name")

    def address(self, network: str) -> str:
        """The primary address on a network of this name; the network's project is told by a number only."""
        path = "instance/network-interfaces/?recursive=true"
        try:
            interfaces = read_json(self.get(path))
            found = [str(each["ip"]) for each in interfaces if each["network"].rpartition("/")[2] == network]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Unavailable(
                f"The metadata server at {self.url}: {path}: not the answer it gives", resource=path
            ) from error
        if not found:
            raise NotFound(
                f"The metadata server at {self.url} knows no interface on a network {network}", resource=path
            )
        return found[0]


class MetadataToken:
    """The token of the machine's service account, kept until shortly before its end. Threads may share it."""

    def __init__(
        self,
        metadata_url: str = METADATA_URL,
        metadata: Metadata | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metadata = metadata or Metadata(metadata_url)
        self._clock = clock
        self._lock = threading.Lock()
        self._token = ""
        self._end = 0.0
        self._refresh = 0.0

    def get(self) -> str:
        with self._lock:
            now = self._clock()
            if not self._token or now >= self._refresh:
                try:
                    self._fetch()
                except CloudError:
                    if not self._token or now >= self._end:
                        raise
                    self._refresh = self._clock() + REFRESH_RETRY
            return self._token

    def invalidate(self, token: str) -> bool:
        with self._lock:
            if token == self._token:
                self._token = ""
        return True

    def _fetch(self) -> None:
        asked = self._clock()
        try:
            text = self._metadata.get("instance/service-accounts/default/token")
        except NotFound as error:
            raise Denied(
                f"{error}. This machine has no service account: give it one that may use the API.",
                resource=error.resource,
                status=404,
            ) from error
        token, seconds = "", 0.0
        with contextlib.suppress(ValueError, KeyError, TypeError, OverflowError):
            answer = read_json(text)
            token, seconds = answer["access_token"], float(answer["expires_in"])
        if not token or not isinstance(token, str) or not 0 < seconds < float("inf"):
            # The answer is not quoted: it may hold a token.
            raise Unavailable(f"The metadata server at {self._metadata.url} gave no token that can be used.")
        masking.keep(token)
        self._token = token
        self._end = asked + seconds
        self._refresh = self._end - min(REFRESH_BEFORE, seconds / 4)


class FixedToken:
    """A token that somebody else looks after."""

    def __init__(self, token: str) -> None:
        masking.keep(token)
        self._token = token

    def get(self) -> str:
        return self._token

    def invalidate(self, token: str) -> bool:
        return False
