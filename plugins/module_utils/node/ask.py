# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a service once, as a client does."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

ATTEMPT_S = 2.0
TEXT_LIMIT = 300


def ask(url: str, timeout: float = ATTEMPT_S, node_header: str = "X-Vip-Node") -> dict[str, Any]:
    """ok, error (the reason why not), and by: the node that the answer names. The certificate does not count.

    Raises ValueError if this is no URL that can be asked.
    """
    parts = urlsplit(url)
    plain, host, port = {"tcp": _connect, "udp": _echo}.get(parts.scheme), parts.hostname, parts.port or 0
    if not (plain or parts.scheme in ("http", "https")) or not host or (plain and not port):
        raise ValueError(
            f"{url!r} cannot be asked; write it like http://192.0.2.10:8080/healthz, tcp://192.0.2.10:5432 or "
            "udp://192.0.2.10:7"
        )
    try:
        if plain:
            _in_time(lambda: plain(host, port, timeout), timeout)
            return {"url": url, "ok": True, "error": "", "by": None}
        status, by = _in_time(lambda: _get(parts, timeout, node_header), timeout)
    except (OSError, http.client.HTTPException) as e:
        return {"url": url, "ok": False, "error": (str(e) or type(e).__name__)[:TEXT_LIMIT], "by": None}
    well = 200 <= status < 400
    return {"url": url, "ok": well, "error": "" if well else f"status {status}", "by": by}


def _in_time(function: Callable[[], Any], timeout: float) -> Any:
    """The result of a function, with one deadline for all of it: a socket's own is for each name, address and byte.

    A late thread is left behind; http.client limits its reading, and it ends with the process.
    """
    ended: list[tuple[Any, Exception | None]] = []

    def work() -> None:
        try:
            ended.append((function(), None))
        except Exception as e:
            ended.append((None, e))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(timeout)
    if not ended:
        raise TimeoutError(f"no answer within {timeout:g} s")
    value, error = ended[0]
    if error:
        raise error
    return value


def _connect(host: str, port: int, timeout: float) -> None:
    socket.create_connection((host, port), timeout).close()


def _echo(host: str, port: int, timeout: float) -> None:
    """As the prober of drills asks."""
    family, kind, protocol, _name, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as client:
        client.settimeout(timeout)
        client.connect(address)
        sent = b"%d" % time.monotonic_ns()
        client.send(sent)
        if client.recv(1 << 16) != sent:
            raise OSError("not echoed")


def _get(parts: Any, timeout: float, node_header: str) -> tuple[int, str | None]:
    connection: http.client.HTTPConnection
    # Without a port, http.client takes the end of an IPv6 address for one.
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if parts.scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(parts.hostname, port, timeout=timeout, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname, port, timeout=timeout)
    try:
        connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        answer = connection.getresponse()
        by = answer.getheader(node_header)
        return answer.status, by and by[:TEXT_LIMIT]
    finally:
        connection.close()


def ask_all(
    urls: Iterable[str],
    patience: float,
    node_header: str = "X-Vip-Node",
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
    asking: Callable[..., dict[str, Any]] = ask,
) -> list[dict[str, Any]]:
    """Each URL until it answers, or until all patience is gone."""
    end = clock() + patience
    found = []
    for url in urls:
        answer = asking(url, node_header=node_header)
        while not answer["ok"] and clock() < end:
            pause(0.2)
            answer = asking(url, node_header=node_header)
        found.append(answer)
    return found
