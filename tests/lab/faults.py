# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be done to a running machine, and undone.

Runs inside the lab's namespaces. Every fault has one repair; both may be
repeated. An armed undo is a process inside the lab that repairs after a time,
so that a drill which is killed heals all the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import LabError, machine, vpc
from lab.api import Admin
from lab.gce.region import CONTROLLER_TOKEN, PROJECT
from lab.site import Site
from lab.topology import AGENT, Topology

_ARMED = Path("/run/armed")
_OUTAGE_S = 10.0
_STUCK_S = 15.0
_Action = Callable[[Site, str, Sequence[str]], None]


@dataclass(frozen=True)
class Fault:
    """What is done, and what undoes it: each gets the site, the machine, and the peers that its user named."""

    inject: _Action
    undo: _Action
    in_vpc: bool = False
    of_groups: bool = False  # of instances that the cloud's API makes again


def _cut(on: bool, whom: Callable[[Site, str], list[str]]) -> _Action:
    def cut(site: Site, name: str, peers: Sequence[str]) -> None:
        there = site.places.now()
        site.fabric.cut(name, [each for each in peers or whom(site, name) if each in there], on)

    return cut


def _if_there(action: _Action) -> _Action:
    """A machine that is no more has nothing to mend."""
    return lambda site, name, peers: action(site, name, peers) if name in site.places else None


def _with_power_cut(begin: Callable[[Admin], object]) -> Fault:
    """Something is wrong with the API at the moment at which it is needed: that alone would hurt no client."""

    def inject(site: Site, name: str, peers: Sequence[str]) -> None:
        begin(Admin(site.state))
        site.power_off(name)

    def undo(site: Site, name: str, peers: Sequence[str]) -> None:
        site.power_on(name)
        Admin(site.state).heal()

    return Fault(inject, undo, in_vpc=True)


def _slow(api: Admin) -> None:
    """What moves an address takes 6 s longer."""
    for verb, path in (("POST", "/global/routes"), ("DELETE", "/global/routes"), ("PATCH", "/updateNetworkInterface")):
        api.fault("slow", match={"verb": verb, "path": path}, seconds=6)


def _refuse_all(site: Site, name: str, peers: Sequence[str]) -> None:
    Admin(site.state).fault("status", status=503)


def _let_probes_in(on: bool) -> _Action:
    """By the firewall rule of each load balancer, as an operator would change it: at the API."""

    def change(site: Site, name: str, peers: Sequence[str]) -> None:
        rules = [each["name"] for each in Admin(site.state).state()["firewalls"] if each["name"].endswith("-probes")]
        if not rules and not on:
            raise LabError("no firewall rule is called NAME-probes: there is no load balancer yet")
        for rule in rules:
            _ask("PATCH", f"projects/{PROJECT}/global/firewalls/{rule}", {"name": rule, "disabled": not on})

    return change


def _ask(verb: str, path: str, body: object = None) -> None:
    """Ask Google's API, as an operator would."""
    request = urllib.request.Request(
        f"http://{vpc.API}/compute/v1/{path}",
        None if body is None else json.dumps(body).encode(),
        {"Authorization": f"Bearer {CONTROLLER_TOKEN}", "Content-Type": "application/json"},
        method=verb,
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        raise LabError(f"the API says {error.code} to {verb} {path}: {error.read().decode().strip()}") from error


def _instance(site: Site, name: str) -> dict[str, Any] | None:
    """What the API says of an instance that there is, with the ``path`` of its resource."""
    for each in Admin(site.state).state()["instances"]:
        if each["name"] == name:
            return {**each, "path": each["selfLink"].partition("/compute/v1/")[2]}
    return None


def _operate(verb: str, what: str = "", only: str = "") -> _Action:
    """Change an instance, as an operator would; with ``only`` not if it has another status."""

    def change(site: Site, name: str, peers: Sequence[str]) -> None:
        instance = _instance(site, name)
        if instance and only in ("", instance["status"]):
            _ask(verb, f"{instance['path']}{what}")

    return change


def _get_stuck(site: Site, name: str, peers: Sequence[str]) -> None:
    """``name`` loses its power, and for a while no group makes its instance again."""
    arm(site, "autohealing_stuck", name, peers, _STUCK_S)
    Admin(site.state).behave(autohealing_stuck=True)
    site.power_off(name)


def _nothing(site: Site, name: str, peers: Sequence[str]) -> None:
    """Others mend it."""


def _lose_zone(site: Site, name: str, peers: Sequence[str]) -> None:
    """The zone of ``name`` is lost for a while: its machines, and whatever the API would do there."""
    instance = _instance(site, name)
    if instance is None:
        raise LabError(f"{name} is no instance, so it is in no zone")
    arm(site, "zone_outage", name, peers, _OUTAGE_S)
    Admin(site.state).behave(zone_outage=[instance["zone"].rpartition("/")[2]])


def _heal(site: Site, name: str, peers: Sequence[str]) -> None:
    Admin(site.state).heal()


def _kill_agent(site: Site, name: str, peers: Sequence[str]) -> None:
    """Stop keepalived on ``name``; kill the agent that takes over as soon as it has begun to."""
    _end(_watcher(name))
    _ARMED.mkdir(exist_ok=True)
    seen = len(Admin(site.state).log())
    watching = os.fork()
    if watching == 0:
        # Nothing of the parent's is held: who waits for the end of its output must not wait for this.
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.closerange(3, 1024)
        try:
            _kill_at_first_change(site, peers or site.peers(name), seen)
        finally:
            os._exit(0)
    _watcher(name).write_text(str(watching))
    machine.execute(site.groups, name, "systemctl", "stop", "keepalived")


def _kill_at_first_change(site: Site, peers: Sequence[str], seen: int) -> None:
    api, deadline = Admin(site.state), time.monotonic() + 60
    while not any(entry["mutation"] for entry in api.log()[seen:]):
        if time.monotonic() > deadline:
            return
        time.sleep(0.005)
    for peer in peers:
        site.groups.kill_unit(peer, "vip-agent.service")


def _start_keepalived(site: Site, name: str, peers: Sequence[str]) -> None:
    _end(_watcher(name))
    machine.execute(site.groups, name, "systemctl", "start", "keepalived")


def _watcher(name: str) -> Path:
    return _ARMED / f"agent_kill-{name}.watcher"


FAULTS = {
    "node_power_off": Fault(lambda site, name, _: site.power_off(name), lambda site, name, _: site.power_on(name)),
    "node_hang": Fault(
        lambda site, name, _: site.groups.freeze(name, True), lambda site, name, _: site.groups.freeze(name, False)
    ),
    "partition": Fault(_cut(True, Site.others), _if_there(_cut(False, Site.others))),
    "partition_peers": Fault(_cut(True, Site.peers), _if_there(_cut(False, Site.peers))),
    "link_down": Fault(
        lambda site, name, _: site.fabric.set_carrier(name, up=False),
        _if_there(lambda site, name, _: site.fabric.set_carrier(name, up=True)),
    ),
    "api_down": Fault(_refuse_all, _heal, in_vpc=True),
    "probe_firewall_removed": Fault(_let_probes_in(False), _let_probes_in(True), in_vpc=True),
    "api_slow": _with_power_cut(_slow),
    "api_refuse": _with_power_cut(lambda api: api.fault("status", status=503, for_s=10)),
    "zone_outage": Fault(_lose_zone, _heal, in_vpc=True),
    "token_expired": _with_power_cut(lambda api: api.expire(AGENT)),
    "agent_kill": Fault(_kill_agent, _start_keepalived, in_vpc=True),
    "autohealing_stuck": Fault(
        _get_stuck, lambda site, name, _: Admin(site.state).behave(autohealing_stuck=False), of_groups=True
    ),
    "instance_deleted": Fault(_operate("DELETE"), _nothing, of_groups=True),
    "instance_stopped": Fault(_operate("POST", "/stop"), _operate("POST", "/start", "TERMINATED"), of_groups=True),
}


def offered(topology: Topology) -> list[str]:
    """The faults that can be done there."""
    router, groups = topology.gateway is not None, any(each.later for each in topology.machines)
    return [name for name, fault in FAULTS.items() if (router or not fault.in_vpc) and (groups or not fault.of_groups)]


def inject(site: Site, fault: str, name: str, peers: Sequence[str]) -> None:
    """Do ``fault`` to machine ``name``."""
    FAULTS[fault].inject(site, name, peers)


def repair(site: Site, fault: str, name: str, peers: Sequence[str]) -> None:
    """Undo ``fault`` on machine ``name`` and the undo that was armed for it."""
    _disarm(fault, name)
    FAULTS[fault].undo(site, name, peers)


def arm(site: Site, fault: str, name: str, peers: Sequence[str], seconds: float) -> None:
    """Repair ``fault`` after ``seconds``, whatever becomes of the caller."""
    _disarm(fault, name)
    _ARMED.mkdir(exist_ok=True)
    waiting = site.spawn("lab.faults", str(seconds), fault, name, *peers, log="undo.log")
    (_ARMED / f"{fault}-{name}").write_text(str(waiting.pid))


def _disarm(fault: str, name: str) -> None:
    _end(_ARMED / f"{fault}-{name}")


def _end(armed: Path) -> None:
    """Kill the process whose id is in the file ``armed``, unless it is this one."""
    try:
        pid = int(armed.read_text())
    except (OSError, ValueError):
        return
    armed.unlink()
    if pid != os.getpid():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _undo_later(words: list[str]) -> None:
    site = Site.of(words)
    seconds, fault, name, *peers = words
    time.sleep(float(seconds))
    repair(site, fault, name, peers)


if __name__ == "__main__":
    _undo_later(sys.argv[1:])
