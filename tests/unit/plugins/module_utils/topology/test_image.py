# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
from collections import UserString

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.clouds.gce_names import is_name
from ansible_collections.cloudha.vip.plugins.module_utils.topology import image

FILES = {"roles/web/tasks/main.yml": b"- name: a\n", "roles/web/files/page": b"\xff"}
VARIABLES = {"port": 80, "names": ["b", "a"], "tls": {"on": True, "key": None}}


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch):
    monkeypatch.setattr(image, "ROUNDS", 1)


def name(prefix="web", project="p", source="17", **others):
    given = {"files": FILES, "variables": VARIABLES, **others}
    return image.image_name(prefix, project, source, given["files"], given["variables"])


def test_the_name(monkeypatch):
    """Another one would make all images of all users anew. So the way to it does not change, nor does what a guess
    costs."""
    monkeypatch.undo()
    assert name() == "web-ynqa734zs3"


def test_it_is_a_name():
    for prefix in ("a", "a-b", "x" * 52):
        found = name(prefix)
        assert is_name(found) and found.startswith(f"{prefix}-") and len(found) == len(prefix) + 11


def test_everything_counts():
    others = [
        name(prefix="wep"),
        name(project="q"),
        name(source="18"),
        name(files={**FILES, "roles/web/files/page": b""}),
        name(files={"roles/web/tasks/main.yml": FILES["roles/web/tasks/main.yml"]}),
        name(files={"roles/wep/tasks/main.yml": b"- name: a\n", "roles/web/files/page": b"\xff"}),
        name(variables={**VARIABLES, "port": 81}),
        name(variables={**VARIABLES, "names": ["a", "b"]}),
        name(variables={**VARIABLES, "tls": {"on": False, "key": None}}),
        name(variables={**VARIABLES, "more": ""}),
        name(variables={}),
    ]
    digits = [each.rpartition("-")[2] for each in [name(), *others]]
    assert len(set(digits)) == len(digits)


def test_order_and_kinds_of_values_do_not_count():
    turned = {"tls": {"key": "", "on": "True"}, "names": ("b", "a"), "port": "80"}
    assert name(files=dict(reversed(FILES.items())), variables=turned) == name()
    assert name(variables={"secret": UserString("s3cret")}) == name(variables={"secret": "s3cret"})
    dates = {"day": datetime.date(2026, 11, 30), 7: 1.5}
    assert name(variables=dates) == name(variables={"day": "2026-11-30", "7": "1.5"})


def test_files_do_not_run_into_each_other():
    assert name(files={"a": b"bc"}) != name(files={"ab": b"c"})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"prefix": ""}, "'' is no prefix: use 1 to 52"),
        ({"prefix": "x" * 53}, "is no prefix"),
        ({"prefix": "Web"}, "is no prefix"),
        ({"prefix": "web-"}, "is no prefix"),
        ({"source": ""}, "source is empty"),
        ({"variables": {"a": {"b": [b"x"]}}}, r"variables\.a\.b\[0\] is bytes"),
        ({"variables": {"a": {1, 2}}}, r"variables\.a is set"),
        ({"variables": {"a": "__omit_place_holder__5f"}}, r"variables\.a is str, and no text"),
    ],
)
def test_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        name(**wrong)
