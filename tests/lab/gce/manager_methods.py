# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The methods for managed instance groups: what each needs and what it answers.

The permissions are named as for `lab.gce.methods`.
"""

from __future__ import annotations

from lab.gce import filters, kind_methods
from lab.gce.assignments import Assignments
from lab.gce.calls import Call, Handlers, page, part
from lab.gce.kind_methods import found, key_of, scope_of
from lab.gce.operations import Change
from lab.gce.resources import Resource

HANDLERS = Handlers()
_SERVICE = "instanceGroupManagers"
HANDLERS.of(f"{_SERVICE}.get")(kind_methods.get)
HANDLERS.of(f"{_SERVICE}.list")(kind_methods.listed)
HANDLERS.of(f"{_SERVICE}.insert")(kind_methods.insert)
HANDLERS.of(f"{_SERVICE}.delete")(kind_methods.delete)
HANDLERS.of(f"{_SERVICE}.patch")(kind_methods.change)
HANDLERS.of(f"{_SERVICE}.aggregatedList")(kind_methods.of_all_zones)


def _may(call: Call, verb: str) -> None:
    call.need(f"{call.scope}/{_SERVICE}/{key_of(call)}", f"compute.{_SERVICE}.{verb}")


@HANDLERS.of(f"{_SERVICE}.setInstanceTemplate")
def _set_template(call: Call) -> Resource:
    _may(call, "update")
    call.may_use(call.body.get("instanceTemplate", ""), "compute.instanceTemplates.useReadOnly")
    return call.start(call.cloud.managers.set_template(scope_of(call), key_of(call), call.body))


@HANDLERS.of(f"{_SERVICE}.resize")
def _resize(call: Call) -> Resource:
    _may(call, "update")
    return call.start(call.cloud.managers.resize(scope_of(call), key_of(call), int(call.query["size"])))


@HANDLERS.of("autoscalers.list")
def _autoscalers_list(call: Call) -> Resource:
    """There are none. gcloud asks for them, to say which groups are scaled."""
    call.need("", "compute.autoscalers.list")
    return page(call, "autoscaler", [], f"{call.scope}/autoscalers")


# --- members


@HANDLERS.of(
    *(f"{_SERVICE}.{name}" for name in ("createInstances", "deleteInstances", "recreateInstances")),
    *(f"{_SERVICE}.{name}" for name in ("applyUpdatesToInstances", "deletePerInstanceConfigs")),
    *(f"{_SERVICE}.{name}" for name in ("updatePerInstanceConfigs", "patchPerInstanceConfigs")),
)
def _assign(call: Call) -> Resource:
    _may(call, "update")
    with call.cloud.lock:
        change = _assignment(call, call.cloud.assignments, call.method.id.rpartition(".")[2])
    return call.start(change)


def _assignment(call: Call, assignments: Assignments, method: str) -> Change:
    where = scope_of(call), key_of(call), call.body
    if method.endswith("PerInstanceConfigs") and not method.startswith("delete"):
        return assignments.configure(*where, patches=method.startswith("patch"))
    return {
        "createInstances": assignments.create,
        "deleteInstances": assignments.delete,
        "recreateInstances": assignments.recreate,
        "applyUpdatesToInstances": assignments.apply,
        "deletePerInstanceConfigs": assignments.unconfigure,
    }[method](*where)


@HANDLERS.of(f"{_SERVICE}.listManagedInstances")
def _list_managed(call: Call) -> Resource:
    _may(call, "list")
    with call.cloud.lock:
        listed = call.cloud.managers.listed(found(call, call.cloud.shows_coming))
    return _page(call, listed, "managedInstances")


@HANDLERS.of(f"{_SERVICE}.listPerInstanceConfigs")
def _list_configs(call: Call) -> Resource:
    _may(call, "get")
    with call.cloud.lock:
        listed = call.cloud.assignments.configs(scope_of(call), key_of(call))
    return _page(call, listed, "items")


def _page(call: Call, listed: list[Resource], name: str) -> Resource:
    shown = part(call, [each for each in listed if filters.parse(call.query.get("filter"))(each)])
    return {name if key == "items" else key: value for key, value in shown.items()}
