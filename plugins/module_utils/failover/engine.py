# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carries out a procedure: look, plan, do the first step, look again, until there is nothing left to do.

A procedure is a module, or an object, with two functions:

observe(client, goal, memory) -> observed
    Reads what is there, and checks what can be checked. observed.problems lists blocking problems, a sentence each;
    observed.state() says in a sentence what is there, and observed.to_diff() says it as data.
plan(observed, goal, memory) -> iterable of Step, Pause and Together
    A pure function. All that is left to do, in order, as far as can be foreseen: a preview shows it all. A run does
    the first and looks again, so that what another actor does meanwhile, or did while this one was stuck, is just
    another observation. Steps that cannot wait for each other are planned Together.

What a run knows about itself, and no observation can tell, is in its Memory.
"""

from __future__ import annotations

import os
import time

from ..base.errors import AlreadyExists, CloudError, Lost, NotFound, Stale, Unavailable
from . import parallel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Hashable
    from typing import Any, Union

    Item = Union["Step", "Pause", "Look", parallel.Together]
    Event = dict[str, Any]

# How many changes a run may make, by whether they are contested: so many for each step of its first plan, and at least
# so many. More of them mean that somebody undoes them, or that they cannot be seen. Contested ones may be more: of two
# runs that want different things, one gives way sooner or later.
BUDGETS = {False: (4, 8), True: (16, 64)}
FIRST_BACK_OFF = 0.1
LONGEST_BACK_OFF = 5.0
# Seconds until a step that is done, and not seen, is looked for once more: the list of an API may lag behind.
SECOND_LOOK = 1.0
_SLICE = 0.25  # of a pause, between two looks at whether the result is still wanted


class Step:
    """One mutation. do(client, request_id) returns when the API says that it is done.

    key: what makes two steps the same one, so that a repetition has the same request id. note: what plan() wants to
    find again in Memory.done. conflicts: the errors which say that things are not as they were seen. Where the API has
    no request ids, Unavailable is one of them: the step is not repeated unseen, and counts as done if it is not planned
    again. contested: whether it may be repeated, within the budget, although the look behind it does not show it. That
    is right where a repetition makes nothing new, and somebody else can undo the step before that look.
    """

    __slots__ = ("conflicts", "contested", "do", "key", "name", "note", "resource")

    def __init__(
        self,
        name: str,
        resource: str,
        do: Callable[[Any, str], Any],
        key: Hashable = None,
        note: Any = None,
        conflicts: tuple[type[CloudError], ...] = (AlreadyExists, NotFound, Stale),
        contested: bool = False,
    ) -> None:
        self.name = name
        self.resource = resource
        self.do = do
        self.conflicts = conflicts
        self.contested = contested
        self.key = (name, resource, key)
        self.note = note

    def __repr__(self) -> str:
        return f"Step({self.name}: {self.resource})"


AT_WORK = "another run is at work"  # how the reason of a Pause begins that waits for somebody else


class Pause:
    __slots__ = ("reason", "seconds")

    def __init__(self, seconds: float, reason: str) -> None:
        self.seconds = seconds
        self.reason = reason

    def __repr__(self) -> str:
        return f"Pause({self.seconds:.3f}: {self.reason})"


class Look:
    """What a run yields before it reads; it changes nothing."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Look()"


class Done:
    """A step that was carried out: in how many ms, from its first attempt until the API said that it was done."""

    __slots__ = ("attempts", "ms", "name", "resource")

    def __init__(self, name: str, resource: str, ms: float, attempts: int) -> None:
        self.name = name
        self.resource = resource
        self.ms = ms
        self.attempts = attempts

    def __repr__(self) -> str:
        return f"Done({self.name}: {self.resource}, {self.ms:.1f} ms, {self.attempts})"


class Fact:
    """That a step of this run is done: when, by the run's clock; its note; what it returned."""

    __slots__ = ("at", "note", "result")

    def __init__(self, at: float, note: Any = None, result: Any = None) -> None:
        self.at = at
        self.note = note
        self.result = result


class Memory:
    """What a run knows about itself. Only the run writes it, and observe() to `facts`."""

    __slots__ = ("conflicts", "done", "facts", "nonce", "now", "steps", "unanswered", "unsure")

    def __init__(self, nonce: str | None = None) -> None:
        self.nonce = nonce or os.urandom(4).hex()
        self.now = 0.0  # the run's clock, at the end of the last look
        self.steps: list[Done] = []
        self.done: dict[Hashable, Fact] = {}  # by the keys of steps
        # By the keys of steps: when they met which conflict, since they were last done.
        self.conflicts: dict[Hashable, list[tuple[float, CloudError]]] = {}
        self.facts: dict[str, Any] = {}
        self.unsure = False  # whether a request may have taken effect, of which nothing was heard
        self.unanswered = False  # whether a part reached its goal, perhaps by such a request

    def copy(self) -> Memory:
        other = Memory(self.nonce)
        other.now = self.now
        other.steps = list(self.steps)
        other.done = dict(self.done)
        other.conflicts = dict(self.conflicts)
        other.facts = dict(self.facts)
        return other


class Outcome:
    """How a run that reached its goal went.

    before, after: the first and the last observation. steps: the changes that the API confirmed, in order. unsure:
    whether the answer to a request was lost, and no step says what became of it.
    """

    __slots__ = ("after", "before", "elapsed_ms", "steps", "unsure")

    def __init__(self, before: Any, after: Any, steps: list[Done], elapsed_ms: float, unsure: bool = False) -> None:
        self.before = before
        self.after = after
        self.steps = steps
        self.elapsed_ms = elapsed_ms
        self.unsure = unsure

    @property
    def changed(self) -> bool:
        """Whether this run changed something: by a step, or by a request without an answer whose effect shows."""
        return bool(self.steps) or (self.unsure and self.before.to_diff() != self.after.to_diff())


class Refused(Exception):
    """It cannot or must not be done; nothing was changed."""

    def __init__(self, problems: list[str], observed: Any = None) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems
        self.observed = observed
        self.steps: list[Done] = []


class Stopped(Exception):
    """It was no longer wanted. What was reached is safe to leave as it is."""

    def __init__(self, steps: list[Done]) -> None:
        done = ", ".join(f"{step.name} {step.resource}" for step in steps)
        super().__init__(f"stopped, as it is no longer wanted; done until then: {done or 'nothing'}")
        self.steps = steps


class Failed(Exception):
    """It went wrong for good, or the time is over: why, what state things are in, what to do next.

    before, observed: the first and the last observation, or None.
    """

    def __init__(
        self,
        error: CloudError,
        steps: list[Done],
        step: Step | None,
        observed: Any,
        unsure: bool = False,
        before: Any = None,
    ) -> None:
        said = str(error).rstrip(".")
        parts = [f"{step.name} {step.resource}: {said}" if step else said]
        if observed is not None:
            parts.append(observed.state())
        done = ", ".join(f"{each.name} {each.resource}" for each in steps)
        if done:
            parts.append(f"done until then: {done}")
        if unsure:
            parts.append("the last request may have taken effect all the same")
        elif not done:
            parts.append("nothing was changed")
        if (done or isinstance(error, (Unavailable, TimedOut))) and not isinstance(error, (Unseen, Overspent)):
            parts.append("run it again: it goes on from whatever state it finds")
        super().__init__("; ".join(parts))
        self.error = error
        self.steps = steps
        self.step = step
        self.before = before
        self.observed = observed
        self.unsure = unsure

    @property
    def changed(self) -> bool:
        """Whether something was changed, or may have been: a request without an answer may have taken effect."""
        return bool(self.steps) or self.unsure


class TimedOut(CloudError):
    """The time that was given is over."""


class Unseen(CloudError):
    """The API said that a step is done, and two looks behind it do not show it."""

    def __init__(self, step: Step, result: Any) -> None:
        made = _made(result)
        super().__init__(
            f"the API said that it is done{f' ({made})' if made else ''}, and it cannot be seen. It was not repeated,"
            " as that could make another one. Find out whether these credentials may see it, or whether somebody undid"
            " it at once; remove what was made, if it is not wanted, and then run it again",
            resource=step.resource,
        )


class Overspent(CloudError):
    """The run made more changes than its plan explains."""

    def __init__(self, step: Step, sent: int, planned: int) -> None:
        super().__init__(
            f"it was not sent: {sent} changes were made, and {planned} planned at first. Somebody undoes them, or they"
            " cannot be seen: find out which of the two it is before you run it again",
            resource=step.resource,
        )


def run(
    procedure: Any,
    client: Any,
    goal: Any,
    *,
    timeout: float = 60.0,
    spent: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
    notify: Callable[[Event], None] = lambda event: None,
    memory: Memory | None = None,
    chance: Callable[[], float] | None = None,
) -> Generator[Item, None, Outcome]:
    """A run as a generator: yields before each look, step and pause, and returns the outcome.

    spent: so many seconds of the timeout are over already.

    Whoever drives it may stop at any of them. It does not sleep: a driver waits as long as a Pause says, or not at all.
    """
    memory = memory or Memory(getattr(goal, "run", None))
    chance = chance or _chance
    started = clock()
    deadline = started + timeout - spent
    before = observed = None
    looks_failed = 0
    unseen: tuple[Step, float, int] | None = None  # a step of which nothing was heard, its beginning and its attempts
    just_done: Step | None = None  # and has not been seen yet
    looked_again = False  # after a pause, for what was just done
    in_vain = 0  # how often in a row a contested step was done and could not be seen
    planned = 0  # steps of the first plan
    sent = {False: 0, True: 0}  # changes which took effect, or may have, by whether they are contested
    request_ids: dict[Hashable, str] = {}
    look = Look()

    def tell(event: str, **more: Any) -> None:
        notify({"event": event, "ms": round((clock() - started) * 1000, 3), **more})

    def back_off(error: CloudError, times: int) -> float:
        """Seconds to wait before the next attempt; there may be no time left for one."""
        seconds = min(LONGEST_BACK_OFF, FIRST_BACK_OFF * 2 ** min(times, 10)) * (0.5 + chance() / 2)
        return max(seconds, error.retry_after or 0)

    def failed(error: CloudError, step: Step | None = None) -> Failed:
        return Failed(error, memory.steps, step, observed, memory.unsure or error.accepted, before)

    def check_time(seconds: float, error: CloudError | None, reason: str, step: Step | None) -> None:
        if clock() + seconds > deadline:
            raise failed(error or TimedOut(f"not done within {timeout:g} s: {reason}"), step)

    def finish(step: Step, begun: float, attempts: int, result: Any = None) -> None:
        took = (clock() - begun) * 1000
        request_ids.pop(step.key, None)
        memory.conflicts.pop(step.key, None)
        memory.unsure = False
        memory.done[step.key] = Fact(clock(), step.note, result)
        memory.steps.append(Done(step.name, step.resource, took, attempts))
        tell("done", name=step.name, resource=step.resource, attempts=attempts, took_ms=round(took, 3))

    while True:
        check_time(0, None, "the time was over before the next look", None)
        yield look
        try:
            seen = procedure.observe(client, goal, memory)
            memory.now = clock()
            observed = seen
            before = before or observed
            if observed.problems:
                if not memory.steps and not memory.unsure:
                    raise Refused(observed.problems, observed)
                raise failed(CloudError("; ".join(observed.problems)))
            items = list(procedure.plan(observed, goal, memory))
        except Unavailable as error:
            wait = back_off(error, looks_failed)
            looks_failed += 1
            tell("retry", name="look", error=str(error), attempts=looks_failed, wait_s=round(wait, 3))
            check_time(wait, error, "", None)
            yield Pause(wait, str(error))
            continue
        except CloudError as error:
            raise failed(error) from error
        looks_failed = 0
        left = {each.key for each in items if isinstance(each, Step)}
        planned = planned or len(left)
        if unseen and unseen[0].key not in left:
            finish(*unseen)
            unseen = None
        if just_done and just_done.key not in left:
            just_done, in_vain = None, 0
        item = items[0] if items else None
        if item is None:
            unsure = memory.unsure or memory.unanswered
            return Outcome(before, observed, memory.steps, (clock() - started) * 1000, unsure)
        if isinstance(item, Pause):
            tell("wait", reason=item.reason, wait_s=round(item.seconds, 3))
            check_time(item.seconds, None, item.reason, None)
            yield item
            continue
        if isinstance(item, parallel.Together):
            yield item  # its driver carries it out
            memory.done[item.key] = Fact(clock(), None, item.schedule)
            deadline = clock() + timeout
            continue

        step: Step = item
        if just_done and not looked_again and (in_vain or not just_done.contested):
            looked_again = True
            lag = back_off(CloudError(""), in_vain - 1) if just_done.contested else SECOND_LOOK
            reason = f"{just_done.name} {just_done.resource} is done, and cannot be seen yet"
            if just_done.contested:
                check_time(lag, None, reason, just_done)
            if clock() + lag <= deadline:
                tell("wait", reason=reason, wait_s=round(lag, 3))
                yield Pause(lag, reason)
                continue
        if just_done and not just_done.contested:
            invisible = Unseen(just_done, memory.done[just_done.key].result)
            raise failed(invisible, just_done)
        if sent[step.contested] >= budget(planned, step.contested):
            raise failed(Overspent(step, sum(sent.values()), planned), step)
        in_vain += 1 if just_done else 0
        just_done = unseen = None
        request_ids.setdefault(step.key, _request_id())
        begun = clock()
        attempts = refused = 0
        while True:
            yield step
            attempts += 1
            tell("step", name=step.name, resource=step.resource, attempts=attempts)
            try:
                result = step.do(client, request_ids[step.key])
            except step.conflicts as error:
                # Somebody else was faster, what was seen is no longer so, or nobody knows.
                request_ids.pop(step.key)
                if isinstance(error, Unavailable):
                    memory.unsure = True
                    unseen = (step, begun, attempts)
                    sent[step.contested] += _may_have_done(error)
                conflicts = memory.conflicts.setdefault(step.key, [])
                conflicts.append((clock(), error))
                wait = back_off(error, len(conflicts) - 1)
                tell("replan", name=step.name, resource=step.resource, error=str(error), wait_s=round(wait, 3))
                check_time(wait, error, "", step)
                yield Pause(wait, str(error))
                break
            except Unavailable as error:
                memory.unsure = True
                # The same request id: if it took effect after all, this waits for the same operation. But that may
                # have failed for good: where the API refuses twice, the third attempt is a new request.
                refused = 0 if isinstance(error, Lost) else refused + 1
                if refused == 2:
                    refused = 0
                    sent[step.contested] += _may_have_done(error)
                    request_ids[step.key] = _request_id()
                wait = back_off(error, attempts - 1)
                tell(
                    "retry",
                    name=step.name,
                    resource=step.resource,
                    error=str(error),
                    attempts=attempts,
                    wait_s=round(wait, 3),
                )
                check_time(wait, error, "", step)
                yield Pause(wait, str(error))
            except CloudError as error:
                raise failed(error, step) from error
            else:
                finish(step, begun, attempts, result)
                just_done, looked_again = step, False
                sent[step.contested] += 1
                break


def apply(
    procedure: Any,
    client: Any,
    goal: Any,
    *,
    timeout: float = 60.0,
    spent: float = 0.0,
    still_wanted: Callable[[], bool] = lambda: True,
    notify: Callable[[Event], None] = lambda event: None,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    chance: Callable[[], float] | None = None,
    make_client: Callable[[], Any] | None = None,
) -> Outcome:
    """Do what is needed to reach the goal.

    spent: so many seconds of the timeout are over already. make_client: makes another client for a part that is
    carried out at the same time as others; without it, parts are carried out one after the other. notify, sleep,
    clock, chance and still_wanted are then called by several threads.

    Raises Refused (nothing was changed), Stopped (still_wanted() said no) or Failed.
    """
    memory = Memory(getattr(goal, "run", None))
    started = clock()
    together = False

    def tell(event: Event) -> None:
        """With the time since the beginning of all, and not of a part."""
        notify({**event, "ms": round((clock() - started) * 1000, 3)})

    def run_part(part: Any, its_client: Any) -> parallel.Ended:
        try:
            done = apply(
                part,
                its_client,
                None,
                timeout=timeout,
                still_wanted=lambda: part.bound or still_wanted(),
                notify=tell,
                sleep=sleep,
                clock=clock,
                chance=chance,
            )
        except Failed as failed:
            return parallel.Ended(failed.steps, failed.error, failed.unsure)
        except Stopped as stopped:
            return parallel.Ended(stopped.steps, None if stopped.steps else parallel.Unwanted())
        return parallel.Ended(done.steps, None, done.unsure)

    items = run(
        procedure, client, goal, timeout=timeout, spent=spent, clock=clock, notify=notify, memory=memory, chance=chance
    )
    try:
        while True:
            try:
                item = next(items)
            except StopIteration as end:
                return end.value
            if isinstance(item, parallel.Together):
                together = True
                parallel.carry_out(item.schedule, run_part, parallel.Clients(client, make_client), memory)
                continue
            left = item.seconds if isinstance(item, Pause) else 0.0
            while True:
                if not together and not still_wanted():
                    raise Stopped(memory.steps)
                if left <= 0:
                    break
                sleep(min(left, _SLICE))
                left -= _SLICE
    finally:
        items.close()


def preview(procedure: Any, client: Any, goal: Any) -> tuple[Any, list[Step]]:
    """What is there, and the steps that apply() would take, as far as can be foreseen. Changes nothing.

    Raises Refused, and CloudError if it cannot be read.
    """
    memory = Memory(getattr(goal, "run", None))
    observed = procedure.observe(client, goal, memory)
    if observed.problems:
        raise Refused(observed.problems, observed)
    steps: list[Step] = []
    for item in procedure.plan(observed, goal, memory):
        steps += item.steps if isinstance(item, parallel.Together) else [item] if isinstance(item, Step) else []
    return observed, steps


def budget(planned: int, contested: bool) -> int:
    per_step, least = BUDGETS[contested]
    return max(least, per_step * planned)


def _may_have_done(error: Unavailable) -> bool:
    """Whether the request may have taken effect: a server that fails, or a gateway, may have done it all the same."""
    return isinstance(error, Lost) or error.status in (500, 502, 504)


def _made(result: Any) -> str:
    """What a step returned, as far as it names what was made."""
    if not isinstance(result, dict):
        return result if isinstance(result, str) else ""
    return ", ".join(f"{key} {result[key]}" for key in ("id", "VIPID", "name", "ip_addr") if result.get(key))


def _chance() -> float:
    return int.from_bytes(os.urandom(4), "big") / 2**32


def _request_id() -> str:
    """A random UUID; the module uuid would cost memory in an agent."""
    digits = bytearray(os.urandom(16))
    digits[6] = digits[6] & 0x0F | 0x40
    digits[8] = digits[8] & 0x3F | 0x80
    text = digits.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
