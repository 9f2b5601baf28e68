# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The requests that change a Cloudpods anti-affinity group, in the order that the service demands, and a run's memory
of its own."""

from __future__ import annotations

from ..base.errors import AlreadyExists, Invalid, Lost, NotFound, Unavailable
from .instancegroup_look import spell_eip
from .plan import Pause, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from .instancegroup_decide import Decision
    from .instancegroup_goal import Eip, GroupGoal, Vip
    from .instancegroup_look import Resource
    from .plan import Fact, Memory

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
_CONFLICTS = (AlreadyExists, Invalid, NotFound, Unavailable)
_TAKEN = 3  # times in a row that the service refuses a thing which looks as if it could be done, before it counts
LATE = 3.0  # seconds that a lost request may still be on its way


class History:
    """This run's changes, and its notes of earlier looks. No look can tell them.

    | field       | type                | meaning                                                                    |
    |-------------|---------------------|----------------------------------------------------------------------------|
    | now         | float               | the run's clock in seconds, at the end of the last look                    |
    | attached    | bool                | it attached a VIP                                                          |
    | created_eip | bool                | it had an EIP created; until that is associated, only its name says whose  |
    | touched_eip | bool                | it had an EIP created, associated or dissociated                           |
    | asked       | bool                | it asked for an EIP, and has to know what became of that                   |
    | dissociated | set of tuples       | the groups of EIPs that it had dissociated since it asked last             |
    | released    | tuple of ids        | EIPs that it had released                                                  |
    | failed      | str or None         | what came to nothing of the EIP that it asked for                          |
    | before      | set of ids or None  | the EIPs that were there before it asked for one                           |
    | idle_since  | float or None       | since when the group waits for an EIP that is not on its way, by `now`     |
    """

    __slots__ = (
        "asked",
        "attached",
        "before",
        "created_eip",
        "dissociated",
        "failed",
        "idle_since",
        "now",
        "released",
        "touched_eip",
    )

    def __init__(
        self,
        now: float = 0.0,
        *,
        attached: bool = False,
        created_eip: bool = False,
        touched_eip: bool = False,
        asked: bool = False,
        dissociated: Iterable[tuple[str, ...]] = (),
        released: Iterable[str] = (),
        failed: str | None = None,
        before: frozenset[str] | None = None,
        idle_since: float | None = None,
    ) -> None:
        self.now = now
        self.attached = attached
        self.created_eip = created_eip
        self.touched_eip = touched_eip
        self.asked = asked
        self.dissociated = frozenset(dissociated)
        self.released = tuple(released)
        self.failed = failed
        self.before = before
        self.idle_since = idle_since

    def is_new(self, eip: Resource) -> bool:
        """Whether it came since this run looked for the last time before it asked for an EIP."""
        return self.before is not None and eip["id"] not in self.before

    def tried(self, eips: Iterable[Resource]) -> bool:
        """Whether this run has had these EIPs dissociated, since it asked for one, and they are still there."""
        return _ids(eips) in self.dissociated


def remember(memory: Memory) -> History:
    """Reads a run's memory."""
    facts = memory.facts
    done: list[tuple[tuple[str, str, Any], Fact]] = list(memory.done.items())  # type: ignore[arg-type]
    names = {name for (name, _resource, _key), _fact in done}
    asked_at = max((fact.at for (name, *_more), fact in done if name in _ASK), default=0.0)
    # A run that had its EIP dissociated since, because the VIP was one too many, asks anew.
    eip_steps = [step.name for step in memory.steps if step.name in (*_ASK, DISSOCIATE_EIP)]
    return History(
        memory.now,
        attached=ATTACH in names,
        created_eip=CREATE_EIP in names,
        touched_eip=not names.isdisjoint((*_ASK, DISSOCIATE_EIP)),
        asked="failed" in facts or (bool(eip_steps) and eip_steps[-1] in _ASK),
        dissociated=[ids for (name, _resource, ids), fact in done if name == DISSOCIATE_EIP and fact.at >= asked_at],
        released=[eip for _key, fact in done for eip in fact.note or ()],
        failed=facts.get("failed"),
        before=facts.get("before"),
        idle_since=facts.get("idle_since"),
    )


def steps(d: Decision, goal: GroupGoal) -> Iterator[Step]:
    """The steps that carry out a decision."""
    gid, name = d.observed.id, d.observed.name
    if d.observed.group is None and goal.present:
        yield _step(CREATE_GROUP, name, lambda client: client.create_group(new_group(goal)))
    if d.update:
        yield _step(UPDATE_GROUP, name, lambda client: client.update_group(gid, d.update))
    if d.dissociate:
        yield _dissociate(d)
    if d.unbind:
        guests = list(d.unbind)
        resource = f"{name}: {', '.join(d.unbind.values())}"
        yield _step(UNBIND, resource, lambda client: client.unbind_guests(gid, guests))
    for row in d.detach:
        yield _detach(gid, name, str(row["ip_addr"]))
    if d.bind:
        ids = list(d.bind)
        resource = f"{name}: {', '.join(d.bind.values())}"
        yield _step(BIND, resource, lambda client: client.bind_guests(gid, ids))
    if d.attach and goal.vip:
        attached = _attach_body(goal.vip, d.network)
        yield _step(
            ATTACH,
            f"{name}: {goal.vip.address or 'any address'}",
            lambda client: client.attach_network(gid, attached),
        )
    for eip in d.rubbish:
        yield _release(eip)
    if d.ask_eip and goal.eip:
        yield _ask_eip(d, goal.eip)
    if d.observed.group is not None and not goal.present:
        yield _step(DELETE_GROUP, name, lambda client: client.delete_group(gid))


def hold_back(step: Step, memory: Memory) -> Iterator[Pause]:
    """Raises an error that the service repeats a few times in a row, although nothing speaks against the step. Waits
    where a request was lost that may be late, and would do a thing twice.
    """
    conflicts = memory.conflicts.get(step.key, [])
    refusals = [error for _at, error in conflicts if not isinstance(error, Unavailable)]
    if len(refusals) >= _TAKEN:
        raise refusals[-1]
    if step.name in (ATTACH, CREATE_EIP) and conflicts and isinstance(conflicts[-1][1], Lost):
        left = LATE - (memory.now - conflicts[-1][0])
        if left > 0:
            yield Pause(left, f"until {step.name} {step.resource}, of which nothing was heard, has surely been or not")


def new_group(goal: GroupGoal) -> dict[str, Any]:
    # The service's own defaults; climc's for the dispersion is the opposite.
    dispersion = True if goal.force_dispersion is None else goal.force_dispersion
    return {"name": goal.group, "granularity": goal.granularity or 1, "force_dispersion": dispersion}


def _step(name: str, resource: str, do: Callable[[Any], Any], key: Any = None, note: Any = None) -> Step:
    """A request that is never repeated unseen: the next look shows its outcome, or the reason of a refusal."""
    return Step(name, resource, lambda client, _id: do(client), key, note, _CONFLICTS)


def _dissociate(d: Decision) -> Step:
    gid, release = d.observed.id, d.release
    gone = [eip["id"] for eip in d.eips if release or eip.get("auto_dellocate")]
    resource = f"{d.observed.name}: {', '.join(map(spell_eip, d.eips))}"
    return _step(
        DISSOCIATE_EIP, resource, lambda client: client.dissociate_eip(gid, release), key=_ids(d.eips), note=gone
    )


def _detach(gid: str, name: str, address: str) -> Step:
    return _step(DETACH, f"{name}: {address}", lambda client: client.detach_network(gid, address))


def _release(eip: Resource) -> Step:
    return _step(RELEASE_EIP, spell_eip(eip), lambda client: client.delete_eip(eip["id"]))


def _attach_body(vip: Vip, network: Resource | None) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if vip.address:
        body.update(ip_addr=vip.address, require_designated_ip=vip.designated)
    if network:
        body["network_id"] = network["id"]
    if vip.alloc_dir:
        body["alloc_dir"] = vip.alloc_dir
    if vip.reserved:
        body["reserved"] = True
    return body


def _ask_eip(d: Decision, eip: Eip) -> Step:
    gid, name, wanted = d.observed.id, d.observed.name, d.eip
    address = str(d.vip["ip_addr"]) if d.vip else ""
    if wanted:
        return _step(
            ASSOCIATE_EIP,
            f"{name}: {spell_eip(wanted)}",
            lambda client: client.associate_eip(gid, wanted["id"], address),
        )
    body: dict[str, Any] = {
        "bandwidth": eip.bandwidth,
        "charge_type": eip.charge_type or "bandwidth",
        "bgp_type": eip.line or "",
        "auto_dellocate": eip.auto_release,
    }
    return _step(CREATE_EIP, f"{name}: {eip.bandwidth} Mbit/s", lambda client: client.create_eip(gid, body))


def _ids(eips: Iterable[Resource]) -> tuple[str, ...]:
    return tuple(sorted(str(eip["id"]) for eip in eips))
