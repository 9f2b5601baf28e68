# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A kind of action is one file: a toy is added to a copy of the collection's library, and everything follows."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.cloudha.vip.plugins.filter.vip_agent_config import FilterModule
from ansible_collections.cloudha.vip.plugins.module_utils.agent import kinds
from ansible_collections.cloudha.vip.plugins.module_utils.agent.config import ACTION_OPTIONS, Section
from ansible_collections.cloudha.vip.plugins.plugin_utils.library import ROOT, collect
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.agent.made_up_node import Node, until

TOY = """
from __future__ import annotations

from types import SimpleNamespace

from ..toys import box
from . import kinds
from .config import Action
from .kinds import Seen
from .mastership import Mastership


class ToyAction(Action):
    file: str
    size: int


@kinds.register
class Toy:
    type = "toy"
    machine = Mastership
    options = {**kinds.INSTANCE, "file": kinds.Path, "size": int}

    @classmethod
    def parse(cls, section):
        action = ToyAction()
        action.file = section.path("file")
        action.size = section.number("size", 1, 9, 3)
        return action

    @staticmethod
    def describe(status):
        return f"a toy of size {status['size']} is {'here' if status['here'] else 'elsewhere'}"

    def __init__(self, config):
        self.config, self.name, self.instance = config, config.name, config.instance
        self.check_interval = config.check_interval

    def prepare(self):
        pass

    def preflight(self):
        return []

    def warm(self):
        pass

    def look(self):
        return Seen(None, False, [], "it is nowhere")

    def reach(self, take, still_wanted, notify, sleep):
        notify({"event": "mutation"})
        with open(self.config.file, "w") as file:
            file.write(box.WORD * self.config.size)
        return SimpleNamespace(changed=True, after=SimpleNamespace(holder="me"), steps=[])

    def status(self):
        return {"size": self.config.size, "api": {"latency_ms": None, "error": None}}
"""
KINDS = "gcp_alias_ip, gcp_route, gcp_route_member, health_port"
ACTION = {"type": "toy", "instance": "VI_1", "name": "mine", "file": "/etc/toy"}


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The collection's library with a toy, which needs a file of its own."""
    root = tmp_path_factory.mktemp("collection") / "module_utils"
    shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "agent/toy.py").write_text(TOY)
    (root / "toys").mkdir()
    (root / "toys/box.py").write_text('WORD = "toy"\n')
    return root


class ToyNode(Node):
    def __init__(self, path, library):
        super().__init__(path)
        for package in ("agent", "base"):
            (path / "lib/vip_agent" / package).unlink()
        for name, text in collect(["agent/*.py"], library).items():
            target = path / "lib/vip_agent" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)

    def act(self, **changes):
        action = {**ACTION, "file": str(self.path / "toy"), **changes}
        self.configure(instances=[{"name": "VI_1"}], actions=[action])


@pytest.fixture
def node(tmp_path, library):
    made = ToyNode(tmp_path, library)
    yield made
    if made.process:
        made.process.kill()
        made.process.wait()


def test_the_file_and_what_it_imports_are_laid_on_nodes(library):
    assert set(collect(["agent/*.py"], library)) - set(collect(["agent/*.py"])) == {"agent/toy.py", "toys/box.py"}


def test_the_agent_checks_its_options_carries_it_out_and_tells_of_it(node):
    for changes, says in (
        ({"size": 10}, "actions[0].size: must be from 1 to 9, not 10"),
        ({"size": "2"}, 'actions[0].size: must be a whole number, not "2"'),
        ({"file": "toy"}, "actions[0].file: must be an absolute path, not 'toy'"),
        ({"colour": "red"}, "actions[0].colour: is not a known key"),
        ({"type": "tyo"}, f"actions[0].type: must be one of {KINDS}, toy, not 'tyo'"),
    ):
        node.act(**changes)
        refused = node.vip_agent("run", "--check-config", str(node.path / "config.json"))
        assert (refused.returncode, says in refused.stderr) == (2, True), refused.stderr
    node.act()
    node.start()
    node.tell('INSTANCE "VI_1" MASTER 254')
    done = node.event("action_done")
    assert (done["action"], done["instance"], done["holder"], done["changed"]) == ("mine", "VI_1", "me", True)
    assert (node.path / "toy").read_text() == "toytoytoy"
    said = until(lambda: "a toy of size 3 is here" in node.vip_agent("status").stdout)
    assert said
    assert json.loads(node.vip_agent("status", "--json").stdout)["actions"]["mine"]["type"] == "toy"


def test_the_role_knows_its_types(library, tmp_path):
    """Through the filters, which run on the controller with the whole collection."""
    script = (
        "import json; from collection.filter.vip_agent_config import vip_agent_config as typed;"
        "from collection.filter.vip_agent_problems import vip_agent_problems as problems;"
        f"config = dict(instances=[dict(name='VI_1')], checks=[], event_log_max_mb='16', actions=[{ACTION!r}]);"
        "config['actions'][0].update(size='2', file='/tmp/toy');"
        "print(json.dumps([typed(config), problems(typed(config))]))"
    )
    package = tmp_path / "collection"
    shutil.copytree(library, package / "module_utils")
    shutil.copytree(ROOT.parent / "filter", package / "filter")
    for path in package.rglob("vip_agent_*.py"):
        text = path.read_text().replace("ansible_collections.cloudha.vip.plugins", "collection")
        path.write_text(text)
    environment = {"PYTHONPATH": str(tmp_path), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    typed, problems = json.loads(done.stdout)
    assert typed["actions"][0] == {**ACTION, "size": 2, "file": "/tmp/toy"}
    (problem,) = problems
    assert problem.startswith("vip_agent_actions[0].file: the agent does not see /tmp/toy")


def test_a_name_that_is_no_kind_is_refused_whatever_file_it_names():
    for name in ("service", "gcp", "cli", "os", "../agent/gcp_route", "agent.gcp_route", "", "gcp_route ", "Gcp_route"):
        with pytest.raises(kinds.UnknownKind, match=f"^must be one of {KINDS}, not "):
            kinds.find(name)


def test_an_option_that_is_not_declared_is_a_mistake_of_the_kind():
    section = Section({"size": 1}, "actions[0]", [], {**ACTION_OPTIONS, "size": str})
    with pytest.raises(TypeError, match=r"the option 'size' is declared as .*str"):
        section.take("size", int)
    with pytest.raises(TypeError, match="the option 'more' is declared as None"):
        section.take("more", int)


def test_no_other_file_has_a_list_of_kinds():
    """Not the role, its options, its template, the command line or a module."""
    root = Path(ROOT).parents[1]
    places = [*(root / "roles/vip_agent").rglob("*.y*ml"), *(root / "roles/vip_agent").rglob("*.j2")]
    places += [*(root / "plugins/module_utils/agent").glob("*.py"), *(root / "plugins/filter").glob("vip_agent*")]
    places += [*(root / "plugins/modules").glob("node_*.py"), *(root / "plugins/action").glob("*.py")]
    for kind in kinds.known():
        found = [
            str(path.relative_to(root))
            for path in places
            if path.name not in (f"{kind}.py", f"{kind}_failover.py")
            and re.search(rf"\b(import|from) .*\b{kind}\b|[\"'\[, ]{kind}[\"'\], ]", path.read_text())
        ]
        assert found == [], kind


def test_the_readme_of_the_role_describes_every_option_of_every_kind():
    text = (Path(ROOT).parents[1] / "roles/vip_agent/README.md").read_text()
    for kind in kinds.known():
        assert f"`{kind}`" in text
        for option in {**ACTION_OPTIONS, **kinds.find(kind).options}:
            assert f"`{option}`" in text, f"{kind}: {option}"


def test_texts_that_came_through_a_template_get_the_types_that_are_declared():
    typed = FilterModule().filters()["vip_agent_config"]
    route = {
        "type": "gcp_route",
        "instance": "VI_1",
        "name": "7",
        "priority": "1000",
        "timeout_s": " 60",
        "tags": ["9"],
    }
    check = {"name": "web", "type": "http", "port": "80", "status": "204", "tls_verify": "no", "body": "1"}
    config = {
        "fifo": "/f",
        "event_log_max_mb": "16",
        "instances": [
            {"name": "VI_1", "addresses": ["10.0.0.1/24", {"address": "10.0.0.2"}], "excluded_addresses": ["10.0.0.3"]},
            {"name": "VI_2", "priority": 254},
        ],
        "checks": [check, {"status": ["200", 301], "tls_verify": "perhaps", "fall": "many"}],
        "actions": [route, {"type": "none", "priority": "5", "timeout_s": "60", "check_interval_s": None}],
    }
    assert typed(config) == {
        "fifo": "/f",
        "event_log_max_mb": 16,
        "instances": [
            {"name": "VI_1", "addresses": ["10.0.0.1/24", "10.0.0.2", "10.0.0.3"]},
            {"name": "VI_2", "addresses": []},
        ],
        "checks": [
            {**check, "port": 80, "status": [204], "tls_verify": False},
            {"status": [200, 301], "tls_verify": "perhaps", "fall": "many"},
        ],
        "actions": [
            {**route, "priority": 1000, "timeout_s": 60},
            {"type": "none", "priority": "5", "timeout_s": 60, "check_interval_s": None},
        ],
    }


def test_a_kind_costs_no_memory_for_what_only_a_mistake_needs():
    """pkgutil brings typing and weakref: half a MiB of 22."""
    script = "import sys; from module_utils.agent import kinds; kinds.find('gcp_route'); print(*sys.modules)"
    environment = {"PYTHONPATH": str(ROOT.parent), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "module_utils.agent.gcp_route" in loaded
    assert "pkgutil" not in loaded
