# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The clients of the modules that provision, which use google-cloud-compute and ask the Resource Manager."""

from __future__ import annotations

import traceback

from ansible.module_utils.basic import missing_required_lib

from ..clouds.gce_library import Library, library, resource_manager
from . import gcp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from ansible.module_utils.basic import AnsibleModule

    L = TypeVar("L", bound=Library)

# To ask the Resource Manager for the caller's permissions.
SCOPE = "https://www.googleapis.com/auth/cloudplatformprojects.readonly"


def require(module: AnsibleModule) -> None:
    """Import the library, which takes seconds on a busy controller and is no part of a task's timeout. Without it, the
    module fails."""
    try:
        library().InstancesClient  # noqa: B018 it brings nearly all that any client needs
    except ImportError:
        module.fail_json(msg=missing_required_lib("google-cloud-compute"), exception=traceback.format_exc())


def connect(module: AnsibleModule, kind: type[L], timeout: float) -> L:
    """The client that the options ask for."""
    log_in = gcp.log_in(module, timeout, SCOPE)
    endpoint = module.params["endpoint"]
    found = log_in(kind, endpoint)
    found.projects = log_in(gcp.Compute, resource_manager(endpoint))
    return found
