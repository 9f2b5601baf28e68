# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carries out a procedure as a task: check mode, result, diff, and the report of a failure."""

from __future__ import annotations

import contextlib
import time
import traceback

from ..base import masking, time_limit
from ..base.errors import CloudError, NotFound, Unavailable
from ..failover import engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, TypeVar

    from ansible.module_utils.basic import AnsibleModule

    T = TypeVar("T")


_A_DAY = (0.001, 86400.0)


class OptionError(ValueError):
    """An option cannot be used as it is. The text begins with its name, and says how to correct it."""


def check_seconds(params: Mapping[str, Any], **ranges: tuple[float, float]) -> None:
    """Refuse an option that is not from its least to its most: without time, or an end, nothing can be waited for.

    The options timeout and api_timeout are from a millisecond to a day.
    """
    for option, (least, most) in {"timeout": _A_DAY, "api_timeout": _A_DAY, **ranges}.items():
        value = params.get(option)
        # Not the other way round: what is no number (nan) is in no range.
        if value is not None and not least <= value <= most:
            raise OptionError(f"{option}: {value:g} is not from {least:g} to {most:g} seconds")


def _check_numbers(spec: Mapping[str, Any], params: Mapping[str, Any], above: str = "") -> None:
    """Ansible takes true and false for whole numbers. The API refuses them, after check mode said yes."""
    for name, option in spec.items():
        given = params.get(name)
        for value in given if isinstance(given, list) else [given]:
            if isinstance(value, bool) and "int" in (option.get("type"), option.get("elements")):
                raise OptionError(f"{above}{name}: {str(value).lower()} is no number")
            if isinstance(value, dict) and option.get("options"):
                _check_numbers(option["options"], value, f"{above}{name}.")


class Task:
    """timeout: seconds for all of it, the login included. started: when it began, by the monotonic clock.

    events: those of the engine, in order.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.started = time.monotonic()
        self.events: list[engine.Event] = []

    @property
    def elapsed_ms(self) -> float:
        return round((time.monotonic() - self.started) * 1000, 1)

    @property
    def left(self) -> float:
        """How many seconds of the timeout are left."""
        return self.started + self.timeout - time.monotonic()

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The changes that the API confirmed, in order, as a result lists them."""
        return [
            {
                "name": each["name"],
                "resource": each["resource"],
                "ms": round(each["took_ms"], 1),
                "attempts": each["attempts"],
            }
            for each in self.events
            if each["event"] == "done"
        ]


@contextlib.contextmanager
def failures(module: AnsibleModule) -> Iterator[Task]:
    """Ends the task with what is known, whatever is raised; but with no secret, be it given or fetched."""
    task = Task(module.params["timeout"])
    # Ansible takes them out of all that it tells: results, differences, notes and the invocation.
    masking.watch(module.no_log_values.add)
    masking.keep(*masking.passwords_in_urls(module.params))

    def fail(message: str, **more: Any) -> None:
        known = {"changed": False, "steps": task.steps, "elapsed_ms": task.elapsed_ms}
        module.fail_json(msg=masking.masked(message), **{**known, **more})

    try:
        _check_numbers(module.argument_spec, module.params)
        yield task
    except OptionError as e:
        fail(str(e))
    except (engine.Refused, engine.Failed) as e:
        # Before anything was seen: carry_out() tells the rest.
        fail(changed=e.changed, **_reasons(e, task))
    except CloudError as e:
        fail(f"{_late(e, task)}{str(e).rstrip('.')}; nothing was changed{_hint(e)}", error=_error(e))
    except Exception as e:
        # Python's own report would quote whatever it met.
        fail(
            f"{type(e).__name__}: {e}. This is a mistake in the collection, or an answer that the API should not"
            " give; what was asked for before may have been done. Run the task with -vvv, to see where it happened",
            # A request that was sent may have taken effect.
            changed=any(event["event"] == "step" for event in task.events),
            exception=masking.masked(traceback.format_exc()),
        )


def hide_only_secrets(module: AnsibleModule, value: Any) -> None:
    """Ansible hides every part of an option that may have secrets, so that a result could not name the project."""
    parts = list(masking.leaves(value, inherited=True))
    module.no_log_values.difference_update(text for text, secret in parts if not secret)
    module.no_log_values.update(text for text, secret in parts if secret)
    masking.keep(*(text for text, secret in parts if secret))


def _hint(error: CloudError) -> str:
    """The API cannot know which option was wrong."""
    if isinstance(error, NotFound) and error.resource.endswith("/global/routes"):
        return "; check the option project: there is none with this id, or the credentials are not for it"
    return ""


def _error(error: CloudError) -> dict[str, Any]:
    return {"resource": error.resource, "status": error.status, "code": error.code, "message": str(error)}


def _late(error: CloudError, task: Task) -> str:
    """The beginning of a message, if it was the time that was missing. The error says what was under way."""
    if isinstance(error, Unavailable) and task.left <= 0:
        return f"not done within {task.timeout:g} s, the option timeout. The last step was: "
    return ""


def _reasons(e: engine.Refused | engine.Failed, task: Task) -> dict[str, Any]:
    """Why a run ended without its goal."""
    if isinstance(e, engine.Refused):
        return {"message": f"nothing was changed: {e}", "problems": [masking.masked(each) for each in e.problems]}
    return {"message": f"{_late(e.error, task)}{e}{_hint(e.error)}", "error": _error(e.error)}


def steps_planned(steps: list[engine.Step]) -> list[dict[str, Any]]:
    """The steps that a run would take, as a result lists them."""
    return [{"name": step.name, "resource": step.resource} for step in steps]


def read_with_retries(read: Callable[[], T], timeout: float) -> T:
    """The result of read(). Passing failures are tried again within the timeout, as the engine does it for a
    change."""
    deadline = time.monotonic() + timeout
    pause = engine.FIRST_BACK_OFF
    before: Unavailable | None = None
    while True:
        try:
            with time_limit.limit(deadline - time.monotonic()):
                return read()
        except Unavailable as e:
            wait = max(pause, e.retry_after or 0)
            if time.monotonic() + wait > deadline:
                # A read that the deadline cut off has no answer: the one before it says more.
                raise (before if before and not e.status else e) from None
            before = e
            time.sleep(wait)
            pause = min(2 * pause, engine.LONGEST_BACK_OFF)


class Report:
    """A run of a procedure, for the adapter of a module to describe.

    before, after: the first and the last observation; in check mode both are the first one. now, then: the same as
    data, but in check mode `then` is the wanted state. events: those of the engine, in order. warnings: for the
    adapter to add to; Ansible shows them.
    """

    def __init__(
        self, procedure: Any, before: Any, after: Any, then: dict[str, Any], events: list[engine.Event]
    ) -> None:
        self.procedure = procedure
        self.before = before
        self.after = after
        self.now: dict[str, Any] = before.to_diff()
        self.then = then
        self.events = events
        self.warnings: list[str] = []


def carry_out(
    module: AnsibleModule,
    procedure: Any,
    client: Any,
    goal: Any,
    task: Task,
    *,
    describe: Callable[[Report], dict[str, Any]] = lambda report: {},
    preview: Callable[[Any, Any, Any], tuple[Any, list[engine.Step]]] | None = None,
    apply: Callable[..., engine.Outcome] | None = None,
) -> dict[str, Any]:
    """Reaches the goal, or in check mode finds out how; returns the task's result. Ends a task that fails.

    The one place where the result of a module is made, also that of a failure:

    changed: whether this run changed something. That is so if a step was done, or if the answer to a request was lost
    and its effect can be seen. After a failure it is so if the request may have taken effect. In check mode: whether
    there are steps.
    steps: what was done, in order; in check mode, what would be done.
    diff: the first and the last observation; in check mode the first one and the wanted state. A refusal has it, too,
    unless it was the goal alone that was refused, before a look.
    holder, previous_holder: as in the diff, if the procedure knows a holder.
    elapsed_ms: since the task began.

    task: from failures(). Its timeout is for the whole task, the login included.
    describe: the module's further results. preview, apply: those of the engine, unless the procedure needs its own.
    """

    def result(
        changed: bool,
        before: Any,
        after: Any,
        then: dict[str, Any] | None = None,
        planned: list[dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        report = Report(procedure, before, after, after.to_diff() if then is None else then, task.events)
        values: dict[str, Any] = {
            "changed": changed,
            "steps": task.steps if planned is None else planned,
            "diff": {"before": report.now, "after": report.then},
            "elapsed_ms": task.elapsed_ms,
        }
        if "holder" in report.now or "holder" in report.then:
            values.update(holder=report.then.get("holder"), previous_holder=report.now.get("holder"))
        values.update(describe(report))
        for warning in report.warnings:
            module.warn(warning)
        if module._verbosity >= 2:
            values["events"] = task.events
        return values

    try:
        if module.check_mode:
            look = preview or engine.preview
            before, planned = read_with_retries(lambda: look(procedure, client, goal), task.left)
            if planned and task.left < 0:
                # As in a run: the deadline may have cut off an answer that the look does without.
                raise engine.TimedOut(f"not done within {task.timeout:g} s: the time was over before the next change")
            wanted = procedure.wanted_diff(before) if planned else None
            return result(bool(planned), before, before, wanted, steps_planned(planned))
        outcome = (apply or engine.apply)(
            procedure,
            client,
            goal,
            timeout=task.timeout,
            spent=task.timeout - task.left,
            notify=task.events.append,
        )
        return result(outcome.changed, outcome.before, outcome.after)
    except (engine.Refused, engine.Failed) as e:
        if e.before is None or e.observed is None:
            raise  # nothing was seen
        reasons = _reasons(e, task)
        module.fail_json(
            **result(e.changed, e.before, e.observed), msg=masking.masked(reasons.pop("message")), **reasons
        )
        raise
