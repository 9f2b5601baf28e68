# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each unit that a role installs is as exposed as docs/security.md says, as systemd judges it."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

jinja2 = pytest.importorskip("jinja2")

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs/security.md").read_text()
# Each file by the name that the node knows it by. One that is none of these is found by the first test.
SERVICES = {
    "health_check/files/cloudha-vip-restart@.service": "cloudha-vip-restart@.service",
    "keepalived/templates/guard.service.j2": "cloudha-vip-guard.service",
    "local_address/templates/address.service.j2": "cloudha-vip-address@.service",
    "local_address/templates/keeper.service.j2": "cloudha-vip-address-keeper@.service",
    "vip_agent/templates/vip-agent-watch.service.j2": "vip-agent-watch.service",
    "vip_agent/templates/vip-agent.service.j2": "vip-agent.service",
}
OTHERS = {
    "health_check/files/cloudha-vip-restart@.path": "cloudha-vip-restart@.path",
    "keepalived/templates/service.conf.j2": "keepalived.service.d/cloudha-vip.conf",
    "nginx/templates/restart.conf.j2": "nginx.service.d/cloudha-vip.conf",
}
VALUES = {
    "ansible_managed": "by a test",
    "__keepalived": {"restart_ms": 700},
    "__keepalived_command": "/usr/sbin/keepalived --dont-fork",
    "__keepalived_companion": "/usr/local/lib/cloudha-vip/keepalived",
    "__keepalived_drain": "/run/cloudha-vip/drain",
    "__keepalived_guard": "/etc/systemd/system/cloudha-vip-guard.service",
    "local_address_protocol": 112,
    "nginx_listen_addresses": [],
    "vip_agent_keepalived": True,
    "vip_agent_memory_max": "64M",
    "vip_agent_nice": -10,
    "vip_agent_verdict_lasts_s": 3,
}


def rendered(file: str) -> str:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    environment.filters.update(dirname=os.path.dirname, basename=os.path.basename, bool=bool)
    text = (ROOT / "roles" / file).read_text()
    return environment.from_string(text).render(VALUES) if file.endswith(".j2") else text


def documented(unit: str) -> str | None:
    """What the table says of a unit's exposure."""
    found = re.search(rf"^\| `{re.escape(unit)}` \| ([^|]+?) \|", TEXT, re.M)
    return found and found[1]


def units() -> set[str]:
    """What has a section of a unit, and so is one or a part of one."""
    section = re.compile(r"^\[(Unit|Service|Socket|Timer|Path|Mount|Swap|Slice|Scope|Install)\]$", re.M)
    kinds = (".service", ".socket", ".timer", ".path", ".mount", ".slice", ".target")
    roles = ROOT / "roles"
    places = [file for kind in ("files", "templates") for file in roles.glob(f"*/{kind}/**/*") if file.is_file()]
    return {
        str(file.relative_to(roles))
        for file in places
        if file.name.removesuffix(".j2").endswith(kinds) or section.search(file.read_text(errors="replace"))
    }


@functools.cache
def version() -> int | None:
    """That of systemd; None if it cannot judge files here."""
    if not shutil.which("systemd-analyze"):
        return None
    if "--offline" not in told("--help").stdout:
        return None
    return int(told("--version").stdout.split()[1])


def told(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    command = ["systemd-analyze", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)


def test_each_unit_of_a_role_is_in_the_documentation():
    assert units() == {*SERVICES, *OTHERS}
    assert [unit for unit in (*SERVICES.values(), *OTHERS.values()) if documented(unit) is None] == []


def test_no_role_writes_a_unit_in_its_tasks():
    """Such a unit would be judged by nobody."""
    tasks = [*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("roles/*/handlers/*.yml"), *ROOT.glob("playbooks/**/*.yml")]
    assert tasks
    inside = re.compile(r"^\s*\[(Unit|Service)\]", re.M)
    assert [str(file.relative_to(ROOT)) for file in tasks if inside.search(file.read_text())] == []


@pytest.mark.parametrize("file", SERVICES)
def test_a_service_is_as_exposed_as_documented(file, tmp_path):
    if version() is None:
        pytest.skip("no systemd-analyze here that judges files")
    place = tmp_path / SERVICES[file]
    place.write_text(rendered(file))
    judged = told("security", "--no-pager", "--offline=true", str(place))
    assert judged.stderr == ""  # what it does not understand it ignores, and says so
    exposure = float(re.findall(r"Overall exposure level for .*: (\d+\.\d) ", judged.stdout)[0])
    bound = float(documented(SERVICES[file]) or "nan")
    # The figures are those of version 252; others know more or fewer ways to be exposed.
    assert exposure == bound if version() == 252 else abs(exposure - bound) <= 0.5, judged.stdout


@pytest.mark.parametrize("file", [name for name in OTHERS if name.endswith(".conf.j2")])
def test_a_part_of_anothers_unit_opens_nothing(file):
    """It neither changes the user nor takes away a protection that the distribution gave."""
    keys = {line.partition("=")[0] for line in rendered(file).splitlines() if "=" in line and not line.startswith("#")}
    unit = {"Wants", "After", "StartLimitIntervalSec", "X-Listen"}
    service = {"ExecStartPre", "ExecStart", "ExecStartPost", "ExecReload", "Restart", "RestartSec"}
    assert keys <= unit | service
