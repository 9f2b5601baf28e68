# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure what a client of a floating address sees while the address moves.

This is one file, though a long one, so that anybody can copy it to a client host and run it there. It needs nothing but
the standard library of Python 3.9 or newer.

``prober.py run`` sends one request every ``--interval-ms``, each over its own connection, whatever became of the
requests before it (an open loop: a server that hangs cannot slow the measurement down and so hide its own outage).
It writes one JSON object a line, in the order in which the requests ended:

* the first line: ``{"prober": 1, "client", "url", "interval_ms", "timeout_ms", "t", "m", "python"}``
* a line for each request: ``{"t": wall clock in ns when sent, "m": monotonic clock in ns when sent,
  "d": duration in us, "ok": true|false, "by": the node that answered or null, "err": null|"timeout"|"refused"|...}``
* twice a second, what the client host did to this process: ``{"m": monotonic clock in ns, "late": the longest time in
  us by which it was run too late since the line before, "busy": for how many us in all, since the host was started,
  something on it has waited for a processor, or null where the kernel does not count that}``
* the last line: ``{"summary": {"sent", "ok", "lost", "skipped", "errors", "elapsed_s", "cpu_s", "stopped"}}``

``skipped`` counts the sends that this process missed because the client host did not let it run. They are not made
up for, as a burst would disturb what is measured; the analysis sees the hole and says so.

``prober.py wait`` follows such a file until the answers have been good, or none, for a while.

Gaps are measured with the monotonic clock; the wall clock only lines them up with what the nodes recorded.

Every connection is closed with a reset (SO_LINGER 0). Otherwise, at 250 a second, 15,000 local ports would always be
in TIME_WAIT, and a second prober would run out of them. The request asks for ``Connection: close`` and the answer is
complete by then, so no server notices; load balancers may count the resets.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import gc
import heapq
import json
import os
import platform
import select
import signal
import socket
import struct
import sys
import threading
import time
import typing as t
from collections import Counter, deque
from urllib.parse import urlsplit

MS = 1_000_000
FLUSH_NS = 50 * MS
SAMPLE_NS = 500 * MS
RESOLVE_S = 5.0
ANSWER_LIMIT = 1 << 20  # of each of the many that may be open at once
LONGEST_NAME = 100
PRESSURE = "/proc/pressure/cpu"
MAX_OUTSTANDING = 800  # below the usual limit of 1024 open files
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
WORDS = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.ETIMEDOUT: "timeout",
    errno.EADDRNOTAVAIL: "no free local port",
}


class UsageError(Exception):
    """What was asked for cannot be done; the message names the option."""


class Answer(t.NamedTuple):
    ok: bool
    by: str | None
    err: str | None


def parse_http(data: bytes, closed: bool, node_header: bytes) -> Answer | None:
    """The answer in what was received so far, or None when more must come. node_header is in lower case."""
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        return Answer(False, None, "closed" if data == b"" else "broken") if closed else None
    lines = head.split(b"\r\n")
    try:
        protocol, status = lines[0].split(b" ")[:2]
        code = int(status) if len(status) == 3 else 0
    except ValueError:
        return Answer(False, None, "not http")
    if not code or not protocol.startswith(b"HTTP/"):
        return Answer(False, None, "not http")
    by, length = None, None
    for line in lines[1:]:
        name, _colon, value = line.partition(b":")
        name = name.strip().lower()
        if name == node_header:
            by = value.strip().decode("latin-1")[:LONGEST_NAME]
        elif name == b"content-length" and value.strip().isdigit() and len(value) < 20:
            length = int(value)
    if length is not None and len(body) < length:
        return Answer(False, by, "broken") if closed else None
    if 200 <= code < 400:
        return Answer(True, by, None)
    return Answer(False, by, "status %d" % code)


class Target:
    """What to send and where.

    A name is resolved before the first request, and then every resolve_s seconds beside the requests, as by a client
    that keeps an answer for so long: no request waits for DNS, and none goes where the name led long ago.
    """

    def __init__(self, url: str, node_header: str, resolve_s: float = RESOLVE_S) -> None:
        parts = urlsplit(url)
        self.scheme = parts.scheme
        if self.scheme not in ("http", "tcp", "udp"):
            raise UsageError("--url %s: must begin with http://, tcp:// or udp://" % url)
        try:
            port = parts.port or (80 if self.scheme == "http" else None)
        except ValueError:
            port = None
        if not parts.hostname or not port:
            raise UsageError("--url %s: needs a host and a port, as in %s://192.0.2.1:80" % (url, self.scheme))
        self.kind = socket.SOCK_DGRAM if self.scheme == "udp" else socket.SOCK_STREAM
        self.host, self.port, self.resolve_s = parts.hostname, port, resolve_s
        try:
            resolved = socket.getaddrinfo(self.host, port, type=self.kind)[0]
        except OSError as exc:
            raise UsageError("--url %s: cannot resolve the host: %s" % (url, exc)) from exc
        self.family: int = resolved[0]
        self.address: t.Any = resolved[4]
        self.node_header = node_header.lower().encode("ascii")
        path = (parts.path or "/") + ("?" + parts.query if parts.query else "")
        self.request = (
            "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: cloudha-vip-prober\r\nConnection: close\r\n\r\n"
            % (path, parts.netloc)
        ).encode("ascii")
        if resolve_s > 0 and self.address[0] != self.host:
            threading.Thread(target=self._follow, daemon=True).start()

    def resolve(self) -> None:
        """Go on where the name leads now; without an answer, where it led before."""
        with contextlib.suppress(OSError):
            self.address = socket.getaddrinfo(self.host, self.port, self.family, self.kind)[0][4]

    def _follow(self) -> None:
        while True:
            time.sleep(self.resolve_s)
            self.resolve()


class Request:
    """One request under way. Sent as soon as it is made."""

    __slots__ = ("deadline", "done", "mono", "received", "sent", "sock", "target", "wall")

    def __init__(self, target: Target, timeout_ns: int) -> None:
        self.target = target
        self.done = False
        self.sent = False
        self.received = b""
        self.wall = time.time_ns()
        self.mono = time.monotonic_ns()
        self.deadline = self.mono + timeout_ns
        self.sock = socket.socket(target.family, target.kind | socket.SOCK_NONBLOCK)

    def start(self) -> Answer | None:
        try:
            if self.target.kind == socket.SOCK_STREAM:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            code = self.sock.connect_ex(self.target.address)
            if code not in (0, errno.EINPROGRESS):
                raise OSError(code, os.strerror(code))
            if self.target.scheme == "udp":
                self.sock.send(b"%d" % self.mono)
        except OSError as exc:
            return failure(exc)
        return None

    def on_event(self) -> Answer | None:
        """Go on as far as it goes without waiting; the answer, when there is one."""
        try:
            if self.target.scheme == "udp":
                echoed = self.sock.recv(65536) == b"%d" % self.mono
                return Answer(echoed, None, None if echoed else "not echoed")
            if self.target.scheme == "tcp":
                code = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                return failure(OSError(code, "")) if code else Answer(True, None, None)
            if not self.sent:
                self.sock.send(self.target.request)
                self.sent = True
                return None
            data = self.sock.recv(65536)
            self.received += data
            if len(self.received) > ANSWER_LIMIT:
                return Answer(False, None, "too long")
            return parse_http(self.received, data == b"", self.target.node_header)
        except BlockingIOError:
            return None
        except OSError as exc:
            return failure(exc)


def failure(exc: OSError) -> Answer:
    return Answer(False, None, WORDS.get(exc.errno or 0) or errno.errorcode.get(exc.errno or 0, str(exc)))


class Recorder:
    """Writes the lines, a batch at a time: a reader sees a result at most 100 ms after it is known."""

    def __init__(self, stream: t.BinaryIO) -> None:
        self.stream = stream
        self.lines: list[str] = []
        self.next_flush = 0
        self.errors: Counter[str] = Counter()
        self.ok = 0
        self.quoted: dict[str | None, str] = {}

    def add(self, request: Request, answer: Answer, now: int) -> None:
        if answer.ok:
            self.ok += 1
        else:
            self.errors[answer.err or "unknown"] += 1
        # json.dumps on every line would cost more than all the rest of the line.
        self.lines.append(
            '{"t":%d,"m":%d,"d":%d,"ok":%s,"by":%s,"err":%s}\n'
            % (
                request.wall,
                request.mono,
                (now - request.mono) // 1000,
                "true" if answer.ok else "false",
                self.quote(answer.by),
                self.quote(answer.err),
            )
        )

    def quote(self, text: str | None) -> str:
        if text not in self.quoted:
            if len(self.quoted) > 1000:  # a service that names another node in each answer
                self.quoted.clear()
            self.quoted[text] = json.dumps(text)
        return self.quoted[text]

    def sample(self, now: int, late: int, busy_us: int | None) -> None:
        self.lines.append('{"m":%d,"late":%d,"busy":%s}\n' % (now, late // 1000, json.dumps(busy_us)))

    def object(self, value: dict[str, t.Any]) -> None:
        self.lines.append(json.dumps(value) + "\n")
        self.flush(time.monotonic_ns())

    def flush(self, now: int) -> None:
        if self.lines:
            self.stream.write("".join(self.lines).encode("utf-8"))
            self.stream.flush()
            self.lines.clear()
        self.next_flush = now + FLUSH_NS


def host_busy_us(path: str = PRESSURE) -> int | None:
    """For how long something on this host has waited for a processor, since it was started."""
    try:
        with open(path, "rb") as stream:
            return int(stream.readline().partition(b"total=")[2])
    except (OSError, ValueError):
        return None


class Lease:
    """When to stop by itself: max_ns after the start or, with a file, after that was touched for the last time.

    Whoever keeps touching it has this process running; if that one is killed, this one ends soon. No wall clock counts.
    """

    def __init__(self, max_ns: int, path: str | None) -> None:
        self.max_ns = max_ns
        self.path = path
        self.seen = self.touched()
        self.end = time.monotonic_ns() + max_ns

    def touched(self) -> int | None:
        try:
            return os.stat(self.path).st_mtime_ns if self.path else None
        except OSError:
            return None

    def renew(self, now: int) -> None:
        touched = self.touched()
        if touched is not None and touched != self.seen:
            self.seen, self.end = touched, now + self.max_ns


def run(
    target: Target,
    recorder: Recorder,
    *,
    interval_ns: int,
    timeout_ns: int,
    max_ns: int,
    stopping: t.Callable[[], bool],
    lease: str | None = None,
) -> dict[str, t.Any]:
    """Send until told to stop or until max_ns have passed; wait for what is outstanding; the summary."""
    epoll = select.epoll()
    open_requests: dict[int, Request] = {}
    by_deadline: deque[Request] = deque()
    started = time.monotonic_ns()
    until = Lease(max_ns, lease)
    next_send = started
    next_sample, late, wake = started + SAMPLE_NS, 0, started
    sent = skipped = 0
    stopped = None

    def finish(request: Request, answer: Answer) -> None:
        recorder.add(request, answer, time.monotonic_ns())
        request.done = True
        open_requests.pop(request.sock.fileno(), None)
        request.sock.close()  # epoll forgets it by itself

    while True:
        # Answers first, deadlines second: an answer that came in time while this process could not run is not lost.
        for descriptor, _mask in epoll.poll(0):
            request = open_requests.get(descriptor)
            answer = request.on_event() if request else None
            if request and answer:
                finish(request, answer)
        now = time.monotonic_ns()
        late = max(late, now - wake)
        while by_deadline and (by_deadline[0].done or by_deadline[0].deadline <= now):
            request = by_deadline.popleft()
            if not request.done:
                finish(request, Answer(False, None, "timeout"))
        if stopped is None:
            stopped = "signal" if stopping() else "max-seconds" if now >= until.end else None
        if stopped is None and now >= next_send:
            missed = (now - next_send) // interval_ns
            skipped += missed
            next_send += (missed + 1) * interval_ns
            sent += 1
            request = Request(target, timeout_ns)
            by_deadline.append(request)
            answer = request.start()
            if answer:
                finish(request, answer)
            else:
                descriptor = request.sock.fileno()
                open_requests[descriptor] = request
                # Edge triggered: one registration serves both "connected" and "answered".
                wanted = select.EPOLLIN if target.scheme == "udp" else select.EPOLLIN | select.EPOLLOUT
                epoll.register(descriptor, wanted | select.EPOLLET)
        if stopped and not by_deadline:
            break
        if now >= next_sample:
            recorder.sample(now, late, host_busy_us())
            until.renew(now)
            next_sample, late = now + SAMPLE_NS, 0
        if now >= recorder.next_flush:
            recorder.flush(now)
        wake = by_deadline[0].deadline if by_deadline else until.end
        if stopped is None:
            wake = min(wake, next_send)
        # epoll alone rounds up to whole milliseconds, which is too coarse for the schedule.
        select.select([epoll], (), (), max(0, wake - time.monotonic_ns()) / 1e9)
    epoll.close()
    usage = os.times()
    return {
        "sent": sent,
        "ok": recorder.ok,
        "lost": sent - recorder.ok,
        "skipped": skipped,
        "errors": dict(recorder.errors),
        "elapsed_s": round((time.monotonic_ns() - started) / 1e9, 3),
        "cpu_s": round(usage.user + usage.system, 3),
        "stopped": stopped,
    }


def tell(result: dict[str, t.Any]) -> None:
    sys.stdout.write(json.dumps(result) + "\n")


def create(path: str) -> t.BinaryIO:
    try:
        return open(path, "wb")
    except OSError as exc:
        raise UsageError("--output %s: %s" % (path, exc.strerror)) from exc


def command_run(args: argparse.Namespace) -> int:
    if args.interval_ms < 1:
        raise UsageError("--interval-ms %g: must be at least 1" % args.interval_ms)
    if args.timeout_ms < args.interval_ms or args.timeout_ms / args.interval_ms > MAX_OUTSTANDING:
        raise UsageError(
            "--timeout-ms %g: must be between --interval-ms and %d times --interval-ms (that many requests may be "
            "outstanding at once)" % (args.timeout_ms, MAX_OUTSTANDING)
        )
    if args.max_seconds <= 0:
        raise UsageError("--max-seconds %g: must be more than 0" % args.max_seconds)
    if args.resolve_s < 0:
        raise UsageError("--resolve-s %g: must be 0 or more" % args.resolve_s)
    target = Target(args.url, args.node_header, args.resolve_s)
    signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: signals.append(received))
    with contextlib.suppress(OSError):
        os.nice(-10)  # a busy client host must not look like an outage; only root may
    gc.disable()  # nothing here makes cycles, and a collection would be a hole in the schedule
    with create(args.output) as stream:
        recorder = Recorder(stream)
        recorder.object(
            {
                "prober": 1,
                "client": args.client,
                "url": args.url,
                "interval_ms": args.interval_ms,
                "timeout_ms": args.timeout_ms,
                "t": time.time_ns(),
                "m": time.monotonic_ns(),
                "python": platform.python_version(),
            }
        )
        summary = run(
            target,
            recorder,
            interval_ns=int(args.interval_ms * MS),
            timeout_ns=int(args.timeout_ms * MS),
            max_ns=int(args.max_seconds * 1e9),
            stopping=lambda: bool(signals),
            lease=args.lease,
        )
        recorder.object({"summary": summary})
    tell(summary)
    return 0


class Follower:
    """Finds, in a growing record, the first unbroken run of good answers, or of lost requests, that is long enough.

    Lines come in the order in which requests ended, and a lost one ends late. So a result counts only when every
    request sent before it must have ended too: one timeout later.
    """

    def __init__(
        self,
        since: int,
        good_ms: float,
        by: str | None = None,
        not_by: str | None = None,
        each_by: t.Iterable[str] = (),
        unanswered: bool = False,
    ) -> None:
        self.since = since
        self.good_ns = int(good_ms * MS)
        self.by = by
        self.not_by = not_by
        self.unanswered = unanswered
        self.each_by = dict.fromkeys(each_by, since - self.good_ns)  # when each has answered last
        self.timeout_ns = 0
        self.waiting: list[tuple[int, int, bool, str | None]] = []
        self.newest = 0
        self.run: tuple[int, int] | None = None
        self.requests = 0
        self.lost = 0
        self.seen: Counter[str] = Counter()
        self.named = False  # whether an answer has named its node
        self.ended = False

    def feed(self, line: bytes) -> dict[str, t.Any] | None:
        """Take in one line; what was found, once it is found."""
        record = json.loads(line)
        if "prober" in record:
            self.timeout_ns = int(record["timeout_ms"] * MS)
            return None
        if "late" in record:
            return None
        if "summary" in record:
            self.ended = True
            self.newest += self.timeout_ns  # nothing is outstanding any more
        else:
            self.newest = max(self.newest, record["m"])
            if record["t"] >= self.since:
                heapq.heappush(self.waiting, (record["m"], record["t"], record["ok"], record["by"] or record["err"]))
        while self.waiting and self.waiting[0][0] <= self.newest - self.timeout_ns:
            found = self.settle(*heapq.heappop(self.waiting))
            if found:
                return found
        return None

    def settle(self, mono: int, wall: int, ok: bool, who: str | None) -> dict[str, t.Any] | None:
        self.requests += 1
        self.lost += not ok
        self.seen[who or "a node that gave no name"] += 1
        self.named = self.named or (ok and bool(who))
        # By tcp and udp no answer names a node, and each may be anybody's.
        elsewhere = self.by and who != self.by and (who or self.named)
        if ok == self.unanswered or elsewhere or (self.not_by and who == self.not_by):
            self.run = None
            return None
        self.run = self.run or (mono, wall)
        if who in self.each_by:
            self.each_by[who] = wall
        if mono - self.run[0] < self.good_ns or any(last <= wall - self.good_ns for last in self.each_by.values()):
            return None
        return {
            "ok": True,
            "first": self.run[1],
            "last": wall,
            "by": who,
            "requests": self.requests,
            "lost": self.lost,
        }


def follow(path: str, deadline: float) -> t.Iterator[bytes]:
    """The lines of a file that is being written, or is yet to be made, until the deadline."""
    rest = b""
    while not os.path.exists(path):
        if time.monotonic() >= deadline:
            raise UsageError("--input %s: no such file; is the prober running?" % path)
        time.sleep(0.05)
    with open(path, "rb") as stream:
        while time.monotonic() < deadline:
            data = stream.read()
            *lines, rest = (rest + data).split(b"\n")
            yield from lines
            if not data:
                time.sleep(0.05)


def command_wait(args: argparse.Namespace) -> int:
    each_by = args.each_by.split(",") if args.each_by else ()
    follower = Follower(args.since, args.good_ms, args.by, args.not_by, each_by, args.unanswered)
    found = None
    for line in follow(args.input, time.monotonic() + args.timeout):
        try:
            found = follower.feed(line)
        except (ValueError, KeyError) as exc:
            raise UsageError("--input %s: the prober did not write this: %r" % (args.input, line[:80])) from exc
        if found or follower.ended:
            break
    if found:
        tell(found)
        return 0
    wanted = "%g ms %s" % (args.good_ms, "without an answer" if args.unanswered else "of unbroken good answers")
    wanted += " by %s" % args.by if args.by else ""
    wanted += " not by %s" % args.not_by if args.not_by else ""
    wanted += " with some by each of %s" % args.each_by if args.each_by else ""
    message = "%s: no %s %s. %d requests seen since, %d lost%s" % (
        args.input,
        wanted,
        "before the prober stopped" if follower.ended else "within %g s" % args.timeout,
        follower.requests,
        follower.lost,
        "".join("; %s: %d" % item for item in follower.seen.most_common()),
    )
    tell({"ok": False, "message": message, "requests": follower.requests, "lost": follower.lost})
    sys.stderr.write(message + "\n")
    return 1


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="prober.py", description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("run", help="send requests and record each")
    one.add_argument("--url", required=True, help="http://host[:port]/path, tcp://host:port or udp://host:port (echo)")
    one.add_argument("--output", required=True, help="the record to write (JSON lines); an older one is replaced")
    one.add_argument("--client", default=platform.node(), help="name of this client in the report (%(default)s)")
    one.add_argument("--interval-ms", type=float, default=4, help="time between two requests (%(default)s)")
    one.add_argument("--timeout-ms", type=float, default=250, help="a request without answer is lost (%(default)s)")
    one.add_argument("--max-seconds", type=float, default=120, help="stop by itself after this time (%(default)s)")
    one.add_argument("--lease", help="count --max-seconds anew whenever this file is touched")
    one.add_argument(
        "--resolve-s", type=float, default=RESOLVE_S, help="resolve a name anew after this time, 0: never (%(default)s)"
    )
    one.add_argument("--node-header", default="X-Vip-Node", help="response header naming the node (%(default)s)")
    two = commands.add_parser("wait", help="wait until the answers in a record are good")
    two.add_argument("--input", required=True, help="the record that is being written")
    two.add_argument("--since", type=int, default=0, help="only requests sent at or after this wall clock, in ns")
    two.add_argument("--good-ms", type=float, default=500, help="length of the unbroken run (%(default)s)")
    who = two.add_mutually_exclusive_group()
    who.add_argument("--by", help="every answer of the run must come from this node")
    who.add_argument("--not-by", help="no answer of the run may come from this node")
    who.add_argument("--each-by", help="each of these nodes (A,B) must have answered within the run's length")
    who.add_argument("--unanswered", action="store_true", help="there must be no good answer instead")
    two.add_argument("--timeout", type=float, default=30, help="give up after this many seconds (%(default)s)")
    args = parser.parse_args(argv)
    try:
        return command_run(args) if args.command == "run" else command_wait(args)
    except UsageError as exc:
        sys.stderr.write("prober.py: %s\n" % exc)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
