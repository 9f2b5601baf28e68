# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell keepalived whether a service is well; once in an outage, ask for its restart.

vip-health-check name=NAME [process=COMM] [url=http://HOST[:PORT]/PATH | tcp=HOST:PORT]
                 [status=200] [timeout_ms=500] [restart=UNIT]

Exit: 0 well, 1 not well (the reason is on standard output), 2 wrong arguments.
keepalived starts this every second, so it imports next to nothing.
"""

import os
import socket
import sys
import time

STATE = "/run/cloudha-vip-health-check"
KNOWN = ("name", "process", "url", "tcp", "status", "timeout_ms", "restart")


def running(name):
    """Whether a process of that name exists which is not a zombie."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % pid, "rb") as stream:
                head, _paren, tail = stream.read().rpartition(b")")
        except OSError:
            continue  # it has ended meanwhile
        if head.partition(b"(")[2] == name.encode()[:15] and tail.split()[0] not in (b"Z", b"X"):
            return True
    return False


def connect(address, default_port, deadline):
    host, colon, port = address.rpartition(":")
    if not colon or "]" in port:
        host, port = address, default_port
    return socket.create_connection((host.strip("[]"), int(port)), deadline - time.monotonic())


def http_status(url, deadline):
    """The status of the answer to a GET."""
    address, _slash, path = url.partition("://")[2].partition("/")
    line = b""
    with connect(address, 80, deadline) as connection:
        connection.sendall(("GET /%s HTTP/1.0\r\nHost: %s\r\n\r\n" % (path, address)).encode())
        while b"\r\n" not in line:
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
            data = connection.recv(4096)
            if not data:
                raise OSError("closed the connection without an answer")
            line += data
    return line.split(None, 2)[1].decode()


def trouble(check):
    """What is wrong, or None."""
    if "process" in check and not running(check["process"]):
        return "no process %s" % check["process"]
    deadline = time.monotonic() + int(check.get("timeout_ms", 500)) / 1000
    target = check.get("url") or check.get("tcp")
    try:
        if "url" in check:
            status = http_status(target, deadline)
            if status != check.get("status", "200"):
                return "%s: status %s" % (target, status)
        elif "tcp" in check:
            connect(target, None, deadline).close()
    except (OSError, IndexError) as exc:
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


def main(words):
    check = dict(word.split("=", 1) for word in words if "=" in word)
    known = len(check) == len(words) and "name" in check and not set(check) - set(KNOWN)
    if not known or not check.get("url", "http://").startswith("http://"):
        print(__doc__, file=sys.stderr)
        return 2
    reason = trouble(check)
    if reason:
        print(reason + (ask_for_restart(check) if "restart" in check else ""))
        return 1
    tried = "%s/%s.tried" % (STATE, check["name"])
    if os.path.exists(tried):
        os.unlink(tried)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
