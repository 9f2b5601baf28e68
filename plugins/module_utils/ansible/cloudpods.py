# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cloudpods' options, which all its modules share, and the client that they lead to."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleFallbackNotFound, env_fallback

from ..clouds.cloudpods import Cloudpods, Login
from ..clouds.session import StdlibSession
from .run import OptionError, check_seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ansible.module_utils.basic import AnsibleModule

INTERFACES = {"publicURL": "public", "internalURL": "internal", "adminURL": "admin"}
_INSECURE = "YUNION_INSECURE"


def _option(variable: str, **spec: Any) -> dict[str, Any]:
    return dict(spec, fallback=(env_fallback, [variable]))


def _secure_fallback(variable: str) -> bool:
    """climc's variable says the opposite of the option."""
    if variable not in os.environ:
        raise AnsibleFallbackNotFound
    return os.environ[variable].strip().lower() not in ("1", "t", "true", "y", "yes", "on")


# The variables are climc's, so that whoever has its rc file needs nothing else.
SPEC = dict(
    auth_url=_option("OS_AUTH_URL", type="str", required=True),
    username=_option("OS_USERNAME", type="str"),
    password=_option("OS_PASSWORD", type="str", no_log=True),
    token=_option("OS_AUTH_TOKEN", type="str", no_log=True),
    domain_name=_option("OS_DOMAIN_NAME", type="str"),
    project_name=_option("OS_PROJECT_NAME", type="str"),
    project_domain=_option("OS_PROJECT_DOMAIN", type="str"),
    region_name=_option("OS_REGION_NAME", type="str"),
    endpoint_type=_option("OS_ENDPOINT_TYPE", type="str", choices=list(INTERFACES), default="internalURL"),
    compute_endpoint=dict(type="str"),
    validate_certs=dict(type="bool", default=True, fallback=(_secure_fallback, [_INSECURE])),
    ca_cert=_option("OS_CACERT", type="path"),
    client_cert=_option("YUNION_CERT_FILE", type="path"),
    client_key=_option("YUNION_KEY_FILE", type="path"),
)


def client(module: AnsibleModule) -> Cloudpods:
    """The client that the options ask for. One connection to each server serves the whole run."""
    params = module.params
    _check(params)

    def connect(url: str) -> StdlibSession:
        try:
            return StdlibSession(
                url,
                ca_file=params["ca_cert"],
                verify=params["validate_certs"],
                client_cert=params["client_cert"],
                client_key=params["client_key"],
            )
        except ValueError as e:
            raise OptionError(f"compute_endpoint: the catalog's URL cannot be used: {e}; give another one") from None

    login = Login(
        user=params["username"] or "",
        password=params["password"] or "",
        token=(params["token"] or "").strip(),
        domain=params["domain_name"] or "",
        project=params["project_name"] or "",
        project_domain=params["project_domain"] or "",
    )
    return Cloudpods(
        connect,
        params["auth_url"],
        login,
        region=params["region_name"] or "",
        interface=INTERFACES[params["endpoint_type"]],
        endpoint=params["compute_endpoint"],
    )


def _check(params: Mapping[str, Any]) -> None:
    check_seconds(params)
    for option in ("auth_url", "compute_endpoint"):
        url = params[option]
        if url is None:
            continue
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise OptionError(
                f"{option}: {_without_password(url)!r} is not a URL such as https://cloudpods.example:30500/v3"
            )
        if not re.fullmatch(r"[!->@-~]+", url):
            raise OptionError(f"{option}: {url!r} has a query, or characters that no URL has")
    if not params["token"]:
        if not params["username"]:
            raise OptionError("username: give it, or token, here or in OS_USERNAME or OS_AUTH_TOKEN")
        if not params["password"]:
            raise OptionError(f"password: the user {params['username']} needs one, here or in OS_PASSWORD")
    elif not re.fullmatch(r"[!-~]+", params["token"].strip()):
        raise OptionError("token: it is not one line without blanks")
    if params["client_key"] and not params["client_cert"]:
        raise OptionError("client_key: only together with client_cert")


def _without_password(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//***@", url)
