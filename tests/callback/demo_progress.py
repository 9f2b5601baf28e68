# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: demo_progress
type: aggregate
short_description: Tell in words what a deployment or a drill is doing
description:
  - Prints lines that begin with C(PROGRESS), followed by an object of JSON. tests/demo_run.py reads them, while the
    rest goes to its log.
  - Their C(kind) is C(now), what is being done; C(to come), one more C(fault) that will be injected; C(fault), that one
    of them begins; C(over), that it has ended and with what; or C(error). Their C(text) is for people.
requirements:
  - enable it in E(ANSIBLE_CALLBACKS_ENABLED)
"""

# What the collection's roles do, to somebody who watches. Of a role without words it says the name.
ROLES = {
    "gcp": "checking what the nodes and Google's API will need",
    "gcp_alias_ip": "asking Google's API for the alias IP range",
    "gcp_autohealing": "asking Google for the nodes, which start from the image",
    "gcp_image": "asking Google for the image",
    "gcp_route_set": "asking Google's API for the routes",
    "gcp_route": "asking Google's API for the route",
    "health_check": "installing the check of the service",
    "holder": "asking the nodes which of them holds the address",
    "keepalived": "installing keepalived, which gives the address to one node",
    "havip": "binding the address to the nodes in the cloud",
    "cloudpods": "binding the address to the group of the nodes in the cloud",
    "no_forwarding": "stopping the nodes from forwarding packets",
    "local_address": "giving the nodes an address of their own that clients ask",
    "lvs_director": "preparing the directors, which spread the clients' requests",
    "lvs_real_server": "preparing the servers behind the directors",
    "nginx": "installing nginx, the service behind the address",
    "switchover": "keeping others' work away from the nodes",
    "vip_agent": "installing vip-agent, which checks the service",
    "vrrp": "installing keepalived, which gives the address to one node",
}
# What some of a role's files do, whatever the role; all that is included between a check's begin and the role's next
# entry point is part of the check.
ENTRIES = {"check": "checking what is wanted before anything is changed", "holder": ROLES["holder"]}
ENTRY = re.compile(r"Validating arguments against arg spec '(\w+)'")
# What is done to a node by a fault of the drill's catalog.
FAULTS = {
    "agent_kill": "keepalived stops, and the new holder's agent is killed at work",
    "all_backends_unhealthy": "the health checks of all nodes get no answer",
    "api_down": "the cloud's API answers nobody",
    "api_refuse": "the node is lost, and the cloud's API refuses for a while",
    "api_slow": "the node is lost, and the cloud's API is slow",
    "autohealing_stuck": "the node is lost, and the cloud does not make it anew",
    "backend_drained": "the node fails its health check on purpose, and goes on serving",
    "health_endpoint_broken": "the node's health checks get no answer",
    "instance_deleted": "somebody deletes the node's instance",
    "instance_stopped": "somebody stops the node's instance",
    "keepalived_kill": "keepalived is killed",
    "keepalived_stop": "keepalived is stopped",
    "link_down": "the node's network interface goes down",
    "node_hang": "the node hangs",
    "node_power_off": "the node loses its power",
    "partition": "the network around the node drops everything",
    "partition_peers": "the nodes lose sight of each other",
    "planned_switchover": "the address is moved as planned",
    "probe_firewall_removed": "no firewall rule lets in the load balancer's health checks",
    "real_server_drain": "a real server is drained",
    "real_server_hang": "the service on a real server hangs",
    "real_server_kill": "the service on a real server is killed",
    "service_hang": "the service hangs",
    "service_kill": "the service is killed",
    "token_expired": "the node is lost, and the nodes' tokens have ended",
    "zone_outage": "the node's zone is lost",
}
# Tasks of the role drill, up to the colon: of a fault, and outside of faults.
PHASES = {
    "Inject": "breaking it",
    "Wait for another node to answer": "watching the clients' answers",
    "Audit": "counting which nodes hold the address",
    "Repair": "repairing it",
    "Fail back": "moving the address back",
    "Move the address back": "moving the address back",
    "Wait for the end": "waiting until clients are served as before",
    "Repair all the same": "repairing it, as something went wrong",
}
AROUND = {
    "Ask the nodes for their versions, and for impossible faults": "asking the nodes what can be done to them",
    "Look for a steady state": "making sure that all is well before anything is broken",
    "Start to ask": "starting the clients' requests, 250 a second",
    "Stop asking": "stopping the clients' requests",
    "Fetch the records of the clients": "collecting what clients and nodes recorded",
    "Work out what clients lost": "working out what clients lost",
}
EACH_FAULT = "Break, measure, mend"
BEGIN, END = "Begin", "Keep the record"
ANSWERS = "Wait until clients get good answers"
NOBODY = "no more"


class Progress:
    """What to tell of a playbook, from the names of its tasks and a few results."""

    def __init__(self, tell: Callable[[dict[str, Any]], object]) -> None:
        self._tell = tell
        self.total = self._done = 0
        self._fault = self._phase = self._answered = self._role = ""
        self._entries: dict[str, str] = {}
        self._injected = 0
        self._failed = False

    def play(self, name: str) -> None:
        """A play begins."""
        self._role = ""
        if name and "{{" not in name:
            self._now(name[0].lower() + name[1:])

    def task(self, name: str, file: str = "") -> None:
        """A task begins. file: the one that it is in."""
        role, _colon, own = name.rpartition(" : ")
        what, _colon, where = own.partition(": ")
        role = role.rpartition(".")[2]
        if entered := ENTRY.match(own):
            self._entries[role] = entered[1]
        if what == BEGIN:
            self._fault, self._answered, self._injected, self._failed = where, "", 0, False
            self._phase = "beginning"
            words = f" ({FAULTS[where]})" if where in FAULTS else ""
            self._tell({"kind": "fault", "fault": where, "text": f"{self._place()}{where}{words}"})
        elif what == END and self._fault:
            said = "FAILED" if self._failed else self._answered or "done"
            text = f"{self._place()}{self._fault}: {said}"
            self._done += 1
            self._tell({"kind": "over", "fault": self._fault.partition(" ")[0], "text": text})
            self._fault = self._phase = ""
        elif what in PHASES and self._fault:
            self._phase = PHASES[what]
            self._fault = where or self._fault
            self._failed = self._failed or what == "Repair all the same"
            self._now(f"{self._place()}{self._fault}: {self._phase}")
        elif own.startswith("Wait ") and ANSWERS not in own and "{{" not in own:
            # Also within a phase: "Wait a second, as node1: does not answer".
            if self._fault:
                text = what if where == self._fault else own
                self._now(f"{self._place()}{self._fault}: waiting{text[4:]}")
            else:
                self._now(f"waiting{own[4:]}")
        elif what in AROUND and not self._fault:
            self._now(AROUND[what])
        elif name.startswith("cloudha.vip.") and role != "drill" and not self._fault:
            its = ROLES.get(role, f"deploying or removing the part {role}")
            text = ENTRIES.get(file.removesuffix(".yml")) or ENTRIES.get(self._entries.get(role, "")) or its
            if text != self._role:
                self._role = text
                self._now(text)

    def to_come(self, fault: str) -> None:
        """One more fault is to come."""
        self.total += 1
        self._tell({"kind": "to come", "fault": fault})

    def result(self, name: str, result: Mapping[str, Any]) -> None:
        """A task has ended well."""
        stdout = str(result.get("stdout") or "")
        stamps = [line for line in stdout.splitlines() if re.fullmatch(r"\d{19}", line)]
        if stamps and not self._injected:
            self._injected = int(stamps[-1])
        if ANSWERS in name and self._phase == PHASES["Wait for another node to answer"] and self._injected:
            try:
                found = json.loads(stdout)
                after = (found["first"] - self._injected) / 1e6
                lost = found["lost"]
                by = found["by"] or "another node"
            except (ValueError, KeyError, TypeError):
                return
            who = "nobody is served" if NOBODY in name else f"{by} answers"
            self._answered = f"{who} after {max(after, 0):,.0f} ms, {lost} of {found['requests']} requests lost"

    def failed(self, task: str, host: str, result: Mapping[str, Any]) -> None:
        """A task has failed, and that matters."""
        self._tell({"kind": "error", "text": f"{task}\n{host}: {wholly(result)}"})

    def _now(self, text: str) -> None:
        self._tell({"kind": "now", "text": text})

    def _place(self) -> str:
        return f"fault {self._done + 1} of {self.total}: " if self.total else ""


def wholly(result: Mapping[str, Any]) -> str:
    """All that Ansible says of a failure, the message first. What it is told to keep to itself is not in the result."""
    rest = {
        name: value
        for name, value in result.items()
        if not name.startswith("_ansible")
        and name not in ("invocation", "msg", "stdout_lines", "stderr_lines")
        and value
    }
    lines = [str(result.get("msg") or "failed")]
    for name, value in rest.items():
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        lines.append(f"{name}: {text}")
    return "\n".join(lines)


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "demo_progress"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self.progress = Progress(lambda event: self._display.display(f"PROGRESS {json.dumps(event)}"))

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self.progress.play(play.get_name().strip())

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        # As FILE:LINE.
        self.progress.task(task.get_name(), os.path.basename(task.get_path() or "").partition(":")[0])

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self.progress.task(task.get_name())

    def v2_playbook_on_include(self, included_file: Any) -> None:
        if EACH_FAULT in included_file._task.get_name():
            self.progress.to_come(str(included_file._vars["drill_run"][0]))

    def v2_runner_on_ok(self, result: Any) -> None:
        self._seen(result)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        self._seen(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            self._lost(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        if not _task(result).ignore_unreachable:
            self._lost(result)

    def _seen(self, result: Any) -> None:
        self.progress.result(_task(result).get_name(), _values(result))

    def _lost(self, result: Any) -> None:
        host = getattr(result, "host", None) or result._host
        self.progress.failed(_task(result).get_name(), host.get_name(), _values(result))


# Public since ansible-core 2.19.
def _task(result: Any) -> Any:
    return getattr(result, "task", None) or result._task


def _values(result: Any) -> Any:
    return getattr(result, "result", None) or result._result
