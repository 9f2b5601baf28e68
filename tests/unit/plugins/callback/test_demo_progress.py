# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("ansible.plugins.callback")
yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).resolve().parents[4]
_SPEC = importlib.util.spec_from_file_location("demo_progress", ROOT / "tests/callback/demo_progress.py")
assert _SPEC and _SPEC.loader
demo_progress = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(demo_progress)

ROLE = "cloudha.vip.drill : "
SINCE = 1_800_000_000_000_000_000


@pytest.fixture
def run(monkeypatch):
    """The callback, as Ansible would call it, and what it has told."""
    told = []
    callback = demo_progress.CallbackModule()

    def display(text):
        assert text.startswith("PROGRESS ")
        told.append(json.loads(text.removeprefix("PROGRESS ")))

    monkeypatch.setattr(callback, "_display", SimpleNamespace(display=display))
    return SimpleNamespace(callback=callback, told=told)


def task(name, ignore_unreachable=False, path="/roles/a/tasks/main.yml:7"):
    return SimpleNamespace(get_name=lambda: name, get_path=lambda: path, ignore_unreachable=ignore_unreachable)


def result(name, values, **more):
    # The names before and since ansible-core 2.19.
    host = SimpleNamespace(get_name=lambda: "node1")
    return SimpleNamespace(_task=task(name, **more), _result=values, _host=host)


def one_fault(callback, fault, first_ms):
    where = f"{fault} on node1"

    def begin(name):
        callback.v2_playbook_on_task_start(task(f"{ROLE}{name}"), False)

    begin(f"Begin: {fault}")
    begin(f"Inject: {where}")
    callback.v2_runner_on_ok(result(f"{ROLE}Arm the undo, then break it: {where}", {"stdout": f"boot x\n{SINCE}\n"}))
    begin(f"Wait for another node to answer: {where}")
    answer = {"ok": True, "first": SINCE + first_ms * 10**6, "by": "node2", "requests": 90, "lost": 7}
    callback.v2_runner_item_on_ok(
        result(f"{ROLE}Wait until clients get good answers not-by node1", {"stdout": json.dumps(answer)})
    )
    begin("Wait a second, as node1: does not answer")
    begin(f"Repair: {where}")
    begin(f"Keep the record: {where}")


def test_a_drill_is_told_fault_by_fault(run):
    for fault in ("service_kill", "partition"):
        included = SimpleNamespace(
            _task=task("cloudha.vip.drill : Break, measure, mend"), _vars={"drill_run": [fault, 1]}
        )
        run.callback.v2_playbook_on_include(included)
    one_fault(run.callback, "service_kill", 12)
    one_fault(run.callback, "partition", 1512)
    assert [(each["kind"], each.get("text", each.get("fault"))) for each in run.told] == [
        ("to come", "service_kill"),
        ("to come", "partition"),
        ("fault", "fault 1 of 2: service_kill (the service is killed)"),
        ("now", "fault 1 of 2: service_kill on node1: breaking it"),
        ("now", "fault 1 of 2: service_kill on node1: watching the clients' answers"),
        ("now", "fault 1 of 2: service_kill on node1: waiting a second, as node1: does not answer"),
        ("now", "fault 1 of 2: service_kill on node1: repairing it"),
        ("over", "fault 1 of 2: service_kill on node1: node2 answers after 12 ms, 7 of 90 requests lost"),
        ("fault", "fault 2 of 2: partition (the network around the node drops everything)"),
        ("now", "fault 2 of 2: partition on node1: breaking it"),
        ("now", "fault 2 of 2: partition on node1: watching the clients' answers"),
        ("now", "fault 2 of 2: partition on node1: waiting a second, as node1: does not answer"),
        ("now", "fault 2 of 2: partition on node1: repairing it"),
        ("over", "fault 2 of 2: partition on node1: node2 answers after 1,512 ms, 7 of 90 requests lost"),
    ]
    assert {each["fault"] for each in run.told if each["kind"] in ("fault", "over")} == {"service_kill", "partition"}


def test_a_fault_that_failed_is_told_so(run):
    for name in ("Begin: partition", "Repair all the same: partition on node1", "Keep the record: partition on node1"):
        run.callback.v2_playbook_on_task_start(task(ROLE + name), False)
    assert run.told[-1]["text"] == "partition on node1: FAILED"


def test_a_deployment_is_told_role_by_role_in_words(run):
    run.callback.v2_playbook_on_play_start(SimpleNamespace(get_name=lambda: "Deploy web servers"))
    checks = task("cloudha.vip.keepalived : Ask the neighbours", path="/roles/keepalived/tasks/check.yml:33")
    run.callback.v2_playbook_on_task_start(checks, False)
    for name in (
        "Gathering Facts",
        "cloudha.vip.nginx : Install nginx",
        "cloudha.vip.nginx : Lay the configuration",
        "cloudha.vip.keepalived : Write the configuration",
        "cloudha.vip.keepalived : Wait until the group is at rest",
        "cloudha.vip.keepalived : Wait for {{ what_is_not_known }}",
    ):
        run.callback.v2_playbook_on_task_start(task(name), False)
    run.callback.v2_playbook_on_handler_task_start(task("cloudha.vip.vip_agent : Restart the agent"))
    assert [each["text"] for each in run.told] == [
        "deploy web servers",
        "checking what is wanted before anything is changed",
        "installing nginx, the service behind the address",
        "installing keepalived, which gives the address to one node",
        "waiting until the group is at rest",
        "installing vip-agent, which checks the service",
    ]


def test_a_check_is_none_of_an_installation(run):
    """A role is entered to check first, and only later to install."""
    spec = "Validating arguments against arg spec"
    for name, file in (
        (f"cloudha.vip.keepalived : {spec} 'check' - Check the variables", "main.yml"),
        ("cloudha.vip.keepalived : Gather the facts of the node", "facts.yml"),
        (f"cloudha.vip.vrrp : {spec} 'main' - Have keepalived", "main.yml"),
        (f"cloudha.vip.keepalived : {spec} 'main' - Keep addresses", "main.yml"),
        ("cloudha.vip.keepalived : Gather the facts of the node", "facts.yml"),
        ("cloudha.vip.vrrp : Determine the nodes that have the address", "holder.yml"),
    ):
        run.callback.v2_playbook_on_task_start(task(name, path=f"/roles/a/tasks/{file}:7"), False)
    assert [each["text"] for each in run.told] == [
        "checking what is wanted before anything is changed",
        "installing keepalived, which gives the address to one node",
        "asking the nodes which of them holds the address",
    ]


def test_an_error_is_told_wholly_and_what_is_ignored_is_none(run):
    values = {
        "msg": "no such package",
        "stderr": "line 1\nline 2",
        "stdout": "",
        "rc": 100,
        "_ansible_no_log": False,
        "invocation": {"module_args": {}},
    }
    run.callback.v2_runner_on_failed(result("Install nginx", values), ignore_errors=True)
    run.callback.v2_runner_on_unreachable(result("Ask the node", {"msg": "timed out"}, ignore_unreachable=True))
    assert run.told == []
    run.callback.v2_runner_on_failed(result("Install nginx", values))
    run.callback.v2_runner_on_unreachable(result("Ask the node", {"msg": "timed out", "unreachable": True}))
    assert [each["kind"] for each in run.told] == ["error", "error"]
    assert run.told[0]["text"] == "Install nginx\nnode1: no such package\nstderr: line 1\nline 2\nrc: 100"
    assert run.told[1]["text"] == "Ask the node\nnode1: timed out\nunreachable: true"


def test_the_names_of_new_releases_of_ansible_are_read(run):
    host = SimpleNamespace(get_name=lambda: "node2")
    run.callback.v2_runner_on_failed(SimpleNamespace(task=task("A task"), result={"msg": "no"}, host=host))
    assert run.told == [{"kind": "error", "text": "A task\nnode2: no"}]


@pytest.mark.parametrize(
    "name",
    [
        *demo_progress.PHASES,
        *demo_progress.AROUND,
        demo_progress.BEGIN,
        demo_progress.END,
        demo_progress.EACH_FAULT,
        demo_progress.ANSWERS,
    ],
)
def test_the_role_has_the_tasks_that_are_looked_for(name):
    tasks = "".join(path.read_text() for path in (ROOT / "roles/drill/tasks").glob("*.yml"))
    assert re.search(rf'- name: "?{re.escape(name)}[":\n {{]', tasks)


def test_every_fault_has_words_and_no_role_that_is_gone_has_any():
    catalog = yaml.safe_load((ROOT / "roles/drill/vars/main.yml").read_text())["drill_catalog"]
    assert set(demo_progress.FAULTS) == set(catalog)
    assert set(demo_progress.ROLES) < {path.name for path in (ROOT / "roles").iterdir() if path.is_dir()}


def test_a_role_without_words_is_named(run):
    run.callback.progress.task("cloudha.vip.by_hand : Give the address to the first node", "main.yml")
    run.callback.progress.task("cloudha.vip.by_hand : Look up which node has the address", "check.yml")
    assert [each["text"] for each in run.told] == [
        "deploying or removing the part by_hand",
        demo_progress.ENTRIES["check"],
    ]
