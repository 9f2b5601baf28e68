# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for virtual IPs: the table of clouds, from options to a goal, and from observations to results."""

from __future__ import annotations

import ipaddress
import os

from ..base.floating import never_floats
from ..failover import engine
from ..failover.havip_goal import Goal
from .providers import huaweicloud, openstack, ucloudstack
from .run import OptionError, check_seconds, hide_only_secrets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ansible.module_utils.basic import AnsibleModule

    from ..failover.havip_look import Vip
    from .providers.provider import Options, Provider
    from .run import Report

# A new cloud is a file in providers/ and an entry here.
PROVIDERS: dict[str, Provider] = {
    provider.name: provider for provider in (openstack.PROVIDER, huaweicloud.PROVIDER, ucloudstack.PROVIDER)
}


def _compose(*groups: Options) -> Options:
    """One argument spec of several. Options of the same name have to be the same option."""
    spec: Options = {}
    for group in groups:
        for option, each in group.items():
            if spec.setdefault(option, each) != each:
                raise ValueError(f"two providers have an option {option}, and it is not the same")
    return spec


_COMMON: Options = dict(
    provider=dict(type="str", required=True, choices=list(PROVIDERS)),
    ca_cert=dict(type="path", aliases=["cacert"]),
    api_timeout=dict(type="float", default=30),
    region_name=dict(type="str"),
    network=dict(type="str", aliases=["vpc_id"]),
    subnet=dict(type="str"),
    vip_id=dict(type="str"),
    address=dict(type="str", aliases=["ip_address"]),
    name=dict(type="str"),
    timeout=dict(type="float", default=60),
)
_COMMON_BINDING: Options = dict(
    state=dict(type="str", choices=["present", "absent"], default="present"),
    members=dict(type="list", elements="str"),
    exclusive=dict(type="bool", default=False),
    max_members=dict(type="int"),
    max_vips=dict(type="int"),
    enforce_limits=dict(type="bool"),
    settle=dict(type="float", default=1),
)
# Of havip_info, and of havip_bind.
INFO_SPEC = _compose(_COMMON, *(each.login for each in PROVIDERS.values()))
BIND_SPEC = _compose(INFO_SPEC, _COMMON_BINDING, *(each.binding for each in PROVIDERS.values()))


def describe(report: Report) -> dict[str, Any]:
    """The results of havip_bind besides those of all modules."""
    now, then = report.now, report.then
    report.warnings += report.after.warnings
    return {
        "address": then.get("address") or now.get("address"),
        "vip_id": then.get("id") or now.get("id"),
        "members": then.get("members", []),
        "previous_members": now.get("members", []),
        "external": then.get("external", []),
        "locking": "revision" if report.after.observed.locked else "verify",
    }


def info(params: Mapping[str, Any], provider: Provider, client: Any) -> dict[str, Any]:
    """The results of havip_info."""
    procedure, address = provider.procedure, _address(params)
    asked = Goal(present=False, vip_id=params["vip_id"], network=params["network"], subnet=params["subnet"])
    seen = procedure.observe(client, asked, engine.Memory())
    vips = [
        vip
        for vip in seen.observed.vips
        if params["vip_id"] in (None, vip.id) and address in (None, vip.address) and params["name"] in (None, vip.name)
    ]
    return {
        "vips": [_vip(vip) for vip in sorted(vips, key=lambda vip: (vip.network, vip.address))],
        "problems": seen.problems or procedure.complaints(seen.observed, vips),
    }


def _vip(vip: Vip) -> dict[str, Any]:
    return {
        "id": vip.id,
        "address": vip.address,
        "name": vip.name,
        "remark": vip.remark,
        "network": vip.network,
        "subnet": vip.subnet,
        "vip_type": vip.kind,
        "status": vip.status,
        "members": [
            {"id": member.id, "name": member.name, "address": member.address}
            for member in sorted(vip.members.values(), key=str)
        ],
        "external": sorted(each["address"] for each in vip.external),
    }


def goal(params: Mapping[str, Any]) -> Goal:
    """The goal of havip_bind, from its options."""
    provider = PROVIDERS[params["provider"]]
    own = provider.goal(params)
    if not any(params[option] for option in ("vip_id", "address", "name")):
        raise OptionError("name: say which virtual IP is meant, by vip_id, address or name")
    if params["exclusive"] and params["members"] is None and own.get("external") is None:
        raise OptionError("exclusive: give members (or external), to say who shall be the only ones")
    return Goal(
        present=params["state"] == "present",
        vip_id=params["vip_id"],
        address=_address(params),
        name=params["name"],
        network=params["network"],
        subnet=params["subnet"],
        members=params["members"],
        exclusive=params["exclusive"],
        limits=(
            provider.most_members if params["max_members"] is None else params["max_members"],
            provider.most_vips if params["max_vips"] is None else params["max_vips"],
        ),
        enforce=provider.enforce if params["enforce_limits"] is None else params["enforce_limits"],
        settle=params["settle"],
        **own,
    )


def _address(params: Mapping[str, Any]) -> str | None:
    if params["address"] is None:
        return None
    try:
        address = ipaddress.ip_address(params["address"])
    except ValueError:
        raise OptionError(f"address: {params['address']!r} is not an IP address") from None
    wrong = never_floats(int(address), int(address), address.version)
    if wrong:
        raise OptionError(f"address: {params['address']!r} {wrong}")
    return str(address)


def check_options(module: AnsibleModule) -> Provider:
    """The provider that is asked for. Refuses an option that only others have, unless it is from the environment."""
    hide(module)
    params = module.params
    check_seconds(params, settle=(0, 600))
    provider = PROVIDERS[params["provider"]]
    known = {*_COMMON, *_COMMON_BINDING, *provider.login, *provider.binding}
    for option, spec in BIND_SPEC.items():
        _how, variables = spec.get("fallback") or (None, ())
        given = params.get(option) is not None and params[option] not in map(os.environ.get, variables)
        if given and option not in known:
            owners = [each.name for each in PROVIDERS.values() if option in {**each.login, **each.binding}]
            raise OptionError(f"{option}: not with provider={provider.name}, only with {' and '.join(owners)}")
    return provider


def hide(module: AnsibleModule) -> None:
    """Have the secrets hidden that are in the options of any provider, and no other part of them."""
    hide_only_secrets(module, [secret for each in PROVIDERS.values() for secret in each.secrets(module.params)])
