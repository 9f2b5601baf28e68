# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How facts come to a decision."""

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import Denied
from ansible_collections.cloudha.vip.plugins.module_utils.failover.facts import Facts, Unread, ask
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.answering import Answering


def test_facts_cannot_be_set_and_tell_what_was_not_read():
    facts = Facts(size=1)
    with pytest.raises(AttributeError, match="is a fact"):
        facts.size = 2
    with pytest.raises(Unread) as unread:
        facts.answer("get", "a")
    assert unread.value.question == ("get", "a")
    more = facts.learn(("get", "a"), None)
    assert (more.size, more.answer("get", "a"), facts.answers) == (1, None, {})


def test_an_error_that_a_client_raises_reaches_the_decision():
    client = Answering({("get", "a"): Denied("403")})

    def decision(facts):
        try:
            return facts.answer("get", "a")
        except Denied:
            return "hidden"

    assert ask(client, Facts(), decision)[1] == "hidden"
    with pytest.raises(Denied):
        ask(client, Facts(), lambda facts: facts.answer("get", "a"))


def test_each_question_is_asked_once():
    client = Answering({("get", "a"): 1, ("get", "b"): 2})
    facts, total = ask(client, Facts(), lambda known: known.answer("get", "a") + known.answer("get", "b") * 10)
    assert (total, client.asked) == (21, [("get", "a"), ("get", "b")])
    again, _total = ask(client, facts, lambda known: known.answer("get", "a"))
    assert again is facts and len(client.asked) == 2


def test_what_is_no_error_of_the_api_is_raised_at_once():
    with pytest.raises(KeyError):
        ask(Answering({}), Facts(), lambda known: known.answer("get", "a"))
