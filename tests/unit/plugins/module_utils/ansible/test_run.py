# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One rule for the result of every module, however the run ends."""

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import run
from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import Denied, Lost, NotFound, Unavailable
from ansible_collections.cloudha.vip.plugins.module_utils.failover import engine

ALWAYS = {"changed", "steps", "elapsed_ms"}
NO_ANSWER = "Cannot list the routes: no answer"
SEEN = {"diff", "holder", "previous_holder", "address"}


class Ended(SystemExit):
    """As AnsibleModule ends a task: nothing that catches an Exception catches it."""

    def __init__(self, result):
        self.result = result


class Module:
    """As much of an AnsibleModule as is needed."""

    _verbosity = 0

    def __init__(self, check_mode=False, **params):
        self.params = {"timeout": 30.0, **params}
        self.check_mode = check_mode
        self.argument_spec = {}
        self.no_log_values = set()
        self.warnings = []

    def warn(self, text):
        self.warnings.append(text)

    def fail_json(self, **result):
        raise Ended({"failed": True, **result})


class Seen:
    def __init__(self, holder, problems=()):
        self.holder = holder
        self.problems = list(problems)

    def state(self):
        return f"{self.holder} has it"

    def to_diff(self):
        return {"holder": self.holder}


class Moving:
    """A procedure of one step, which gives a thing to somebody."""

    def observe(self, client, goal, memory):
        return client.look()

    def plan(self, observed, goal, memory):
        if observed.holder != goal:
            yield engine.Step("move", "thing", lambda client, request_id: client.move(goal), key=observed.holder)

    def wanted_diff(self, observed):
        return {"holder": "b"}


class Client:
    def __init__(self, *errors, problems=(), look_errors=()):
        self.holder = "a"
        self.errors = list(errors)
        self.look_errors = list(look_errors)
        self.problems = problems

    def look(self):
        if self.look_errors:
            raise self.look_errors.pop(0)
        return Seen(self.holder, self.problems)

    def move(self, goal):
        if self.errors:
            raise self.errors.pop(0)
        self.holder = goal


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """Time passes only where somebody waits."""
    now = [100.0]

    def sleep(seconds):
        now[0] += seconds

    monkeypatch.setattr(run.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(run.time, "sleep", sleep)
    real = engine.apply
    monkeypatch.setattr(engine, "apply", lambda *args, **keys: real(*args, clock=lambda: now[0], sleep=sleep, **keys))
    return now


def end(client, goal="b", raised=None, **keys):
    module = Module(**keys)
    try:
        with run.failures(module) as task:
            if raised:
                raise raised
            client = client() if callable(client) else client
            return run.carry_out(module, Moving(), client, goal, task, describe=lambda _: {"address": "the thing"})
    except Ended as ended:
        return ended.result


@pytest.mark.parametrize("check_mode", [False, True])
def test_success(check_mode):
    client = Client()
    result = end(client, check_mode=check_mode)
    assert set(result) == ALWAYS | SEEN
    assert (result["changed"], result["holder"], result["previous_holder"]) == (True, "b", "a")
    assert result["diff"] == {"before": {"holder": "a"}, "after": {"holder": "b"}}
    assert [step["name"] for step in result["steps"]] == ["move"] and ("ms" in result["steps"][0]) is not check_mode
    assert client.holder == ("a" if check_mode else "b")


@pytest.mark.parametrize("check_mode", [False, True])
def test_what_would_be_done_after_the_deadline_is_not_done(no_waiting, check_mode):
    """A look may do without an answer that the deadline cut off."""

    class Slow(Client):
        def look(self):
            no_waiting[0] += 31
            return super().look()

    result = end(Slow(), check_mode=check_mode)
    assert result["failed"] and not result["changed"]
    assert "not done within 30 s: the time was over before the next change" in result["msg"]
    assert "nothing was changed" in result["msg"]
    assert not end(Slow(), goal="a", check_mode=check_mode).get("failed")


@pytest.mark.parametrize("check_mode", [False, True])
def test_nothing_to_do(check_mode):
    result = end(Client(), goal="a", check_mode=check_mode)
    assert (result["changed"], result["steps"], result["holder"], result["previous_holder"]) == (False, [], "a", "a")
    assert result["diff"]["before"] == result["diff"]["after"]


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize(
    ("raised", "client"),
    [
        (run.OptionError("option: no"), {}),
        (Denied("no"), {}),
        (KeyError("odd"), {}),
        (None, {"look_errors": [NotFound("there is none")]}),
        (None, {"look_errors": [Unavailable("not now")] * 99}),
    ],
)
def test_a_failure_before_anything_was_changed(raised, client, check_mode):
    result = end(Client(**client), raised=raised, check_mode=check_mode)
    assert result["failed"] and set(result) >= ALWAYS and result["msg"]
    assert (result["changed"], result["steps"]) == (False, [])


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_refusal_tells_who_has_it(check_mode):
    result = end(Client(problems=["it must not be done"]), check_mode=check_mode)
    assert result["failed"] and set(result) == ALWAYS | SEEN | {"failed", "msg", "problems"}
    assert (result["changed"], result["steps"]) == (False, [])
    assert (result["holder"], result["previous_holder"], result["address"]) == ("a", "a", "the thing")
    assert result["diff"] == {"before": {"holder": "a"}, "after": {"holder": "a"}}
    assert (result["msg"], result["problems"]) == ("nothing was changed: it must not be done", ["it must not be done"])


def test_a_refused_goal_tells_nothing_that_was_not_looked_at(monkeypatch):
    def observe(self, client, goal, memory):
        raise engine.Refused(["there is no such goal"])

    monkeypatch.setattr(Moving, "observe", observe)
    result = end(Client())
    assert set(result) == ALWAYS | {"failed", "msg", "problems"} and not result["changed"]


def test_a_failure_tells_who_has_it():
    result = end(Client(Denied("no")))
    assert result["failed"] and set(result) == ALWAYS | SEEN | {"failed", "msg", "error"}
    assert (result["changed"], result["holder"], result["previous_holder"]) == (False, "a", "a")
    assert result["error"]["message"] == "no"


def test_a_failure_after_a_lost_answer_may_have_changed_something():
    result = end(Client(*[Lost("the connection was lost")] * 99))
    assert result["failed"] and result["changed"] and result["steps"] == []
    assert "may have taken effect" in result["msg"]


def test_one_timeout_from_the_beginning_of_the_task(no_waiting):
    def login():
        no_waiting[0] += 25
        return Client(look_errors=[Unavailable("not now")] * 99)

    result = end(login)
    assert result["failed"] and 25_000 < result["elapsed_ms"] <= 30_000


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize(("seconds", "said"), [(25, False), (31, True)])
def test_a_time_that_is_over_is_told_by_its_option(no_waiting, seconds, said, check_mode):
    def look():
        no_waiting[0] += seconds
        raise Unavailable("Cannot list the routes: no answer", retry_after=60)

    client = Client()
    client.look = look
    for result in (end(client, check_mode=check_mode), end(look, check_mode=check_mode)):
        message = f"not done within 30 s, the option timeout. The last step was: {NO_ANSWER}" if said else NO_ANSWER
        assert result["failed"] and result["msg"].startswith(message), result["msg"]


def test_what_more_time_would_not_mend_is_told_as_it_is(no_waiting):
    def login():
        no_waiting[0] += 31
        raise Denied("Cannot log in")

    assert end(login)["msg"].startswith("Cannot log in")


def test_warnings_of_the_adapter():
    module = Module()
    with run.failures(module) as task:
        run.carry_out(
            module, Moving(), Client(), "b", task, describe=lambda report: report.warnings.append("beware") or {}
        )
    assert module.warnings == ["beware"]


@pytest.mark.parametrize("crash_at", [1, 2, 3])
def test_a_crash_loses_no_step(crash_at):
    """An answer that no client expects: what was done before it is known, and what was sent may have been done."""

    class Crashing(Client):
        sent = 0

        def move(self, goal):
            self.sent += 1
            if self.sent == crash_at:
                raise KeyError("odd")
            super().move(goal[: self.sent])

    result = end(Crashing(), goal="bbb")
    assert result["failed"] and result["changed"] and "KeyError" in result["msg"]
    assert [step["name"] for step in result["steps"]] == ["move"] * (crash_at - 1)


def test_a_read_that_is_cut_off_tells_why_it_was_repeated(no_waiting):
    answers = [Unavailable("it is being changed"), Lost("no answer in time")]

    def read():
        if len(answers) == 1:
            no_waiting[0] += 10
        raise answers.pop(0)

    with pytest.raises(Unavailable, match="it is being changed"):
        run.read_with_retries(read, 5.0)
    answers[:] = [Unavailable("it is being changed"), Unavailable("not now", status=503)]
    with pytest.raises(Unavailable, match="not now"):
        run.read_with_retries(read, 5.0)
