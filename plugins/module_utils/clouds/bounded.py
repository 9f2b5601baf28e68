# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bounds of our own session for libraries that use requests, whose timeout is for each read and not for the whole.

Only for the controller. requests is imported when it is needed, as the module reports it if it is missing.
"""

from __future__ import annotations

import functools
import http.client
import time

from ..base import masking, time_limit
from .session import Reader, within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    import requests

    T = TypeVar("T")

# Of a request that is made outside of a call with a deadline.
LONGEST = 60.0


def call(seconds: float, function: Callable[[], T]) -> T:
    """The function's result; all requests that it makes have so many seconds together. Else a TimeoutError."""
    seconds = time_limit.at_most(seconds)

    def work() -> T:
        with time_limit.limit(seconds):
            return function()

    return within(seconds, work)


def bind(session: requests.Session) -> requests.Session:
    """The session, whose answers have an end from now on, and whose secrets are known."""
    for scheme in ("http://", "https://"):
        session.mount(scheme, _adapter()())
    return session


def _deadline() -> float:
    return time_limit.end() or time.monotonic() + LONGEST


class _Reader(Reader):
    """As requests expects it: an answer may end with the connection, which may be closed while it is read."""

    def __init__(self, sock: Any) -> None:
        super().__init__(sock, _deadline(), LONGEST)
        self._open = sock.makefile("rb", buffering=0)

    def ended(self) -> int:
        return 0

    def close(self) -> None:
        self._open.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(_Reader(sock), *arguments, **options)  # type: ignore[arg-type]


@functools.cache
def _pools() -> dict[str, Any]:
    """The pools of connections by scheme, whose answers are read by our reader."""
    import urllib3

    class Connection(urllib3.connection.HTTPConnection):
        response_class = _Answer

    class SecureConnection(urllib3.connection.HTTPSConnection):
        response_class = _Answer

    class Pool(urllib3.HTTPConnectionPool):
        ConnectionCls = Connection

    class SecurePool(urllib3.HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    return {"http": Pool, "https": SecurePool}


@functools.cache
def _adapter() -> Any:
    """The class of the adapter that sends a session's requests."""
    import requests.adapters

    class Adapter(requests.adapters.HTTPAdapter):
        def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
            super().init_poolmanager(*arguments, **options)
            self.poolmanager.pool_classes_by_scheme = _pools()

        def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
            manager = super().proxy_manager_for(proxy, **options)
            if not proxy.lower().startswith("socks"):
                manager.pool_classes_by_scheme = _pools()
            return manager

        def send(
            self,
            request: requests.PreparedRequest,
            stream: bool = False,
            timeout: Any = None,
            verify: bool | str = True,
            cert: Any = None,
            proxies: Any = None,
        ) -> requests.Response:
            masking.keep_request(request.headers, request.body)
            request.headers["Accept-Encoding"] = "identity"
            left = max(0.001, _deadline() - time.monotonic())
            parts = timeout if isinstance(timeout, tuple) else (timeout, timeout)
            connect, read = (left if part is None else min(left, part) for part in parts)
            reply = super().send(request, True, (connect, read), verify, cert, proxies)
            masking.keep_request(reply.headers)
            if reply.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
                reply.close()
                raise requests.exceptions.ContentDecodingError("the answer is compressed, which was not asked for")
            len(reply.content)  # reads it: here, where the deadline is known
            return reply

    return Adapter
