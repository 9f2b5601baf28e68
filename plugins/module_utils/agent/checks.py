# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One attempt of a health check: HTTP, TCP or a command. Generators for loop.py."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket

from .loop import READ, WRITE, Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

    from .config import CommandCheck, HttpCheck, TcpCheck
    from .loop import Attempt

BODY_LIMIT = 64 * 1024
COMMAND_ENV = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}

# What OpenSSL's errors ask to wait for; filled when the first https check imports ssl, which costs 6 MiB.
_tls_waits: dict[type, int] = {}
_tls_contexts: dict[tuple[bool, str | None], Any] = {}
# Commands that were killed and have not died yet: a process may be stuck in the kernel for a while.
_killed: list[int] = []


def tcp(check: TcpCheck) -> Attempt:
    sock = yield from _connect(check.host, check.port)
    sock.close()


def http(check: HttpCheck) -> Attempt:
    sock = yield from _connect(check.host, check.port)
    try:
        if check.tls:
            sock = _tls_context(check.tls_verify, check.tls_ca_file).wrap_socket(
                sock, server_hostname=check.tls_server_name, do_handshake_on_connect=False
            )
            yield from _until(sock.do_handshake, sock, READ, "TLS handshake")
        # HTTP/1.0: the answer is never chunked, so that a body can be searched as it comes.
        request = (
            f"GET {check.path} HTTP/1.0\r\nHost: {check.host_header}\r\nUser-Agent: vip-agent\r\nAccept: */*\r\n\r\n"
        ).encode("latin-1")
        # A request this small goes whole into the buffer of a new connection.
        yield from _until(lambda: sock.send(request), sock, WRITE, "sending the request")
        yield from _answer(check, sock)
    finally:
        sock.close()


def _answer(check: HttpCheck, sock: socket.socket) -> Attempt:
    answer = b""
    wanted = check.body.encode() if check.body else b""
    while True:
        head, end, body = answer.partition(b"\r\n\r\n")
        if end:
            _check_status(check, head)
            if wanted in body:
                return
        if len(answer) > BODY_LIMIT:
            more = b""
        else:
            doing = "waiting for the body" if end else "waiting for the answer"
            more = yield from _until(lambda: sock.recv(16384), sock, READ, doing)
        if not more:
            if end:
                raise Failed(f"the body does not contain {check.body!r}")
            raise Failed("closed without an answer" if not answer else "not an HTTP answer")
        answer += more


def _check_status(check: HttpCheck, head: bytes) -> None:
    words = head.split(b"\r\n", 1)[0].split(None, 2)
    # A longer number is no status, and Python refuses to convert one of 5,000 digits.
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or len(words[1]) != 3 or not words[1].isdigit():
        raise Failed("not an HTTP answer")
    if int(words[1]) not in check.status:
        raise Failed(f"status {int(words[1])}")


def command(check: CommandCheck) -> Attempt:
    """Exit code 0 is success. The reason of a failure carries the first line that the command wrote."""
    reap()
    output, write_end = os.pipe2(os.O_CLOEXEC)
    pid = pidfd = None
    try:
        os.set_blocking(output, False)
        try:
            pid = os.posix_spawn(
                check.command[0],
                check.command,
                COMMAND_ENV,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, write_end, 1),
                    (os.POSIX_SPAWN_DUP2, write_end, 2),
                ],
                setpgroup=0,  # its own process group, so that a timeout ends all of it
                setsigdef=[signal.SIGPIPE],  # Python ignores it, the command should not
            )
        finally:
            os.close(write_end)
        pidfd = os.pidfd_open(pid)
        yield pidfd, READ, "running"
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        pid = None
        if code:
            with contextlib.suppress(BlockingIOError):
                line = os.read(output, 4096).decode(errors="replace").strip().split("\n")[0]
            ended = f"exit code {code}" if code > 0 else f"killed by signal {-code}"
            raise Failed(f"{ended}: {line}" if line else ended)
    finally:
        if pidfd is not None:
            os.close(pidfd)
        os.close(output)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            _killed.append(pid)
            reap()


def reap() -> None:
    for pid in _killed[:]:
        with contextlib.suppress(ChildProcessError):
            if not os.waitpid(pid, os.WNOHANG)[0]:
                continue
        _killed.remove(pid)


def _connect(host: str, port: int) -> Generator[tuple[Any, int, str], None, socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        code = sock.connect_ex((host, port))
        if code == errno.EINPROGRESS:
            yield sock, WRITE, "connecting"
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
    except BaseException:
        sock.close()
        raise
    return sock


def _until(
    operation: Callable[[], Any], sock: socket.socket, mask: int, doing: str
) -> Generator[tuple[Any, int, str], None, Any]:
    """Repeat a non-blocking operation until it does not have to wait."""
    while True:
        try:
            return operation()
        except BlockingIOError:
            wait = mask
        except OSError as error:
            if type(error) not in _tls_waits:
                raise
            wait = _tls_waits[type(error)]
        yield sock, wait, doing


def _tls_context(verify: bool, ca_file: str | None) -> Any:
    key = (verify, ca_file)
    if key not in _tls_contexts:  # reading the trust store takes 20 ms: once
        import ssl

        _tls_waits.update({ssl.SSLWantReadError: READ, ssl.SSLWantWriteError: WRITE})
        try:
            context = ssl.create_default_context(cafile=ca_file)
        except OSError as error:
            raise Failed(f"tls_ca_file {ca_file}: {error.strerror or error}") from None
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        _tls_contexts[key] = context
    return _tls_contexts[key]
