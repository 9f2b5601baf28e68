# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""UCloudStack: a virtual IP is a resource of its own, a HAVIP, to which members are bound."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from ansible.module_utils.basic import env_fallback

from ...clouds.session import StdlibSession
from ...clouds.ucloudstack import UCloudStack
from ...failover import havip_ucloudstack
from ..run import OptionError
from .openstack import REMARK
from .provider import Provider, option_or_variable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ansible.module_utils.basic import AnsibleModule

# The variables are those of UCloud's own tools.
LOGIN: dict[str, dict[str, Any]] = dict(
    endpoint=dict(type="str", fallback=(env_fallback, ["UCLOUD_BASE_URL"])),
    public_key=dict(type="str", no_log=False, fallback=(env_fallback, ["UCLOUD_PUBLIC_KEY"])),
    private_key=dict(type="str", no_log=True, fallback=(env_fallback, ["UCLOUD_PRIVATE_KEY"])),
    company_id=dict(type="int"),
    project_id=dict(type="str"),
)
BINDING: dict[str, dict[str, Any]] = dict(
    REMARK,
    vip_type=dict(type="str", choices=["internal", "external"]),
    segment=dict(type="str"),
    bandwidth=dict(type="int"),
    charge_type=dict(type="str", choices=["Dynamic", "Month", "Year"]),
    quantity=dict(type="int"),
)
# The API's names of what it wants to know to create one.
_CREATION = {"SegmentID": "segment", "Bandwidth": "bandwidth", "ChargeType": "charge_type", "Quantity": "quantity"}


def connect(module: AnsibleModule) -> UCloudStack:
    params = module.params
    for option, variable in (
        ("endpoint", "UCLOUD_BASE_URL"),
        ("public_key", "UCLOUD_PUBLIC_KEY"),
        ("private_key", "UCLOUD_PRIVATE_KEY"),
        ("region_name", "UCLOUD_REGION"),
    ):
        if not option_or_variable(params, option, variable):
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
        region=option_or_variable(params, "region_name", "UCLOUD_REGION"),
        company_id=params["company_id"],
        project_id=option_or_variable(params, "project_id", "UCLOUD_PROJECT_ID") or None,
        timeout=params["api_timeout"],
    )


def goal(params: Mapping[str, Any]) -> dict[str, Any]:
    creation = {name: params[option] for name, option in _CREATION.items() if params[option] is not None}
    return dict(remark=params["remark"], kind=params["vip_type"], creation=creation)


PROVIDER = Provider(
    "ucloudstack",
    havip_ucloudstack.UCloudStack(),
    connect,
    login=LOGIN,
    binding=BINDING,
    goal=goal,
    secrets=lambda params: [{"private_key": params["private_key"]}],
    most_members=3,
    most_vips=5,
)
