# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keystone and Neutron as processes, with databases and sockets of their own; they end with who started them."""

from __future__ import annotations

import contextlib
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab import LabError
from lab.openstack import environment, prepare
from lab.openstack.client import Client, Refused
from lab.openstack.environment import HERE, Environment

Address = tuple[str, int]

# The default of Neutron, 10 allowed pairs on a port, is an operator's to raise.
_NEUTRON = """
[DEFAULT]
state_path = {state}
core_plugin = ml2
service_plugins = router
max_allowed_address_pair = 32
auth_strategy = keystone
api_paste_config = {etc}/api-paste.ini
transport_url = fake://
notify_nova_on_port_status_changes = false
notify_nova_on_port_data_changes = false
dhcp_agent_notification = false
[database]
connection = sqlite:///{state}/neutron.sqlite
sqlite_synchronous = false
[oslo_concurrency]
lock_path = {state}
[oslo_policy]
policy_file = {state}/none.yaml
policy_dirs = {state}/none.d
[keystone_authtoken]
www_authenticate_uri = {identity}
auth_url = {identity}
auth_type = password
username = neutron
password = {password}
project_name = service
user_domain_id = default
project_domain_id = default
region_name = {region}
service_token_roles_required = true
[ml2]
type_drivers = local,flat,vlan,vxlan
tenant_network_types = local
mechanism_drivers = logger
extension_drivers = port_security
"""


@dataclass(frozen=True)
class Servers:
    """Where Keystone and Neutron listen, and Neutron's database; what they say lies beside it."""

    identity: Address
    network: Address
    database: Path


@contextlib.contextmanager
def running(urls: Mapping[str, str]) -> Iterator[Servers]:
    """Both, as long as the block lasts; ``urls``: what `prepare` left open in the catalogue -> what stands there."""
    made = environment.ensure()
    state = Path(tempfile.mkdtemp(prefix="cloudha-openstack-"))
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for each in ("keystone.sqlite", "neutron.sqlite"):
            shutil.copy(made.state / each, state)
        keystone, neutron = (socket.create_server(("127.0.0.1", 0), backlog=128) for _ in range(2))
        addresses = keystone.getsockname(), neutron.getsockname()
        _catalogue(state / "keystone.sqlite", urls, addresses[0])
        (state / "keystone.conf").write_text(prepare.keystone_conf(state / "keystone.sqlite", made.state / "keys"))
        (state / "neutron.conf").write_text(_neutron_conf(made, state, addresses[0]))
        for name, listening in (("keystone", keystone), ("neutron", neutron)):
            processes.append(_start(made, state, name, listening))
        for name, address, process in zip(("keystone", "neutron"), addresses, processes, strict=True):
            _wait(name, address, process, state)
        yield Servers(*addresses, database=state / "neutron.sqlite")
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
        shutil.rmtree(state, ignore_errors=True)


def _neutron_conf(made: Environment, state: Path, identity: Address) -> str:
    return _NEUTRON.format(
        state=state,
        etc=made.python.parent.parent / "etc/neutron",
        identity="http://{}:{}".format(*identity),
        password=prepare.PASSWORDS["neutron"],
        region=prepare.REGION,
    )


def _catalogue(database: Path, urls: Mapping[str, str], identity: Address) -> None:
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        for placeholder, url in urls.items():
            connection.execute("UPDATE endpoint SET url = ? WHERE url = ?", (url, placeholder))
        # Neutron asks Keystone itself about its callers, and a fault is for those alone.
        own = ("http://{}:{}/v3".format(*identity), urls[prepare.IDENTITY])
        connection.execute("UPDATE endpoint SET url = ? WHERE url = ? AND interface != 'public'", own)


def _start(made: Environment, state: Path, name: str, listening: socket.socket) -> subprocess.Popen[bytes]:
    # Who asks before it is ready waits in the socket's queue; once it has ended nobody listens there any more.
    with listening, (state / f"{name}.log").open("wb") as log:
        fd = listening.fileno()
        return subprocess.Popen(
            [made.python, "-I", HERE / "serve.py", name, str(fd), state / f"{name}.conf"],
            stdin=subprocess.PIPE,  # it ends when this end of the pipe is closed
            stdout=log,
            stderr=log,
            cwd=state,
            pass_fds=[fd],
            start_new_session=True,
        )


def _wait(name: str, address: Address, process: subprocess.Popen[bytes], state: Path) -> None:
    try:
        Client("http://{}:{}".format(*address), timeout=60).call("GET", "/")
    except Refused:
        pass  # an answer: it is there
    except OSError as error:
        log = (state / f"{name}.log").read_text(errors="replace")
        raise LabError(f"{name} does not answer ({error}; status {process.poll()}); it said: {log[-3000:]}") from error
