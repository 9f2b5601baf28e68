# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides about the public address (EIP) of a Cloudpods anti-affinity group's VIP. Pure, as instancegroup_decide.py."""

from __future__ import annotations

from ..base.errors import Denied, Invalid
from .instancegroup_look import (
    EIP_AT_WORK,
    EIP_PREFIX,
    GROUP_AT_WORK,
    is_classic,
    may_be_of,
    spell_eip,
    spell_vip,
    whose,
)
from .instancegroup_steps import LATE
from .plan import AT_WORK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .instancegroup_decide import Decision
    from .instancegroup_goal import Eip, GroupGoal
    from .instancegroup_look import Observed, Resource
    from .instancegroup_steps import History

_EIP_ACCESS = ("eip", "eip-distgw")  # modes of a VPC whose addresses may have EIPs


# --- what the service has not finished


class Waiting:
    """reason: what to wait for; "" for nothing. doubt: why a moment has to pass before the first step. idle_since: for
    later looks, since when the group waits for an EIP that is not on its way.
    """

    __slots__ = ("doubt", "idle_since", "reason")

    def __init__(self, reason: str, idle_since: float | None, doubt: str = "") -> None:
        self.reason = reason
        self.idle_since = idle_since
        self.doubt = doubt


def waiting(o: Observed, goal: GroupGoal, history: History) -> Waiting:
    """The state is unknown while an EIP comes or goes."""
    ours, since = history.touched_eip, history.idle_since
    reason = f"{'' if ours else f'{AT_WORK}: '}the group {o.name} has the status {o.status}"
    for eip in (*o.eips, *o.loose):
        if eip.get("status") in EIP_AT_WORK:
            return Waiting(f"{reason}, and EIP {spell_eip(eip)} {eip['status']}", since)
    for each in history.released:
        left = o.eip(each)
        if left and not left.get("associate_id") and left.get("status") != "deallocate_fail":
            return Waiting(f"until EIP {spell_eip(left)} is released", since)
    if o.status not in GROUP_AT_WORK:
        return Waiting("", None)
    if goal.eip and goal.eip.eip:
        # It says whose it is a little later only.
        wanted = o.eip(goal.eip.eip)
        if wanted and wanted.get("status") in EIP_AT_WORK:
            return Waiting(f"{reason}, and EIP {spell_eip(wanted)} {wanted['status']}", since)
    # The service leaves the group so for ever if no EIP could be allocated. Only what is on its way is waited for.
    if history.failed is not None or (ours and never_allocated(o, history)):
        return Waiting("", since)
    if ours and any(history.is_new(eip) and eip.get("status") != "allocate_fail" for eip in o.loose):
        return Waiting(reason, since)
    if since is None and history.now:
        since = history.now
    if since is not None and history.now - since >= LATE:
        return Waiting("", since)
    if ours:
        return Waiting(reason, since)
    return Waiting("", since, f"{reason}, and no EIP is on its way, as far as can be seen")


# --- what is to be done


def name_of_eip(o: Observed, eip_id: str) -> str | None:
    return next((str(eip.get("name")) for eip in o.eips if eip["id"] == eip_id), None)


def dissociate(d: Decision, release: bool, lose: bool = False, again: str | None = None) -> None:
    """All EIPs of the group are to be dissociated, and kept unless they are to be released.

    lose: whether one that is released by being dissociated may be. again: the id of one that is to be bound again.
    """
    o = d.observed
    for row in o.hidden:
        d.problems.append(
            f"eip: {spell_vip(row)} of the group {o.name} has an EIP of another project, which this user cannot see: "
            "have it dissociated by its project, or by an administrator"
        )
    # Lists do not tell everybody whether it has auto_dellocate.
    d.eips = [{**eip, **(o.eip(eip["id"]) or {})} for eip in o.eips]
    for eip in d.eips:
        if not eip.get("auto_dellocate") or lose or (release and eip["id"] != again):
            continue
        advice = "give release=true if it may be"
        if eip["id"] == again:
            advice = "it cannot be bound again. Take it away (eip: state=absent), and ask for another one"
        d.problems.append(
            f"eip: {spell_eip(eip)} was created to be released when it is dissociated (auto_dellocate), and would be "
            f"lost: {advice}"
        )
    d.dissociate, d.release = True, release and again is None


def _id_of_wanted(d: Decision) -> str | None:
    return next((eip["id"] for eip in d.observed.failed if d.eip and eip["id"] == d.eip["id"]), None)


def decide_eip(d: Decision) -> None:
    o = d.observed
    eip, bound = d.goal.eip, o.bound
    if eip is None:
        return
    if not eip.present:
        d.rubbish = never_allocated(o, d.history)
        _decide_no_eip(d, eip)
        return
    if eip.eip:
        d.eip = o.eip(eip.eip)
        if d.eip is None:
            d.problems.append(f"eip: eip_id: there is no EIP {eip.eip}")
            return
    if d.history.asked:
        _check_asked(d)
        if d.dissociate or d.rubbish:
            return
    fits = [row for row in bound if d.eip is None or row["eip_id"] == d.eip["id"]]
    if fits and not d.dissociate:
        if d.eip is None:
            _check_same(d, eip, fits[0]["eip_id"])
        elif fits[0] is not d.vip:
            d.problems.append(
                f"eip: {spell_eip(d.eip)} is on {spell_vip(fits[0])}, which is not the VIP that is wanted"
            )
        return
    if bound and not fits:
        if not d.goal.exclusive:
            there = ", ".join(spell_vip(row) for row in bound)
            d.problems.append(
                f"eip: the group {o.name} has {there}, and may have one EIP only: dissociate that one (state=absent), "
                "or have it replaced (exclusive)"
            )
            return
        dissociate(d, eip.release)
    elif o.failed and not bound:
        # What an earlier run left behind. One that create-eip made was never of use to anybody.
        created = d.eip is None and all(_is_created(o, each, d.history) for each in o.failed)
        dissociate(d, created or eip.release, again=_id_of_wanted(d))
    d.rubbish = [] if d.eip else never_allocated(o, d.history)
    _check_askable(d, eip)
    d.ask_eip = True
    if d.eip is None and not d.problems and d.before is None:
        d.before = frozenset(each["id"] for each in o.created_eips())


def _decide_no_eip(d: Decision, eip: Eip) -> None:
    o = d.observed
    check_dissociated(d)
    if eip.eip is None:
        if o.eips or o.hidden:
            dissociate(d, eip.release, lose=True)
        return
    d.eip = o.eip(eip.eip)
    if d.eip is None:
        return
    key = d.eip["id"]
    if any(each["id"] == key for each in o.eips):
        if len(o.eips) > 1:
            d.problems.append(
                f"eip: the group {o.name} has several EIPs, {', '.join(map(spell_eip, o.eips))}, and the service "
                "takes any one of them: leave out eip_id, to have all of them dissociated"
            )
        dissociate(d, eip.release, lose=True)
    elif eip.release:
        if d.eip.get("associate_id"):
            d.problems.append(f"eip: {spell_eip(d.eip)} cannot be released: it is associated with {whose(d.eip)}")
        elif key not in d.history.released:
            d.rubbish.append(d.eip)


def _check_askable(d: Decision, eip: Eip) -> None:
    """All that the service would refuse, or accept and then fail at."""
    o = d.observed
    if not d.vip and not d.attach:
        d.problems.append(f"eip: the group {o.name} has no VIP that could have an EIP: give vip")
    network = d.network
    if network is None and d.vip:
        network = o.network(str(d.vip["network_id"]))
    if network and is_classic(network):
        d.problems.append(
            f"eip: network {network.get('name') or network['id']} is a classic one: only a VIP on a network of a VPC "
            "can have an EIP"
        )
    elif network:
        _check_access(d, network)
    if d.eip is None:
        try:
            lines = sorted({str(each.get("bgp_type") or "") for each in o.eip_networks()})
        except Denied:
            lines = []
        # Who sees none of them may be allowed to use them all the same: then the service decides.
        if lines and (eip.line or "") not in lines:
            choices = ", ".join(line or "none, with bgp_type left out" for line in lines)
            d.problems.append(
                f"eip: bgp_type: there is no line of type {eip.line!r} to take an EIP from; there is: {choices}"
            )
        return
    holder = d.eip.get("associate_id")
    if holder and holder != o.id:
        d.problems.append(f"eip: {spell_eip(d.eip)} is associated with {whose(d.eip)}: dissociate it there first")
    elif not holder and d.eip.get("status") != "ready":
        d.problems.append(f"eip: {spell_eip(d.eip)} cannot be associated: its status is {d.eip.get('status')}")
    if d.eip.get("mode") not in (None, "elastic_ip"):
        d.problems.append(f"eip: {spell_eip(d.eip)} is the fixed public address of a guest ({d.eip['mode']})")
    if network and d.eip.get("network_id") == network["id"]:
        d.problems.append(f"eip: {spell_eip(d.eip)} is of the same network as the VIP")


def _check_access(d: Decision, network: Resource) -> None:
    o = d.observed
    try:
        vpc = o.vpc(str(network["vpc_id"])) if network.get("vpc_id") else None
    except Denied:
        return  # Not everybody may see it: then the service decides.
    mode = vpc.get("external_access_mode") if vpc else None
    if vpc and mode and mode not in _EIP_ACCESS:
        d.problems.append(
            f"eip: network {network.get('name') or network['id']} is of the VPC {vpc.get('name') or vpc['id']}, whose "
            f"external_access_mode is {mode}: only with {' or '.join(_EIP_ACCESS)} a VIP can have an EIP"
        )


def _check_same(d: Decision, eip: Eip, eip_id: str) -> None:
    """An EIP that is there is as good as one that is created, if it is like it."""
    o = d.observed
    there = next((each for each in o.eips if each["id"] == eip_id), None)
    if there is None:
        return
    wanted = {"bandwidth": eip.bandwidth, "bgp_type": eip.line, "charge_type": eip.charge_type}
    for option, value in wanted.items():
        if value is not None and there.get(option) is not None and there[option] != value:
            d.problems.append(
                f"eip: {option}: the group's EIP {spell_eip(there)} has {there[option]}, and {value} is wanted: "
                "change the EIP itself, or take it away first (state=absent)"
            )


def _check_asked(d: Decision) -> None:
    """The outcome of this run's request for an EIP. One that came to nothing is put away; then the run fails."""
    o = d.observed
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
    if left and not d.history.tried(o.eips):
        d.failed = f"EIP {left}"
        dissociate(d, d.eip is None, again=_id_of_wanted(d))
        return
    d.rubbish = [] if d.eip else never_allocated(o, d.history)
    if d.rubbish:
        d.failed = f"EIP {', '.join(map(spell_eip, d.rubbish))} could not be allocated"
        return
    what = d.history.failed or "it is not bound any more, as if somebody had dissociated it meanwhile"
    raise Invalid(
        f"the EIP could not be bound to the VIP of group {o.name}: {what}. The logs of the EIP and the group say more",
        resource=o.name,
    )


def never_allocated(o: Observed, history: History) -> list[Resource]:
    """EIPs that were to be created for the group, and have no address. Nothing but their names says whose they are."""
    found = [eip for eip in o.loose if eip.get("status") == "allocate_fail" and _is_created(o, eip, history)]
    return [eip for eip in found if not _is_of_another(o, eip)]


def _is_created(o: Observed, eip: Resource, history: History) -> bool:
    """Whether the service created it for the group.

    Its name says so where that of the group is of ASCII. Of others the service makes something else (pinyin, or
    nothing), which says so only of an EIP that was not there before this run asked.
    """
    return may_be_of(eip, o.group or {}) and (str(o.name).isascii() or history.is_new(eip))


def _is_of_another(o: Observed, eip: Resource) -> bool:
    """Whether another group has the name that it is called after: such as web-1, which looks like the second of web."""
    rest = str(eip["name"])[len(EIP_PREFIX) :]
    if rest == o.name or not rest.strip():
        return False
    try:
        group = o.other_group(rest)
    except Denied:
        return True
    return group is not None and group["id"] != o.id


def check_dissociated(d: Decision) -> None:
    o = d.observed
    if o.eips and d.history.tried(o.eips):
        left = ", ".join(f"{spell_eip(each)} has the status {each.get('status')}" for each in o.eips)
        raise Invalid(
            f"the EIP of group {o.name} could not be dissociated: {left}. Look at its logs, and try again",
            resource=o.name,
        )


def check_released(o: Observed, history: History) -> None:
    for each in history.released:
        eip = o.eip(each)
        if eip and eip.get("status") == "deallocate_fail":
            raise Invalid(
                f"EIP {spell_eip(eip)} is dissociated, and could not be released: its status is deallocate_fail. It "
                "may still cost: delete it",
                resource=each,
            )
