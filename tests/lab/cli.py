# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's command line."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence

from lab import LabError, topology
from lab.emulation.behaviour import KINDS
from lab.faults import FAULTS
from lab.image import SUITES, USUAL
from lab.lab import Lab, labs


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # What follows `--` is a command for another machine: argparse must not touch it.
    end = words.index("--") if "--" in words else len(words)
    options = _parser().parse_args(words[:end], argparse.Namespace(argv=words[end + 1 :]))
    if os.geteuid() != 0:
        print("lab: must run as root: it makes namespaces, mounts and control groups", file=sys.stderr)
        return 2
    try:
        status = options.verb(options) or 0
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Whoever reads it has read enough, as `head` has. Python writes the rest at its end, and would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description="A data centre on this machine, to break and to mend.")
    verbs = parser.add_subparsers(dest="command", required=True, metavar="VERB")

    def verb(name: str, function, text: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text)
        sub.set_defaults(verb=function)
        if name != "clean":
            sub.add_argument("--name", default="lab", help="which lab (default: %(default)s)")
        return sub

    sub = verb("up", _up, "Start a lab and wait until its machines answer SSH.")
    sub.add_argument("topology", nargs="?", default="onprem_active_standby", choices=sorted(topology.TOPOLOGIES))
    sub.add_argument("--nodes", type=int, help="how many nodes, 2 to 8 (onprem_active_standby only)")
    sub.add_argument("--suite", default=USUAL, choices=SUITES, help="Debian's release (default: %(default)s)")
    verb("down", _down, "End a lab; nothing stays but the cache.")
    verb("status", _status, "Show the machines of a lab.")
    sub = verb("exec", _exec, "Run a command in the controller's network, or on a machine.")
    sub.usage = "lab exec [--name NAME] [MACHINE] -- COMMAND..."
    sub.add_argument("machine", nargs="?", help="a machine of the lab; without it: the controller's network")
    sub = verb("fault", _fault, "Break something; print when, in ns since 1970.")
    _fault_arguments(sub)
    sub.add_argument("--undo-after", type=float, metavar="SECONDS", help="repair after this time, come what may")
    sub = verb("repair", _repair, "Mend what was broken.")
    _fault_arguments(sub)
    sub.add_argument("--wait", action="store_true", help="return when the machine answers SSH")
    sub = verb("port", _port, "Set the port security of a machine's port.")
    sub.add_argument("machine")
    choice = sub.add_mutually_exclusive_group(required=True)
    choice.add_argument("--open", action="store_true", help="let everything pass")
    choice.add_argument("--allow", nargs="*", metavar="ADDRESS", help="let pass its own addresses and these")
    _api_arguments(verb("api", _api, "Tell the cloud's API how to behave, or ask it what it has seen."))
    verb("clean", _clean, "Remove what is left of every lab, also after a crash.")
    return parser


def _fault_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("fault", choices=FAULTS)
    parser.add_argument("machine")
    parser.add_argument("--peers", nargs="*", default=[], help="partition: from whom (default: all other machines)")


def _api_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="api", required=True, metavar="WHAT")

    def verb(name: str, text: str) -> argparse.ArgumentParser:
        return verbs.add_parser(name, help=text, description=text)

    verb("state", "What is there: networks, instances, routes, and what they do to packets.")
    sub = verb("log", "Every request so far, a JSON object per line.")
    sub.add_argument("--clear", action="store_true", help="forget them")
    verb("behaviour", "How the API behaves now.")
    sub = verb("behave", "Change how it behaves: see `api behaviour` for what there is.")
    sub.add_argument("settings", nargs="+", metavar="NAME=VALUE", help="a value is JSON: boot_s=5, zone_exhausted=[]")
    sub = verb("latency", "How long an operation takes.")
    sub.add_argument("seconds", type=float)
    sub = verb("propagation", "How long a change takes from the end of its operation to the network.")
    sub.add_argument("seconds", type=float)
    sub.add_argument("--sender", help="only to what this instance sends")
    sub = verb("fault", "Answer some requests otherwise; `api heal` ends it.")
    sub.add_argument("kind", choices=KINDS)
    sub.add_argument("--verb", dest="http_verb", metavar="VERB", help="only requests with this HTTP method")
    sub.add_argument("--path", help="only paths in which this regular expression is found")
    sub.add_argument("--caller", help="only requests of this principal")
    sub.add_argument("--status", type=int, help="the HTTP status (default: 503)")
    sub.add_argument("--reason", help="Google's word for the error")
    sub.add_argument("--seconds", type=float, help="slow: how much longer it takes (default: 5)")
    sub.add_argument("--times", type=int, help="only so many requests")
    sub.add_argument("--for", type=float, dest="for_s", metavar="SECONDS", help="only so long")
    verb("heal", "No more faults, no zone is out.")
    sub = verb("outage", "Zones whose operations fail; without any: none.")
    sub.add_argument("zones", nargs="*")
    sub = verb("expire", "End the tokens that a principal has.")
    sub.add_argument("principal")


def _up(options: argparse.Namespace) -> None:
    name = options.topology if options.nodes is None else f"{options.topology}:{options.nodes}"
    Lab(options.name).up(name, lambda text: print(f"lab: {text}", flush=True), options.suite)


def _down(options: argparse.Namespace) -> None:
    Lab(options.name).down()


def _status(options: argparse.Namespace) -> None:
    for row in Lab(options.name).status():
        columns = f"{row['machine']:<12} {row['group']:<14} {row['state']:<8} {row['addresses']:<16} {row['cloud']}"
        print(columns.rstrip())


def _exec(options: argparse.Namespace) -> int:
    if not options.argv:
        raise LabError("exec needs a command: `exec [MACHINE] -- COMMAND`")
    return Lab(options.name).execute(options.argv, options.machine)


def _fault(options: argparse.Namespace) -> None:
    Lab(options.name).fault(options.fault, options.machine, options.peers, options.undo_after, tell=print)


def _repair(options: argparse.Namespace) -> None:
    Lab(options.name).repair(options.fault, options.machine, options.peers, options.wait)


def _port(options: argparse.Namespace) -> None:
    Lab(options.name).secure(options.machine, None if options.open else options.allow)


def _api(options: argparse.Namespace) -> None:
    ask = Lab(options.name).api
    if options.api == "log" and not options.clear:
        for entry in ask.log():
            print(json.dumps(entry))
        return
    if options.api == "fault":
        ask.fault(
            options.kind,
            match={"verb": options.http_verb, "path": options.path, "caller": options.caller},
            status=options.status,
            reason=options.reason,
            seconds=options.seconds,
            times=options.times,
            for_s=options.for_s,
        )
        return
    answer = {
        "state": ask.state,
        "log": ask.forget,
        "behaviour": ask.behaviour,
        "behave": lambda: ask.behave(**dict(map(_setting, options.settings))),
        "latency": lambda: ask.behave(latency_s=options.seconds),
        "propagation": lambda: ask.propagation(options.seconds, options.sender),
        "heal": ask.heal,
        "outage": lambda: ask.behave(zone_outage=options.zones),
        "expire": lambda: ask.expire(options.principal),
    }[options.api]()
    if options.api in ("state", "behaviour"):
        print(json.dumps(answer, indent=2))


def _setting(text: str) -> tuple[str, object]:
    name, _equals, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        raise LabError(f"'{text}' is not NAME=VALUE, with a value in JSON") from None


def _clean(_: argparse.Namespace) -> None:
    for lab in labs():
        lab.down()
        print(f"lab: removed '{lab.name}'")
