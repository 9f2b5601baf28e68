# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""OpenStack: a virtual IP is an allowed address pair of the members' ports."""

from __future__ import annotations

import re
import traceback

from ansible.module_utils.basic import missing_required_lib

from ...clouds.neutron import Neutron
from ...failover import havip_ports
from ..run import OptionError
from .provider import Provider

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ansible.module_utils.basic import AnsibleModule

# As in the collection openstack.cloud.
LOGIN: dict[str, dict[str, Any]] = dict(
    # Ansible logs what a task was given before anybody can say which part of it is secret: see secrets().
    cloud=dict(type="raw", no_log=True),
    auth=dict(type="dict", no_log=True),
    auth_type=dict(type="str"),
    interface=dict(type="str", choices=["admin", "internal", "public"]),
    validate_certs=dict(type="bool"),
    client_cert=dict(type="path", aliases=["cert"]),
    client_key=dict(type="path", aliases=["key"], no_log=False),
)
EXTERNAL: dict[str, dict[str, Any]] = dict(external=dict(type="str"))
REMARK: dict[str, dict[str, Any]] = dict(remark=dict(type="str", aliases=["description"]))

_CLOUD_NAME = re.compile(r"[\w.@/ -]*")


def secrets(params: Mapping[str, Any]) -> list[Any]:
    """The dictionaries that may have some; not the name of a cloud, which a result may have to say."""
    cloud = params["cloud"]
    # What is no name may be a dictionary that was given as a text.
    shown = not isinstance(cloud, str) or _CLOUD_NAME.fullmatch(cloud)
    return [params["auth"], *([cloud] if shown else [])]


def connection(module: AnsibleModule, alternative: Mapping[str, Any] | None = None) -> Any:
    """A connection of openstacksdk, which logs in when it is first used.

    alternative: settings to use if neither cloud nor auth is given.
    """
    params = module.params
    try:
        # Slow to import, so only when it is needed.
        import keystoneauth1.exceptions
        import openstack

        from ...clouds import bounded
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
    elif not params["auth"]:
        settings.update(alternative or {})
    try:
        # It may get a vendor's profile from the URL that the settings name.
        connected = bounded.call(params["timeout"], lambda: openstack.connect(**settings))
        bounded.bind(connected.session.session)
        return connected
    except TimeoutError:
        raise OptionError("cloud: its profile does not come in time") from None
    except (keystoneauth1.exceptions.ClientException, openstack.exceptions.SDKException) as e:
        raise OptionError(
            f"{'cloud' if cloud else 'auth'}: there is no way to log in: {str(e).rstrip('. ')}. Name an entry of"
            " clouds.yaml (cloud), give auth, or set OS_CLOUD or the other variables OS_*"
        ) from None


PROVIDER = Provider(
    "openstack",
    havip_ports.Neutron(),
    lambda module: Neutron(connection(module), module.params["api_timeout"]),
    login=LOGIN,
    binding={**EXTERNAL, **REMARK},
    goal=lambda params: dict(external=params["external"], remark=params["remark"]),
    secrets=secrets,
)
