# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at a Cloudpods anti-affinity group: facts only, no decision."""

from __future__ import annotations

import re

from ..base.errors import Denied
from .facts import Facts
from .instancegroup_goal import LONGEST_NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, Protocol

    Resource = dict[str, Any]
else:
    Protocol = object

CLASSIC = "default"  # the VPC that classic networks are in
GROUP_AT_WORK = frozenset(("associate_eip", "dissociate_eip"))  # status of a group
EIP_AT_WORK = frozenset(("allocate", "associate", "dissociate", "deallocate"))  # status of an EIP
EIP_PREFIX = "eip-for-grp-"  # of the name of an EIP that the service creates for a group; the group's own name follows


class GroupApi(Protocol):
    """The verbs that this procedure needs of a client. Errors are those of base/errors.py. A name or an id says which
    one."""

    def project(self) -> dict[str, str]:
        """Of the login: its id and its name."""

    def get_group(self, group: str) -> Resource | None: ...

    def get_server(self, server: str) -> Resource | None: ...

    def get_network(self, network: str) -> Resource | None: ...

    def get_vpc(self, vpc: str) -> Resource | None: ...

    def get_eip(self, eip: str) -> Resource | None:
        """The only one that tells everybody whether it has auto_dellocate."""

    def list_group_networks(self, group_id: str) -> list[Resource]:
        """VIPs, the oldest first."""

    def list_group_guests(self, group_id: str) -> list[Resource]: ...

    def list_group_eips(self, group_id: str) -> list[Resource]:
        """Those that are associated with the group, or should have been."""

    def list_eips(self, name: str) -> list[Resource]:
        """Those whose names begin so."""

    def list_server_networks(self, server_id: str) -> list[Resource]: ...

    def list_eip_networks(self) -> list[Resource]: ...

    def list_address_users(self, network_id: str, address: str, besides: str) -> list[str]:
        """Without the group whose id is `besides`."""

    def create_group(self, body: Mapping[str, Any]) -> Any: ...

    def update_group(self, group_id: str, body: Mapping[str, Any]) -> Any: ...

    def delete_group(self, group_id: str) -> None: ...

    def bind_guests(self, group_id: str, guests: Sequence[str]) -> Any: ...

    def unbind_guests(self, group_id: str, guests: Sequence[str]) -> Any: ...

    def attach_network(self, group_id: str, body: Mapping[str, Any]) -> Any: ...

    def detach_network(self, group_id: str, address: str) -> Any: ...

    def create_eip(self, group_id: str, body: Mapping[str, Any]) -> Any:
        """Returns before it is done, as the next two do."""

    def associate_eip(self, group_id: str, eip_id: str, address: str) -> Any: ...

    def dissociate_eip(self, group_id: str, release: bool) -> Any: ...

    def delete_eip(self, eip_id: str) -> None: ...


class Observed(Facts):
    """What is there.

    | field          | type           | meaning                                                                       |
    |----------------|----------------|-------------------------------------------------------------------------------|
    | sought         | str            | the name or id by which the group was looked for                              |
    | project        | dict           | id and name of the login's project                                            |
    | group          | dict or None   | the group; None if there is none                                              |
    | vips           | tuple of dicts | its VIPs, the oldest first                                                    |
    | members        | dict           | names of its guests by their ids                                              |
    | eips           | tuple of dicts | EIPs that say they are the group's: bound if a VIP has it, else failed        |
    | hidden         | tuple of dicts | VIPs whose EIPs are not shown to this user                                    |
    | unlisted       | tuple of str   | addresses of VIPs that the service mentions and does not list for this user   |
    | loose          | tuple of dicts | EIPs created for the group, by their names, and associated with nothing       |
    """

    sought: str
    project: Mapping[str, str]
    group: Resource | None
    vips: Sequence[Resource]
    members: Mapping[str, str]
    eips: Sequence[Resource]
    hidden: Sequence[Resource]
    unlisted: Sequence[str]
    loose: Sequence[Resource]

    def __init__(
        self,
        sought: str,
        group: Resource | None = None,
        vips: Iterable[Resource] = (),
        members: Iterable[Resource] = (),
        eips: Iterable[Resource] = (),
        *,
        project: Mapping[str, str] | None = None,
        hidden: Iterable[Resource] = (),
        unlisted: Iterable[str] = (),
        loose: Iterable[Resource] = (),
        answers: Mapping[Any, Any] | None = None,
    ) -> None:
        super().__init__(
            sought=sought,
            project=project or {},
            group=group,
            vips=tuple(vips),
            members={str(row["guest_id"]): str(row.get("guest") or row["guest_id"]) for row in members},
            eips=tuple(eips),
            hidden=tuple(hidden),
            unlisted=tuple(unlisted),
            loose=tuple(loose),
            answers=answers or {},
        )

    @property
    def name(self) -> str:
        return str(self.group.get("name") or self.sought) if self.group else self.sought

    @property
    def id(self) -> str:
        return str(self.group["id"]) if self.group else self.sought

    @property
    def status(self) -> str:
        return str(self.group.get("status")) if self.group else ""

    @property
    def bound(self) -> list[Resource]:
        """The VIPs that have an EIP."""
        return [row for row in self.vips if row.get("eip_id")]

    @property
    def failed(self) -> list[Resource]:
        """EIPs that the group should have had."""
        bound = {row["eip_id"] for row in self.bound}
        return [eip for eip in self.eips if eip["id"] not in bound]

    # --- facts that few goals need: each raises Unread until somebody has read it

    def server(self, server: str) -> Resource | None:
        return self.answer("get_server", server)

    def network(self, network: str) -> Resource | None:
        return self.answer("get_network", network)

    def vpc(self, vpc: str) -> Resource | None:
        return self.answer("get_vpc", vpc)

    def eip(self, eip: str) -> Resource | None:
        return self.answer("get_eip", eip)

    def other_group(self, group: str) -> Resource | None:
        return self.answer("get_group", group)

    def interfaces(self, guest_id: str) -> list[Resource]:
        """Of a guest."""
        return self.answer("list_server_networks", guest_id)

    def eip_networks(self) -> list[Resource]:
        return self.answer("list_eip_networks")

    def created_eips(self) -> list[Resource]:
        """All that have names as the service gives them to EIPs of groups."""
        return self.answer("list_eips", EIP_PREFIX)

    def address_users(self, network_id: str, address: str) -> list[str]:
        """In words, without this group."""
        return self.answer("list_address_users", network_id, address, self.id)

    # --- words

    def state(self) -> str:
        """The current state, in a sentence."""
        if not self.group:
            return f"there is no group {self.name}"
        vips = ", ".join(spell_vip(row) for row in self.vips) or "no VIP"
        members = ", ".join(self.members.values()) or "no members"
        status = self.group.get("status") or "unknown"
        failed = ", ".join(map(spell_eip, self.failed))
        return f"the group {self.name} ({status}) has {vips}; {members}" + (
            f"; left over: EIP {failed}" if failed else ""
        )

    def to_diff(self) -> dict[str, Any]:
        """The current state, for a person to compare with the goal."""
        return group_diff(
            self.group,
            self.members.values(),
            [str(row.get("ip_addr") or "") for row in self.vips],
            next((str(row.get("eip_addr") or row["eip_id"]) for row in self.bound), None),
        )


def group_diff(
    group: Resource | None, members: Iterable[str], vips: Sequence[str | None], eip: str | None
) -> dict[str, Any]:
    if not group:
        return {"holder": None, "group": None, "members": [], "vips": [], "eip": None}
    return {
        "holder": group.get("name") if vips else None,
        "group": {key: group.get(key) for key in ("name", "granularity", "force_dispersion")},
        "members": sorted(members),
        "vips": list(vips),
        "eip": eip,
    }


def look(client: GroupApi, sought: str, loose: bool = False) -> Observed:
    """Reads the facts that every goal needs. loose: whether to look for EIPs that are not associated, too."""
    project = client.project()
    group = client.get_group(sought)
    if group is None:
        return Observed(sought, project=project)
    gid = str(group["id"])
    # Before the VIPs: an EIP that is bound in between shall not look as if its association had failed.
    eips = client.list_group_eips(gid)
    free = []
    if loose or group.get("status") in (*GROUP_AT_WORK, "associate_eip_failed"):
        free = [eip for eip in client.list_eips(EIP_PREFIX) if not eip.get("associate_id") and may_be_of(eip, group)]
    vips = client.list_group_networks(gid)
    members = client.list_group_guests(gid)
    if is_strangers(sought, group, project):
        return Observed(sought, group, vips, members, eips, project=project, loose=free)
    more, hidden = _find_eips(client, vips, eips)
    unlisted = [] if vips else _find_unlisted(client, group)
    return Observed(
        sought, group, vips, members, [*eips, *more], project=project, hidden=hidden, unlisted=unlisted, loose=free
    )


def is_strangers(sought: str, group: Resource, project: Mapping[str, str]) -> bool:
    """Whether a name led to another project's group. Admins see every project, and names are unique over all."""
    return sought != str(group["id"]) and group.get("tenant_id") not in (None, project["id"])


def _find_eips(
    client: GroupApi, vips: Iterable[Resource], eips: Iterable[Resource]
) -> tuple[list[Resource], list[Resource]]:
    """The VIPs' EIPs that the service does not list; and the VIPs whose EIPs it does not show either."""
    found, hidden = [], []
    known = {eip["id"] for eip in eips}
    for row in vips:
        if not row.get("eip_id") or row["eip_id"] in known:
            continue
        try:
            eip = client.get_eip(row["eip_id"])
        except Denied:
            eip = None
        if eip:
            found.append(eip)
        else:
            hidden.append(row)
    return found, hidden


def _find_unlisted(client: GroupApi, group: Resource) -> list[str]:
    mentioned = group.get("vips") or []
    if not mentioned:
        return []
    # They may have gone between the requests.
    still = (client.get_group(str(group["id"])) or {}).get("vips") or []
    return [address for address in mentioned if address in still]


# --- words and names


def spell_eip(eip: Resource) -> str:
    address = eip.get("ip_addr")
    name = str(eip.get("name") or eip["id"])
    return f"{name} ({address})" if address else name


def spell_vip(row: Resource) -> str:
    eip = f" with EIP {row.get('eip_addr') or row['eip_id']}" if row.get("eip_id") else ""
    return f"VIP {row.get('ip_addr')} on {row.get('network') or row.get('network_id')}{eip}"


def whose(eip: Resource) -> str:
    return f"{eip.get('associate_type') or 'something'} {eip.get('associate_name') or eip['associate_id']}"


def may_be_of(eip: Resource, group: Resource) -> bool:
    """Whether it has a name that the service may give to an EIP which it creates for the group, in its project."""
    if None not in (eip.get("tenant_id"), group.get("tenant_id")) and eip["tenant_id"] != group["tenant_id"]:
        return False
    like = "".join(re.escape(c) if c.isascii() else "[a-z]{0,6}" for c in str(group.get("name")))
    name = str(eip.get("name") or "")
    # One whose group has a long name has lost its end.
    return bool(re.fullmatch(f"{EIP_PREFIX}{like}(-[0-9]+)?", name)) or (
        len(name) >= LONGEST_NAME and f"{EIP_PREFIX}{group.get('name')}".startswith(name[:LONGEST_NAME])
    )


def is_classic(network: Resource) -> bool:
    return network.get("vpc_id") == CLASSIC or str(network.get("vpc")).lower() == CLASSIC
