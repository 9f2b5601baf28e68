# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command line: vip-agent run, status, events, check, drain, undrain."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import re
import sys
import time

from . import kinds, lock, service, verdict
from .config import DEFAULT_PATH, ConfigError, load
from .events import newest_first, oldest_first, utc
from .loop import Failed, Loop, in_one_line
from .runner import ATTEMPTS
from .states import read_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

    from .config import Config

HEALTHY, UNHEALTHY, USAGE, NOT_RUNNING = 0, 1, 2, 3
LONGEST_LINE = 4000
DRAINED, HANDED_OVER = -10, -254


def _say(text: str, stream: TextIO | None = None) -> None:
    """Print: Ansible's checks forbid print() in whatever its modules may import."""
    (stream or sys.stdout).write(text + "\n")


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return options.call(load(getattr(options, "config_to_check", None) or options.config), options)
    except ConfigError as error:
        _say(str(error), sys.stderr)
        return USAGE
    except PermissionError as error:
        _say(f"vip-agent: {error.filename}: {error.strerror}: use root", sys.stderr)
        return USAGE
    except BrokenPipeError:  # `vip-agent events | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return HEALTHY
    except KeyboardInterrupt:
        return HEALTHY


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vip-agent", description="The node agent of cloudha.vip.")
    parser.add_argument("--config", default=DEFAULT_PATH, metavar="FILE", help="default: %(default)s")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    run = verbs.add_parser("run", help="the service; systemd starts it")
    run.add_argument("--check-config", dest="config_to_check", metavar="FILE", help="only say whether FILE can be used")
    run.set_defaults(call=_run)

    status = verbs.add_parser("status", help="exit code 0: all healthy, 1: something is not, 3: no agent runs")
    status.add_argument("--json", action="store_true")
    status.set_defaults(call=_status)

    events = verbs.add_parser("events", help="the event log")
    since = "2026-11-21T03:00:00Z, or 90s, 10m, 2h, 1d ago"
    events.add_argument("--since", type=_since, default=0, metavar="TIME", help=since)
    events.add_argument("--follow", action="store_true", help="go on with the events that come")
    events.add_argument("--json", action="store_true", help="the lines as they are in the log")
    events.set_defaults(call=_events)

    check = verbs.add_parser("check", help="attempt a check once, now; exit code 0 if it succeeds")
    check.add_argument("name", metavar="NAME")
    check.set_defaults(call=_check)

    drain = verbs.add_parser("drain", help="let another node be preferred when the address next moves")
    drain.add_argument("--hand-over", action="store_true", help="give the address away now, and do not take it back")
    drain.set_defaults(call=_drain)

    undrain = verbs.add_parser("undrain", help="back to normal")
    undrain.set_defaults(call=_undrain)
    return parser


def _run(config: Config, options: argparse.Namespace) -> int:
    if not options.config_to_check:
        service.Agent(config).run()
    return HEALTHY


def _status(config: Config, options: argparse.Namespace) -> int:
    status = read_status(config.state_dir)
    running = bool(lock.running(config.state_dir))
    age = (time.monotonic_ns() - status["mono"]) / 1e9 if status else None
    code = NOT_RUNNING if not running else HEALTHY if status and _all_well(config, status) else UNHEALTHY
    recent = _recent(config, 5)
    if options.json:
        verdict_now = {"running": running, "healthy": code == HEALTHY, "age_seconds": age}
        _say(json.dumps({**verdict_now, **(status or {}), "events": recent}))
        return code
    if not running:
        old = f", {age:.0f} s old" if age else ""
        _say(f"vip-agent is NOT RUNNING; its verdicts{old} count as failed when it stays away")
    if status:
        _print_status(config, status, age or 0.0, running)
    for event in recent:
        _say("  " + _one_line(event))
    return code


def _all_well(config: Config, status: dict[str, Any]) -> bool:
    return (
        all(check["healthy"] for check in status["checks"].values())
        and not any(state["state"] in ("FAULT", "STOP") for state in status["states"].values())
        and not status["problems"]
        and (status["keepalived"] is not None or not config.instances)
    )


def _print_status(config: Config, status: dict[str, Any], age: float, running: bool) -> None:
    now = time.time_ns()
    up = (status["mono"] - status["started_mono"]) / 1e9
    _say(
        f"agent       {'pid ' + str(status['pid']) if running else 'ended'}, up {_span(up)}, "
        f"{status['rss_kib'] / 1024:.1f} MiB, status {age:.1f} s old, node {status['node']}"
    )
    keepalived = status["keepalived"]
    if config.keepalived:
        _say(f"keepalived  {f'pid {keepalived}' if keepalived else 'NOT RUNNING'}")
    drain = status["drain"]
    drained = {None: "no drain file", 0: "no", DRAINED: "drained", HANDED_OVER: "handed over"}
    _say(f"drain       {drained.get(drain, drain)}")
    for name, state in status["states"].items():
        known = state["state"] if keepalived else f"unknown (was {state['state']})"
        _say(f"{name:<20} {known} for {_span((now - state['since']) / 1e9)}, priority {state['priority']}")
    for address, interface in status["addresses"].items():
        _say(f"address {address:<20} {f'held on {interface}' if interface else 'not held'}")
    for name, check in status["checks"].items():
        last = check["last"]
        verdict_text = "healthy" if check["healthy"] else "FAILED "
        attempt = f"last {last['duration_ms']:.1f} ms: {last['reason']}" if last else "not attempted yet"
        _say(f"check {name:<22} {verdict_text} for {_span((now - check['since']) / 1e9)}; {attempt}")
    for name, action in status.get("actions", {}).items():
        _print_action(name, action, now)
    for what, text in status["problems"].items():
        _say(f"PROBLEM {what}: {text}")


def _print_action(name: str, action: dict[str, Any], now: int) -> None:
    title = f"{action['type'] + ' ' + name:<28}"
    if "api" not in action:  # it asks nobody
        _say(f"{title} {_whereabouts(action)}")
        return
    _say(f"{title} {action['doing']} for {_span((now - action['since']) / 1e9)}")
    seen = (
        f"{_whereabouts(action)}, seen {_span((now - action['seen']) / 1e9)} ago" if action["seen"] else "not seen yet"
    )
    api = action["api"]
    latency = "no answer yet" if api.get("latency_ms") is None else f"answered in {api['latency_ms']:.1f} ms"
    _say(f"  {seen}; API: {api.get('error') or latency}")
    last = action["last"]
    if last:
        parts = [
            f"{last['result']} {_span((now - last['time']) / 1e9)} ago ({last['why']}, {last['elapsed_ms']:.0f} ms)"
        ]
        if last["first_mutation_ms"] is not None:
            parts.append(f"first request after {last['first_mutation_ms']:.0f} ms")
        if last["moved_ms"] is not None:
            parts.append(f"moved after {last['moved_ms']:.0f} ms")
        _say(f"  last: {', '.join(parts)}")


def _whereabouts(action: dict[str, Any]) -> str:
    try:
        return kinds.find(action["type"]).describe(action)
    except kinds.UnknownKind:  # the status of an older agent
        return "of a kind that this agent does not know"


def _recent(config: Config, count: int) -> list[dict[str, Any]]:
    recent = []
    for event in newest_first(config.event_log):
        recent.append(event)
        if len(recent) == count:
            break
    return recent[::-1]


def _one_line(event: dict[str, Any]) -> str:
    hidden = ("seq", "time", "wall_ns", "mono_ns", "node", "event", "spool")
    rest = {key: value if isinstance(value, str) else json.dumps(value) for key, value in event.items()}
    shown = " ".join(f"{key}={value}" for key, value in rest.items() if key not in hidden)
    return in_one_line(f"{event['time']} {event['event']} {shown}", LONGEST_LINE)


def _events(config: Config, options: argparse.Namespace) -> int:
    for event in oldest_first(config.event_log):
        if event is None:
            if not options.follow:
                break
            sys.stdout.flush()
            time.sleep(0.2)
        elif event["wall_ns"] >= options.since:
            _say(json.dumps(event, separators=(",", ":")) if options.json else _one_line(event))
    return HEALTHY


def _since(text: str) -> int:
    ago = re.fullmatch(r"(\d+)([smhd])", text)
    if ago:
        return time.time_ns() - int(ago[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[ago[2]] * 1_000_000_000
    if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", text):
        import calendar

        whole, _dot, rest = text[:-1].partition(".")
        seconds = calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S"))
        return seconds * 1_000_000_000 + int(rest.ljust(9, "0")[:9] or 0)
    raise argparse.ArgumentTypeError(f"{text!r}: give a time like {utc(time.time_ns())}, or 90s, 10m, 2h, 1d")


def _check(config: Config, options: argparse.Namespace) -> int:
    check = next((check for check in config.checks if check.name == options.name), None)
    if not check:
        known = ", ".join(check.name for check in config.checks) or "none"
        _say(f"vip-agent: there is no check {options.name!r}; configured: {known}", sys.stderr)
        return USAGE
    if os.geteuid() == 0:
        _become(os.stat(config.check_dir).st_uid)
    ended: list[Failed | None] = []
    loop = Loop()
    started = time.monotonic()
    loop.run(ATTEMPTS[check.type](check), check.timeout, ended.append)
    while not ended:
        loop.turn()
    took = f"{(time.monotonic() - started) * 1000:.1f} ms"
    _say(f"{check.name}: {'FAILED: ' + str(ended[0]) if ended[0] else 'ok'}, {took}")
    return UNHEALTHY if ended[0] else HEALTHY


def _become(uid: int) -> None:
    """As the agent does: a check that works only for root is no good."""
    if uid:
        user = pwd.getpwuid(uid)
        os.initgroups(user.pw_name, user.pw_gid)
        os.setgid(user.pw_gid)
        os.setuid(uid)


def _drain(config: Config, options: argparse.Namespace) -> int:
    return _write_drain(config, HANDED_OVER if options.hand_over else DRAINED)


def _undrain(config: Config, options: argparse.Namespace) -> int:
    return _write_drain(config, 0)


def _write_drain(config: Config, value: int) -> int:
    verdict.write(config.drain_file, f"{value}\n")
    _say(f"{config.drain_file}: {value}")
    return HEALTHY


def _span(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"
