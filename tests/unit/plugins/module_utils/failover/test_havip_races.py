# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several runs and other writers at once, on a clock of their own; requests take their time, and runs are killed."""

from __future__ import annotations

import random
import threading

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import Lost, Stale
from ansible_collections.cloudha.vip.plugins.module_utils.failover import engine, havip
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.havip_cloud import (
    CHANGES,
    CLOUDS,
    Huawei,
    Neutron,
    OldNeutron,
    Stack,
    X,
    Y,
    goal,
)
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.runs import Crash

SCHEDULES = 60


class Actor(threading.Thread):
    """A thread that runs only when it is its time."""

    def __init__(self, stage, work, crash=None):
        super().__init__(daemon=True)
        self.stage = stage
        self.work = work
        self.crash = crash  # at which of its turns
        self.turns = 0
        self.wake = stage.rng.random() * 0.3
        self.go = threading.Semaphore(0)
        self.result = None
        self.ended = False

    def run(self):
        self.go.acquire()
        try:
            self.result = self.work()
        except (Crash, engine.Failed, engine.Refused) as error:
            self.result = error
        self.ended = True
        self.stage.back.release()

    def pause(self, seconds):
        self.turns += 1
        self.wake = self.stage.now + seconds
        self.stage.back.release()
        self.go.acquire()
        if self.crash is not None and self.turns >= self.crash:
            raise Crash


class Stage:
    """Who wakes first goes on. A request takes effect in the middle of the time that it takes."""

    def __init__(self, seed, make):
        self.rng = random.Random(seed)
        self.now = 0.0
        self.back = threading.Semaphore(0)
        self.actors = []
        self.cloud = make()
        self.cloud.fault = self.fault
        self.losses = 0.0

    def fault(self, phase, verb):
        self.pause(self.rng.choice([0.005, 0.02, 0.02, 0.2]) * self.rng.random())
        if verb in CHANGES and isinstance(threading.current_thread(), Actor) and self.rng.random() < self.losses:
            raise Lost("The connection was lost.")

    def pause(self, seconds):
        actor = threading.current_thread()
        if isinstance(actor, Actor):
            actor.pause(seconds)
        else:
            self.now += seconds

    def bind(self, wanted, **options):
        chance = random.Random(self.rng.random()).random
        return engine.apply(
            self.cloud.procedure,
            self.cloud,
            wanted,
            sleep=self.pause,
            clock=lambda: self.now,
            chance=chance,
            timeout=600,
            **options,
        )

    def act(self, wanted, crash=None):
        self.actors.append(Actor(self, lambda: self.bind(wanted), crash))

    def play(self):
        for actor in self.actors:
            actor.start()
        for _turn in range(50_000):
            ready = [actor for actor in self.actors if not actor.ended]
            if not ready:
                return [actor.result for actor in self.actors]
            first = min(ready, key=lambda actor: actor.wake)
            self.now = max(self.now, first.wake)
            first.go.release()
            self.back.acquire()
        raise AssertionError("they never end")


def eight(seed, make):
    """Eight runs that write to one list; how many bindings are there in the end."""
    stage = Stage(seed, make)
    cloud = stage.cloud
    if isinstance(cloud, Neutron):
        # The list is that of a member's port.
        addresses = [f"10.0.0.{100 + n}" for n in range(8)]
        for address in addresses:
            cloud.make(address, name=address)
            stage.act(goal("n1", address=address, name=None))
        results = stage.play()
        kept = len(cloud.pairs("n1") & set(addresses))
    else:
        # The list is that of the virtual IP.
        cloud.most = 8
        cloud.make(X)
        for n in range(1, 9):
            stage.act(goal(f"n{n}"))
        results = stage.play()
        kept = len(cloud.bound())
    assert all(isinstance(result, engine.Outcome) for result in results), results
    return kept


@pytest.mark.parametrize("make", CLOUDS)
def test_eight_writers_of_one_list(make):
    assert [eight(seed, make) for seed in range(20)] == [8] * 20


def test_the_races_would_find_a_writer_without_revisions(monkeypatch):
    update = Neutron.update_port
    monkeypatch.setattr(Neutron, "update_port", lambda self, port, body, revision=None: update(self, port, body))
    assert min(eight(seed, Neutron) for seed in range(20)) < 8


@pytest.mark.parametrize("make", [OldNeutron, Huawei, Stack])
def test_the_races_would_find_a_writer_that_does_not_wait(make, monkeypatch):
    monkeypatch.setattr(havip.Havip, "_settle", lambda self, d, history: iter(()))
    assert min(eight(seed, make) for seed in range(20)) < 8


def writer(stage, kept):
    """Adds and removes pairs of its own, with the revision that it has seen."""
    cloud, rng = stage.cloud, random.Random(stage.rng.random())

    def work():
        for number in range(rng.randint(3, 8)):
            id = f"n{rng.randint(1, 3)}"  # noqa: A001
            mine = sorted(kept[id])
            gone = rng.choice(mine) if mine and rng.random() < 0.4 else None
            new = None if gone else f"10.0.{rng.randint(20, 99)}.{number + 1}"
            while True:
                port = cloud.get_port(id)
                pairs = [pair for pair in port["allowed_address_pairs"] if pair["ip_address"] not in (gone, new)]
                if new:
                    pairs.append({"ip_address": new})
                try:
                    cloud.update_port(id, {"allowed_address_pairs": pairs}, port["revision_number"])
                except (Stale, Lost):
                    continue
                break
            kept[id] = kept[id] - {gone} if gone else kept[id] | {new}

    return work


def race(seed, make, crashes):
    """Runs that add members to one virtual IP, another virtual IP's own ones, and somebody who deletes a third."""
    stage = Stage(seed, make)
    cloud, rng = stage.cloud, stage.rng
    stage.losses = 0.05
    cloud.most = 8
    kept = {f"n{n}": set() for n in (1, 2, 3)}
    if isinstance(cloud, Neutron):
        for each in kept:
            kept[each] = {"10.0.0.77"}
            cloud.write(each, [{"ip_address": "10.0.0.77"}])
    cloud.make(Y, ["n1", "n4"], name="other")
    cloud.make("10.0.0.102", ["n1", "n2"], name="third")
    if rng.random() < 0.6:
        cloud.make(X, rng.sample(["n1", "n2", "n3"], rng.randint(0, 2)))
    before = cloud.bound() if cloud.vip() else set()
    wishes = [{f"n{rng.randint(1, 5)}" for _member in range(rng.randint(1, 2))} for _run in range(rng.randint(2, 4))]

    def crash():
        return rng.randint(1, 40) if rng.random() < crashes else None

    for members in wishes:
        stage.act(goal(*sorted(members)), crash())
    third = goal(address="10.0.0.102", name=None, present=False, restore_check=rng.random() < 0.5)
    stage.act(third, crash())
    stage.act(goal("n5", address=Y, name="other"), crash())
    if make is Neutron:
        stage.actors.append(Actor(stage, writer(stage, kept)))
    results = stage.play()
    stage.losses = 0.0
    ended = [isinstance(result, engine.Outcome) for result in results]
    assert crashes or all(ended[: len(wishes) + 2]), [str(result) for result in results]
    if any(ended[: len(wishes)]):
        # What a run has reported stays, whatever others do and however they end.
        reported = set().union(*(members for number, members in enumerate(wishes) if ended[number]))
        assert cloud.bound() >= before | reported
    assert cloud.bound(Y) >= {"n1", "n4"} | ({"n5"} if ended[len(wishes) + 1] else set())
    for members in wishes:
        stage.bind(goal(*sorted(members)))
    stage.bind(third)
    assert cloud.bound() == before.union(*wishes) and cloud.vip("10.0.0.102") is None
    assert all(users == set() for _address, users in cloud.deleted)
    if isinstance(cloud, Neutron):
        for each in kept:
            assert cloud.pairs(each) - {X, Y} == kept[each]
    return results


@pytest.mark.parametrize("crashes", [0.0, 0.5])
@pytest.mark.parametrize("make", CLOUDS)
def test_races(make, crashes):
    kinds = {type(result) for seed in range(SCHEDULES) for result in race(seed, make, crashes)}
    assert engine.Outcome in kinds and (Crash in kinds) == bool(crashes)


@pytest.mark.parametrize("make", CLOUDS)
def test_who_deletes_and_who_binds_at_once(make):
    """In the end it is there, or nobody may use its address any more."""
    there = []
    for seed in range(SCHEDULES):
        stage = Stage(seed, make)
        cloud = stage.cloud
        cloud.make(X, ["n1"])
        stage.act(goal(present=False))
        stage.act(goal("n2"))
        stage.play()
        there.append(cloud.vip() is not None)
        if isinstance(cloud, Neutron):
            using = {each for each in cloud.ports if X in cloud.pairs(each)}
            assert (using == {"n2"} or using == {"n1", "n2"}) if there[-1] else using == set(), seed
    assert any(there)
