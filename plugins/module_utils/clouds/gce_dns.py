# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cloud DNS's API, version 1: the few requests that move a name. Every failure is a CloudError."""

from __future__ import annotations

from ..base.errors import Denied
from .gce import Compute, beside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Resource = dict[str, Any]

SCOPE = "https://www.googleapis.com/auth/ndev.clouddns.readwrite"
# Those that are pending are the newest.
_CHANGES = "50"


def endpoint_beside(endpoint: str) -> str:
    """The endpoint of Cloud DNS that goes with one of Compute Engine."""
    return beside(endpoint, "dns", "/dns/v1")


class Dns(Compute):
    """A project's managed zones. zone: the name of one."""

    service = ("Cloud DNS", "ndev.clouddns.readwrite")

    def zone(self, zone: str) -> Resource:
        """Raises NotFound."""
        doing = f"get the managed zone {zone} of project {self.project}"
        return self._ask("GET", zone, "", {}, None, doing, "dns.managedZones.get")

    def records(self, zone: str, name: str) -> list[Resource]:
        """All record sets of a name, which has a dot at its end."""
        doing = f"list the records of {name} in the managed zone {zone}"
        path, permission = self.path(zone), "dns.resourceRecordSets.list"
        try:
            return [
                each
                for page, _now in self._pages(f"{path}/rrsets", {"name": name}, doing)
                for each in page.get("rrsets") or ()
            ]
        except Denied as error:
            raise _named(error, permission, path) from error

    def pending(self, zone: str) -> list[Resource]:
        """The changes of a zone that its name servers have not been told of yet, newest first."""
        query = {"sortBy": "changeSequence", "sortOrder": "descending", "maxResults": _CHANGES}
        doing = f"list the changes of the managed zone {zone}"
        page = self._ask("GET", zone, "/changes", query, None, doing, "dns.changes.list")
        return [each for each in page.get("changes") or () if each.get("status") == "pending"]

    def change_records(self, zone: str, deletions: list[Resource], additions: list[Resource]) -> Resource:
        """Makes all of it or nothing, and returns the change, which may be pending. Sent again, it changes nothing.

        Raises Stale or NotFound if a record set is not the one to delete, and AlreadyExists if one to add is there.
        """
        given = {"additions": additions, "deletions": deletions}
        body = {"kind": "dns#change", **{name: records for name, records in given.items() if records}}
        doing = f"change the records of the managed zone {zone}"
        permission = "dns.changes.create, or one of dns.resourceRecordSets.create, update and delete"
        return self._ask("POST", zone, "/changes", {}, body, doing, permission)

    def zone_permissions(self, zone: str, permissions: list[str]) -> set[str]:
        """Which of the permissions the caller has on a zone."""
        return self.test_permissions(self.path(zone), permissions, ":testIamPermissions")

    def path(self, zone: str) -> str:
        return f"projects/{self.project}/managedZones/{zone}"

    def _ask(
        self,
        method: str,
        zone: str,
        what: str,
        query: dict[str, str],
        body: Resource | None,
        doing: str,
        permission: str,
    ) -> Resource:
        path = self.path(zone)
        try:
            return self._call(method, f"{path}{what}", query, body, doing, path)[0]
        except Denied as error:
            raise _named(error, permission, path) from error


def _named(error: Denied, permission: str, path: str) -> Denied:
    """The API does not tell which permission is missing."""
    if error.status != 403:
        return error
    text = f"{error} It takes {permission} on {path}."
    return Denied(text, resource=error.resource, status=error.status, code=error.code)
