# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell keepalived whether a service is well; once in an outage, ask for its restart.

vip-health-check name=NAME [process=COMM] [url=http://HOST[:PORT]/PATH | tcp=HOST:PORT]
                 [status=200] [timeout_ms=500] [restart=UNIT]

Exit: 0 well, 1 not well (the reason is on standard output), 2 wrong arguments.
keepalived starts this every second, so it imports next to nothing.
"""

import _thread
import os
import socket
import sys
import time

STATE = "/run/cloudha-vip-health-check"
KNOWN = ("name", "process", "url", "tcp", "status", "timeout_ms", "restart")
STATUS_LINE_LIMIT = 1024
REASON_LIMIT = 300
LONGEST_TIMEOUT_MS = 600000


class WrongArguments(Exception):
    pass


def running(name):
    """Whether a process of that name exists which is not a zombie."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % pid, "rb") as stream:
                head, _paren, tail = stream.read().rpartition(b")")
        except OSError:
            continue  # it has ended meanwhile
        if head.partition(b"(")[2] == os.fsencode(name)[:15] and tail.split()[0] not in (b"Z", b"X"):
            return True
    return False


def left(deadline):
    """The seconds until the deadline, which counts for all that a check does."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise OSError("timed out")
    return seconds


def resolve(host, port, deadline):
    """All addresses of a host."""
    found = []
    done = _thread.allocate_lock()
    done.acquire()

    def ask():
        try:
            found.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as exc:
            found.append(exc)
        done.release()

    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        pass  # a name
    # Nothing limits the time of the resolver. The thread ends with this process.
    _thread.start_new_thread(ask, ())
    if not done.acquire(timeout=left(deadline)):
        raise OSError("timed out while the name was looked up")
    if isinstance(found[0], OSError):
        raise found[0]
    return found[0]


def connect(place, deadline):
    """To the first of its addresses that answers; each gets its share of the time."""
    addresses = resolve(place[0].encode("ascii"), place[1], deadline)
    for number, (family, kind, protocol, _name, address) in enumerate(addresses):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(left(deadline) / (len(addresses) - number))
            connection.connect(address)
            return connection
        except OSError as exc:
            connection.close()
            problem = exc
    raise problem


def http_status(url, place, deadline):
    """The status of the answer to a GET."""
    address, _slash, path = url.partition("://")[2].partition("/")
    line = b""
    with connect(place, deadline) as connection:
        connection.settimeout(left(deadline))
        connection.sendall(("GET /%s HTTP/1.0\r\nHost: %s\r\n\r\n" % (path, address)).encode("ascii"))
        while b"\n" not in line and len(line) < STATUS_LINE_LIMIT:
            connection.settimeout(left(deadline))
            data = connection.recv(STATUS_LINE_LIMIT)
            if not data:
                break
            line += data
    if not line:
        raise OSError("closed the connection without an answer")
    words = line.partition(b"\n")[0].split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or len(words[1]) != 3 or not words[1].isdigit():
        raise OSError("not an HTTP answer")
    return words[1].decode("ascii")


def trouble(check):
    """What is wrong, or None."""
    if "process" in check and not running(check["process"]):
        return "no process %s" % check["process"]
    deadline = time.monotonic() + check["timeout_ms"] / 1000
    target = check.get("url") or check.get("tcp")
    try:
        if "url" in check:
            status = http_status(target, check["place"], deadline)
            if status != check["status"]:
                return "%s: status %s" % (target, status)
        elif "tcp" in check:
            connect(check["place"], deadline).close()
    except (OSError, ValueError) as exc:
        return "%s: %s" % (target, exc)
    return None


def ask_for_restart(check):
    """Once in an outage: root's path unit sees the request, and restarts this unit and no other."""
    try:
        os.close(os.open("%s/%s.tried" % (STATE, check["name"]), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        os.close(os.open("%s/%s.restart" % (STATE, check["restart"]), os.O_CREAT | os.O_WRONLY, 0o644))
    except FileExistsError:
        return "; a restart was asked for before and did not help"
    except OSError as exc:
        return "; a restart cannot be asked for: %s" % exc
    return "; asked for a restart of %s" % check["restart"]


def number(text, longest, highest):
    """0 if it is none of the allowed ones."""
    value = int(text) if text.isascii() and text.isdigit() and len(text) <= longest else 0
    return value if value <= highest else 0


def place_of(key, value):
    """Host and port."""
    if not value.isascii() or not value.isprintable() or " " in value:
        raise WrongArguments("%s has a character in it that no address may have" % key)
    address = value if key == "tcp" else value[len("http://") :].partition("/")[0]
    host, colon, port = address.rpartition(":")
    if not colon or "]" in port:
        host, port = address, "" if key == "tcp" else "80"
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise WrongArguments("%s: write an IPv6 address in brackets, as in [::1]:80" % key)
    if not host or not number(port, 5, 65535):
        raise WrongArguments("%s needs a host, and a port from 1 to 65535" % key)
    return host, int(port)


def understood(words):
    """The arguments, checked."""
    check = dict(word.split("=", 1) for word in words if "=" in word)
    unknown = sorted(set(check) - set(KNOWN)) + [word for word in words if "=" not in word]
    if unknown:
        raise WrongArguments("%s is not known" % unknown[0])
    for key in ("name", "restart"):  # of files
        if "/" in check.get(key, "") or not 0 < len(os.fsencode(check.get(key, "x"))) <= 200:
            raise WrongArguments("%s is a name of at most 200 bytes without /" % key)
    if "name" not in check:
        raise WrongArguments("name is missing")
    if not check.get("url", "http://").startswith("http://"):
        raise WrongArguments("url must begin with http://")
    for key in ("tcp", "url"):
        if key in check:
            check["place"] = place_of(key, check[key])
    check.setdefault("status", "200")
    if number(check["status"], 3, 999) < 100:
        raise WrongArguments("status is a number of three digits")
    check["timeout_ms"] = number(check.get("timeout_ms", "500"), 6, LONGEST_TIMEOUT_MS)
    if not check["timeout_ms"]:
        raise WrongArguments("timeout_ms is a number from 1 to %d" % LONGEST_TIMEOUT_MS)
    return check


def in_one_line(text):
    """What a service or an argument said, as a log may have it."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text[:REASON_LIMIT])


def main(words):
    try:
        check = understood(words)
    except WrongArguments as exc:
        print("vip-health-check: " + in_one_line(str(exc)), file=sys.stderr)
        print(__doc__, file=sys.stderr)
        return 2
    reason = trouble(check)
    if reason:
        print(in_one_line(reason) + (in_one_line(ask_for_restart(check)) if "restart" in check else ""))
        return 1
    try:
        os.unlink("%s/%s.tried" % (STATE, check["name"]))
    except OSError:  # there was no outage
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
