# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's Keystone and Neutron take nothing from the machine they run on."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from lab.openstack import environment

TESTS = Path(__file__).resolve().parent.parent
# What an installed service leaves in /etc: whoever reads any of it does not start.
FOREIGN = """
[DEFAULT]
core_plugin = foreign
[database]
connection = sqlite:////nonexistent/foreign.sqlite
[token]
provider = foreign
[oslo_policy]
policy_file = /nonexistent/policy.yaml
"""
USE = """
import json
import sys
import urllib.request
from pathlib import Path

from lab.openstack import environment
from lab.openstack.environment import Environment
from lab.openstack.prepare import COMPUTE, IDENTITY, NETWORK, PASSWORDS, PROJECT
from lab.openstack.processes import running


def ask(address, path, token="", body=None):
    headers = {"Content-Type": "application/json", "X-Auth-Token": token}
    request = urllib.request.Request("http://{}:{}".format(*address) + path, body, headers)
    return urllib.request.urlopen(request, timeout=60)


environment.ensure = lambda: Environment(Path(sys.argv[1]), Path(sys.argv[2]))
with running({each: "http://127.0.0.1:9/" for each in (COMPUTE, IDENTITY, NETWORK)}) as servers:
    default = {"id": "default"}
    user = {"name": "operator", "password": PASSWORDS["operator"], "domain": default}
    login = {"identity": {"methods": ["password"], "password": {"user": user}}}
    login["scope"] = {"project": {"name": PROJECT, "domain": default}}
    with ask(servers.identity, "/v3/auth/tokens", body=json.dumps({"auth": login}).encode()) as answer:
        token = answer.headers["X-Subject-Token"]
    # Neutron asks Keystone about the token.
    with ask(servers.network, "/v2.0/networks", token) as answer:
        print(json.load(answer))
"""


def test_keystone_and_neutron_start_whatever_etc_holds(tmp_path: Path) -> None:
    made = environment.ensure()
    script = "set -e\n"
    for service in ("keystone", "neutron"):
        etc = tmp_path / "etc" / service
        (etc / f"{service}.conf.d").mkdir(parents=True)
        for name in (f"{service}.conf", f"{service}.conf.d/foreign.conf"):
            (etc / name).write_text(FOREIGN)
        (etc / "policy.yaml").write_text("not: [valid\n")
    script += f"mount -t overlay -o lowerdir={tmp_path}/etc:/etc overlay /etc\n"
    # Nothing that this machine happens to have there may help: no keys, no databases.
    for service in ("keystone", "neutron"):
        script += f"mount --bind {tmp_path}/etc/{service} /etc/{service}\n"
        script += f"[ ! -d /var/lib/{service} ] || mount -t tmpfs none /var/lib/{service}\n"
    state = tmp_path / "state"
    script += shlex.join([str(made.python), "-I", str(TESTS / "lab/openstack/prepare.py"), str(state)]) + "\n"
    script += shlex.join([sys.executable, "-c", USE, str(made.python), str(state)]) + "\n"
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "{'networks': []}" in done.stdout
