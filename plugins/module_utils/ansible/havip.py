# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules for virtual IPs have in common: the clouds' options, from options to a goal, and the result."""

from __future__ import annotations

import ipaddress
import os
import re
import traceback
from urllib.parse import urlsplit

from ansible.module_utils.basic import env_fallback, missing_required_lib

from ..clouds.huaweicloud import HuaweiCloud
from ..clouds.neutron import Neutron
from ..clouds.session import StdlibSession
from ..clouds.ucloudstack import UCloudStack
from ..failover import engine, havip, havip_ports, havip_ucloudstack
from .run import OptionError, check_seconds, hide_only_secrets, read_with_retries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ansible.module_utils.basic import AnsibleModule

    from .run import Report

OPENSTACK, HUAWEI, UCLOUDSTACK = PROVIDERS = ("openstack", "huaweicloud", "ucloudstack")

# Names and variables are those of openstack.cloud, and of Huawei's and UCloud's own tools.
SPEC: dict[str, dict[str, Any]] = dict(
    provider=dict(type="str", required=True, choices=list(PROVIDERS)),
    # Ansible logs what a task was given before anybody can say which part of it is secret: see hide().
    cloud=dict(type="raw", no_log=True),
    auth=dict(type="dict", no_log=True),
    auth_type=dict(type="str"),
    interface=dict(type="str", choices=["admin", "internal", "public"]),
    validate_certs=dict(type="bool"),
    ca_cert=dict(type="path", aliases=["cacert"]),
    client_cert=dict(type="path", aliases=["cert"]),
    client_key=dict(type="path", aliases=["key"], no_log=False),
    api_timeout=dict(type="float", default=30),
    region_name=dict(type="str"),
    auth_url=dict(type="str", fallback=(env_fallback, ["HW_AUTH_URL"])),
    user_name=dict(type="str", fallback=(env_fallback, ["HW_USER_NAME"])),
    password=dict(type="str", no_log=True, fallback=(env_fallback, ["HW_USER_PASSWORD"])),
    domain_name=dict(type="str", fallback=(env_fallback, ["HW_DOMAIN_NAME"])),
    project_name=dict(type="str", fallback=(env_fallback, ["HW_PROJECT_NAME"])),
    project_id=dict(type="str"),
    endpoint=dict(type="str", fallback=(env_fallback, ["UCLOUD_BASE_URL"])),
    public_key=dict(type="str", no_log=False, fallback=(env_fallback, ["UCLOUD_PUBLIC_KEY"])),
    private_key=dict(type="str", no_log=True, fallback=(env_fallback, ["UCLOUD_PRIVATE_KEY"])),
    company_id=dict(type="int"),
    network=dict(type="str", aliases=["vpc_id"]),
    subnet=dict(type="str"),
    vip_id=dict(type="str"),
    address=dict(type="str", aliases=["ip_address"]),
    name=dict(type="str"),
    timeout=dict(type="float", default=60),
)

# Options that have a meaning for some providers only.
_ONLY = {
    **dict.fromkeys(("cloud", "auth", "auth_type", "interface", "client_cert", "client_key"), (OPENSTACK, HUAWEI)),
    **dict.fromkeys(("auth_url", "user_name", "password", "domain_name", "project_name"), (HUAWEI,)),
    **dict.fromkeys(("endpoint", "public_key", "private_key", "company_id"), (UCLOUDSTACK,)),
    **dict.fromkeys(("vip_type", "segment", "bandwidth", "charge_type", "quantity"), (UCLOUDSTACK,)),
    "project_id": (HUAWEI, UCLOUDSTACK),
    "validate_certs": (OPENSTACK, HUAWEI),
    "external": (OPENSTACK, HUAWEI),
    "remark": (OPENSTACK, UCLOUDSTACK),
    "restore_source_check": (HUAWEI,),
    "source_check_off": (HUAWEI,),
}
# Of members of a virtual IP, and of virtual IPs of a member; whether more is refused. Huawei only advises against it.
_LIMITS: dict[str, tuple[int | None, int | None, bool]] = {
    OPENSTACK: (None, None, True),
    HUAWEI: (10, 8, False),
    UCLOUDSTACK: (3, 5, True),
}
PROCEDURES: dict[str, havip.Havip] = {
    OPENSTACK: havip_ports.Neutron(),
    HUAWEI: havip_ports.Huawei(),
    UCLOUDSTACK: havip_ucloudstack.UCloudStack(),
}


def describe(report: Report) -> dict[str, Any]:
    """What havip_bind returns besides what all modules return."""
    now, then = report.now, report.then
    report.warnings += report.after.warnings
    return {
        "address": then.get("address") or now.get("address"),
        "vip_id": then.get("id") or now.get("id"),
        "members": then.get("members", []),
        "previous_members": now.get("members", []),
        "external": then.get("external", []),
        "locking": "revision" if report.after.locked else "verify",
    }


def info(module: AnsibleModule) -> dict[str, Any]:
    """The virtual IPs that are asked for, and what is wrong with them."""
    params = module.params
    check_options(module)
    client, procedure = connect(module), PROCEDURES[params["provider"]]
    asked = havip.Goal(present=False, vip_id=params["vip_id"], network=params["network"], subnet=params["subnet"])
    survey = read_with_retries(lambda: procedure.look(client, asked, engine.Memory()), params["timeout"])
    address = _address(params)
    survey.vips = [
        vip
        for vip in survey.vips
        if params["vip_id"] in (None, vip.id) and address in (None, vip.address) and params["name"] in (None, vip.name)
    ]
    return {
        "vips": [_told(vip) for vip in sorted(survey.vips, key=lambda vip: (vip.network, vip.address))],
        "problems": survey.problems or procedure.complaints(survey),
    }


def _told(vip: havip.Vip) -> dict[str, Any]:
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


def goal(params: Mapping[str, Any]) -> havip.Goal:
    """What havip_bind shall do."""
    if not any(params[option] for option in ("vip_id", "address", "name")):
        raise OptionError("name: say which virtual IP is meant, by vip_id, address or name")
    if params["exclusive"] and params["members"] is None and params["external"] is None:
        raise OptionError("exclusive: give members (or external), to say who shall be the only ones")
    most_members, most_vips, enforce = _LIMITS[params["provider"]]
    creation = {
        "SegmentID": params["segment"],
        "Bandwidth": params["bandwidth"],
        "ChargeType": params["charge_type"],
        "Quantity": params["quantity"],
    }
    return havip.Goal(
        present=params["state"] == "present",
        vip_id=params["vip_id"],
        address=_address(params),
        name=params["name"],
        remark=params["remark"],
        network=params["network"],
        subnet=params["subnet"],
        kind=params["vip_type"],
        members=params["members"],
        exclusive=params["exclusive"],
        external=params["external"],
        restore_check=bool(params["restore_source_check"]),
        unchecked=params["source_check_off"] or (),
        limits=(
            most_members if params["max_members"] is None else params["max_members"],
            most_vips if params["max_vips"] is None else params["max_vips"],
        ),
        enforce=enforce if params["enforce_limits"] is None else params["enforce_limits"],
        creation={key: value for key, value in creation.items() if value is not None},
        settle=params["settle"],
    )


def _address(params: Mapping[str, Any]) -> str | None:
    if params["address"] is None:
        return None
    try:
        return str(ipaddress.ip_address(params["address"]))
    except ValueError:
        raise OptionError(f"address: {params['address']!r} is not an IP address") from None


def check_options(module: AnsibleModule) -> None:
    """Refuse an option that means nothing to the provider, unless it is from the environment."""
    hide(module)
    params = module.params
    check_seconds(params, settle=(0, 600))
    for option, providers in _ONLY.items():
        _how, variables = SPEC.get(option, {}).get("fallback") or (None, ())
        given = params.get(option) is not None and params[option] not in map(os.environ.get, variables)
        if given and params["provider"] not in providers:
            raise OptionError(f"{option}: not with provider={params['provider']}, only with {' and '.join(providers)}")


# --- connections

_CLOUD_NAME = re.compile(r"[\w.@/ -]*")


def connect(module: AnsibleModule) -> Any:
    """The client of the cloud that the options ask for."""
    if module.params["provider"] == UCLOUDSTACK:
        return _ucloudstack(module.params)
    connection = _openstack(module)
    client = Neutron if module.params["provider"] == OPENSTACK else HuaweiCloud
    return client(connection, module.params["api_timeout"])


def _ucloudstack(params: Mapping[str, Any]) -> UCloudStack:
    for option, variable in (
        ("endpoint", "UCLOUD_BASE_URL"),
        ("public_key", "UCLOUD_PUBLIC_KEY"),
        ("private_key", "UCLOUD_PRIVATE_KEY"),
        ("region_name", "UCLOUD_REGION"),
    ):
        if not _or_variable(params, option, variable):
            raise OptionError(f"{option}: provider=ucloudstack needs it, here or in {variable}")
    endpoint = params["endpoint"]
    parts = urlsplit(endpoint)
    named = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
    if not named or not re.fullmatch(r"[!->@-~]+", endpoint):
        raise OptionError(f"endpoint: {endpoint!r} is not the URL of the API, such as https://console.example.com/api")
    return UCloudStack(
        StdlibSession(endpoint, ca_file=params["ca_cert"]),
        params["public_key"],
        params["private_key"],
        endpoint=endpoint,
        region=_or_variable(params, "region_name", "UCLOUD_REGION"),
        company_id=params["company_id"],
        project_id=_or_variable(params, "project_id", "UCLOUD_PROJECT_ID") or None,
        timeout=params["api_timeout"],
    )


def _or_variable(params: Mapping[str, Any], option: str, variable: str) -> str:
    """An option whose variable depends on the provider."""
    return params[option] or os.environ.get(variable) or ""


def _openstack(module: AnsibleModule) -> Any:
    """A connection of openstacksdk, which logs in when it is first used."""
    params = module.params
    try:
        # Slow to import, so only when it is needed.
        import keystoneauth1.exceptions
        import openstack

        from ..clouds import bounded
    except ImportError:
        module.fail_json(msg=missing_required_lib("openstacksdk"), exception=traceback.format_exc())
    settings = {
        "auth": params["auth"],
        "auth_type": params["auth_type"],
        "region_name": params["region_name"],
        "interface": params["interface"],
        "verify": params["validate_certs"],
        "cacert": params["ca_cert"],
        "cert": params["client_cert"],
        "key": params["client_key"],
        "api_timeout": params["api_timeout"],
    }
    settings = {key: value for key, value in settings.items() if value is not None}
    cloud = params["cloud"]
    if isinstance(cloud, dict):
        settings = {**settings, **cloud}
    elif cloud:
        settings["cloud"] = cloud
    elif params["provider"] == HUAWEI and not params["auth"]:
        settings.update(_huawei(params))
    try:
        connection = openstack.connect(**settings)
        bounded.bind(connection.session.session)
        return connection
    except (keystoneauth1.exceptions.ClientException, openstack.exceptions.SDKException) as e:
        raise OptionError(
            f"{'cloud' if cloud else 'auth'}: there is no way to log in: {str(e).rstrip('. ')}. Name an entry of"
            " clouds.yaml (cloud), give auth, or set OS_CLOUD or the other variables OS_*"
        ) from None


def hide(module: AnsibleModule) -> None:
    """Have the secrets hidden that are in the options, and no other part of them: neither a cloud's name."""
    params = module.params
    cloud = params["cloud"]
    # What is no name may be a dictionary that was given as a text.
    shown = [] if isinstance(cloud, str) and not _CLOUD_NAME.fullmatch(cloud) else [cloud]
    secrets = {option: params[option] for option in ("password", "private_key")}
    hide_only_secrets(module, [params["auth"], *shown, secrets])


def _huawei(params: Mapping[str, Any]) -> dict[str, Any]:
    """Huawei's own names, as settings of openstacksdk; {} if none is given, and the SDK has to find some."""
    region = _or_variable(params, "region_name", "HW_REGION_NAME")
    project_id = _or_variable(params, "project_id", "HW_PROJECT_ID")
    if not params["user_name"] and not params["password"]:
        return {}
    for option in ("user_name", "password", "domain_name"):
        if not params[option]:
            raise OptionError(f"{option}: a login at Huawei Cloud needs user_name, password and domain_name")
    if not region and not params["auth_url"]:
        raise OptionError("region_name: provider=huaweicloud needs it, here or in HW_REGION_NAME; or give auth_url")
    auth = {
        "auth_url": params["auth_url"] or f"https://iam.{region}.myhuaweicloud.com/v3",
        "username": params["user_name"],
        "password": params["password"],
        "user_domain_name": params["domain_name"],
    }
    if project_id:
        auth["project_id"] = project_id
    else:
        # The first project of a region has its name.
        auth.update(project_name=params["project_name"] or region, project_domain_name=params["domain_name"])
    settings = {"auth": auth, "load_envvars": False, "load_yaml_config": False}
    return {**settings, "region_name": region} if region else settings
