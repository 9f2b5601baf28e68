# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several runs and another writer at once, interleaved at random; answers get lost, and runs are killed."""

from __future__ import annotations

import random
import threading

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import CloudError, Lost, Stale
from ansible_collections.cloudha.vip.plugins.module_utils.failover import engine
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.alias_cloud import (
    A,
    Aliases,
    B,
    C,
    X,
    Y,
    goal,
    move,
    want,
)
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.runs import Crash

SCHEDULES = 200
PLACES = (A, B, C)


class Actor(threading.Thread):
    """A thread that runs only when it has the turn, from one request to the next."""

    def __init__(self, stage, work, crash=None):
        super().__init__(daemon=True)
        self.stage = stage
        self.work = work
        self.crash = crash  # at which of its turns
        self.turns = 0
        self.go = threading.Semaphore(0)
        self.result = None
        self.ended = False

    def run(self):
        self.go.acquire()
        try:
            self.result = self.work()
        except (Crash, engine.Failed, engine.Refused, CloudError, AssertionError) as error:
            self.result = error
        self.ended = True
        self.stage.back.release()

    def pause(self):
        self.turns += 1
        self.stage.back.release()
        self.go.acquire()
        if self.crash is not None and self.turns >= self.crash:
            raise Crash


class Stage:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.back = threading.Semaphore(0)
        self.actors = []
        self.cloud = Aliases()
        self.cloud.fault = self.fault
        self.cloud.clock.sleep = self.sleep

    def fault(self, phase, verb, path):
        actor = threading.current_thread()
        if not isinstance(actor, Actor):
            return
        actor.pause()
        if verb == "patch" and self.rng.random() < 0.08:
            raise Lost("The connection was lost.")

    def sleep(self, seconds):
        self.cloud.clock.now += seconds
        if isinstance(threading.current_thread(), Actor):
            threading.current_thread().pause()

    def play(self):
        for actor in self.actors:
            actor.start()
        for _turn in range(20_000):
            ready = [actor for actor in self.actors if not actor.ended]
            if not ready:
                return
            self.rng.choice(ready).go.release()
            self.back.acquire()
        raise AssertionError("they never end")


def writer(stage, kept):
    """Adds and removes ranges of its own; it knows where each is."""
    cloud, rng = stage.cloud, random.Random(stage.rng.random())

    def work():
        for number in range(rng.randint(3, 8)):
            path = rng.choice(PLACES)
            mine = sorted(cidr for cidr, where in kept.items() if where == path)
            gone = rng.choice(mine) if mine and rng.random() < 0.4 else None
            new = None if gone else f"10.0.{rng.randint(20, 99)}.{number + 1}/32"
            while True:
                interface = cloud.get_instance(path)["networkInterfaces"][0]
                ranges = [each for each in interface["aliasIpRanges"] if each["ipCidrRange"] != gone]
                if new and {"ipCidrRange": new} not in ranges:
                    ranges.append({"ipCidrRange": new})
                body = {"aliasIpRanges": ranges, "fingerprint": interface["fingerprint"]}
                try:
                    cloud.update_network_interface(path, "nic0", body, str(rng.random()))
                except (Stale, Lost):
                    continue
                break
            if gone:
                del kept[gone]
            else:
                kept[new] = path

    return work


def race(seed, crashes):
    stage = Stage(seed)
    cloud, rng = stage.cloud, stage.rng
    kept = {f"10.0.8.{n + 1}/32": path for n, path in enumerate(PLACES)}
    for cidr, path in kept.items():
        cloud.put(path, cidr)
    cloud.put(rng.choice(PLACES), X)
    if rng.random() < 0.7:
        cloud.put(rng.choice(PLACES), Y)
    wanted = [goal(want(X, rng.choice(PLACES)), want(Y, rng.choice(PLACES))) for _run in range(rng.randint(1, 3))]
    stage.actors = [
        Actor(
            stage,
            lambda each=each: move(cloud, each, timeout=600, chance=random.Random(seed).random),
            rng.randint(1, 30) if rng.random() < crashes else None,
        )
        for each in wanted
    ]
    runs = list(stage.actors)
    stage.actors.append(Actor(stage, writer(stage, kept)))
    stage.play()
    assert stage.actors[-1].result is None, stage.actors[-1].result
    for path in PLACES:
        assert cloud.on(path) - {X, Y} == {cidr for cidr, where in kept.items() if where == path}
    for cidr in (X, Y):
        holders = cloud.holders(cidr)
        assert len(holders) <= 1  # and at every moment: see Aliases.check()
        if not holders:
            # Each run that ended has seen it somewhere, or says that it is nowhere; never is it lost in silence.
            assert not any(isinstance(run.result, engine.Outcome) for run in runs) or any(
                isinstance(run.result, Crash) or (f"{cidr}" in str(run.result) and "on no instance" in str(run.result))
                for run in runs
            ), [str(run.result) for run in runs]
    if crashes == 0:
        for cidr in (X, Y):
            assert cloud.holders(cidr), [str(run.result) for run in runs]
        assert any(isinstance(run.result, engine.Outcome) for run in runs) or len(runs) > 1
    move(cloud, wanted[0])
    for each in wanted[0].wants:
        assert cloud.holders(each.cidr) == [each.candidates[0]]
    for path in PLACES:
        assert cloud.on(path) - {X, Y} == {cidr for cidr, where in kept.items() if where == path}
    return [run.result for run in runs]


@pytest.mark.parametrize("crashes", [0.0, 0.6])
def test_races(crashes):
    results = [result for seed in range(SCHEDULES) for result in race(seed, crashes)]
    kinds = {type(result) for result in results}
    # The schedules are of all sorts.
    assert {engine.Outcome, engine.Failed} <= kinds and (Crash in kinds) == bool(crashes)


def test_the_races_would_find_a_writer_without_fingerprints(monkeypatch):
    patch = Aliases._patch

    def careless(self, path, nic, body):
        return patch(self, path, nic, {**body, "fingerprint": self.interface(path, nic)["fingerprint"]})

    monkeypatch.setattr(Aliases, "_patch", careless)
    with pytest.raises(AssertionError):
        [race(seed, 0.0) for seed in range(SCHEDULES)]
