# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Huawei Cloud: like OpenStack, with a login of its own and a source/destination check that must be off."""

from __future__ import annotations

from ansible.module_utils.basic import env_fallback

from ...clouds.huaweicloud import HuaweiCloud
from ...failover import havip_ports
from ..run import OptionError
from . import openstack
from .provider import Provider, option_or_variable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ansible.module_utils.basic import AnsibleModule

# The variables are those of Huawei's Terraform provider.
LOGIN: dict[str, dict[str, Any]] = dict(
    openstack.LOGIN,
    auth_url=dict(type="str", fallback=(env_fallback, ["HW_AUTH_URL"])),
    user_name=dict(type="str", fallback=(env_fallback, ["HW_USER_NAME"])),
    password=dict(type="str", no_log=True, fallback=(env_fallback, ["HW_USER_PASSWORD"])),
    domain_name=dict(type="str", fallback=(env_fallback, ["HW_DOMAIN_NAME"])),
    project_name=dict(type="str", fallback=(env_fallback, ["HW_PROJECT_NAME"])),
    project_id=dict(type="str"),
)
BINDING: dict[str, dict[str, Any]] = dict(
    openstack.EXTERNAL,
    restore_source_check=dict(type="bool"),
    source_check_off=dict(type="list", elements="str"),
)


def settings(params: Mapping[str, Any]) -> dict[str, Any]:
    """Huawei's own names, as settings of openstacksdk; {} if none is given, and the SDK has to find some."""
    region = option_or_variable(params, "region_name", "HW_REGION_NAME")
    project_id = option_or_variable(params, "project_id", "HW_PROJECT_ID")
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
    found = {"auth": auth, "load_envvars": False, "load_yaml_config": False}
    return {**found, "region_name": region} if region else found


def goal(params: Mapping[str, Any]) -> dict[str, Any]:
    return dict(
        external=params["external"],
        restore_check=bool(params["restore_source_check"]),
        unchecked=params["source_check_off"] or (),
    )


def connect(module: AnsibleModule) -> HuaweiCloud:
    own = {} if module.params["cloud"] or module.params["auth"] else settings(module.params)
    return HuaweiCloud(openstack.connection(module, own), module.params["api_timeout"])


PROVIDER = Provider(
    "huaweicloud",
    havip_ports.Huawei(),
    connect,
    login=LOGIN,
    binding=BINDING,
    goal=goal,
    secrets=lambda params: [*openstack.secrets(params), {"password": params["password"]}],
    most_members=10,
    most_vips=8,
    enforce=False,  # Huawei advises against more, and allows it
)
