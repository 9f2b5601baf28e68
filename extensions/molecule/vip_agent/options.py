# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""On a node whose agent has the options of options.yml: serves what its checks ask for, and looks at what they do."""

from __future__ import annotations

import http.server
import json
import os
import socket
import stat
import subprocess
import threading
import time
from pathlib import Path

CHECKS = Path("/run/cloudha-vip/check")
FIFO = Path("/run/elsewhere/notify")
LOG = Path("/var/lib/vip-agent/events.jsonl")
OLD_LOG = Path("/var/lib/vip-agent/events.jsonl.1")
WELL, FAILED = "0\n", "1\n"

broken = threading.Event()
# What was answered to each request for /counted, and what the verdict was when it came.
counted: list[tuple[int, str]] = []
seldom: list[float] = []


class Service(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status = 200
        if self.path == "/counted":
            status = 503 if broken.is_set() else 200
            counted.append((status, verdict("counted")))
        elif self.path == "/seldom":
            seldom.append(time.monotonic())
        elif self.path == "/host":
            status = 200 if self.headers["Host"] == "www.example.org" else 421
        elif self.path == "/missing":
            status = 404
        elif self.path == "/slow":
            time.sleep(0.6)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b"the answer\n")

    def log_message(self, *_arguments):
        pass


def run(command):
    return subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout.strip()


def verdict(name):
    return (CHECKS / name).read_text()


def until(what, seconds=30):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"waited in vain; {run('vip-agent status || true')}"
        time.sleep(0.02)


def events(**wanted):
    texts = [path.read_text() for path in (OLD_LOG, LOG) if path.exists()]
    found = [json.loads(line) for text in texts for line in text[: text.rfind("\n") + 1].splitlines()]
    return [event for event in found if wanted.items() <= event.items()]


def checks_see_what_they_ask_for():
    names = sorted(path.name for path in CHECKS.iterdir() if path.name[:3] in ("ok_", "no_"))
    assert len(names) == 17, names
    until(lambda: all(verdict(name) == (WELL if name.startswith("ok_") else FAILED) for name in names))
    told = json.loads(run("vip-agent status --json || true"))["checks"]
    until(lambda: all(told[name]["last"] for name in names))
    for name, says in (
        ("no_host_header", "status 421"),
        ("no_status", "status 404"),
        ("no_body", "does not contain 'the question'"),
        ("no_timeout", "no end after 100 ms"),
        ("no_tcp", "Connection refused"),
        ("no_command", "exit code 1"),
        ("no_tls_server_name", "IP address mismatch"),
        ("no_tls_ca_file", "unable to get local issuer certificate"),
    ):
        assert says in told[name]["last"]["reason"], told[name]


def verdicts_change_after_so_many_attempts():
    until(lambda: len(counted) > 9 and verdict("counted") == WELL)
    broken.set()
    until(lambda: verdict("counted") == FAILED)
    broken.clear()
    until(lambda: verdict("counted") == WELL)
    begin = next(index for index, (status, _verdict) in enumerate(counted) if status == 503)
    failures = [found for status, found in counted[begin:] if status == 503]
    assert failures.count(WELL) == 4, f"fall: {failures}"
    after = counted[begin + len(failures) :]
    assert [found for _status, found in after].count(FAILED) == 5, f"rise: {after}"


def attempts_keep_their_distance():
    until(lambda: len(seldom) >= 4)
    took = seldom[3] - seldom[0]
    assert took > 2 * 0.9, f"4 attempts within {took} s"


def the_fifo_is_where_it_should_be():
    found = FIFO.stat()
    assert stat.S_ISFIFO(found.st_mode)
    FIFO.write_text('INSTANCE "of the test" MASTER 200\n')
    until(lambda: events(event="transition", name="of the test", state="MASTER", node="the first node"))
    run("ip address add 192.0.2.9/32 dev lo; ip address add fd00:9::9/128 dev lo")
    for address in ("192.0.2.9", "fd00:9::9"):
        until(lambda address=address: events(event="address", address=address, held=True, interface="lo"))
    run("ip address delete 192.0.2.9/32 dev lo; ip address delete fd00:9::9/128 dev lo")


def the_process_is_as_wanted():
    main = run("systemctl show --property=MainPID --value vip-agent")
    command = Path(f"/proc/{main}/cmdline").read_text().split("\0")
    assert command[0] == "/opt/a-python/bin/python3", command
    assert os.getpriority(os.PRIO_PROCESS, int(main)) == -7
    group = Path(f"/proc/{main}/cgroup").read_text().strip().rpartition(":")[2]
    limit = Path("/sys/fs/cgroup", group.lstrip("/"), "memory.max")
    assert run("systemctl show --property=MemoryMax --value vip-agent") == str(96 << 20)
    if limit.exists():
        assert limit.read_text() == f"{96 << 20}\n"


def the_log_keeps_to_its_size():
    # A line of keepalived that says nothing of an instance is kept as it is; a thousand of them are 1 MiB.
    for number in range(12):
        for _line in range(100):
            with FIFO.open("w") as fifo:
                fifo.write(f"VS {number} {'x' * 1000}\n")
        until(lambda number=number: len(events(event="notify", line=f"VS {number} {'x' * 1000}")) > 0)
    until(OLD_LOG.exists)
    for path in (LOG, OLD_LOG):
        assert path.stat().st_size <= 1 << 19, path


threading.Thread(
    target=http.server.ThreadingHTTPServer(("127.0.0.1", 8081), Service).serve_forever, daemon=True
).start()
with socket.create_server(("::1", 8082), family=socket.AF_INET6):
    checks_see_what_they_ask_for()
    verdicts_change_after_so_many_attempts()
    attempts_keep_their_distance()
    the_fifo_is_where_it_should_be()
    the_process_is_as_wanted()
    the_log_keeps_to_its_size()
run("rm -r /run/elsewhere /opt/a-python")
