# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels of resources."""

from __future__ import annotations

import re
from collections.abc import Mapping

from lab.gce.errors import invalid
from lab.gce.kinds import Kind, check_fingerprint
from lab.gce.names import fingerprint
from lab.gce.operations import Change
from lab.gce.resources import Resource

_LABEL, _VALUE = re.compile("[a-z][-_a-z0-9]{0,62}"), re.compile("[-_a-z0-9]{0,63}")
_CHANGED = "Labels fingerprint either invalid or resource labels have changed"


def check(labels: Mapping[str, str]) -> None:
    """Refuse what is no label."""
    for key, value in labels.items():
        if not _LABEL.fullmatch(key) or not _VALUE.fullmatch(value):
            raise invalid("labels", f"{key}={value}", "It is not a label.")


def put(kind: Kind, scope: str, key: str, body: Resource) -> Change:
    """The change of all labels of a resource. Its operation is done in the answer."""

    def build(old: Resource) -> Resource:
        given = {"labelFingerprint": body.get("labelFingerprint") or "-"}
        check_fingerprint(given, old, "labelFingerprint", True, _CHANGED)
        check(body.get("labels", {}))
        rest = {name: value for name, value in old.items() if name != "labels"}
        new = {"labels": body["labels"]} if body.get("labels") else {}
        return {**rest, **new, "labelFingerprint": fingerprint()}

    with kind.projects.lock:
        return kind.within(scope).alteration("setLabels", key, build)._replace(immediate=True)
