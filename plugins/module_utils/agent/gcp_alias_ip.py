# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action ``gcp_alias_ip``: on the master, alias IP ranges of a Google Cloud subnet are on this instance.

A node reads itself and its peers by name, and so needs no permission to list other instances of the project.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time

from ..base.errors import AlreadyExists, CloudError, Denied, NotFound, Unavailable
from ..base.floating import never_floats
from ..clouds.gce_names import is_name, last_part, normalise, parse_path, parse_range, zone_of
from ..failover import alias, engine
from ..failover.alias_decide import decide
from ..failover.alias_goal import AliasGoal, Want, spell
from ..failover.alias_look import Fleet, permission_problems
from . import gcp, kinds
from .gcp import LOOK_TIMEOUT, REQUEST_TIMEOUT, Answers, Identity
from .kinds import Seen
from .mastership import CONTESTED_LOOK, Mastership

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Union

    from ..clouds.gce import Compute
    from ..clouds.session import StdlibSession
    from ..failover.alias_goal import Place
    from .config import Action, Section

    Connection = tuple[StdlibSession, Compute]
    Answer = Union[dict[str, Any], CloudError]

# The API does not tell since when a range is where it is. What a peer had under way when it lost mastership, a removal
# and an addition, takes about as long as they took here, which is doubled; and this long at most, as a rule.
UNDER_WAY = 20.0
INTERFACE = re.compile(r"nic[0-9]{1,2}(?:\.[0-9]{1,4})?")


class GcpAliasIpAction(gcp.GcpAction):
    """ranges: in CIDR notation. range_name: "" for the primary range of the subnet, None to find it out.

    peers: from which the ranges may be taken, as projects/P/zones/Z/instances/I.
    """

    ranges: list[str]
    range_name: str | None
    interface: str
    peers: list[str]
    stop_source: bool


@kinds.register
class GcpAliasIp:
    type = "gcp_alias_ip"
    machine = Mastership
    options: dict[str, Any] = {
        **kinds.INSTANCE,
        "ranges": list,
        "range_name": str,
        "interface": str,
        "peers": list,
        "on_source_failure": str,
        **gcp.OPTIONS,
    }

    def __init__(self, config: GcpAliasIpAction) -> None:
        self.config = config
        self.name = config.name
        self.instance = config.instance
        self.check_interval = config.check_interval
        self.ranges = [parse_range(text)[0] for text in config.ranges]
        self._node = Identity(config)
        self._api = _Instances(self._connect, Answers(config.endpoint))
        self._holders: dict[str, Place | None] = dict.fromkeys(self.ranges)
        self._under_way = UNDER_WAY

    @classmethod
    def parse(cls, section: Section) -> Action:
        action = GcpAliasIpAction()
        action.ranges = _ranges(section)
        action.range_name = section.take("range_name", str, None)
        if action.range_name and not is_name(action.range_name):
            section.problem("range_name", f"{action.range_name!r} is no name of a secondary range: {gcp.NAME_IN_WORDS}")
        action.interface = section.take("interface", str, "nic0")
        if not INTERFACE.fullmatch(action.interface):
            section.problem("interface", f"must be like nic0, not {action.interface!r}")
        action.peers = _peers(section)
        choice = section.take("on_source_failure", str, "fail")
        if choice not in ("fail", "stop"):
            section.problem("on_source_failure", f"must be one of fail, stop, not {choice!r}")
        action.stop_source = choice == "stop"
        gcp.parse(section, action)
        return action

    @staticmethod
    def describe(status: dict[str, Any]) -> str:
        here = f"{status['self']} {status['interface']}"
        places: dict[str, list[str]] = {}
        for cidr, place in status["ranges"].items():
            where = "here" if place == here else f"on {last_part(place)}" if place else "NOWHERE"
            places.setdefault(where, []).append(cidr)
        return "; ".join(f"{', '.join(cidrs)} {where}" for where, cidrs in places.items())

    @property
    def here(self) -> Place:
        return self._node.me, self.config.interface

    def prepare(self) -> None:
        self._node.find_out()
        me = self._node.me
        self._api.here = self.here
        self._api.paths = [me, *(peer for peer in self.config.peers if peer != me)]

    def warm(self) -> None:
        self._node.tokens.get()
        self._api.warm(LOOK_TIMEOUT)

    def preflight(self) -> list[str]:
        """Only of this instance: a peer's fault may be the reason why this one is needed."""
        api = self._client(REQUEST_TIMEOUT)
        api.forget_subnetworks()
        fleet = Fleet([api.get_instance(self._node.me)], (), api.list_subnetworks(""))
        decision = decide(fleet, self._goal())
        problems = decision.problems + [f"{cidr}: {why}" for cidr, why in decision.unplaced.items()]
        return problems or permission_problems(api, fleet, [self.here], decision.leaving)

    def look(self) -> Seen:
        try:
            survey, steps = engine.preview(alias, self._client(LOOK_TIMEOUT), self._goal(spare=True))
        except engine.Refused:
            self._api.forget_subnetworks()  # they may get what is missing
            raise
        self._holders = survey.holders
        away = {cidr: place for cidr, place in survey.holders.items() if place != self.here}
        holder = survey.holder
        if survey.decision.spared:
            holder = " and ".join(sorted({path for path, _nic in survey.decision.spared.values()}))
        elif holder != self._node.me and away:
            holder = None
        return Seen(
            holder,
            not away,
            [f"{step.name} {step.resource}" for step in steps],
            "; ".join(_why(survey, cidr, place) for cidr, place in away.items() if cidr not in survey.decision.spared),
            self._under_way,
            "; ".join(
                f"{cidr} is on {spell(place)}, {self._how(place)}" for cidr, place in survey.decision.spared.items()
            ),
        )

    def _how(self, place: Place) -> str:
        if place[0] in self._api.forbidden:
            return "which this node may not look at any more"
        return "whose zone does not answer" if place[0] in self._api.unheard else "which is alive"

    def reach(
        self,
        take: bool,
        still_wanted: Callable[[], bool],
        notify: Callable[[dict[str, Any]], None],
        sleep: Callable[[float], None],
    ) -> engine.Outcome:
        api = self._client(REQUEST_TIMEOUT)
        turn = threading.Lock()

        def tell(event: dict[str, Any]) -> None:
            with turn:  # interfaces are changed at the same time
                notify(event)

        def pause(seconds: float) -> None:
            # What has been removed is put somewhere, wanted or not: and that must not be tried without a pause.
            (sleep if still_wanted() else time.sleep)(seconds)

        def changed(place: Place, ranges: set[str]) -> None:
            if place == self.here and ranges.issuperset(self.ranges):
                tell({"event": "moved", "resource": ", ".join(self.ranges)})

        api.asked = lambda: tell({"event": "mutation"})
        api.changed = changed
        try:
            outcome = engine.apply(
                alias,
                api,
                self._goal(spare=not take),
                timeout=self.config.timeout,
                still_wanted=still_wanted,
                notify=tell,
                sleep=pause,
                make_client=lambda: api,
            )
        except (engine.Refused, engine.Failed) as error:
            if error.observed and error.observed.holders:
                self._holders = error.observed.holders
            raise
        self._holders = outcome.after.holders
        if outcome.changed:
            self._under_way = min(UNDER_WAY, CONTESTED_LOOK + 2 * outcome.elapsed_ms / 1000)
        return outcome

    def status(self) -> dict[str, Any]:
        return {
            "self": self._node.me or None,
            "interface": self.config.interface,
            "ranges": {cidr: place and spell(place) for cidr, place in self._holders.items()},
            "api": self._api.answers.status(),
        }

    def _goal(self, spare: bool = False) -> AliasGoal:
        return AliasGoal(
            [Want(cidr, [self.here], self.config.range_name) for cidr in self.ranges],
            stop_source=self.config.stop_source,
            check=False,  # of what cannot change by itself; see preflight
            partial=True,
            spare=spare,
        )

    def _connect(self) -> Connection:
        session = self._node.session()
        return session, self._node.client(session, self._node.project)

    def _client(self, timeout: float) -> _Instances:
        if not self._api.paths:
            raise RuntimeError("prepare() comes first")
        self._api.timeout = timeout
        return self._api


def _why(survey: alias.Survey, cidr: str, place: Place | None) -> str:
    """Why a repair moves a range."""
    if place is None:
        return f"{cidr} is on no instance"
    return f"{cidr} is on {spell(place)}, which is {survey.fleet.instances[place[0]].get('status')}"


def _ranges(section: Section) -> list[str]:
    ranges: list[str] = []
    spans: list[tuple[int, int]] = []
    for index, text in enumerate(section.some("ranges")):
        try:
            cidr, span = parse_range(text if isinstance(text, str) else "")
        except ValueError:
            section.problem(
                f"ranges[{index}]",
                "must be an IPv4 address, or a range with its length and no bits beyond that, such as 10.100.9.0/28, "
                f"not {json.dumps(text)}",
            )
            continue
        other = next((ranges[n] for n, (first, last) in enumerate(spans) if first <= span[1] and span[0] <= last), None)
        if other:
            section.problem(f"ranges[{index}]", f"{cidr} overlaps {other}")
        wrong = never_floats(*span)
        if wrong:
            section.problem(f"ranges[{index}]", f"{cidr} {wrong}")
        ranges.append(cidr)
        spans.append(span)
    return ranges


def _peers(section: Section) -> list[str]:
    """With or without what the API writes before a path."""
    peers: list[str] = []
    for index, text in enumerate(section.some("peers")):
        peer = parse_path(str(text), "zones/*/instances")
        if not peer:
            section.problem(
                f"peers[{index}]", f"must be like projects/PROJECT/zones/ZONE/instances/NAME, not {json.dumps(text)}"
            )
            continue
        if peer in peers:
            section.problem(f"peers[{index}]", f"{peer} is there twice")
        peers.append(peer)
    return peers


class _Instances:
    """This instance and its peers, as alias_look.AliasApi wants it; threads may share it.

    Requests that are made at the same time have a connection each. All are kept. Of an instance whose zone does not
    answer it tells the last known state. A range can be removed, or its holder stopped, only if the holder is known.
    The same holds for a peer that it may not look at, such as one of a mistyped project. The API gives that peer's
    ranges to nobody else.
    """

    def __init__(self, connect: Callable[[], Connection], answers: Answers) -> None:
        self.answers = answers
        self.here: Place = ("", "")
        self.paths: list[str] = []
        self.timeout = REQUEST_TIMEOUT
        self.asked: Callable[[], None] = lambda: None  # called before each change
        self.changed: Callable[[Place, set[str]], None] = lambda place, ranges: None
        self.unheard: set[str] = set()  # the instances that did not answer when they were last asked for
        self.forbidden: dict[str, Denied] = {}  # the peers that it may not look at
        self._connect = connect
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._seen: dict[str, dict[str, Any]] = {}
        self._subnetworks: dict[str, dict[str, Any]] = {}

    @contextlib.contextmanager
    def _lend(self, timeout: float | None = None) -> Iterator[Compute]:
        """The connection that was used last is the warmest: an addition has that of the removal before it."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        connection = connection or self._connect()
        connection[1].timeout = timeout or self.timeout
        try:
            yield connection[1]
        finally:
            with self._lock:
                self._idle.append(connection)

    def warm(self, timeout: float) -> None:
        with self._lock:
            sessions = [session for session, _compute in self._idle]
        for session in sessions:
            session.warm(timeout)

    def forget_subnetworks(self) -> None:
        self._subnetworks = {}

    # --- what is there

    def list_instances(self) -> tuple[list[dict[str, Any]], list[str]]:
        answers = dict(zip(self.paths, _at_once(self._ask, self.paths)))
        unheard = {path for path, answer in answers.items() if isinstance(answer, Unavailable)}
        forbidden = {
            path: answer for path, answer in answers.items() if isinstance(answer, Denied) and path != self.here[0]
        }
        unknown = unheard.union(forbidden)
        for path, answer in answers.items():
            if isinstance(answer, NotFound):
                self._seen.pop(path, None)
            elif isinstance(answer, CloudError):
                if path not in unknown or len(unknown) == len(answers):
                    raise answer
            else:
                self._seen[path] = answer
        taken = {
            (interface.get("network"), each.get("ipCidrRange"))
            for path, instance in self._seen.items()
            if path not in unknown
            for interface in instance.get("networkInterfaces") or ()
            for each in interface.get("aliasIpRanges") or ()
        }
        for path in unknown & set(self._seen):
            for interface in self._interfaces(path):
                network = interface.get("network")
                interface["aliasIpRanges"] = [
                    each
                    for each in interface.get("aliasIpRanges") or ()
                    if (network, each.get("ipCidrRange")) not in taken
                ]
        self.unheard, self.forbidden = unheard, forbidden
        silent = sorted({zone_of(path) for path in unheard})
        if silent:
            self.answers.error = f"no answer from {', '.join(silent)}"
        elif forbidden:
            self.answers.error = "; ".join(str(answer) for answer in forbidden.values())
        return [self._seen[path] for path in self.paths if path in self._seen], silent

    def _interfaces(self, path: str) -> list[dict[str, Any]]:
        """Those of an instance as it was seen last, which are to be changed: others may be reading what was seen."""
        instance = self._seen[path]
        interfaces = [dict(each) for each in instance.get("networkInterfaces") or ()]
        self._seen[path] = {**instance, "networkInterfaces": interfaces}
        return interfaces

    def _ask(self, path: str) -> Answer:
        try:
            if path != self.here[0]:
                with self._lend(LOOK_TIMEOUT) as compute:  # a zone that has failed does not keep the ranges of others
                    return compute.get_instance(path)
            with self._lend() as compute, self.answers.timed():
                return compute.get_instance(path)
        except CloudError as error:
            return error

    def get_instance(self, path: str) -> dict[str, Any]:
        with self._lend() as compute:
            instance = compute.get_instance(path)
        with self._lock:
            self._seen[path] = instance
        return instance

    def list_subnetworks(self, network: str) -> list[dict[str, Any]]:
        """The one of this instance's interface, which is read once: so that a failover reads only instances."""
        me, nic = self.here
        interfaces = self._seen.get(me, {}).get("networkInterfaces") or ()
        path = next((normalise(each.get("subnetwork", "")) for each in interfaces if each.get("name") == nic), "")
        if path and path not in self._subnetworks:
            with self._lend() as compute:
                self._subnetworks[path] = compute.get_subnetwork(path)
        return [self._subnetworks[path]] if path else []

    def test_permissions(self, path: str, permissions: list[str]) -> set[str]:
        with self._lend() as compute:
            return compute.test_permissions(path, permissions)

    def may_follow_operations(self, scope: str) -> bool:
        with self._lend() as compute:
            return compute.may_follow_operations(scope)

    # --- changes

    def update_network_interface(self, path: str, interface: str, body: dict[str, Any], request_id: str) -> None:
        self.asked()
        try:
            with self._lend() as compute:
                compute.update_network_interface(path, interface, body, request_id)
        except AlreadyExists as error:
            if not self.forbidden:
                raise
            why = "; ".join(map(str, self.forbidden.values()))
            text = f"{error} A peer may have it that this node may not look at: {why}"
            raise AlreadyExists(text, resource=error.resource, status=error.status, code=error.code) from error
        self.changed((path, interface), {each["ipCidrRange"] for each in body["aliasIpRanges"]})
        with self._lock:
            for each in self._interfaces(path) if path in self._seen else ():
                if each.get("name") == interface:
                    each["aliasIpRanges"] = body["aliasIpRanges"]

    def stop_instance(self, path: str, request_id: str) -> None:
        self.asked()
        with self._lend() as compute:
            compute.stop_instance(path, request_id)


def _at_once(ask: Callable[[str], Answer], paths: list[str]) -> list[Answer]:
    """The answers, in order; each but the first has a thread of its own to wait for it."""
    answers: list[Any] = [None] * len(paths)

    def work(number: int) -> None:
        try:
            answers[number] = ask(paths[number])
        except BaseException as error:
            answers[number] = error

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(1, len(paths))]
    for thread in threads:
        thread.start()
    work(0)
    for thread in threads:
        thread.join()
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, CloudError):
            raise answer
    return answers
