# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The methods that the kinds of resources have in common: what each needs and what it answers.

The permissions are named as for `lab.gce.methods`.
"""

from __future__ import annotations

from collections.abc import Mapping

from lab.gce import labels
from lab.gce.calls import Call, aggregated, page
from lab.gce.kinds import Kind
from lab.gce.resources import Resource

# The API's name of the methods -> the name of the resources in paths, if that is another.
COLLECTIONS = {"regionHealthChecks": "healthChecks", "regionBackendServices": "backendServices"}


def service_of(call: Call) -> str:
    """The API's name of the methods for this kind."""
    return call.method.id.split(".")[1]


def kind_of(call: Call) -> Kind:
    """The kind of resource that the path names."""
    service = service_of(call)
    return call.cloud.kinds[COLLECTIONS.get(service, service)]


def scope_of(call: Call) -> str:
    """Where it is, such as projects/P/regions/R."""
    return f"{call.project}/{call.scope}"


def key_of(call: Call) -> str:
    """The name, or id, of the resource that the path names: its last parameter."""
    return next(value for name, value in call.values.items() if name not in ("project", "zone", "region"))


def found(call: Call, coming: bool = True) -> Resource:
    """It, as it is stored; ``coming``: also if it is on its way in."""
    return kind_of(call).within(scope_of(call)).find(key_of(call), coming)


def get(call: Call) -> Resource:
    """It, as the API answers it."""
    kind = kind_of(call)
    call.need(f"{call.scope}/{kind.collection}/{key_of(call)}", f"compute.{service_of(call)}.get")
    with call.cloud.lock:
        return kind.view(found(call, call.cloud.shows_coming))


def listed(call: Call) -> Resource:
    """Those of a scope."""
    call.need("", f"compute.{service_of(call)}.list")
    kind = kind_of(call)
    return page(call, kind.kind, seen(call, kind, call.scope), f"{call.scope}/{kind.collection}")


def seen(call: Call, kind: Kind, scope: str) -> list[Resource]:
    """Those of a scope, as the API answers them."""
    with call.cloud.lock:
        shown = kind.within(f"{call.project}/{scope}").shown(call.cloud.shows_coming)
        return [kind.view(each) for each in shown]


def of_all_zones(call: Call) -> Resource:
    """Those of all zones, which other scopes have none of."""
    call.need("", f"compute.{service_of(call)}.list")
    kind, down = kind_of(call), call.cloud.behaviour.zone_outage
    scopes: Mapping[str, list[Resource] | None] = {
        **{f"regions/{name}": [] for name in call.cloud.regions},
        **{f"zones/{zone}": None if zone in down else seen(call, kind, f"zones/{zone}") for zone in call.cloud.zones},
    }
    return aggregated(call, kind.kind, kind.collection, scopes)


def of_all_regions(call: Call, name: str) -> Resource:
    """Those of all regions, and the global ones; ``name``: as the answer's kind begins."""
    call.need("", f"compute.{service_of(call)}.list")
    kind = kind_of(call)
    scopes = {
        scope: seen(call, kind, scope) for scope in ("global", *(f"regions/{each}" for each in call.cloud.regions))
    }
    return aggregated(call, name, kind.collection, scopes)


def insert(call: Call) -> Resource:
    """Make one."""
    with call.cloud.lock:
        kind = kind_of(call)
        path = f"{call.scope}/{kind.collection}/{call.body.get('name', '')}"
        call.need(path, kind.permission(service_of(call), "create", call.body))
        may_use(call, call.body)
        insertion = kind.insertion(call.body, scope_of(call))
    return call.start(insertion)


def may_use(call: Call, body: Resource, old: Resource | None = None) -> None:
    """Refuse a caller who may not use what a body names; ``old``: what is there already."""
    for url, permission in kind_of(call).needs(body, scope_of(call), old):
        call.may_use(url, permission)


def delete(call: Call) -> Resource:
    """Take it away."""
    with call.cloud.lock:
        kind, resource = kind_of(call), found(call)
        path = f"{call.scope}/{kind.collection}/{resource['name']}"
        call.need(path, kind.permission(service_of(call), "delete", resource))
        may_use(call, {}, resource)
        deletion = kind.deletion(scope_of(call), key_of(call))
    return call.start(deletion)


def change(call: Call) -> Resource:
    """Patch or update it."""
    with call.cloud.lock:
        kind, resource = kind_of(call), found(call)
        call.need(f"{call.scope}/{kind.collection}/{resource['name']}", f"compute.{service_of(call)}.update")
        may_use(call, call.body, resource)
        method = kind.patch if call.method.verb == "PATCH" else kind.update
        new = method(scope_of(call), key_of(call), call.body)
    return call.start(new)


def set_labels(call: Call) -> Resource:
    """Put all its labels."""
    kind = kind_of(call)
    call.need(f"{call.scope}/{kind.collection}/{key_of(call)}", f"compute.{kind.collection}.setLabels")
    return call.start(labels.put(kind, scope_of(call), key_of(call), call.body))
