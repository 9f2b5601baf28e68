# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Google Cloud's options, which all its modules share, and the client that they lead to."""

from __future__ import annotations

import json
import os
import re
import traceback
from urllib.parse import urlsplit

from ansible.module_utils.basic import env_fallback, missing_required_lib

from ..base.errors import Denied, Lost, Unavailable
from ..clouds import gce_names
from ..clouds.gce import ENDPOINT, Compute
from ..clouds.session import Response, StdlibSession
from ..clouds.tokens import FixedToken
from .run import OptionError, check_seconds, hide_only_secrets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeVar

    from ansible.module_utils.basic import AnsibleModule

    C = TypeVar("C", bound=Compute)

# The metadata server may be asked whether there are any, and gcloud.
FIND_TIMEOUT = 60.0
SCOPE = "https://www.googleapis.com/auth/compute"
_NAMES = "a name has 1 to 63 small letters, digits or -, with a letter first and no - at the end"


def option(variable: str, **spec: Any) -> dict[str, Any]:
    """An option that an environment variable sets, too."""
    return dict(spec, fallback=(env_fallback, [variable]))


# As in the google.cloud collection, whose users should have to learn nothing.
SPEC = dict(
    project=option("GCP_PROJECT", type="str", required=True),
    auth_kind=option(
        "GCP_AUTH_KIND",
        type="str",
        choices=["application", "machineaccount", "serviceaccount", "accesstoken"],
        default="application",
    ),
    service_account_file=option("GCP_SERVICE_ACCOUNT_FILE", type="path"),
    # Not jsonarg: what that makes of a dictionary is another text than the one which Ansible hides.
    service_account_contents=option("GCP_SERVICE_ACCOUNT_CONTENTS", type="raw", no_log=True),
    service_account_email=option("GCP_SERVICE_ACCOUNT_EMAIL", type="str"),
    access_token=option("GCP_ACCESS_TOKEN", type="str", no_log=True),
    scopes=option("GCP_SCOPES", type="list", elements="str"),
    endpoint=option("GCP_COMPUTE_ENDPOINT", type="str", default=ENDPOINT),
)

# The kind of credentials that an option belongs to.
_KIND = {
    "service_account_file": "serviceaccount",
    "service_account_contents": "serviceaccount",
    "service_account_email": "machineaccount",
    "access_token": "accesstoken",
}


def compute(module: AnsibleModule, timeout: float = 120.0) -> Compute:
    """The client of Compute Engine that the options ask for. One connection serves the whole run."""
    return log_in(module, timeout)(Compute, module.params["endpoint"])


def log_in(module: AnsibleModule, timeout: float, *more_scopes: str) -> Callable[[type[C], str], C]:
    """One login for several clients: a function of a client's class and endpoint that makes it.

    more_scopes: those that the clients need besides that of Compute Engine, if the options name none.
    """
    params = module.params
    _check(params)
    settings: dict[str, Any] = dict(operation_timeout=timeout)
    if params["auth_kind"] == "accesstoken":
        # Something else got it, and nothing can refresh it: that needs no library.
        token = FixedToken(params["access_token"].strip())
        return lambda kind, endpoint: kind(
            StdlibSession(endpoint), params["project"], tokens=token, endpoint=endpoint, **settings
        )
    session = GoogleSession(_credentials(module, params["scopes"] or [SCOPE, *more_scopes]))
    return lambda kind, endpoint: kind(session, params["project"], endpoint=endpoint, **settings)


def _check(params: Mapping[str, Any]) -> None:
    kind = params["auth_kind"]
    for option, belongs_to in _KIND.items():
        given = params[option] is not None and params[option] != os.environ.get(f"GCP_{option.upper()}")
        if given and kind != belongs_to:
            raise OptionError(f"{option}: only with auth_kind={belongs_to}, and auth_kind is {kind}")
    if kind == "accesstoken" and not re.fullmatch(r"[!-~]+", (params["access_token"] or "").strip()):
        raise OptionError("access_token: auth_kind=accesstoken needs one, in one line, here or in GCP_ACCESS_TOKEN")
    if kind == "serviceaccount" and not params["service_account_file"] and not params["service_account_contents"]:
        raise OptionError(
            "service_account_file: auth_kind=serviceaccount needs it, or service_account_contents, or one of the"
            " variables GCP_SERVICE_ACCOUNT_FILE and GCP_SERVICE_ACCOUNT_CONTENTS"
        )
    if params["service_account_file"] and params["service_account_contents"]:
        raise OptionError("service_account_file: not together with service_account_contents; give one of them")
    if not is_endpoint(params["endpoint"]):
        raise OptionError(
            f"endpoint: {params['endpoint']!r} is not the URL of the API with its version, such as {ENDPOINT}"
        )
    check_projects("project", [params["project"]])
    check_seconds(params, lease=(0.001, 600), settle=(0, 60))


def is_endpoint(text: str) -> bool:
    """Whether it is the URL of an API, with its version and without a password."""
    try:
        endpoint = urlsplit(text)
        named = bool(endpoint.hostname) and endpoint.port != 0
    except ValueError:  # brackets that are no address, and ports that are none
        return False
    return (
        endpoint.scheme in ("http", "https")
        and named
        and bool(endpoint.path.strip("/"))
        and "@" not in endpoint.netloc
        and bool(re.fullmatch(r"[!->@-~]+", text))
    )


def _credentials(module: AnsibleModule, scopes: list[str]) -> Any:
    """Credentials of google-auth. No part of a key gets into a message: it names the problem, and does not show the
    text that was read."""
    params = module.params
    try:
        # Slow to import, so only when they are needed.
        import google.auth
        import google.auth.exceptions
        import google.auth.transport.requests
    except ImportError as e:
        library = "requests" if "requests" in str(e) else "google-auth"
        module.fail_json(msg=missing_required_lib(library), exception=traceback.format_exc())
    if params["auth_kind"] == "serviceaccount":
        return _service_account(module, scopes)
    if params["auth_kind"] == "machineaccount":
        import google.auth.compute_engine

        return google.auth.compute_engine.Credentials(params["service_account_email"] or "default", scopes=scopes)
    # We know it; otherwise the library may ask another API, or gcloud, for a project that nobody needs.
    os.environ.setdefault("GOOGLE_CLOUD_PROJECT", params["project"])
    from ..clouds import bounded

    try:
        return bounded.call(
            min(FIND_TIMEOUT, params["timeout"]), lambda: google.auth.default(scopes=scopes, request=_asking())[0]
        )
    except TimeoutError:
        raise OptionError("auth_kind: the search for application default credentials takes too long") from None
    except google.auth.exceptions.GoogleAuthError as e:
        raise OptionError(
            f"auth_kind: there are no application default credentials that can be used: {str(e).rstrip('. ')}. Set"
            " GOOGLE_APPLICATION_CREDENTIALS to a file with credentials, run gcloud auth application-default login, or"
            " choose another auth_kind"
        ) from None


def _asking() -> Any:
    """How google-auth asks for tokens: within bounds."""
    import google.auth.transport.requests
    import requests

    from ..clouds import bounded

    return google.auth.transport.requests.Request(bounded.bind(requests.Session()))


def _service_account(module: AnsibleModule, scopes: list[str]) -> Any:
    import google.auth.exceptions
    import google.oauth2.service_account

    file, contents = module.params["service_account_file"], module.params["service_account_contents"]
    option = f"service_account_file: {file}" if file else "service_account_contents:"
    try:
        if file:
            with open(file, encoding="utf-8") as stream:
                contents = stream.read()
        key = contents if isinstance(contents, dict) else json.loads(contents)
    except OSError as e:
        raise OptionError(f"{option} cannot be read: {e.strerror}") from None
    except (ValueError, TypeError):
        raise OptionError(f"{option} is not JSON; it must be the key of a service account as Google made it") from None
    if not isinstance(key, dict) or key.get("type") != "service_account":
        raise OptionError(
            f"{option} is not the key of a service account; for other credentials use auth_kind=application"
        )
    hide_only_secrets(module, key)
    try:
        return google.oauth2.service_account.Credentials.from_service_account_info(key, scopes=scopes)
    except (ValueError, google.auth.exceptions.GoogleAuthError):
        # The library's message may quote what it could not read.
        raise OptionError(f"{option} is damaged: the private key or another field of it cannot be used") from None


class GoogleSession:
    """google-auth's session, which gets tokens and refreshes them, as the session of our client."""

    def __init__(self, credentials: Any) -> None:
        import google.auth.transport.requests

        from ..clouds import bounded

        self._session = google.auth.transport.requests.AuthorizedSession(credentials, auth_request=_asking())
        bounded.bind(self._session)

    def request(
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
    ) -> Response:
        import google.auth.exceptions
        import requests

        from ..clouds import bounded

        def ask() -> Any:
            return self._session.request(
                method, url, data=body, headers=dict(headers or {}), timeout=timeout, allow_redirects=False
            )

        try:
            # With the request for a token, if one is needed first.
            reply = bounded.call(timeout, ask)
        except TimeoutError as e:
            raise Lost(str(e)) from None
        except google.auth.exceptions.GoogleAuthError as e:
            # What else it has been given is the whole answer of whoever refused the token.
            message = f"no access token: {e.args[0] if e.args else type(e).__name__}"
            if isinstance(e, google.auth.exceptions.TransportError) or e.retryable:
                raise Unavailable(message) from None
            raise Denied(f"{message}. Check the credentials") from None
        except requests.exceptions.SSLError as e:
            raise Denied(f"the server is not to be trusted: {e}") from None
        except (requests.exceptions.ConnectTimeout, requests.exceptions.ProxyError) as e:
            raise Unavailable(str(e)) from None
        except requests.exceptions.RequestException as e:
            # Also when nothing was sent: repeating a request with the same id does no harm.
            raise Lost(str(e)) from None
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError) as e:
            # The library takes for granted that a token is what it should be.
            raise Denied(f"no access token: an answer that is none: {type(e).__name__}") from None
        return Response(reply.status_code, reply.headers, reply.content)


def check_projects(option: str, projects: list[str]) -> None:
    for project in projects:
        if not gce_names.is_project(project):
            raise OptionError(f"{option}: {project!r} is not the id of a project, such as my-project")


def resource_path(option: str, value: str, kind: str, project: str) -> str:
    """projects/P/... of a name, a partial path or a URL. `kind` is the part before the name: global/networks."""
    path = gce_names.parse_path(value if "/" in value else f"{kind}/{value}", kind, project)
    if path is None:
        raise OptionError(f"{option}: {value!r} is no name, and no path or URL that ends with {kind}/NAME; {_NAMES}")
    return path


def zone_name(zone: str) -> str:
    """The option zone. Paths are made with it, and with the region before its last dash."""
    if not gce_names.is_zone(zone):
        raise OptionError(f"zone: {zone!r} is no name of a zone, such as us-central1-a")
    return zone


def instance_path(option: str, value: str, project: str, zone: str | None = None) -> str:
    """projects/P/zones/Z/instances/I of an instance's name in a zone, of a partial path or of a URL."""
    if "/" not in value:
        if not zone:
            raise OptionError(
                f"{option}: {value!r} does not say in which zone the instance is; give its zone, or write"
                " zones/ZONE/instances/NAME"
            )
        value = f"zones/{zone}/instances/{value}"
    path = gce_names.parse_path(value, "zones/*/instances", project)
    if path is None:
        raise OptionError(f"{option}: {value!r} is no path or URL that ends with zones/ZONE/instances/NAME; {_NAMES}")
    if zone and zone != gce_names.zone_of(path):
        raise OptionError(
            f"{option}: {value!r} is in zone {gce_names.zone_of(path)}, but the option for the zone says {zone}"
        )
    return path
