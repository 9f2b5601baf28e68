# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carries out a procedure: look, plan, do the first step, look again, until there is nothing left to do.

A procedure is a module, or an object, with two functions:

observe(client, goal, memory) -> observed
    Reads the current state, and makes every possible check. observed.problems lists blocking problems, a sentence
    each; observed.state() says in a sentence what is there, and observed.to_diff() says it as data.
    A goal that can never be reached raises Refused before anything is read.
plan(observed, goal, memory) -> iterable of Step, Pause and Together
    A pure function. All that is left to do, in order, as far as can be foreseen: a preview shows it all. A run does
    the first and looks again. So the changes of another actor, also while this one was stuck, are just another
    observation. Steps that cannot wait for each other are planned Together.

A step only writes; the look before it reads. The exception is an API without a lock, where a list is replaced as a
whole, or a repeated request makes a second thing: havip_ports.py, havip_huaweicloud.py and havip_ucloudstack.py. There
a step reads what it replaces immediately before it writes, and raises Stale if that is not as it was seen.

A run's Memory has the knowledge about itself that no observation can give.

The timeout is for the whole run. Nothing begins after it, except what would otherwise be left half done: the look
behind a step, a part that is bound, and the look behind all parts.
"""

from __future__ import annotations

import os
import time

from ..base import time_limit
from ..base.errors import CloudError, Lost, Unavailable
from . import parallel
from .outcome import Failed, Outcome, Overspent, Refused, Stopped, TimedOut, Unseen
from .plan import Done, Fact, Look, Memory, Pause, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Hashable
    from typing import Any, Union

    Item = Union[Step, Pause, Look, parallel.Together]
    Event = dict[str, Any]

# With all that those who carry out a procedure meet; what a procedure is written with is in plan.py.
__all__ = [
    "Done",
    "Failed",
    "Memory",
    "Outcome",
    "Pause",
    "Refused",
    "Step",
    "Stopped",
    "TimedOut",
    "Unseen",
    "apply",
    "preview",
    "run",
]

# How many changes a run may make, by whether they are contested: so many for each step of its first plan, and at least
# so many. More of them mean that somebody undoes them, or that they cannot be seen. Contested ones may be more: of two
# runs that want different things, one gives way sooner or later.
BUDGETS = {False: (4, 8), True: (16, 64)}
FIRST_BACK_OFF = 0.1
LONGEST_BACK_OFF = 5.0
# Seconds until a step that is done, and not seen, is looked for once more: the list of an API may lag behind.
SECOND_LOOK = 1.0
# The deadline ends all but what would be half done. A change that was begun gets so many seconds, and so does a look.
GRACE = 1.0
# And so many has a part that is bound, and the look behind all parts.
LEAST = 10.0
_SLICE = 0.25  # of a pause, between two looks at whether the result is still wanted


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

    The caller may stop at any of them. It does not sleep: a driver waits as long as a Pause says, or not at all.
    """
    memory = memory or Memory(getattr(goal, "run", None))
    chance = chance or _chance
    started = clock()
    deadline = started + timeout - spent
    before = observed = None
    looks_failed = 0
    waits_for = ""  # the reason of the last pause, as long as no step followed
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
        # What is done may be all that there was to do, whatever the time.
        if not just_done:
            check_time(0, None, "the time was over before the next look", None)
        yield look
        try:
            # A request that changes something is not cut off: to abandon it would leave its outcome unknown.
            with time_limit.limit(max(deadline - clock(), GRACE if just_done else 0.0)):
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
            # A look that the deadline cut off has no answer: what the run was waiting for says more.
            cut_off = waits_for and not error.status
            check_time(wait, None if cut_off else error, f"{waits_for}; {error}", None)
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
            waits_for = item.reason
            yield item
            continue
        # A look may do without an answer that the deadline cut off, and no change is begun after that.
        too_late = "the time was over before the next change"
        if isinstance(item, parallel.Together):
            check_time(0, None, too_late, None)
            yield item  # its driver carries it out
            memory.done[item.key] = Fact(clock(), None, item.schedule)
            deadline = max(deadline, clock() + LEAST)
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
        check_time(0, None, too_late, step)
        in_vain += 1 if just_done else 0
        just_done = unseen = None
        waits_for = ""
        request_ids.setdefault(step.key, _request_id())
        begun = clock()
        attempts = refused = 0
        while True:
            yield step
            attempts += 1
            tell("step", name=step.name, resource=step.resource, attempts=attempts)
            try:
                with time_limit.waiting(max(deadline - clock(), GRACE)):
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
    """Reach the goal.

    spent: so many seconds of the timeout are over already. make_client: makes another client for a part that is
    carried out at the same time as others; without it, parts are carried out one after the other. notify, sleep,
    clock, chance and still_wanted are then called by several threads.

    Raises Refused (nothing was changed), Stopped (still_wanted() said no) or Failed.
    """
    memory = Memory(getattr(goal, "run", None))
    started = clock()
    deadline = started + timeout - spent
    together = False

    def tell(event: Event) -> None:
        """With the time since the beginning of all, and not of a part."""
        notify({**event, "ms": round((clock() - started) * 1000, 3)})

    def run_part(part: Any, its_client: Any) -> parallel.Ended:
        share = parallel.SHARE * (deadline - clock())
        try:
            done = apply(
                part,
                its_client,
                None,
                timeout=round(max(share, LEAST if part.bound else 0.0), 3),
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
    """The observation, and the steps that apply() would take, as far as can be foreseen. Changes nothing.

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


def _chance() -> float:
    return int.from_bytes(os.urandom(4), "big") / 2**32


def _request_id() -> str:
    """A random UUID; the module uuid would cost memory in an agent."""
    digits = bytearray(os.urandom(16))
    digits[6] = digits[6] & 0x0F | 0x40
    digits[8] = digits[8] & 0x3F | 0x80
    text = digits.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
