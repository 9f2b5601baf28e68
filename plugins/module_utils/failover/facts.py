# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Facts, and how a pure decision gets those that only few goals need.

Each fact costs a request. So a look reads the facts that every decision needs, and a decision asks its Facts for the
rest. A question that nobody has answered yet raises Unread; ask() reads the answer and starts the decision again. The
decision stays a pure function of its Facts. No rule is written twice, once for the reading and once for the decision.
"""

from __future__ import annotations

from ..base.errors import CloudError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping
    from typing import Any, TypeVar

    Question = tuple[Any, ...]  # a client's verb and its arguments
    F = TypeVar("F", bound="Facts")
    T = TypeVar("T")


class Unread(Exception):
    """A decision needs a fact that has not been read."""

    def __init__(self, question: Question) -> None:
        super().__init__(question)
        self.question = question


class Facts:
    """The facts, as they were read. Nothing can be set: learn() returns other Facts, which know more.

    answers: by question, the client's answer, or the CloudError that it raised.
    """

    answers: Mapping[Question, Any]

    def __init__(self, **facts: Any) -> None:
        facts.setdefault("answers", {})
        self.__dict__.update(facts)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} is a fact: it cannot be set")

    def answer(self, verb: str, *arguments: Hashable) -> Any:
        """The answer of the client's verb. Raises the CloudError that it raised, or Unread."""
        question = (verb, *arguments)
        if question not in self.answers:
            raise Unread(question)
        found = self.answers[question]
        if isinstance(found, CloudError):
            raise found
        return found

    def answered(self, *verbs: str) -> dict[Question, Any]:
        """The answers of some of the client's verbs."""
        return {question: answer for question, answer in self.answers.items() if question[0] in verbs}

    def learn(self: F, question: Question, answer: Any) -> F:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, answers={**self.answers, question: answer})
        return other


def ask(client: Any, facts: F, decide: Callable[[F], T]) -> tuple[F, T]:
    """The decision, and the facts with all that had to be read for it. Each question is asked once."""
    while True:
        try:
            return facts, decide(facts)
        except Unread as unread:
            question = unread.question
        verb, *arguments = question
        try:
            answer = getattr(client, verb)(*arguments)
        except CloudError as error:
            answer = error
        facts = facts.learn(question, answer)
