# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Ansible and SSH reach the machines of a lab."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from lab.faults import offered
from lab.places import SSH_HOSTS, ssh_hosts
from lab.topology import Topology

CONTROLLER_PYTHON = "controller-python"
_TESTS = Path(__file__).resolve().parent.parent


def lab_command(*arguments: str) -> str:
    """The shell command that runs this lab's command line from anywhere on the host."""
    return f"PYTHONPATH={shlex.quote(str(_TESTS))} {shlex.join([sys.executable, '-m', 'lab', *arguments])}"


def ssh_config(state: Path, topology: Topology, network: Path) -> str:
    """OpenSSH's configuration: real SSH, with connections made inside the lab's controller network."""
    connect = shlex.join([sys.executable, "-I", "-S", str(_TESTS / "lab" / "connect.py"), str(network), "%h", "%p"])
    planned = ssh_hosts({each.name: each.address for each in topology.machines})
    # Of what is said twice the first counts.
    return f"Include {state}/{SSH_HOSTS}\n{planned}" + (
        "Host *\n"
        "    User root\n"
        f"    IdentityFile {state}/ssh_key\n"
        "    IdentitiesOnly yes\n"
        f"    UserKnownHostsFile {state}/known_hosts\n"
        "    GlobalKnownHostsFile /dev/null\n"
        "    HostKeyAlias lab\n"
        "    StrictHostKeyChecking yes\n"
        f"    ProxyCommand {connect}\n"
        "    ProxyUseFdpass yes\n"
        "    ConnectTimeout 5\n"
        # A machine that hangs or lost its power must not hang the one who asks.
        "    ServerAliveInterval 2\n"
        "    ServerAliveCountMax 2\n"
        "    LogLevel ERROR\n"
    )


def controller_python(state: Path) -> None:
    """Lay a Python into the state directory that runs in the controller's network."""
    (state / "python").write_text(f"{sys.executable}\n")
    (state / CONTROLLER_PYTHON).symlink_to(_TESTS / "lab" / CONTROLLER_PYTHON)


def inventory(lab: str, state: Path, topology: Topology) -> str:
    """The Ansible inventory, as JSON, which is YAML."""
    groups: dict[str, dict[str, dict[str, dict[str, object]]]] = {}
    for each in topology.machines:
        hooks = {
            fault: {
                "inject": lab_command("fault", "--name", lab, fault, each.name)
                + " --undo-after {{ drill_undo_after_s | default(60) }}",
                "undo": lab_command("repair", "--name", lab, fault, each.name),
            }
            for fault in offered(topology)
        }
        hosts = groups.setdefault(each.group, {"hosts": {}})["hosts"]
        hosts[each.name] = {"ansible_host": each.address, **each.variables}
        if each.group == "vip_nodes":
            hosts[each.name]["drill_hooks"] = hooks
        if each.own_kernel:
            # Root needs no sudo, which takes as long there as all that a module does elsewhere. Others are sudo's test.
            hosts[each.name]["ansible_become"] = False
    common = {
        "ansible_user": "root",
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_common_args": f"-F {state}/ssh_config",
        "ansible_control_path_dir": f"{state}/mux",
        "ansible_ssh_pipelining": True,
        **topology.variables,
    }
    # What runs on the controller runs with the Python that has the collection's requirements, where the API is.
    python = sys.executable if topology.world is None else f"{state}/{CONTROLLER_PYTHON}"
    controller = {"ansible_connection": "local", "ansible_python_interpreter": python}
    everything = {"all": {"vars": common, "children": groups, "hosts": {"localhost": controller}}}
    return json.dumps(everything, indent=2) + "\n"
