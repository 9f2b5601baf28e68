# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that answers as badly as it can, until the client has had enough."""

from __future__ import annotations

import contextlib
import functools
import gzip
import itertools
import re
import socket
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator

PAUSE = 0.02  # between the bytes of one who is slow on purpose
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nMetadata-Flavor: Google\r\n"
BLOCK = b"x" * 65536


def _endless(part: bytes) -> Iterator[bytes]:
    return itertools.repeat(part)


def _whole(body: bytes, status: bytes = b"200 OK", *headers: bytes) -> list[bytes]:
    lines = [b"HTTP/1.1 " + status, b"Metadata-Flavor: Google", b"Content-Length: %d" % len(body), *headers]
    return [b"\r\n".join(lines) + b"\r\n\r\n" + body]


@functools.cache
def _bomb(encoding: bytes) -> list[bytes]:
    """256 MiB, as 250 KiB; or as 1 KiB."""
    data = b" " * (256 << 20)
    data = zlib.compress(data, 1) if encoding == b"deflate" else gzip.compress(data, 1)
    return _whole(gzip.compress(data) if b"," in encoding else data, b"200 OK", b"Content-Encoding: " + encoding)


def _redirect(status: bytes) -> Callable[[str], Iterable[bytes]]:
    return lambda url: _whole(b"", status, b"Location: " + url.encode() + b"/v3/again")


# Each answer as what it is made of; those that are called slow have a pause after each part.
ANSWERS: dict[str, Callable[[str], Iterable[bytes]]] = {
    "nothing": lambda url: [],
    "status line, slowly": lambda url: _endless(b"H"),
    "headers, slowly": lambda url: itertools.chain([OK], _endless(b"x")),
    "headers without end": lambda url: itertools.chain([OK], (b"X-%d: y\r\n" % n for n in itertools.count())),
    "a header without end": lambda url: itertools.chain([OK, b"X: "], _endless(BLOCK)),
    "100 headers of 64 KiB": lambda url: itertools.chain([OK], _endless(b"X: " + BLOCK[:65000] + b"\r\n")),
    "100 Continue without end": lambda url: _endless(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "100 Continue, slowly": lambda url: _endless(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "103 Early Hints without end": lambda url: _endless(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 1000),
    "a body without end or length": lambda url: itertools.chain([OK + b"\r\n"], _endless(BLOCK)),
    "a body, slowly": lambda url: itertools.chain([OK + b"Content-Length: 100000\r\n\r\n"], _endless(b"{")),
    "chunks without end": lambda url: itertools.chain(
        [OK + b"Transfer-Encoding: chunked\r\n\r\n"], _endless(b"10000\r\n" + BLOCK + b"\r\n")
    ),
    "chunks, slowly": lambda url: itertools.chain(
        [OK + b"Transfer-Encoding: chunked\r\n\r\n"], _endless(b"1\r\nx\r\n")
    ),
    "a chunk's extension without end": lambda url: itertools.chain(
        [OK + b"Transfer-Encoding: chunked\r\n\r\n1;"], _endless(BLOCK)
    ),
    "trailers without end": lambda url: itertools.chain(
        [OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"], _endless(b"X: y\r\n" * 1000)
    ),
    "trailers, slowly": lambda url: itertools.chain(
        [OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"], _endless(b"X: y\r\n")
    ),
    "a length of 31 digits": lambda url: itertools.chain(
        [OK + b"Content-Length: 1" + b"0" * 30 + b"\r\n\r\n"], _endless(BLOCK)
    ),
    "a length of 100 GB": lambda url: itertools.chain([OK + b"Content-Length: 100000000000\r\n\r\n"], _endless(BLOCK)),
    "a length below 0": lambda url: itertools.chain([OK + b"Content-Length: -5\r\n\r\n"], _endless(BLOCK)),
    "a chunk of 20 digits": lambda url: itertools.chain(
        [OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"F" * 20 + b"\r\n"], _endless(BLOCK)
    ),
    "a chunk of 7 EiB": lambda url: itertools.chain(
        [OK + b"Transfer-Encoding: chunked\r\n\r\n7" + b"0" * 15 + b"\r\n"], _endless(BLOCK)
    ),
    "a chunk below 0": lambda url: itertools.chain([OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n"], _endless(BLOCK)),
    "a gzip bomb": lambda url: _bomb(b"gzip"),
    "a deflate bomb": lambda url: _bomb(b"deflate"),
    "a bomb in a bomb": lambda url: _bomb(b"gzip, gzip"),
    "an unknown encoding": lambda url: _whole(b"{}", b"200 OK", b"Content-Encoding: br"),
    "301 without end": _redirect(b"301 Moved"),
    "302 without end": _redirect(b"302 Found"),
    "307 without end": _redirect(b"307 Temporary"),
    "308 without end": _redirect(b"308 Permanent"),
    "300 to nowhere": lambda url: _whole(b"", b"300 Multiple"),
    "a status of 5,000 digits": lambda url: [b"HTTP/1.1 " + b"2" * 5000 + b" OK\r\nContent-Length: 2\r\n\r\n{}"],
    "a status below 0": lambda url: [b"HTTP/1.1 -20 OK\r\nContent-Length: 2\r\n\r\n{}"],
    "bytes without end": lambda url: _endless(bytes(range(256)) * 256),
    "NULs without end": lambda url: _endless(b"\0" * 65536),
    "lines without end": lambda url: _endless(b"\r\n" * 10000),
    "the end in the middle of the headers": lambda url: [OK, b"Content-Le", b"close"],
    "the end in the middle of the body": lambda url: [OK, b"Content-Length: 10\r\n\r\n{", b"close"],
    "no answer, and the end": lambda url: [b"close"],
    "another protocol": lambda url: [b"SSH-2.0-OpenSSH_9.2\r\n", b"close"],
    "JSON that is deep": lambda url: _whole(b"[" * 500_000),
    "an object that is deep": lambda url: _whole(b'{"a":' * 500_000),
    "a number of 5,000 digits": lambda url: _whole(b'{"items": ' + b"7" * 5000 + b"}"),
    "a list": lambda url: _whole(b"[]"),
    "null": lambda url: _whole(b"null"),
    "a text": lambda url: _whole(b'"x"'),
    "not UTF-8": lambda url: _whole(b'{"a": "\xff\xfe"'),
    "an error that is a list": lambda url: _whole(b"[[[]]]", b"400 Bad"),
    "an error that is deep": lambda url: _whole(b"[" * 500_000, b"400 Bad"),
    "an error of half a surrogate": lambda url: _whole(
        b'{"error": {"message": "\\ud800", "code": "\\udfff", "details": "\\ud800"}, "message": "\\ud800"}', b"400 Bad"
    ),
    "an error of 8 MiB": lambda url: _whole(
        b'{"error": {"message": "' + BLOCK * 128 + b'"}, "message": "' + BLOCK + b'"}', b"400 Bad"
    ),
    "an error of other types": lambda url: _whole(
        b'{"error": {"message": [1], "class": {"a": 1}, "errors": 7, "details": [0], "code": null}}', b"403 No"
    ),
    "a superscript to wait": lambda url: _whole(b"{}", b"503 Later", b"Retry-After: \xb2"),
    "for ever to wait": lambda url: _whole(b"{}", b"429 Later", b"Retry-After: " + b"9" * 400),
    "a date that is none": lambda url: _whole(b"7", b"200 OK", b"Date: 99 99 99999999999 -:-:- +99999999"),
}
# Of a server for TLS.
STALLS: dict[str, Callable[[str], Iterable[bytes]]] = {
    "no handshake": lambda url: [],
    "a handshake, slowly": lambda url: itertools.chain([b"\x16\x03\x03\x40\x00"], _endless(b"\x02")),
    "a handshake without end": lambda url: _endless(b"\x16\x03\x03\x00\x01\x02"),
    "plain HTTP": lambda url: [OK + b"\r\n{}"],
}


def _read_request(connection: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data or len(data.partition(b"\r\n\r\n")[2]) < _length(data):
        more = connection.recv(65536)
        if not more:
            raise ConnectionError("the client has gone")
        data += more


def _length(request: bytes) -> int:
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", request)
    return int(length[1]) if length else 0


class Server:
    """Answers every request so; `before`: how many it answers well, and with what."""

    def __init__(self, name: str, tls: bool = False, before: Iterable[bytes] = ()) -> None:
        self.sent = self.connections = 0
        self._answer = (STALLS if tls else ANSWERS)[name]
        self._answer("")  # a bomb takes a while to make
        self._slow = "slowly" in name
        self._tls = tls
        self._before = list(before)
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                connection, _peer = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._speak, args=(connection,), daemon=True).start()

    def _speak(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.settimeout(20)
            while not self._over.is_set():
                if not self._tls:
                    _read_request(connection)
                if self._before:
                    well = self._before.pop(0)
                    connection.sendall(well)
                    if b"Content-Length" not in well and b"chunked" not in well:
                        return
                    continue
                for part in self._answer(self.url):
                    if part == b"close" or self._over.is_set():
                        return
                    connection.sendall(part)
                    self.sent += len(part)
                    if self._slow:
                        self._over.wait(PAUSE)
                if self._tls:
                    self._over.wait(20)
                    return

    def close(self) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
