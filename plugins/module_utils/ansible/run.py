# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a procedure as a task: check mode, diff, result, and how what goes wrong is told."""

from __future__ import annotations

import contextlib
import time
import traceback

from ..failover import engine, masking
from ..failover.errors import CloudError, NotFound, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, TypeVar

    from ansible.module_utils.basic import AnsibleModule

    T = TypeVar("T")


_A_DAY = (0.001, 86400.0)


class OptionError(ValueError):
    """An option cannot be used as it is. The text begins with its name, and says what to do."""


def check_seconds(params: Mapping[str, Any], **ranges: tuple[float, float]) -> None:
    """Refuse an option that is not from its least to its most: without time, or an end, nothing can be waited for.

    The options timeout and api_timeout are from a millisecond to a day.
    """
    for option, (least, most) in {"timeout": _A_DAY, "api_timeout": _A_DAY, **ranges}.items():
        value = params.get(option)
        # Not the other way round: what is no number (nan) is in no range.
        if value is not None and not least <= value <= most:
            raise OptionError(f"{option}: {value:g} is not from {least:g} to {most:g} seconds")


@contextlib.contextmanager
def failures(module: AnsibleModule) -> Iterator[None]:
    """Ends the task with what is known, whatever is raised; but with no secret, be it given or fetched."""
    # Ansible takes them out of all that it tells: results, differences, notes and the invocation.
    masking.watch(module.no_log_values.add)
    masking.keep(*masking.passwords_in_urls(module.params))
    try:
        yield
    except OptionError as e:
        module.fail_json(msg=masking.masked(str(e)), steps=[])
    except engine.Refused as e:
        problems = [masking.masked(problem) for problem in e.problems]
        module.fail_json(msg=masking.masked(f"nothing was changed: {e}"), problems=problems, steps=[], elapsed_ms=0.0)
    except engine.Failed as e:
        module.fail_json(
            msg=masking.masked(f"{e}{_hint(e.error)}"),
            # What was asked for and not answered may have happened.
            changed=bool(e.steps) or e.unsure,
            steps=told(e.steps),
            error=_error(e.error),
        )
    except CloudError as e:
        module.fail_json(msg=f"{str(e).rstrip('.')}; nothing was changed{_hint(e)}", steps=[], error=_error(e))
    except Exception as e:
        # Python's own report would quote whatever it met.
        module.fail_json(
            msg=masking.masked(
                f"{type(e).__name__}: {e}. This is a mistake in the collection, or an answer that the API should not"
                " give; what was asked for before may have been done. Run the task with -vvv, to see where it happened"
            ),
            steps=[],  # none is known
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


def told(steps: list[engine.Done]) -> list[dict[str, Any]]:
    """The steps that were done, as a result has them."""
    return [
        {"name": step.name, "resource": step.resource, "ms": round(step.ms, 1), "attempts": step.attempts}
        for step in steps
    ]


def patiently(read: Callable[[], T], timeout: float) -> T:
    """What read() returns. What may pass is tried again, as the engine does it when it changes something."""
    deadline = time.monotonic() + timeout
    pause = engine.FIRST_BACK_OFF
    while True:
        try:
            return read()
        except Unavailable as e:
            wait = max(pause, e.retry_after or 0)
            if time.monotonic() + wait > deadline:
                raise
            time.sleep(wait)
            pause = min(2 * pause, engine.LONGEST_BACK_OFF)


def nothing() -> dict[str, Any]:
    """The result if there is neither anything to do nor anything to look at."""
    diff: dict[str, Any] = {"before": {}, "after": {}}
    return {
        "changed": False,
        "holder": None,
        "previous_holder": None,
        "steps": [],
        "moved_ms": None,
        "elapsed_ms": 0.0,
        "notes": [],
        "diff": diff,
    }


def move(
    module: AnsibleModule, procedure: Any, client: Any, goal: Any, timeout: float, started: float
) -> dict[str, Any]:
    """Reaches the goal, or in check mode says how; returns the task's result. The timeout begins when the task did."""
    spent = time.monotonic() - started
    events: list[dict[str, Any]] = []
    if module.check_mode:
        before, planned = patiently(lambda: engine.preview(procedure, client, goal), timeout - spent)
        changed = bool(planned)
        now, then = before.to_diff(), procedure.wanted_diff(before) if changed else before.to_diff()
        steps = [{"name": step.name, "resource": step.resource} for step in planned]
    else:
        outcome = engine.apply(procedure, client, goal, timeout=timeout, spent=spent, notify=events.append)
        changed, before = outcome.changed, outcome.before
        now, then = before.to_diff(), outcome.after.to_diff()
        steps = told(outcome.steps)
    result: dict[str, Any] = {
        "changed": changed,
        "holder": then["holder"],
        "previous_holder": now["holder"],
        "steps": steps,
        "moved_ms": next((round(event["ms"], 1) for event in events if event["event"] == "done"), None),
        "elapsed_ms": round((time.monotonic() - started) * 1000, 1),
        "notes": procedure.notes,
        "diff": {"before": now, "after": then},
    }
    if module._verbosity >= 2:
        result["events"] = events
    return result
