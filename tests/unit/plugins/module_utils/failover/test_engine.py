# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine alone, with a procedure that counts to a number by an API that can fail."""

from __future__ import annotations

import uuid

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base import time_limit
from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import (
    CloudError,
    Denied,
    Lost,
    NotFound,
    Stale,
    Unavailable,
)
from ansible_collections.cloudha.vip.plugins.module_utils.failover import engine
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.clock import Clock


class Seen:
    def __init__(self, number, problems):
        self.number = number
        self.problems = problems

    def state(self):
        return f"the counter is at {self.number}"

    def to_diff(self):
        return {"number": self.number}


class Counting:
    """The procedure: one step for each number that is missing."""

    def __init__(self, pause=0.0):
        self.pause = pause
        self.looks = []

    def observe(self, client, goal, memory):
        self.looks.append(client.clock.now)
        number = client.read()
        return Seen(number, [f"{number} is beyond {goal}"] if number > goal else [])

    def plan(self, observed, goal, memory):
        if self.pause and memory.steps and memory.now - memory.done[observed.number].at < self.pause:
            return [engine.Pause(self.pause, "slowly")]
        return [self.step(number) for number in range(observed.number + 1, goal + 1)]

    def step(self, number):
        step = engine.Step("count", str(number), lambda client, request_id: client.write(number, request_id))
        step.key = number
        return step


class Counter:
    def __init__(self, *errors):
        self.clock = Clock(50.0)
        self.number = 0
        self.errors = list(errors)  # of requests in turn; None: none
        self.request_ids = []

    def read(self):
        return self.number

    def write(self, number, request_id):
        self.request_ids.append(request_id)
        self.clock.now += 0.5
        while self.errors:
            error = self.errors.pop(0)
            if error is None:
                break
            raise error
        self.number = number


def apply(client, goal, procedure=None, **keys):
    keys.setdefault("chance", lambda: 1.0)
    return engine.apply(procedure or Counting(), client, goal, sleep=client.clock.sleep, clock=client.clock, **keys)


def test_look_step_look():
    client, procedure = Counter(), Counting()
    outcome = apply(client, 3, procedure)
    assert [step.resource for step in outcome.steps] == ["1", "2", "3"]
    assert [step.ms for step in outcome.steps] == [500.0] * 3
    assert len(procedure.looks) == 4
    assert (outcome.before.number, outcome.after.number, outcome.elapsed_ms) == (0, 3, 1500.0)
    assert outcome.changed and not apply(client, 3).changed


def test_each_request_has_an_id_of_its_own():
    client = Counter()
    apply(client, 5)
    assert len(set(client.request_ids)) == 5
    assert all(uuid.UUID(each).version == 4 and str(uuid.UUID(each)) == each for each in client.request_ids)


def test_a_lost_request_is_repeated_with_its_id():
    client = Counter(*[Lost("lost")] * 4)
    (step,) = apply(client, 1).steps
    assert len(set(client.request_ids)) == 1 and step.attempts == 5


def test_a_request_that_is_refused_twice_is_made_anew():
    """The API may answer a repeated id with the operation that failed, for ever."""
    client = Counter(*[Unavailable("503")] * 4)
    apply(client, 1)
    first, second, third, fourth, fifth = client.request_ids
    assert first == second != third == fourth != fifth


def test_back_off_grows_and_has_a_limit():
    client = Counter(*[Unavailable("503")] * 9)
    waits = []
    apply(client, 1, notify=lambda event: waits.append(event["wait_s"]) if event["event"] == "retry" else None)
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    client = Counter(*[Unavailable("503")] * 3)
    waits.clear()
    chances = iter([0.0, 0.5, 1.0])
    apply(
        client,
        1,
        notify=lambda event: waits.append(event["wait_s"]) if event["event"] == "retry" else None,
        chance=lambda: next(chances),
    )
    assert waits == [0.05, 0.15, 0.4]


def test_the_api_says_how_long_to_wait():
    client = Counter(Unavailable("429", retry_after=7))
    apply(client, 1)
    assert sum(client.clock.slept) == pytest.approx(7)


@pytest.mark.parametrize("error", [Stale("412"), NotFound("404")])
def test_a_conflict_is_looked_at_again(error):
    class Rival(Counter):
        def write(self, number, request_id):
            if self.errors:
                self.number = 2  # somebody else was faster
            super().write(number, request_id)

    client, procedure = Rival(error), Counting()
    outcome = apply(client, 3, procedure)
    assert [step.resource for step in outcome.steps] == ["3"]
    assert len(client.request_ids) == 2 and len(set(client.request_ids)) == 2


def test_a_conflict_without_end_ends_with_the_time():
    client = Counter(*[Stale("412: fingerprint")] * 10_000)
    with pytest.raises(engine.Failed, match="412: fingerprint; the counter is at 0; nothing was changed"):
        apply(client, 1, timeout=30)
    assert 20 < client.clock.now - 50 <= 31 and len(client.request_ids) < 30


def test_no_time_left():
    client = Counter()
    with pytest.raises(engine.Failed) as failed:
        apply(client, 100, timeout=10)
    assert "not done within 10 s" in str(failed.value)
    assert "the counter is at 20" in str(failed.value) or "the counter is at 21" in str(failed.value)
    assert len(failed.value.steps) == client.number and isinstance(failed.value.error, engine.TimedOut)
    assert "run it again" in str(failed.value)


def test_a_look_has_what_is_left_and_a_change_is_waited_for():
    limits = []

    class Client(Counter):
        def read(self):
            limits.append(round(time_limit.at_most(99), 1))
            return super().read()

        def write(self, number, request_id):
            assert time_limit.end() is None
            super().write(number, request_id)

    apply(Client(), 2, timeout=20, spent=5)
    assert limits == [15.0, 14.5, 14.0]
    assert time_limit.end() is None


def test_a_look_that_is_cut_off_tells_what_was_waited_for():
    class Client(Counter):
        def read(self):
            if self.clock.now > 50:
                self.clock.now += time_limit.at_most(99)
                raise Lost("no answer in time")
            return super().read()

    class Waiting(Counting):
        def plan(self, observed, goal, memory):
            return [engine.Pause(1.0, "for the operation")]

    for procedure, said in (
        (Waiting(), "not done within 5 s: for the operation; no answer"),
        (Counting(), "no answer in time"),
    ):
        with pytest.raises(engine.Failed, match=said):
            apply(Client(), 2, procedure, timeout=5)


def test_what_is_done_counts_though_it_took_all_the_time():
    """A change is waited for until the deadline, and a moment longer; the look behind it may come after that."""
    waits = []

    class Slow(Counter):
        def write(self, *arguments):
            waits.append(time_limit.wait_at_most(99))
            self.clock.now += 4.7
            super().write(*arguments)

    client = Slow()
    apply(client, 1, timeout=5)
    assert client.number == 1 and client.clock.now - 50 > 5
    client = Slow()
    with pytest.raises(engine.Failed, match="count 3: not done within 10 s: the time was over before the next change"):
        apply(client, 9, timeout=10)
    assert waits == [pytest.approx(wait, abs=0.1) for wait in (5, 10, 4.8)]


def test_no_change_is_begun_after_the_deadline():
    class Late(Counter):
        def read(self):
            self.clock.now += 3
            return super().read()

    client = Late()
    with pytest.raises(engine.Failed, match="count 2: not done within 5 s: the time was over before the next change"):
        apply(client, 2, timeout=5)
    assert client.number == 1


def test_what_cannot_pass_ends_at_once():
    client = Counter(None, Denied("Deleting x: 403: permission missing.", status=403))
    with pytest.raises(engine.Failed) as failed:
        apply(client, 3)
    assert str(failed.value) == (
        "count 2: Deleting x: 403: permission missing; the counter is at 1; done until then: count 1; "
        "run it again: it goes on from whatever state it finds"
    )
    assert failed.value.step.resource == "2" and failed.value.error.status == 403
    assert len(client.request_ids) == 2


def test_a_look_that_fails():
    client, procedure = Counter(), Counting()
    failing = [Unavailable("503"), Lost("lost")]
    read = client.read
    client.read = lambda: read() if not failing else raise_(failing.pop())
    assert apply(client, 1, procedure).changed and len(procedure.looks) == 4
    client.read = lambda: raise_(Denied("403"))
    with pytest.raises(engine.Failed, match="403; nothing was changed"):
        apply(client, 1)


def raise_(error):
    raise error


def test_refused():
    client = Counter()
    client.number = 9
    with pytest.raises(engine.Refused, match="9 is beyond 3") as refused:
        apply(client, 3)
    assert refused.value.problems == ["9 is beyond 3"] and refused.value.observed.number == 9
    assert client.request_ids == []


def test_a_problem_that_comes_up_later_is_a_failure():
    class Rival(Counter):
        def write(self, number, request_id):
            super().write(number, request_id)
            self.number = 7

    with pytest.raises(engine.Failed, match="7 is beyond 3; the counter is at 7; done until then: count 1"):
        apply(Rival(), 3)


def test_no_longer_wanted_before_anything():
    client = Counter()
    with pytest.raises(engine.Stopped, match="nothing"):
        apply(client, 3, still_wanted=lambda: False)
    assert client.request_ids == []


def test_no_longer_wanted_after_a_step():
    client = Counter()
    with pytest.raises(engine.Stopped, match="count 1, count 2") as stopped:
        apply(client, 5, still_wanted=lambda: client.number < 2)
    assert client.number == 2 and len(stopped.value.steps) == 2


def test_no_longer_wanted_during_a_pause():
    """A long wait ends within a quarter of a second."""
    client = Counter()
    stop_at = client.clock.now + 3.1
    with pytest.raises(engine.Stopped):
        apply(client, 3, Counting(pause=30.0), still_wanted=lambda: client.clock.now < stop_at)
    assert client.clock.now - stop_at <= 0.25 and client.number == 1


def test_no_longer_wanted_while_the_api_refuses():
    client = Counter(*[Unavailable("503")] * 100)
    stop_at = client.clock.now + 4
    with pytest.raises(engine.Stopped):
        apply(client, 1, still_wanted=lambda: client.clock.now < stop_at)


def test_progress_is_told():
    events = []
    client = Counter(Unavailable("503"), Stale("412"))
    apply(client, 1, Counting(), notify=events.append)
    assert [event["event"] for event in events] == ["step", "retry", "step", "replan", "step", "done"]
    assert events[0] == {"event": "step", "ms": 0.0, "name": "count", "resource": "1", "attempts": 1}
    assert events[-1]["took_ms"] == 500.0 and events[-1]["ms"] == pytest.approx(1700.0)
    assert "503" in events[1]["error"] and "412" in events[3]["error"]


def test_a_run_yields_before_everything_it_does():
    client = Counter(Unavailable("503"))
    items = engine.run(Counting(), client, 1, clock=client.clock, chance=lambda: 1.0)
    kinds = []
    outcome = None
    while outcome is None:
        try:
            kinds.append((type(next(items)).__name__, len(client.request_ids)))
        except StopIteration as end:
            outcome = end.value
    assert kinds == [("Look", 0), ("Step", 0), ("Pause", 1), ("Step", 1), ("Look", 2)]
    assert outcome.after.number == 1


def test_preview():
    client = Counter()
    observed, steps = engine.preview(Counting(), client, 3)
    assert observed.number == 0 and [step.resource for step in steps] == ["1", "2", "3"]
    assert client.request_ids == []
    client.number = 4
    with pytest.raises(engine.Refused):
        engine.preview(Counting(), client, 3)


def test_something_else_than_a_cloud_error_is_not_hidden():
    client = Counter(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        apply(client, 1)


def test_each_run_has_a_name_of_its_own():
    assert len({engine.Memory().nonce for _each in range(50)}) == 50
    assert engine.Memory("given").nonce == "given"


def test_an_unknown_error_of_the_cloud_ends_the_run():
    with pytest.raises(engine.Failed, match="418"):
        apply(Counter(CloudError("418")), 1)


class Making:
    """The procedure: makes things until three can be seen, which are never seen. key: what makes two steps the same."""

    def __init__(self, client, contested=False, key=lambda number: None, pauses=0):
        self.client = client
        self.contested = contested
        self.key = key
        self.pauses = pauses
        self.made = []

    def observe(self, client, goal, memory):
        return Seen(0, [])

    def plan(self, observed, goal, memory):
        items = [self.step(number) for number in range(3)]
        if self.made and self.pauses:
            self.pauses -= 1
            items.insert(0, engine.Pause(1.0, "the service is at work"))
        return items

    def step(self, number):
        def do(client, request_id):
            client.write(0, request_id)
            self.made.append(number)
            return {"id": f"id-{len(self.made)}", "name": "web", "secret": "x"}

        key = self.key(len(self.made) + number)
        return engine.Step(
            "make", "a thing", do, (number, key), conflicts=(Stale, Unavailable), contested=self.contested
        )


def make(*errors, **options):
    client = Counter(*errors)
    procedure = Making(client, **options)
    with pytest.raises(engine.Failed) as failed:
        apply(client, 3, procedure, timeout=600)
    return procedure, failed.value


@pytest.mark.parametrize("pauses", [0, 5])
def test_a_step_that_succeeded_and_cannot_be_seen_is_not_repeated(pauses):
    procedure, error = make(pauses=pauses)
    assert procedure.made == [0] and isinstance(error.error, engine.Unseen)
    assert "make a thing: the API said that it is done (id id-1, name web), and it cannot be seen" in str(error)
    assert "done until then: make a thing" in str(error) and "remove what was made" in str(error)
    assert "it goes on from whatever state" not in str(error)


@pytest.mark.parametrize(
    "errors", [[], [Lost("lost")] * 100, [Unavailable("500", status=500)] * 100, [Unavailable("502", status=502)] * 100]
)
def test_steps_that_differ_each_time_and_cannot_be_seen_are_bounded(errors):
    procedure, error = make(*errors, key=lambda number: number)
    assert isinstance(error.error, engine.Overspent)
    # Three planned at first, and four changes for each.
    assert len(procedure.client.request_ids) == 12
    assert "make a thing: it was not sent: 12 changes were made, and 3 planned at first" in str(error)
    assert "nothing was changed" not in str(error) and "it goes on from whatever state" not in str(error)


def test_somebody_who_undoes_each_step_does_not_keep_a_run_at_work_for_ever():
    procedure, error = make(contested=True)
    assert isinstance(error.error, engine.Overspent) and procedure.made == [0] * 64


def test_what_was_refused_is_not_counted():
    """It changed nothing: however often it is refused, in time it may pass."""
    refused = [Stale("409"), Unavailable("429", status=429), Unavailable("503", status=503)] * 30
    procedure, error = make(*refused)
    assert procedure.made == [0] and len(procedure.client.request_ids) == 91
    assert isinstance(error.error, engine.Unseen)


class Lagging(Making):
    """A list that shows what was made after so many seconds."""

    lag = 0.9

    def observe(self, client, goal, memory):
        seen = super().observe(client, goal, memory)
        shown = [fact.at for fact in memory.done.values() if client.clock() >= fact.at + self.lag]
        self.missing = 1 - len(shown)
        return seen

    def plan(self, observed, goal, memory):
        return [self.step(0)] if self.missing else []


def test_a_list_that_lags_behind_is_looked_at_twice():
    client = Counter()
    procedure = Lagging(client)
    assert len(apply(client, 3, procedure).steps) == 1 and procedure.made == [0]
    # Twice, and not for ever; and once if there is no time left.
    for lag, timeout, slept in ((1.5, 60, engine.SECOND_LOOK), (0.9, 1.4, 0)):
        client = Counter()
        procedure = Lagging(client)
        procedure.lag = lag
        with pytest.raises(engine.Failed) as failed:
            apply(client, 3, procedure, timeout=timeout)
        assert isinstance(failed.value.error, engine.Unseen) and procedure.made == [0]
        assert sum(client.clock.slept) == slept


class Undone(Making):
    """What it made is seen once, and gone at the look behind that."""

    def plan(self, observed, goal, memory):
        if len(self.made) == 1 and self.pauses:
            self.pauses -= 1
            return [engine.Pause(1.0, "something else is at work")]
        return [self.step(0)] if len(self.made) < 2 else []


def test_a_step_that_was_seen_and_undone_later_is_repeated():
    client = Counter()
    assert len(apply(client, 3, Undone(client, pauses=1)).steps) == 2
    with pytest.raises(engine.Failed):
        apply(client, 3, Undone(client))


def test_what_is_spent_beyond_the_budget_would_be_noticed(monkeypatch, nothing_is_spent_beyond_its_budget):
    """By the count that goes on beside all tests."""
    monkeypatch.setattr(engine, "BUDGETS", {False: (100, 100), True: (100, 100)})
    for contested in (False, True):
        client = Counter()
        with pytest.raises(engine.Failed):
            apply(client, 3, Making(client, contested=contested, key=lambda number: number), timeout=600)
    counted = [each.split(",")[0] for each in nothing_is_spent_beyond_its_budget]
    nothing_is_spent_beyond_its_budget.clear()
    assert counted == ["300 changes", "300 changes"]


@pytest.mark.parametrize(("effect", "steps"), [(True, []), (False, ["1"])])
def test_a_lost_answer_is_a_change_only_where_its_effect_shows(effect, steps):
    """The request took effect, its answer was lost, and the repetition is refused as out of date: no step says so."""

    class Losing(Counter):
        def write(self, number, request_id):
            if effect or not self.errors:
                self.number = number
            if self.errors:
                raise self.errors.pop(0)

    counter = Losing(Lost("the connection was lost"), Stale("it has changed"))
    outcome = apply(counter, 1)
    assert [step.resource for step in outcome.steps] == steps
    assert outcome.changed and outcome.unsure is effect


def test_a_lost_answer_without_effect_is_no_change():
    """Somebody else puts back what was there, or it was never done: the goal is reached, and nothing differs."""
    before, same, other = Seen(1, []), Seen(1, []), Seen(2, [])
    assert not engine.Outcome(before, same, [], 0.0, unsure=True).changed
    assert not engine.Outcome(before, other, [], 0.0).changed  # somebody else did it
    assert engine.Outcome(before, other, [], 0.0, unsure=True).changed


def test_a_failure_has_what_was_seen_at_first_and_at_last():
    counter = Counter(None, Denied("no"))
    with pytest.raises(engine.Failed) as failed:
        apply(counter, 2)
    assert (failed.value.before.number, failed.value.observed.number, failed.value.changed) == (0, 1, True)
