# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import threading

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base import time_limit
from ansible_collections.cloudha.vip.plugins.module_utils.base.time_limit import at_most, limit, wait_at_most, waiting
from ansible_collections.cloudha.vip.plugins.module_utils.clouds import bounded


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time_limit.time, "monotonic", lambda: now[0])
    return now


def test_the_shorter_one_counts(clock):
    assert at_most(30) == 30
    with limit(10):
        assert (at_most(30), at_most(3)) == (10, 3)
        with limit(20):
            assert at_most(30) == 10
        with limit(5):
            assert at_most(30) == 5
        clock[0] += 4
        assert at_most(30) == 6
        clock[0] += 40
        assert at_most(30) == 0
    assert at_most(30) == 30


def test_to_wait_for_a_change_is_limited_apart_from_requests(clock):
    assert wait_at_most(30) == 30
    with waiting(10), limit(3):
        assert (at_most(30), wait_at_most(30)) == (3, 10)
        with waiting(20):
            clock[0] += 4
            assert wait_at_most(30) == 6
        clock[0] += 40
        assert wait_at_most(30) == 0
    assert wait_at_most(30) == 30


def test_it_ends_with_an_error():
    with pytest.raises(KeyError), limit(10):
        raise KeyError
    assert at_most(30) == 30


def test_another_thread_has_its_own():
    seen = []
    with limit(10):
        thread = threading.Thread(target=lambda: seen.append(at_most(30)))
        thread.start()
        thread.join()
        # The one in which a library makes its requests has the same.
        seen.append(bounded.call(30, lambda: at_most(60)))
    seen.append(bounded.call(30, lambda: at_most(60)))
    assert seen == [30, 10, 30]
