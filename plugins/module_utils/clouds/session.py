# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP requests of a cloud's client: the protocol of a session, and one made of the standard library."""

from __future__ import annotations

import collections
import functools
import http.client
import io
import json
import re
import socket
import ssl
import threading
import time
from urllib.parse import urlsplit

from ..base import masking, time_limit
from ..base.errors import Denied, Lost, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NamedTuple, Protocol, TypeVar

    T = TypeVar("T")

    class Response(NamedTuple):
        status: int
        headers: Mapping[str, str]
        body: bytes

    class Session(Protocol):
        """The session of a client. Every answer is a Response, whatever its status; redirects are not followed.

        Raises Lost if the request may have reached the server and there is no whole answer; Unavailable if it certainly
        has not; Denied if the server is not to be trusted or there are no credentials. `headers` of a Response is asked
        for names in lower case. `timeout`: seconds for all of it, at most those of time_limit.
        """

        def request(
            self,
            method: str,
            url: str,
            body: bytes | None = None,
            headers: Mapping[str, str] | None = None,
            timeout: float = 10.0,
        ) -> Response: ...

else:
    Response = collections.namedtuple("Response", "status headers body")

ANSWER_LIMIT = 64 * 1024 * 1024
# A peer that has vanished is noticed in 30 s on an idle connection, in 3 s while it owes an acknowledgement.
KEEP_ALIVE = (("SO_KEEPALIVE", 1), ("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
UNACKNOWLEDGED_MS = 3000

_NOTHING_TO_READ = (BlockingIOError, ssl.SSLWantReadError)
_URL = re.compile(r"[!-~]+")
_HEADER = re.compile(r"[ -~]*")


class StdlibSession:
    """Requests to one server over one connection, which is kept open.

    It belongs to one server, so that no mistake sends a token to another one. Threads may share it and take turns.
    `url`: any URL of the server. `ca_file`: trusted in addition to the system's certificates. `verify`: whether the
    server's certificate must be trusted at all. `client_cert`, `client_key`: PEM files, for a server that asks for
    the client's identity; the key may be in the file of the certificate. `read_timeout`: the longest silence inside
    an answer; the answer
    as a whole has the time that the request was given.
    """

    def __init__(
        self,
        url: str,
        *,
        ca_file: str | None = None,
        verify: bool = True,
        client_cert: str | None = None,
        client_key: str | None = None,
        connect_timeout: float = 3.0,
        read_timeout: float = 10.0,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise ValueError(f"not a URL of an HTTP server: {parts.scheme}://{parts.netloc.rpartition('@')[2]}")
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.connect_timeout = connect_timeout
        self.read_timeout = read_timeout
        self._tls = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port or (443 if self._tls else 80)
        self._netloc = parts.netloc
        self._ca_file = ca_file
        self._verify = verify
        self._client = (client_cert, client_key)
        self._socket: Any = None
        self._turn = threading.Lock()

    def request(
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
    ) -> Response:
        target = url[len(self.origin) :]
        if not url.startswith(self.origin) or target[:1] not in ("/", "?") or not _URL.fullmatch(url):
            raise ValueError(f"not a URL of {self.origin}: {url!r}")
        masking.keep_request(headers or {}, body)
        message = self._message(method, target, body, headers or {})
        timeout = time_limit.at_most(timeout)
        deadline = time.monotonic() + timeout
        self._take_turn(timeout)
        try:
            unanswered = None
            if self._alive():
                try:
                    return self._exchange(method, message, deadline)
                except _Silent as error:
                    # Closed while the request was on its way; it may have been carried out all the same.
                    if not _repeatable(method, target):
                        raise
                    unanswered = error
            try:
                self._connect(deadline)
            except Unavailable as error:
                if unanswered:
                    raise Lost(f"{unanswered}; and then {error}") from error
                raise
            return self._exchange(method, message, deadline)
        finally:
            self._turn.release()

    def warm(self, timeout: float = 10.0) -> None:
        """Have the connection open and known to be alive, so that the next request need not wait for it."""
        self._take_turn(timeout)
        try:
            if not self._alive():
                self._connect(time.monotonic() + timeout)
        finally:
            self._turn.release()

    def close(self) -> None:
        with self._turn:
            self._drop()

    def _take_turn(self, timeout: float) -> None:
        if not self._turn.acquire(timeout=max(0.0, timeout)):
            raise Unavailable(f"{self.origin}: another request waits for its answer since {timeout:.3g} s")

    def _message(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        lines = {"Host": self._netloc, "Accept-Encoding": "identity", "User-Agent": "cloudha-vip", **headers}
        # Google wants a length also of a POST that has no body.
        if body is not None or method in ("POST", "PUT", "PATCH"):
            lines["Content-Length"] = str(len(body or b""))
        for name, value in lines.items():
            if not _HEADER.fullmatch(value):
                raise ValueError(f"the header {name} must be one line of ASCII")
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("ascii") + (body or b"")

    # --- the connection

    def _alive(self) -> bool:
        """Whether the other side has, as far as is known here, neither closed the connection nor spoken."""
        if self._socket is None:
            return False
        self._socket.settimeout(0)
        try:
            # Not select: TLS has messages of its own, such as the tickets that follow the handshake.
            self._socket.recv(1)
        except _NOTHING_TO_READ:
            return True
        except OSError:
            pass
        self._drop()
        return False

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self, deadline: float) -> None:
        self._drop()
        if time.monotonic() >= deadline:
            raise Unavailable(f"{self.origin}: the time was over before a connection was tried")
        try:
            addresses = _addresses(self._host, self._port, deadline - time.monotonic())
        except (OSError, UnicodeError) as error:
            raise Unavailable(f"{self.origin}: the address of {self._host} is not known: {_words(error)}") from error
        failures = []
        address: Any
        for family, kind, protocol, _name, address in addresses:
            remaining = min(self.connect_timeout, deadline - time.monotonic())
            if remaining <= 0:
                failures.append("the time was over before the next address was tried")
                break
            try:
                self._socket = self._open(family, kind, protocol, address, remaining)
                return
            except ssl.SSLCertVerificationError as error:
                raise Denied(
                    f"{self.origin}: the server's certificate is refused: {error.verify_message}. "
                    "Check the name in the URL and this machine's clock, or say which CA file to trust."
                ) from error
            except OSError as error:
                failures.append(f"{address[0]} port {address[1]}: {_words(error)}")
        raise Unavailable(f"{self.origin}: cannot connect: {'; '.join(dict.fromkeys(failures))}")

    def _open(self, family: int, kind: int, protocol: int, address: Any, timeout: float) -> Any:
        end = time.monotonic() + timeout
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(timeout)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for name, value in KEEP_ALIVE:
                level = socket.SOL_SOCKET if name.startswith("SO_") else socket.IPPROTO_TCP
                sock.setsockopt(level, getattr(socket, name), value)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
            sock.connect(address)
            if not self._tls:
                return sock
            context = self._tls_context()
            sock.settimeout(max(0.001, end - time.monotonic()))
            return context.wrap_socket(sock, server_hostname=self._host)
        except BaseException:
            sock.close()
            raise

    def _tls_context(self) -> ssl.SSLContext:
        certificate, key = self._client
        try:
            return _context(self._ca_file, self._verify, certificate, key)
        except OSError as error:
            files = [f"the CA file {self._ca_file}"] if self._ca_file else []
            if certificate:
                files.append(f"the client certificate {certificate} and its key {key or 'in the same file'}")
            raise Denied(f"{self.origin}: {' or '.join(files)}: {_words(error)}") from error

    # --- one request

    def _exchange(self, method: str, message: bytes, deadline: float) -> Response:
        reader = Reader(self._socket, deadline, self.read_timeout)
        keep = False
        try:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            self._socket.sendall(message)
            answer = http.client.HTTPResponse(reader, method=method)  # type: ignore[arg-type]
            answer.begin()
            if answer.status < 200:
                raise ValueError(f"status {answer.status} was not asked for")
            body = answer.read()
            keep = not answer.will_close
        except (OSError, http.client.HTTPException, ValueError, OverflowError, MemoryError) as error:
            if time.monotonic() >= deadline:
                raise Lost(f"{self.origin}: no answer in time") from error
            if not reader.received:
                raise _Silent(f"{self.origin}: the connection broke before an answer: {_words(error)}") from error
            raise Lost(f"{self.origin}: the answer broke off or is not HTTP: {_words(error)}") from error
        finally:
            if not keep:
                self._drop()
        found = {name.lower(): value for name, value in answer.getheaders()}
        masking.keep_request(found)
        if found.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            # A few bytes could become many; and nobody asked for it.
            raise Lost(f"{self.origin}: the answer is compressed, which was not asked for")
        return Response(answer.status, found, body)


def read_answer(response: Response) -> tuple[bool, Any, str]:
    """Whether it succeeded; its JSON, None if it is none; and its text."""
    text = response.body.decode("utf-8", "replace")
    return 200 <= response.status < 300, read_json(text), text


def read_json(text: str | bytes) -> Any:
    """None if it is none, or is nested deeper than anybody means."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that an answer asks to wait, if it says so as a number that can be meant."""
    wait = (headers.get("retry-after") or "").strip()
    return float(wait) if re.fullmatch(r"[0-9]{1,6}", wait) else None


def within(seconds: float, call: Callable[[], T]) -> T:
    """The result of a call that has no deadline of its own; a TimeoutError if that takes longer.

    It goes on in a thread of its own then, which does not keep the process from ending.
    """
    results: list[T] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            results.append(call())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(max(0.0, seconds))
    if failures:
        raise failures[0]
    if not results:
        raise TimeoutError("no answer in time")
    return results[0]


class _Silent(Lost):
    """The connection ended before any byte of an answer."""


class _Buffer(io.BufferedReader):
    def read(self, size: int | None = -1) -> bytes:
        # http.client makes room for as much as the peer says that it is going to send.
        if size is not None and size > ANSWER_LIMIT:
            raise OSError(f"it is longer than {ANSWER_LIMIT} bytes")
        return super().read(size)


class Reader(io.RawIOBase):
    """Lets http.client read an answer within a deadline for all of it; closing it leaves the connection open."""

    def __init__(self, sock: Any, deadline: float, silence: float) -> None:
        self.received = 0
        self._sock = sock
        self._deadline = deadline
        self._silence = silence

    def makefile(self, mode: str, *_buffering: Any) -> io.BufferedReader:
        return _Buffer(self, 16384)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise socket.timeout("timed out")
        self._sock.settimeout(min(remaining, self._silence) if self.received else remaining)
        count = self._sock.recv_into(buffer)
        if not count:
            return self.ended()
        self.received += count
        if self.received > ANSWER_LIMIT:
            raise OSError(f"it is longer than {ANSWER_LIMIT} bytes")
        return count

    def ended(self) -> int:
        # http.client would take the end in the middle of the headers for the end of the answer.
        raise ConnectionResetError("closed by the server")


def _addresses(host: str, port: int, timeout: float) -> list[Any]:
    find = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        return find(flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        # A resolver has time-outs of its own.
        return within(timeout, find)


@functools.cache
def _context(ca_file: str | None, verify: bool, certificate: str | None, key: str | None) -> ssl.SSLContext:
    """One for all connections: the authorities that it trusts cost more than a connection."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file:
        context.load_verify_locations(ca_file)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(certificate, key)
    return context


def _repeatable(method: str, target: str) -> bool:
    """Whether doing it twice is the same as doing it once."""
    path, _mark, query = target.partition("?")
    return method in ("GET", "HEAD") or path.endswith("/wait") or "&requestId=" in f"&{query}"


def _words(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
