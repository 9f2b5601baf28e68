# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The virtual address (VIP) of a Cloudpods anti-affinity group: its members, its VIP, and the public address (EIP) of
the VIP.

The service does what it is told, and not what its documents say: it gives a group any number of VIPs, takes another
address than the one that was named, cuts long names, and accepts a second EIP which then fails and stays behind. Rules,
which docs/cloudpods.md explains, and which the tests check after each request:

1. Everything that can be checked is checked before the first change, and looked at again before each one.
2. A VIP is attached only while the group has none; an EIP is asked for only while the group has none, and a VIP.
3. No request is repeated unseen: after an answer that was lost, what is there decides. Nothing tells the service that
   two requests are the same one.
4. The order is the service's: EIP, then members, then VIP, then the group, when they go; and members, VIP, EIP when
   they come. A member that got another interface lets no VIP go. Members come before the VIP, since attaching it is
   what makes the service tell the hosts of the members.
5. What two runs attach at the same moment is one too many; each of them detaches all but the oldest.
6. An EIP whose association failed is dissociated by the run that asked for it, and released if the run created it.
7. What is there and cannot be seen is a reason to refuse, not to make it again.
"""

from __future__ import annotations

import ipaddress
import re

from ..base.errors import AlreadyExists, Denied, Invalid, Lost, NotFound, Unavailable
from .engine import AT_WORK, Pause, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any, Protocol

    from .engine import Memory

    Resource = dict[str, Any]
else:
    Protocol = object

CREATE_GROUP = "create group"
UPDATE_GROUP = "update group"
DELETE_GROUP = "delete group"
BIND = "bind guests"
UNBIND = "unbind guests"
ATTACH = "attach VIP"
DETACH = "detach VIP"
CREATE_EIP = "create EIP"
ASSOCIATE_EIP = "associate EIP"
DISSOCIATE_EIP = "dissociate EIP"
RELEASE_EIP = "release EIP"
_ASK = (CREATE_EIP, ASSOCIATE_EIP)

ALLOC_DIRS = ("stepdown", "stepup", "random", "none")  # the service takes any other word for the default
CLASSIC = "default"  # the VPC that classic networks are in
_AT_WORK = frozenset(("associate_eip", "dissociate_eip"))  # of a group
_EIP_AT_WORK = frozenset(("allocate", "associate", "dissociate", "deallocate"))
_POLL = 0.5  # seconds between looks at what the service does
_CONFLICTS = (AlreadyExists, Invalid, NotFound, Unavailable)
LATE = 3.0  # seconds that a lost request may still be on its way
LONGEST_NAME = 128  # characters; the service cuts what is longer
EIP_PREFIX = "eip-for-grp-"  # of the name of an EIP that the service creates for a group; the group's own name follows
_EIP_ACCESS = ("eip", "eip-distgw")  # modes of a VPC whose addresses may have EIPs
_REFUSED = re.compile(r"[/\\;\x00-\x1f\x7f]")  # in names, by the service
_LOST = re.compile(r"[^\x00-\uffff]")  # in names: the service's database keeps something else
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_TAKEN = 3  # times in a row that the service refuses a thing which looks as if it could be done, before it counts


class GroupApi(Protocol):
    """What this procedure needs of a client. Errors are those of base/errors.py. A name or an id says which one."""

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


class Vip:
    """The VIP that is wanted, or with present=False the one that must not be there.

    address: None for any. network: of the VIP; None for that of the members. designated: whether another address than
    this one will not do. reserved: whether it may be one that is reserved; the reservation is used up.
    """

    __slots__ = ("address", "alloc_dir", "designated", "network", "present", "reserved")

    def __init__(
        self,
        address: str | None = None,
        network: str | None = None,
        alloc_dir: str | None = None,
        reserved: bool = False,
        designated: bool = True,
        present: bool = True,
    ) -> None:
        self.address = address
        self.network = network
        self.alloc_dir = alloc_dir
        self.reserved = reserved
        self.designated = designated
        self.present = present


class Eip:
    """The EIP that is wanted: an existing one, by its name or id, or one that is created; or none.

    bandwidth: of the one that is created, in Mbit/s. auto_release: whether the service releases that one when it is
    dissociated. release: whether an EIP that this procedure dissociates is to be released.
    """

    __slots__ = ("auto_release", "bandwidth", "charge_type", "eip", "line", "present", "release")

    def __init__(
        self,
        eip: str | None = None,
        bandwidth: int | None = None,
        line: str | None = None,
        charge_type: str | None = None,
        auto_release: bool = False,
        release: bool = False,
        present: bool = True,
    ) -> None:
        self.eip = eip
        self.bandwidth = bandwidth
        self.line = line
        self.charge_type = charge_type
        self.auto_release = auto_release
        self.release = release
        self.present = present


class GroupGoal:
    """What is wanted. None: leave it as it is.

    group: its name, or its id. present: False deletes it, and before it all that it has. members: guests, by name or
    id; with members_present=False they must not be members. exclusive: these members, this VIP and this EIP are all
    that there shall be; otherwise what is there already and differs is a reason to refuse.
    """

    __slots__ = (
        "eip",
        "exclusive",
        "force_dispersion",
        "granularity",
        "group",
        "members",
        "members_present",
        "present",
        "vip",
    )

    def __init__(
        self,
        group: str,
        members: Iterable[str] | None = None,
        vip: Vip | None = None,
        eip: Eip | None = None,
        granularity: int | None = None,
        force_dispersion: bool | None = None,
        exclusive: bool = False,
        members_present: bool = True,
        present: bool = True,
    ) -> None:
        self.group = group
        self.members = None if members is None else list(dict.fromkeys(members))
        self.members_present = members_present
        self.vip = vip
        self.eip = eip
        self.granularity = granularity
        self.force_dispersion = force_dispersion
        self.exclusive = exclusive
        self.present = present


class Observed:
    """What is there, and what is to be done about it.

    group: None if there is none. vips, members: the rows of the service, the oldest VIP first. eips: those that have
    something to do with the group; one is bound if a VIP has it, and failed if none has. hidden: the VIPs whose EIPs
    are not shown to this user. loose: EIPs that were created for the group, by their names, and are associated with
    nothing. waiting: for what the service has not finished. doubt: why a moment has to pass before the first step. The
    lists of what is to be done are filled in by decide().
    """

    def __init__(
        self,
        goal: GroupGoal,
        group: Resource | None = None,
        vips: Iterable[Resource] = (),
        members: Iterable[Resource] = (),
        eips: Iterable[Resource] = (),
    ) -> None:
        self.goal = goal
        self.group = group
        self.vips = list(vips)
        self.members = {str(row["guest_id"]): str(row.get("guest") or row["guest_id"]) for row in members}
        self.eips = list(eips)
        self.hidden: list[Resource] = []
        self.loose: list[Resource] = []
        self.nics: dict[str, list[Resource]] = {}  # of the guests that were looked at
        self.problems: list[str] = []
        self.waiting = self.doubt = ""
        self.vip: Resource | None = None  # the VIP that stays
        self.update: dict[str, Any] = {}
        self.bind: dict[str, str] = {}  # names by ids
        self.unbind: dict[str, str] = {}
        self.detach: list[Resource] = []
        self.attach = False
        self.dissociate = False
        self.release = False  # what is dissociated
        self.eip: Resource | None = None  # the existing one that is wanted
        self.ask_eip = False
        self.rubbish: list[Resource] = []  # EIPs that never came to be, and one that is to be released
        self.network: Resource | None = None  # the one that is wanted for the VIP

    @property
    def name(self) -> str:
        return str(self.group.get("name") or self.goal.group) if self.group else self.goal.group

    @property
    def id(self) -> str:
        return str(self.group["id"]) if self.group else self.goal.group

    @property
    def bound(self) -> list[Resource]:
        """The VIPs that have an EIP."""
        return [row for row in self.vips if row.get("eip_id")]

    @property
    def failed(self) -> list[Resource]:
        """EIPs that the group should have had."""
        bound = {row["eip_id"] for row in self.bound}
        return [eip for eip in self.eips if eip["id"] not in bound]

    def state(self) -> str:
        """In a sentence, what is there."""
        if not self.group:
            return f"there is no group {self.name}"
        vips = ", ".join(_spell_vip(row) for row in self.vips) or "no VIP"
        members = ", ".join(self.members.values()) or "no members"
        status = self.group.get("status") or "unknown"
        failed = ", ".join(map(spell_eip, self.failed))
        return f"the group {self.name} ({status}) has {vips}; {members}" + (
            f"; left over: EIP {failed}" if failed else ""
        )

    def to_diff(self) -> dict[str, Any]:
        """What is there, for a person to compare with what is wanted."""
        return _diff(
            self.group,
            self.members.values(),
            [str(row.get("ip_addr") or "") for row in self.vips],
            next((str(row.get("eip_addr") or row["eip_id"]) for row in self.bound), None),
        )


def wanted_diff(o: Observed) -> dict[str, Any]:
    """to_diff() of the wanted state. An address that the service is to choose is None."""
    goal = o.goal
    if not goal.present:
        return _diff(None, (), [], None)
    group = {**(o.group or _new_group(goal)), **o.update}
    members = {key: name for key, name in o.members.items() if key not in o.unbind}
    gone = [row.get("ip_addr") for row in o.detach]
    vips: list[str | None] = [str(row["ip_addr"]) for row in o.vips if row.get("ip_addr") not in gone]
    if o.attach and goal.vip:
        vips.append(goal.vip.address)
    eip = None if o.dissociate else next((row.get("eip_addr") for row in o.bound), None)
    if o.ask_eip and o.eip:
        eip = o.eip.get("ip_addr")
    return _diff(group, [*members.values(), *o.bind.values()], vips, eip)


def _diff(
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


def observe(client: GroupApi, goal: GroupGoal, memory: Memory) -> Observed:
    problems = goal_problems(goal)
    if problems:
        refused = Observed(goal)
        refused.problems = problems
        return refused
    o = look(client, goal, _asked_for_one(memory))
    if o.problems:
        return o
    o.waiting = _waiting(client, o, memory)
    if not o.waiting:
        decide(client, o, memory)
    return o


def look(client: GroupApi, goal: GroupGoal, loose: bool = False) -> Observed:
    """What there is, without a decision. loose: whether to look for EIPs that are not associated, too."""
    project = client.project()
    group = client.get_group(goal.group)
    if group is None:
        o = Observed(goal)
        if goal.present and _UUID.fullmatch(goal.group):
            o.problems.append(
                f"group: there is no group with the id {goal.group}: give the id of one that is there, or a name"
            )
        return o
    gid = str(group["id"])
    # Before the VIPs: an EIP that is bound in between shall not look as if its association had failed.
    eips = client.list_group_eips(gid)
    free = []
    if loose or group.get("status") in (*_AT_WORK, "associate_eip_failed"):
        free = [eip for eip in client.list_eips(EIP_PREFIX) if not eip.get("associate_id") and _may_be(eip, group)]
    o = Observed(goal, group, client.list_group_networks(gid), client.list_group_guests(gid), eips)
    o.loose = free
    # Who may see all projects finds the groups of all of them: a name could be that of a stranger's.
    if goal.group != gid and group.get("tenant_id") not in (None, project["id"]):
        o.problems.append(
            f"the group {goal.group} is of another project, {group.get('tenant') or group['tenant_id']}, and not of "
            f"{project['name'] or project['id']}: log in to its project, or give its id, {gid}; for a new group choose "
            "another name, since a name is used once in all projects together"
        )
        return o
    _look_for_hidden(client, o)
    return o


def _look_for_hidden(client: GroupApi, o: Observed) -> None:
    """What the service says that there is, and does not show."""
    known = {eip["id"] for eip in o.eips}
    for row in o.bound:
        if row["eip_id"] in known:
            continue
        try:
            eip = client.get_eip(row["eip_id"])
        except Denied:
            eip = None
        if eip:
            o.eips.append(eip)
        else:
            o.hidden.append(row)
    group = o.group or {}
    vips = [] if o.vips else group.get("vips") or []
    if vips:
        # They may have gone between the requests.
        still = (client.get_group(o.id) or {}).get("vips") or []
        vips = [address for address in vips if address in still]
    if vips:
        o.problems.append(
            f"the group {o.name} has VIP {', '.join(vips)}, which the service does not list for this user: log in to "
            f"its project, {group.get('tenant') or group.get('tenant_id')}, or have the privilege given to list "
            "groupnetworks wherever groups may be got"
        )


def plan(o: Observed, goal: GroupGoal, memory: Memory) -> Iterator[Step | Pause]:
    """What is left to do, in the order that the service demands."""
    if o.waiting:
        yield Pause(_POLL, o.waiting)
        return
    for number, step in enumerate(_steps(o, goal)):
        if number == 0:
            if o.doubt:
                yield Pause(_POLL, o.doubt)
            yield from _hold_back(step, memory)
        yield step


def _steps(o: Observed, goal: GroupGoal) -> Iterator[Step]:
    gid, name = o.id, o.name
    if o.group is None and goal.present:
        yield _step(CREATE_GROUP, name, lambda client: client.create_group(_new_group(goal)))
    if o.update:
        yield _step(UPDATE_GROUP, name, lambda client: client.update_group(gid, o.update))
    if o.dissociate:
        key = _ids(o.eips)
        resource = f"{name}: {', '.join(map(spell_eip, o.eips))}"
        gone = [eip["id"] for eip in o.eips if o.release or eip.get("auto_dellocate")]
        yield _step(DISSOCIATE_EIP, resource, lambda client: client.dissociate_eip(gid, o.release), key=key, note=gone)
    if o.unbind:
        guests = list(o.unbind)
        resource = f"{name}: {', '.join(o.unbind.values())}"
        yield _step(UNBIND, resource, lambda client: client.unbind_guests(gid, guests))
    for row in o.detach:
        yield _detach(gid, name, str(row["ip_addr"]))
    if o.bind:
        ids = list(o.bind)
        resource = f"{name}: {', '.join(o.bind.values())}"
        yield _step(BIND, resource, lambda client: client.bind_guests(gid, ids))
    if o.attach and goal.vip:
        attached = _attach_body(goal.vip, o)
        yield _step(
            ATTACH,
            f"{name}: {goal.vip.address or 'any address'}",
            lambda client: client.attach_network(gid, attached),
        )
    for eip in o.rubbish:
        yield _release(eip)
    if o.ask_eip and goal.eip:
        yield _ask_eip(o, goal.eip)
    if o.group is not None and not goal.present:
        yield _step(DELETE_GROUP, name, lambda client: client.delete_group(gid))


def _new_group(goal: GroupGoal) -> dict[str, Any]:
    # The service's own defaults; climc's for the dispersion is the opposite.
    dispersion = True if goal.force_dispersion is None else goal.force_dispersion
    return {"name": goal.group, "granularity": goal.granularity or 1, "force_dispersion": dispersion}


def _step(name: str, resource: str, do: Callable[[Any], Any], key: Any = None, note: Any = None) -> Step:
    """A request that is never repeated unseen: whatever became of it, or why it was refused, the next look tells."""
    return Step(name, resource, lambda client, _id: do(client), key, note, _CONFLICTS)


def _detach(gid: str, name: str, address: str) -> Step:
    return _step(DETACH, f"{name}: {address}", lambda client: client.detach_network(gid, address))


def _release(eip: Resource) -> Step:
    return _step(RELEASE_EIP, spell_eip(eip), lambda client: client.delete_eip(eip["id"]))


def _attach_body(vip: Vip, o: Observed) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if vip.address:
        body.update(ip_addr=vip.address, require_designated_ip=vip.designated)
    if o.network:
        body["network_id"] = o.network["id"]
    if vip.alloc_dir:
        body["alloc_dir"] = vip.alloc_dir
    if vip.reserved:
        body["reserved"] = True
    return body


def _ask_eip(o: Observed, eip: Eip) -> Step:
    gid, address, wanted = o.id, str(o.vip["ip_addr"]) if o.vip else "", o.eip
    if wanted:
        return _step(
            ASSOCIATE_EIP,
            f"{o.name}: {spell_eip(wanted)}",
            lambda client: client.associate_eip(gid, wanted["id"], address),
        )
    body: dict[str, Any] = {
        "bandwidth": eip.bandwidth,
        "charge_type": eip.charge_type or "bandwidth",
        "bgp_type": eip.line or "",
        "auto_dellocate": eip.auto_release,
    }
    return _step(CREATE_EIP, f"{o.name}: {eip.bandwidth} Mbit/s", lambda client: client.create_eip(gid, body))


def _hold_back(step: Step, memory: Memory) -> Iterator[Pause]:
    """What the service refuses a few times in a row, although nothing speaks against it, is refused for good. And a
    request that was lost may be late: what it would do twice is not asked for again at once.
    """
    conflicts = memory.conflicts.get(step.key, [])
    refusals = [error for _at, error in conflicts if not isinstance(error, Unavailable)]
    if len(refusals) >= _TAKEN:
        raise refusals[-1]
    if step.name in (ATTACH, CREATE_EIP) and conflicts and isinstance(conflicts[-1][1], Lost):
        left = LATE - (memory.now - conflicts[-1][0])
        if left > 0:
            yield Pause(left, f"until {step.name} {step.resource}, of which nothing was heard, has surely been or not")


# --- what the service has not finished


def _waiting(client: GroupApi, o: Observed, memory: Memory) -> str:
    """What to wait for. Nobody can say what is so while an EIP comes or goes."""
    status = str(o.group.get("status")) if o.group else ""
    ours = any(key[0] in (*_ASK, DISSOCIATE_EIP) for key in memory.done)  # type: ignore[index]
    who = "" if ours else f"{AT_WORK}: "
    reason = f"{who}the group {o.name} has the status {status}"
    for eip in (*o.eips, *o.loose):
        if eip.get("status") in _EIP_AT_WORK:
            return f"{reason}, and EIP {spell_eip(eip)} {eip['status']}"
    for each in _released(memory):
        eip_left = client.get_eip(each)
        if eip_left and not eip_left.get("associate_id") and eip_left.get("status") != "deallocate_fail":
            return f"until EIP {spell_eip(eip_left)} is released"
    if status not in _AT_WORK:
        memory.facts.pop("idle", None)
        return ""
    if o.goal.eip and o.goal.eip.eip:
        # It says whose it is a little later only.
        wanted = client.get_eip(o.goal.eip.eip)
        if wanted and wanted.get("status") in _EIP_AT_WORK:
            return f"{reason}, and EIP {spell_eip(wanted)} {wanted['status']}"
    # The service leaves the group so for ever if no EIP could be allocated. Only what is on its way is waited for.
    if "failed" in memory.facts or (ours and _never_allocated(client, o, memory)):
        return ""
    if ours and any(_is_new(eip, memory) and eip.get("status") != "allocate_fail" for eip in o.loose):
        return reason
    since = memory.facts.get("idle")
    if since is None and memory.now:
        since = memory.facts["idle"] = memory.now
    if since is None or memory.now - since < LATE:
        if ours:
            return reason
        o.doubt = f"{reason}, and no EIP is on its way, as far as can be seen"
    return ""


def _asked_for_one(memory: Memory) -> bool:
    """Whether this run has had an EIP created. Until it is associated, only its name tells whose it is."""
    return any(key[0] == CREATE_EIP for key in memory.done)  # type: ignore[index]


def _is_new(eip: Resource, memory: Memory) -> bool:
    """Whether it came since this run looked for the last time before it asked for an EIP."""
    return "before" in memory.facts and eip["id"] not in memory.facts["before"]


def _released(memory: Memory) -> list[str]:
    """The ids of EIPs that this run has had released."""
    return [eip for fact in memory.done.values() for eip in fact.note or ()]


# --- from what is there to what is to be done


def decide(client: GroupApi, o: Observed, memory: Memory) -> None:
    """Fill in what is to be done, or problems. Raises CloudError where this run's own EIP has come to nothing."""
    goal = o.goal
    if o.group is None and not goal.present:
        return
    if not goal.present:
        o.detach, o.unbind = o.vips, o.members
        o.rubbish = _never_allocated(client, o, memory)
        if o.eips or o.hidden:
            _dissociate(client, o, bool(goal.eip and goal.eip.release), lose=True)
        _check_dissociated(o, memory)
    else:
        _decide_group(o)
        _decide_members(client, o)
        _decide_vip(client, o, memory)
        _find_network(client, o)
        _decide_eip(client, o, memory)
        _check_members(client, o)
    _check_released(client, memory)
    _check_enabled(o)
    if o.problems:
        return
    if o.attach:
        _check_address(client, o)


def _decide_group(o: Observed) -> None:
    wanted = {"granularity": o.goal.granularity, "force_dispersion": o.goal.force_dispersion}
    if o.group:
        o.update = {key: value for key, value in wanted.items() if value is not None and o.group.get(key) != value}


def _decide_members(client: GroupApi, o: Observed) -> None:
    goal = o.goal
    if goal.members is None:
        return
    wanted: dict[str, str] = {}
    owner = str(o.group.get("tenant_id") if o.group else client.project()["id"])
    for guest in goal.members:
        known = next((key for key, name in o.members.items() if guest in (key, name)), None)
        if known:
            wanted[known] = o.members[known]
        elif goal.members_present:
            server = client.get_server(guest)
            if server is None:
                o.problems.append(f"members: there is no guest {guest}")
                continue
            if server.get("tenant_id") not in (None, owner):
                o.problems.append(
                    f"members: the guest {guest} is of another project, "
                    f"{server.get('tenant') or server['tenant_id']}, than the group {o.name}: a group has guests of "
                    "its own"
                )
                continue
            wanted[str(server["id"])] = str(server.get("name") or guest)
    if not goal.members_present:
        o.unbind = wanted
        return
    o.bind = {key: name for key, name in wanted.items() if key not in o.members}
    if goal.exclusive:
        o.unbind = {key: name for key, name in o.members.items() if key not in wanted}


def _decide_vip(client: GroupApi, o: Observed, memory: Memory) -> None:
    goal, vip = o.goal, o.goal.vip
    if vip is None:
        o.vip = o.vips[0] if o.vips else None
        return
    if vip.network:
        o.network = client.get_network(vip.network)
        if o.network is None:
            o.problems.append(f"vip: network_id: there is no network {vip.network}")
            return
    fitting = [row for row in o.vips if _fits(row, vip, o)]
    if not vip.present:
        o.detach = fitting
        left = [row for row in o.vips if row not in fitting]
        o.vip = left[0] if left else None
        _decide_detached_eip(client, o)
        return
    # What this run and another one attached at the same moment: all agree on who stays.
    attached = any(key[0] == ATTACH for key in memory.done)  # type: ignore[index]
    if len(o.vips) > 1 and attached:
        stays = o.bound[0] if o.bound else o.vips[0]
        o.detach = [row for row in o.vips if row is not stays and not row.get("eip_id")]
        o.vip = stays
        return
    o.vip = next((row for row in fitting if row.get("eip_id")), fitting[0] if fitting else None)
    others = [row for row in o.vips if row is not o.vip]
    o.attach = o.vip is None
    if others and not goal.exclusive:
        there = ", ".join(map(_spell_vip, others))
        wanted = f"{vip.address or 'a VIP'}{f' on {vip.network}' if vip.network else ''}"
        o.problems.append(
            f"vip: the group {o.name} has {there}, and may have one VIP only, {wanted}: detach it (state=absent), or "
            "have it replaced (exclusive)"
        )
        return
    o.detach = others
    _decide_detached_eip(client, o)


def _fits(row: Resource, vip: Vip, o: Observed) -> bool:
    wrong_address = vip.address and row.get("ip_addr") != vip.address and (vip.designated or not vip.present)
    return not wrong_address and (o.network is None or row.get("network_id") == o.network["id"])


def _decide_detached_eip(client: GroupApi, o: Observed) -> None:
    """A VIP cannot go while it has an EIP; and that goes only where it is asked for."""
    goal, eip = o.goal, o.goal.eip
    for row in o.detach:
        if not row.get("eip_id"):
            continue
        named = eip and eip.present and eip.eip in (row["eip_id"], _name_of(o, row["eip_id"]))
        if eip and not eip.present and eip.eip is None:
            continue  # It goes before the VIP does.
        if goal.exclusive and named:
            _dissociate(client, o, False, again=row["eip_id"])  # It comes back when the new VIP is there.
            continue
        o.problems.append(
            f"vip: {_spell_vip(row)} cannot be detached while it has that EIP: dissociate it too (eip: state=absent), "
            "or name it (eip: eip_id), with exclusive, to have it on the next VIP"
        )


def _name_of(o: Observed, eip_id: str) -> str | None:
    return next((str(eip.get("name")) for eip in o.eips if eip["id"] == eip_id), None)


def _dissociate(client: GroupApi, o: Observed, release: bool, lose: bool = False, again: str | None = None) -> None:
    """All EIPs of the group are to be dissociated, and kept unless they are to be released.

    lose: whether one that is released by being dissociated may be. again: the id of one that is to be bound again.
    """
    for row in o.hidden:
        o.problems.append(
            f"eip: {_spell_vip(row)} of the group {o.name} has an EIP of another project, which this user cannot see: "
            "have it dissociated by its project, or by an administrator"
        )
    for number, eip in enumerate(o.eips):
        # Lists do not tell everybody whether it has auto_dellocate.
        o.eips[number] = {**eip, **(client.get_eip(eip["id"]) or {})}
    for eip in o.eips:
        if not eip.get("auto_dellocate") or lose or (release and eip["id"] != again):
            continue
        advice = "give release=true if it may be"
        if eip["id"] == again:
            advice = "it cannot be bound again. Take it away (eip: state=absent), and ask for another one"
        o.problems.append(
            f"eip: {spell_eip(eip)} was created to be released when it is dissociated (auto_dellocate), and would be "
            f"lost: {advice}"
        )
    o.dissociate, o.release = True, release and again is None


def _id_of_wanted(o: Observed) -> str | None:
    return next((eip["id"] for eip in o.failed if o.eip and eip["id"] == o.eip["id"]), None)


def interfaces(client: GroupApi, o: Observed, guest_id: str) -> list[Resource]:
    """Of a guest: asked for once in a look."""
    if guest_id not in o.nics:
        o.nics[guest_id] = client.list_server_networks(guest_id)
    return o.nics[guest_id]


def _find_network(client: GroupApi, o: Observed) -> None:
    """The network of a VIP that is to come: the members', if none is named."""
    if not o.attach or o.network is not None:
        return
    nics = [nic for key in _members_then(o) for nic in interfaces(client, o, key)]
    if nics:
        o.network = client.get_network(str(nics[0]["network_id"]))


def _members_then(o: Observed) -> dict[str, str]:
    """Names by ids of those that will be members when a VIP or an EIP is asked for."""
    return {**{key: name for key, name in o.members.items() if key not in o.unbind}, **o.bind}


def _check_members(client: GroupApi, o: Observed) -> None:
    """Guests and VIP are on one network, and each guest has one interface: the service checks it now and then."""
    if o.attach or o.ask_eip:
        o.problems += member_problems(client, o, _members_then(o))
        if o.attach and not o.network and not o.problems:
            o.problems.append(
                "vip: give network_id: the group has no members that would tell which network the VIP is on"
            )
    elif o.vip and o.bind:
        o.problems += member_problems(client, o, o.bind)
    # While it detaches, those that are bound are still none, and those that are unbound are gone.
    left = {key: name for key, name in o.members.items() if key not in o.unbind}
    if o.detach and not o.problems:
        wrong = member_problems(client, o, left, alone=True)
        o.problems += [f"{each}. The service detaches no VIP until that is so, or they are unbound" for each in wrong]


def member_problems(client: GroupApi, o: Observed, members: Mapping[str, str], alone: bool = False) -> list[str]:
    """Why these members cannot be in a group with its VIP; alone: why not together."""
    problems: list[str] = []
    networks: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for key, name in members.items():
        nics = interfaces(client, o, key)
        if len(nics) != 1:
            there = ", ".join(str(nic.get("network")) for nic in nics) or "none"
            problems.append(
                f"members: the guest {name} has {len(nics)} network interfaces ({there}), and a member of a group "
                "with a VIP has one"
            )
            continue
        networks.setdefault(str(nics[0]["network_id"]), []).append(f"the guest {name}")
        names[str(nics[0]["network_id"])] = str(nics[0].get("network"))
    if o.vip and not alone:
        networks.setdefault(str(o.vip.get("network_id")), []).append(f"the VIP {o.vip['ip_addr']}")
        names[str(o.vip.get("network_id"))] = str(o.vip.get("network"))
    if o.network and not alone and o.goal.vip and o.goal.vip.network:
        networks.setdefault(str(o.network["id"]), []).append("network_id")
        names[str(o.network["id"])] = str(o.network.get("name"))
    if len(networks) > 1:
        where = "; ".join(f"{', '.join(whose)} on {names[key]}" for key, whose in networks.items())
        problems.append(f"members: the guests and the VIP of a group must be on one network: {where}")
    return problems


def _check_address(client: GroupApi, o: Observed) -> None:
    """Whether the VIP that is wanted is an address of the network, and free. The service would take another one."""
    vip, network = o.goal.vip, o.network
    if not vip or not vip.address or not network:
        return
    first, last = network.get("guest_ip_start"), network.get("guest_ip_end")
    name = network.get("name") or network["id"]
    if first and last:
        wanted = ipaddress.IPv4Address(vip.address)
        if not ipaddress.IPv4Address(first) <= wanted <= ipaddress.IPv4Address(last):
            o.problems.append(f"vip: ip_addr: {vip.address} is not in the range of network {name}, {first} to {last}")
            return
    if not vip.designated:
        return
    # The group itself may have it by now, given by another run: the next look tells.
    users = client.list_address_users(str(network["id"]), vip.address, o.id)
    reserved = [user for user in users if user.startswith("a reservation")]
    taken = [user for user in users if user not in reserved]
    if taken:
        o.problems.append(
            f"vip: ip_addr: {vip.address} on network {name} is in use by {', '.join(taken)}: choose another"
        )
    elif reserved and not vip.reserved:
        o.problems.append(
            f"vip: ip_addr: {vip.address} on network {name} is reserved: choose another, or give reserved=true, which "
            "uses up the reservation"
        )


def _decide_eip(client: GroupApi, o: Observed, memory: Memory) -> None:
    eip, bound = o.goal.eip, o.bound
    if eip is None:
        return
    if not eip.present:
        o.rubbish = _never_allocated(client, o, memory)
        _decide_no_eip(client, o, eip, memory)
        return
    if eip.eip:
        o.eip = client.get_eip(eip.eip)
        if o.eip is None:
            o.problems.append(f"eip: eip_id: there is no EIP {eip.eip}")
            return
    if _asked(memory):
        _check_asked(client, o, memory)
        if o.dissociate or o.rubbish:
            return
    fits = [row for row in bound if o.eip is None or row["eip_id"] == o.eip["id"]]
    if fits and not o.dissociate:
        if o.eip is None:
            _check_same(o, eip, fits[0]["eip_id"])
        elif fits[0] is not o.vip:
            o.problems.append(
                f"eip: {spell_eip(o.eip)} is on {_spell_vip(fits[0])}, which is not the VIP that is wanted"
            )
        return
    if bound and not fits:
        if not o.goal.exclusive:
            there = ", ".join(_spell_vip(row) for row in bound)
            o.problems.append(
                f"eip: the group {o.name} has {there}, and may have one EIP only: dissociate that one (state=absent), "
                "or have it replaced (exclusive)"
            )
            return
        _dissociate(client, o, eip.release)
    elif o.failed and not bound:
        # What an earlier run left behind. One that create-eip made was never of use to anybody.
        created = o.eip is None and all(_is_created(each, o, memory) for each in o.failed)
        _dissociate(client, o, created or eip.release, again=_id_of_wanted(o))
    o.rubbish = _never_allocated(client, o, memory)
    _check_askable(client, o, eip)
    o.ask_eip = True
    if o.eip is None and not o.problems and "before" not in memory.facts:
        memory.facts["before"] = frozenset(each["id"] for each in client.list_eips(EIP_PREFIX))


def _decide_no_eip(client: GroupApi, o: Observed, eip: Eip, memory: Memory) -> None:
    _check_dissociated(o, memory)
    if eip.eip is None:
        if o.eips or o.hidden:
            _dissociate(client, o, eip.release, lose=True)
        return
    o.eip = client.get_eip(eip.eip)
    if o.eip is None:
        return
    key = o.eip["id"]
    if any(each["id"] == key for each in o.eips):
        if len(o.eips) > 1:
            o.problems.append(
                f"eip: the group {o.name} has several EIPs, {', '.join(map(spell_eip, o.eips))}, and the service "
                "takes any one of them: leave out eip_id, to have all of them dissociated"
            )
        _dissociate(client, o, eip.release, lose=True)
    elif eip.release:
        if o.eip.get("associate_id"):
            o.problems.append(f"eip: {spell_eip(o.eip)} cannot be released: it is associated with {_whose(o.eip)}")
        elif key not in _released(memory):
            o.rubbish.append(o.eip)


def _check_askable(client: GroupApi, o: Observed, eip: Eip) -> None:
    """All that the service would refuse, or accept and then fail at."""
    if not o.vip and not o.attach:
        o.problems.append(f"eip: the group {o.name} has no VIP that could have an EIP: give vip")
    network = o.network
    if network is None and o.vip:
        network = client.get_network(str(o.vip["network_id"]))
    if network and _is_classic(network):
        o.problems.append(
            f"eip: network {network.get('name') or network['id']} is a classic one: only a VIP on a network of a VPC "
            "can have an EIP"
        )
    elif network:
        _check_access(client, o, network)
    if o.eip is None:
        try:
            lines = sorted({str(each.get("bgp_type") or "") for each in client.list_eip_networks()})
        except Denied:
            lines = []
        # Who sees none of them may be allowed to use them all the same: then the service decides.
        if lines and (eip.line or "") not in lines:
            choices = ", ".join(line or "none, with bgp_type left out" for line in lines)
            o.problems.append(
                f"eip: bgp_type: there is no line of type {eip.line!r} to take an EIP from; there is: {choices}"
            )
        return
    holder = o.eip.get("associate_id")
    if holder and holder != o.id:
        o.problems.append(f"eip: {spell_eip(o.eip)} is associated with {_whose(o.eip)}: dissociate it there first")
    elif not holder and o.eip.get("status") != "ready":
        o.problems.append(f"eip: {spell_eip(o.eip)} cannot be associated: its status is {o.eip.get('status')}")
    if o.eip.get("mode") not in (None, "elastic_ip"):
        o.problems.append(f"eip: {spell_eip(o.eip)} is the fixed public address of a guest ({o.eip['mode']})")
    if network and o.eip.get("network_id") == network["id"]:
        o.problems.append(f"eip: {spell_eip(o.eip)} is of the same network as the VIP")


def _check_access(client: GroupApi, o: Observed, network: Resource) -> None:
    try:
        vpc = client.get_vpc(str(network["vpc_id"])) if network.get("vpc_id") else None
    except Denied:
        return  # Not everybody may see it: then the service decides.
    mode = vpc.get("external_access_mode") if vpc else None
    if vpc and mode and mode not in _EIP_ACCESS:
        o.problems.append(
            f"eip: network {network.get('name') or network['id']} is of the VPC {vpc.get('name') or vpc['id']}, whose "
            f"external_access_mode is {mode}: only with {' or '.join(_EIP_ACCESS)} a VIP can have an EIP"
        )


def _check_same(o: Observed, eip: Eip, eip_id: str) -> None:
    """An EIP that is there is as good as one that is created, if it is like it."""
    there = next((each for each in o.eips if each["id"] == eip_id), None)
    if there is None:
        return
    wanted = {"bandwidth": eip.bandwidth, "bgp_type": eip.line, "charge_type": eip.charge_type}
    for option, value in wanted.items():
        if value is not None and there.get(option) is not None and there[option] != value:
            o.problems.append(
                f"eip: {option}: the group's EIP {spell_eip(there)} has {there[option]}, and {value} is wanted: "
                "change the EIP itself, or take it away first (state=absent)"
            )


def _asked(memory: Memory) -> bool:
    """Whether this run has asked for an EIP, of which it has to know what became.

    Not if it has had it dissociated since because the VIP was one too many: then it asks anew.
    """
    names = [step.name for step in memory.steps if step.name in (*_ASK, DISSOCIATE_EIP)]
    return "failed" in memory.facts or (bool(names) and names[-1] in _ASK)


def _check_asked(client: GroupApi, o: Observed, memory: Memory) -> None:
    """What became of the EIP that this run asked for. One that came to nothing is put away; then the run fails."""
    left = ", ".join(f"{spell_eip(each)} has the status {each.get('status')}" for each in o.failed)
    if o.bound:
        if left:
            raise Invalid(
                f"another run gave the group {o.name} an EIP at the same moment, and one is left over: EIP {left}. "
                "The service dissociates any one of a group's EIPs, so that is not tried while one of them works: "
                "when an interruption does no harm, have all of them dissociated (eip: state=absent), and ask again",
                resource=o.name,
            )
        return
    if left and not _tried(o, memory):
        memory.facts["failed"] = f"EIP {left}"
        _dissociate(client, o, o.eip is None, again=_id_of_wanted(o))
        return
    o.rubbish = _never_allocated(client, o, memory)
    if o.rubbish:
        memory.facts["failed"] = f"EIP {', '.join(map(spell_eip, o.rubbish))} could not be allocated"
        return
    what = memory.facts.get("failed") or "it is not bound any more, as if somebody had dissociated it meanwhile"
    raise Invalid(
        f"the EIP could not be bound to the VIP of group {o.name}: {what}. The logs of the EIP and the group say more",
        resource=o.name,
    )


def _never_allocated(client: GroupApi, o: Observed, memory: Memory) -> list[Resource]:
    """EIPs that were to be created for the group, and have no address. Nothing but their names says whose they are."""
    if o.eip:
        return []
    found = [e for e in o.loose if e.get("status") == "allocate_fail" and _is_created(e, o, memory)]
    return [eip for eip in found if not _is_of_another(client, eip, o)]


def _is_of_another(client: GroupApi, eip: Resource, o: Observed) -> bool:
    """Whether another group has the name that it is called after: such as web-1, which looks like the second of web."""
    rest = str(eip["name"])[len(EIP_PREFIX) :]
    if rest == o.name or not rest.strip():
        return False
    try:
        group = client.get_group(rest)
    except Denied:
        return True
    return group is not None and group["id"] != o.id


def _tried(o: Observed, memory: Memory) -> bool:
    """Whether this run has had these EIPs dissociated, since it asked for one, and they are still there."""
    asked = max((fact.at for key, fact in memory.done.items() if key[0] in _ASK), default=0.0)  # type: ignore[index]
    return any(
        key[0] == DISSOCIATE_EIP and key[2] == _ids(o.eips) and fact.at >= asked  # type: ignore[index]
        for key, fact in memory.done.items()
    )


def _ids(eips: Iterable[Resource]) -> tuple[str, ...]:
    return tuple(sorted(str(eip["id"]) for eip in eips))


def _check_dissociated(o: Observed, memory: Memory) -> None:
    if o.eips and _tried(o, memory):
        left = ", ".join(f"{spell_eip(each)} has the status {each.get('status')}" for each in o.eips)
        raise Invalid(
            f"the EIP of group {o.name} could not be dissociated: {left}. Look at its logs, and try again",
            resource=o.name,
        )


def _check_released(client: GroupApi, memory: Memory) -> None:
    for each in _released(memory):
        eip = client.get_eip(each)
        if eip and eip.get("status") == "deallocate_fail":
            raise Invalid(
                f"EIP {spell_eip(eip)} is dissociated, and could not be released: its status is deallocate_fail. It "
                "may still cost: delete it",
                resource=each,
            )


def _check_enabled(o: Observed) -> None:
    if o.group and o.group.get("enabled") is False and (o.bind or o.unbind):
        o.problems.append(f"the group {o.name} is disabled, and refuses changes of its members: enable it first")


def goal_problems(goal: GroupGoal) -> list[str]:
    """What is wrong with the goal itself."""
    problems = _name_problems(goal.group)
    if goal.granularity is not None and goal.granularity < 1:
        problems.append(f"granularity: {goal.granularity} is not at least 1")
    vip, eip = goal.vip, goal.eip
    if vip and vip.address:
        try:
            ipaddress.IPv4Address(vip.address)
        except ValueError:
            problems.append(f"vip: ip_addr: {vip.address!r} is not an IPv4 address")
    if vip and vip.alloc_dir and vip.alloc_dir not in ALLOC_DIRS:
        problems.append(f"vip: alloc_dir: {vip.alloc_dir!r} is none of {', '.join(ALLOC_DIRS)}")
    if eip and eip.present:
        if vip and not vip.present:
            problems.append("eip: it needs a VIP, and vip has state=absent: give eip state=absent as well")
        if eip.eip and (eip.bandwidth or eip.line or eip.charge_type or eip.auto_release):
            problems.append(
                "eip: bandwidth, bgp_type, charge_type and auto_dellocate are for one that is created: not with eip_id"
            )
        if not eip.eip and not eip.bandwidth:
            problems.append("eip: give eip_id, for an EIP that exists, or bandwidth, for one that is created")
        if eip.bandwidth is not None and eip.bandwidth < 1:
            problems.append(f"eip: bandwidth: {eip.bandwidth} is not at least 1")
        if eip.charge_type not in (None, "bandwidth"):
            problems.append(
                f"eip: charge_type: {eip.charge_type!r} cannot be: the networks of Cloudpods itself, the only ones "
                "where a group has an EIP, know bandwidth only"
            )
    if not goal.present and (goal.members is not None or vip or (eip and (eip.present or eip.eip))):
        problems.append(
            "state: absent takes away all that the group has; give nothing with it but eip with state=absent"
        )
    return problems


def _name_problems(name: str) -> list[str]:
    """Of names that the service refuses, or changes without a word: the group would never be found again."""
    problems = []
    if len(name) > LONGEST_NAME:
        problems.append(f"group: the name has {len(name)} characters, and the service keeps {LONGEST_NAME}")
    if name != name.strip() or not name:
        problems.append(f"group: the name {name!r} is empty, or begins or ends with a blank, which the service drops")
    if _REFUSED.search(name):
        problems.append(f"group: the name {name!r} has a character that the service refuses: / \\ ; or a control one")
    lost = _LOST.findall(name)
    if lost:
        problems.append(f"group: the service does not keep {' '.join(lost)} of the name {name!r}: leave it out")
    return problems


def warnings(o: Observed) -> list[str]:
    """What is not as it should be about what is there, a sentence each."""
    texts = []
    if len(o.vips) > 1:
        texts.append(
            f"the group {o.name} has several VIPs, and the documents allow one: {', '.join(map(_spell_vip, o.vips))}"
        )
    if len({row.get("network_id") for row in o.vips}) > 1:
        texts.append(f"the VIPs of group {o.name} are on several networks")
    for eip in o.failed:
        if eip.get("status") not in _EIP_AT_WORK:
            texts.append(
                f"EIP {spell_eip(eip)} says that it is the group's, and leads to no VIP: it is {eip.get('status')}"
            )
    for eip in o.loose:
        if eip.get("status") == "allocate_fail":
            texts.append(
                f"EIP {spell_eip(eip)}, which was created for the group {o.name} or one of a like name, could not be "
                "allocated, and leads nowhere"
            )
    for row in o.hidden:
        texts.append(f"{_spell_vip(row)} has an EIP of another project, which cannot be seen")
    status = str(o.group.get("status")) if o.group else ""
    if status.endswith("_failed"):
        texts.append(f"the status of group {o.name} is {status}")
    elif status in _AT_WORK and not any(eip.get("status") in _EIP_AT_WORK for eip in (*o.eips, *o.loose)):
        texts.append(
            f"the status of group {o.name} is {status}, and no EIP is on its way: its allocation failed. Ask for the "
            "EIP again, or take it away (eip: state=absent)"
        )
    if o.group and o.group.get("enabled") is False:
        texts.append(f"the group {o.name} is disabled")
    return texts


# --- words


def spell_eip(eip: Resource) -> str:
    address = eip.get("ip_addr")
    name = str(eip.get("name") or eip["id"])
    return f"{name} ({address})" if address else name


def _spell_vip(row: Resource) -> str:
    eip = f" with EIP {row.get('eip_addr') or row['eip_id']}" if row.get("eip_id") else ""
    return f"VIP {row.get('ip_addr')} on {row.get('network') or row.get('network_id')}{eip}"


def _whose(eip: Resource) -> str:
    return f"{eip.get('associate_type') or 'something'} {eip.get('associate_name') or eip['associate_id']}"


def _is_created(eip: Resource, o: Observed, memory: Memory) -> bool:
    """Whether the service created it for the group.

    Its name says so where that of the group is of ASCII. Of others the service makes something else (pinyin, or
    nothing), which says so only of an EIP that was not there before this run asked.
    """
    return _may_be(eip, o.group or {}) and (str(o.name).isascii() or _is_new(eip, memory))


def _may_be(eip: Resource, group: Resource) -> bool:
    """Whether it has a name that the service may give to an EIP which it creates for the group, in its project."""
    if None not in (eip.get("tenant_id"), group.get("tenant_id")) and eip["tenant_id"] != group["tenant_id"]:
        return False
    like = "".join(re.escape(c) if c.isascii() else "[a-z]{0,6}" for c in str(group.get("name")))
    name = str(eip.get("name") or "")
    # One whose group has a long name has lost its end.
    return bool(re.fullmatch(f"{EIP_PREFIX}{like}(-[0-9]+)?", name)) or (
        len(name) >= LONGEST_NAME and f"{EIP_PREFIX}{group.get('name')}".startswith(name[:LONGEST_NAME])
    )


def _is_classic(network: Resource) -> bool:
    return network.get("vpc_id") == CLASSIC or str(network.get("vpc")).lower() == CLASSIC
