# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module and its action plugin; this machine is the node."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.cloudha.vip.plugins.action.node_program import pack
from ansible_collections.cloudha.vip.plugins.module_utils.node import program
from ansible_collections.cloudha.vip.plugins.modules import node_program
from ansible_collections.cloudha.vip.plugins.plugin_utils.library import collect

TEXTS = (
    "#!/usr/bin/python3\n# Ansible managed\nrun\n",
    '{\n    "port": 80\n}\n',
    "#!/bin/sh\n# {{ it stays }}\n\n",
    "ab\n",
)
CODE = [
    "lib/agent/__init__.py",
    "lib/agent/netlink.py",
    "lib/agent/verdict.py",
    "lib/keepalived/conf.py",
    "lib/node/announcements.py",
    "lib/node/guard.py",
    "lib/node/health.py",
    "lib/node/in_force.py",
]


class Node:
    """A program on this machine, whose files are below ``root``. systemd's commands only write down what they hear."""

    def __init__(self, path, monkeypatch, capsys):
        self.path, self.capsys = path, capsys
        self.root = path / "node"
        for name in ("node", "bin"):
            (path / name).mkdir()
        for name in ("systemctl", "systemd-tmpfiles"):
            (path / "bin" / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {path}/told\n')
            (path / "bin" / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{path}/bin:{os.environ['PATH']}")
        self.args = {
            "library": {"path": str(self.root / "lib"), "modules": ["node/guard.py"], "service": "guard"},
            "directories": [{"path": str(self.root / "etc"), "mode": "0750"}],
            "files": [
                {"path": str(self.root / "bin/launcher"), "mode": "0755", "service": "agent"},
                {"path": str(self.root / "etc/config.json"), "mode": "0640"},
                {"path": str(self.root / "watch"), "service": "watch"},
                {"path": str(self.root / "text")},
            ],
        }

    def run(self, check=False, texts=TEXTS, **changes):
        """Run the module with what the action plugin would have given it, and return its result."""
        args = {**self.args, **changes}
        code = collect(args["library"]["modules"]) if args.get("library") else {}
        given = {
            **args,
            "archive": pack(code, texts),
            "_ansible_check_mode": check,
            "_ansible_remote_tmp": str(self.path),
        }
        with patch_module_args(given), pytest.raises(SystemExit):
            node_program.main()
        return json.loads(self.capsys.readouterr().out)

    def names(self, paths):
        return [os.path.relpath(path, self.root) for path in paths]


@pytest.fixture
def node(tmp_path, monkeypatch, capsys):
    return Node(tmp_path, monkeypatch, capsys)


def test_it_installs_all_and_then_nothing(node):
    result = node.run()
    assert result["changed"] is True
    assert node.names(result["changed_files"]) == ["etc", *CODE, "bin/launcher", "etc/config.json", "watch", "text"]
    assert (result["restart"], result["removed_files"], result["reloaded"]) == (["agent", "guard", "watch"], [], False)
    assert (node.root / "lib/node/guard.py").read_text() == collect(["node/guard.py"])["node/guard.py"]
    names = ("bin/launcher", "etc/config.json", "watch", "text")
    assert [(node.root / name).read_text() for name in names] == list(TEXTS)
    modes = [stat.S_IMODE((node.root / name).stat().st_mode) for name in (*names, "etc", "lib")]
    assert modes == [0o755, 0o640, 0o644, 0o644, 0o750, 0o755]
    assert not list(node.root.rglob(".*"))
    # Neither the result nor the journal repeats all contents.
    assert result["invocation"]["module_args"]["archive"].startswith("VALUE_SPECIFIED_IN_NO_LOG")
    assert "Announcements" not in json.dumps(result)

    result = node.run()
    assert (result["changed"], result["changed_files"], result["restart"], result["diff"]) == (False, [], [], [])


def test_a_dry_run_tells_and_changes_nothing(node):
    dry = node.run(check=True)
    assert not list(node.root.iterdir())
    real = node.run()
    for key in ("changed", "changed_files", "removed_files", "restart", "reloaded", "diff"):
        assert dry[key] == real[key], key
    (node.root / "text").write_text("other\n")
    assert node.names(node.run(check=True)["changed_files"]) == ["text"]
    assert (node.root / "text").read_text() == "other\n"


def test_only_what_differs_is_written_and_only_its_service_restarted(node):
    node.run()
    before = {path: path.stat().st_ino for path in node.root.rglob("*") if path.is_file()}
    (node.root / "bin/launcher").chmod(0o700)
    (node.root / "watch").unlink()
    (node.root / "watch").symlink_to("/dev/null")
    result = node.run()
    assert (node.names(result["changed_files"]), result["restart"]) == (["bin/launcher", "watch"], ["agent", "watch"])
    assert not (node.root / "watch").is_symlink()
    after = {path: path.stat().st_ino for path in before}
    assert {path.name for path in before if before[path] != after[path]} == {"launcher", "watch"}


def test_a_difference_is_shown_of_files_and_of_code_only_the_names(node):
    node.run()
    (node.root / "text").write_text("old\n")
    (node.root / "lib/node/guard.py").write_text("old")
    of_text, of_code = node.run()["diff"]
    assert (of_text["before"], of_text["after"]) == ("old\n", "ab\n")
    assert f"{node.root}/lib/node/guard.py (changed)\n" in of_code["after"]
    assert f"{node.root}/lib/keepalived/conf.py\n" in of_code["after"]


def test_what_an_older_version_had_is_removed(node):
    node.run()
    (node.root / "old").write_text("")
    stray = node.root / "lib/gone/module.py"
    for path in (stray, node.root / "lib/node/__pycache__/guard.cpython-311.pyc"):
        path.parent.mkdir()
        path.write_text("")
    (node.root / "lib/node/older.py").write_text("")
    result = node.run(absent=[str(node.root / "old"), str(node.root / "never")])
    assert node.names(result["removed_files"]) == ["old", "lib/gone/module.py", "lib/node/older.py"]
    assert (result["changed"], result["changed_files"], result["restart"]) == (True, [], ["guard"])
    assert not (node.root / "lib/gone").exists() and not (node.root / "lib/node/__pycache__").exists()
    assert (node.root / "lib/node/guard.py").exists()


def test_a_file_that_is_refused_stays_as_it_was(node):
    node.run()
    config = node.root / "etc/config.json"
    config.write_text("old")
    refuse = f"{sys.executable} -c 'import sys; sys.exit(sys.argv[1] + \": port 80 is taken\")' %s"
    files = [{**entry, "validate": refuse} if "config" in entry["path"] else entry for entry in node.args["files"]]
    result = node.run(files=files)
    assert result["failed"] is True
    assert result["msg"] == f"{config} is refused, and the old one stays: {config}: port 80 is taken"
    assert config.read_text() == "old"
    # Also where only the program has changed, which reads it.
    node.run()
    assert node.run(files=files)["failed"] is True
    assert node.run(check=True, files=files)["changed"] is False


def test_after_a_run_that_was_interrupted_all_services_are_restarted(node):
    node.run()
    result = node.run(unfinished=True)
    assert (result["changed"], result["changed_files"], result["restart"]) == (True, [], ["agent", "guard", "watch"])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to write below /run")
def test_systemd_is_told_of_units_only(node):
    unit = f"/run/systemd/system/cloudha-vip-test-{os.getpid()}.service"
    had = os.path.isdir("/run/systemd/system")
    node.args.update(files=[{"path": unit}], library=None, directories=[])
    try:
        assert node.run(check=True)["reloaded"] is True
        assert not (node.path / "told").exists()
        assert node.run()["reloaded"] is True
        assert (node.path / "told").read_text() == "systemctl daemon-reload\n"
        assert node.run()["reloaded"] is False
        assert node.run(unfinished=True)["reloaded"] is True
        assert node.run(files=[], texts=[], absent=[unit])["reloaded"] is True
        assert not os.path.exists(unit)
        assert (node.path / "told").read_text() == "systemctl daemon-reload\n" * 3
    finally:
        if os.path.exists(unit):
            os.unlink(unit)
        if not had:
            os.removedirs("/run/systemd/system")


def test_a_python_that_is_too_old_or_missing_changes_nothing(node):
    python = node.path / "bin/python-old"
    for does, says in (
        ("echo 3.6", "is Python 3.6, and the program needs Python 3.9 or newer"),
        ("true", "cannot be run, and the program needs Python 3.9 or newer"),
        ("echo what", "cannot be run, and the program needs Python 3.9 or newer"),
    ):
        python.write_text(f"#!/bin/sh\n{does}\n")
        python.chmod(0o755)
        result = node.run(python=str(python))
        assert result["failed"] is True and f"{python} on this node {says}" in result["msg"]
    assert node.run(python="/nonexistent/python")["failed"] is True
    assert not list(node.root.iterdir())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"files": [{"path": "/x", "mode": "rw"}]}, "the mode 'rw' is none"),
        (
            {"directories": [{"path": "x", "owner": "nobody-has-this-name"}]},
            "there is no user or group 'nobody-has-this",
        ),
    ],
)
def test_mistakes_are_named(node, changes, says, tmp_path):
    for directory in changes.get("directories", ()):
        directory["path"] = str(tmp_path / "x")
    result = node.run(texts=["a"], **{"library": None, "files": [], "directories": [], **changes})
    assert result["failed"] is True and says in result["msg"]


def test_without_its_action_plugin_it_says_so(node, capsys):
    with patch_module_args(node.args), pytest.raises(SystemExit):
        node_program.main()
    assert "ran without its action plugin" in json.loads(capsys.readouterr().out)["msg"]


def test_a_new_file_is_never_readable_before_it_is_its_owners(tmp_path, monkeypatch):
    seen = []
    give = program._give

    def watched(target, access):
        seen.append(stat.S_IMODE(os.fstat(target).st_mode))
        give(target, access)

    monkeypatch.setattr(program, "_give", watched)
    path = tmp_path / "file"
    (tmp_path / ".file.new").write_text("of a run that was killed")
    program.write(program.File(str(path), b"secret", program.Access(None, None, 0o644)))
    assert (seen, path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == ([0o600], b"secret", 0o644)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_directory_in_the_place_of_a_file_is_refused(tmp_path):
    with pytest.raises(IsADirectoryError, match="should be a file"):
        program.write(program.File(str(tmp_path), b"", program.Access(None, None, 0o644)))


def test_what_the_action_plugin_makes_of_a_task(tmp_path):
    """The real ansible-playbook, with this machine as the node."""
    for name in ("templates", "files"):
        (tmp_path / name).mkdir()
    (tmp_path / "templates/launcher.j2").write_text("#!{{ python }}\n# {{ ansible_managed }}\nrun\n")
    (tmp_path / "templates/config.json.j2").write_text("{{ {'port': 80} | to_nice_json }}\n")
    (tmp_path / "files/watch").write_text(TEXTS[2])
    root = tmp_path / "node"
    good = {
        "library": {"path": f"{root}/lib", "modules": ["node/guard.py"], "service": "guard"},
        "files": [
            {"path": f"{root}/launcher", "template": "launcher.j2"},
            {"path": f"{root}/config.json", "template": "config.json.j2"},
            {"path": f"{root}/watch", "src": "watch"},
            {"path": f"{root}/text", "content": "{{ 'a' ~ 'b' }}\n"},
        ],
    }
    bad = [
        ({"files": [{"path": "/x", "content": "a", "src": "watch"}]}, "give each file one of template, src, content"),
        ({"files": [{"path": "/x"}]}, "give each file one of template, src, content"),
        ({"files": [{"path": "/x", "template": "nothing.j2"}]}, "nothing.j2"),
        ({"archive": "x"}, "archive cannot be given"),
        ({"library": {"path": "/x", "modules": ["none/*.py"]}}, "has no file none/*.py"),
    ]
    module = "cloudha.vip.node_program"
    mistakes = [
        {module: args, "register": f"bad{number}", "ignore_errors": True} for number, (args, _words) in enumerate(bad)
    ]
    names = ", ".join(["dry", "first", "second", *(f"bad{number}" for number in range(len(bad)))])
    tasks = [
        {module: good, "register": "dry", "check_mode": True},
        {module: good, "register": "first"},
        {module: good, "register": "second"},
        *mistakes,
        {"ansible.builtin.copy": {"content": f"{{{{ [{names}] | to_json }}}}", "dest": f"{tmp_path}/results"}},
    ]
    variables = {
        "python": "/usr/bin/python3",
        "ansible_python_interpreter": sys.executable,
        "ansible_connection": "local",
        "ansible_managed": "Ansible managed",
    }
    (tmp_path / "play.yml").write_text(
        json.dumps([{"hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": tasks}])
    )
    command = [os.path.join(os.path.dirname(sys.executable), "ansible-playbook"), "play.yml", "--diff"]
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCAL_TEMP": f"{tmp_path}/tmp"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    dry, first, second, *wrong = json.loads((tmp_path / "results").read_text())
    assert [(root / name).read_text() for name in ("launcher", "config.json", "watch", "text")] == list(TEXTS)
    assert (root / "lib/node/guard.py").read_text() == collect(["node/guard.py"])["node/guard.py"]
    assert dry["changed_files"] == first["changed_files"] and len(first["changed_files"]) == len(CODE) + 4
    assert (dry["changed"], first["changed"], second["changed"]) == (True, True, False)
    assert '+    "port": 80' in done.stdout
    for result, (_args, says) in zip(wrong, bad, strict=True):
        assert result["failed"] is True and says in result["msg"]
