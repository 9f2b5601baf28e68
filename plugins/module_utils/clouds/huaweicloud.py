# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Huawei Cloud's API of VPCs: ports as in Neutron, though without revisions, and elastic IPs by an API of its own."""

from __future__ import annotations

from ..base.errors import AlreadyExists, CloudError, Denied, Invalid, NotFound, Stale, Unavailable
from .neutron import BY_CODE, Neutron

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# From the list of error codes in the API's reference.
_OF_VPC: dict[str, type[CloudError]] = {
    "VPC.0010": Denied,
    "VPC.0504": NotFound,
    # The elastic IP, or the port, has another one by now.
    "VPC.0509": Stale,
    "VPC.0510": Stale,
    "VPC.0511": Stale,
    "VPC.0512": Unavailable,  # the elastic IP is busy
    "VPC.0701": AlreadyExists,
    "VPC.0704": NotFound,
    "VPC.0705": Invalid,
    "VPC.0707": AlreadyExists,
}


class HuaweiCloud(Neutron):
    """A project's VPCs. `connection`: of openstacksdk."""

    by_code = {**BY_CODE, **_OF_VPC}

    def list_external(self) -> list[dict[str, Any]]:
        """The elastic IPs: id, address, port_id, fixed_ip."""
        return [
            {
                "id": each["id"],
                "address": each.get("public_ip_address") or each.get("public_ipv6_address") or each["id"],
                "port_id": each.get("port_id") or None,
                "fixed_ip": each.get("private_ip_address") or None,
            }
            for each in self._list("network", "/v1/{project}/publicips", "publicips")
        ]

    def set_external(self, external: dict[str, Any], port_id: str | None, fixed_ip: str | None) -> None:
        """Attach an elastic IP to a port, or with None detach it: the API wants no port then."""
        doing = f"{'attach' if port_id else 'detach'} elastic IP {external['address']}"
        path = f"/v1/{{project}}/publicips/{external['id']}"
        wish = {"port_id": port_id} if port_id else {}
        self._call("network", "PUT", path, doing, external["address"], {"publicip": wish})

    def _url(self, adapter: Any, path: str) -> str:
        """The elastic IPs are beside the versioned API that the adapter finds."""
        if not path.startswith("/v1/"):
            return path
        root = str(adapter.get_endpoint()).rstrip("/")
        root = root[: -len("/v2.0")] if root.endswith("/v2.0") else root
        return root + path.format(project=adapter.get_project_id())
