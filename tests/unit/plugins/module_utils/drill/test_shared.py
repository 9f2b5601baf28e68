# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drills of nodes that serve at once: a lost one costs its share of the requests, until that is noticed."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.drill import faults, picture, report, schema
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.drill.made_up import (
    lost,
    params,
    phase,
    recording,
    write_recording,
)

PAIR = ("node1", "node2")


def sides(number, nodes=PAIR):
    """By chance, as a hash of addresses and ports does it; the same in each run."""
    return random.Random(number).choice(nodes)


def balanced(detected, err="timeout", back=2600, nodes=PAIR, others=0.0):
    """node1 is lost from 0 to back, and gets requests until it is detected. others: the part of the others' that is
    lost, too."""

    def outcome(at):
        node = sides(at, nodes)
        if node == "node1" and 0 <= at < detected:
            return lost(err)
        if 0 <= at < detected and random.Random(-at).random() < others:
            return lost(err)
        if node == "node1" and detected <= at < back:
            return nodes[1]
        return node

    return outcome


def drill(recordings, one_phase=None, **options):
    one_phase = one_phase or phase(repaired=2500, failback=2500)
    return faults.analyse(params([one_phase], **{"shared": True, "objective_ms": 1000, **options}), recordings, [])


def one(*args, **options):
    return drill(*args, **options)["faults"][0]


def test_the_gap_is_the_time_in_which_requests_were_lost():
    fault = one([recording(balanced(600))])
    assert fault["verdict"] == "passed", fault["reason"]
    first = next(at for at in range(0, 100, 4) if sides(float(at)) == "node1")
    last = next(at for at in range(596, 400, -4) if sides(float(at)) == "node1")
    assert (fault["gap_from_ms"], fault["gap_to_ms"]) == (first - 3, last + 5)
    assert fault["first_good_ms"] == fault["gap_to_ms"] and fault["recovered"]
    assert (fault["holder_before"], fault["holder_after"], fault["split_brain_ms"]) == (None, None, 0)
    assert 0.4 < fault["share"] < 0.6
    assert abs(fault["share_requests"] - fault["requests_lost"]) < 30 < fault["requests_lost"]
    assert fault["reason"] == (
        "Clients lost requests for at most %d ms; the objective is 1,000 ms. node1 had answered %d %% of them before."
        " Fail-back: 4.0 ms." % (fault["gap_ms"], round(fault["share"] * 100))
    )


@pytest.mark.parametrize("err", ["timeout", "refused"])
def test_requests_that_are_lost_for_too_long_fail_though_others_are_answered(err):
    fault = one([recording(balanced(1100, err))])
    assert fault["verdict"] == "failed" and 1050 < fault["gap_ms"] < 1110
    assert re.match(r"client1 lost requests for 1,\d+ ms; the objective is 1,000 ms\.$", fault["reason"])


@pytest.mark.parametrize("err", ["timeout", "refused"])
def test_a_node_that_is_never_taken_out_is_never_recovered_from(err):
    fault = one([recording(balanced(9000, err))])
    assert (fault["recovered"], fault["first_good_ms"]) == (False, None)
    assert fault["gap_to_ms"] == 2500 and fault["gap_ms"] > 2490
    assert re.search(
        r"client1 still lost requests when the fail-back began, 2,\d+ ms after the first one\.", fault["reason"]
    )
    assert fault["reason"].endswith("client1 lost requests at the end of the fail-back.")


def test_a_request_is_lost_on_the_way_back():
    def outcome(at):
        return lost("reset") if 2600 <= at < 2604 or 2640 <= at < 2644 else sides(at)

    fault = one([recording(outcome)], failback_objective_ms=30)
    assert (fault["failback_gap_ms"], fault["failback_lost"]) == (48, 2)
    assert "client1 lost requests for 48 ms during the fail-back; the objective is 30 ms." in fault["reason"]


def test_more_than_the_share_of_the_lost_node_fails():
    fault = one([recording(balanced(900, others=0.9))])
    assert re.match(
        r"client1 lost \d+ requests; node1 had answered \d+ %, .*: others were lost, too\.$", fault["reason"]
    )
    assert fault["verdict"] == "failed"


@pytest.mark.parametrize("seed", range(20))
def test_chance_alone_fails_nothing(seed):
    """Of two and of many nodes, in a short and in a long gap, after a short time in which the share was measured."""
    chance = random.Random(seed)
    nodes = [f"node{number + 1}" for number in range(chance.choice([2, 3, 20]))]
    shift = chance.randrange(1000)

    def outcome(at):
        node = random.Random(at * 1000 + shift).choice(nodes)
        return lost("refused") if node == "node1" and 0 <= at < 200 + 40 * seed else node

    fault = one([recording(outcome, start=-500)], phase(started=-500, repaired=2500, failback=2500), nodes=nodes)
    assert fault["verdict"] == "passed", fault["reason"]


def test_a_planned_drain_loses_nothing_and_says_so():
    fault = one([recording(lambda at: "node2" if 0 <= at < 2600 else sides(at))])
    assert (fault["requests_lost"], fault["share_requests"], fault["gap_ms"], fault["first_good_ms"]) == (0, 0, 4, 1)
    assert fault["reason"] == "No client lost a request. Fail-back: 4.0 ms."


def test_a_client_that_the_lost_node_never_answered_says_nothing():
    affine = [recording(lambda at: "node2", client="a"), recording(lambda at: "node2", client="b")]
    fault = one(affine)
    assert fault["verdict"] == "inconclusive"
    assert fault["reason"] == "node1 answered no client before the fault, so its loss cost none of them."
    # Another one, all of whose requests it answered.
    affine.append(recording(lambda at: "node1" if at < 0 else lost("timeout") if at < 600 else "node2", client="c"))
    fault = one(affine)
    assert (fault["verdict"], fault["client"], fault["share"]) == ("passed", "c", 1)
    assert [client["share"] for client in fault["clients"]] == [0, 0, 1]
    assert fault["share_requests"] == fault["requests_lost"] + 1


def test_answers_without_a_name_have_no_share():
    fault = one([recording(lambda at: lost("refused") if 0 <= at < 100 else None)])
    assert (fault["verdict"], fault["share"], fault["share_requests"], fault["gap_ms"]) == ("passed", None, None, 104)


def test_a_report_of_one_holder_has_nothing_of_this():
    without = drill([recording(balanced(600))], shared=False)
    assert "share" not in json.dumps(without)
    assert without["faults"][0]["split_brain_ms"] > 1000, "two that answer in turn are two holders"


def made(tmp_path, **more):
    files = [
        write_recording(recording(balanced(600), client=client), tmp_path / f"{client}.jsonl")
        for client in ("client1", "client2")
    ]
    audit = [{"when": "during", "at": None, "holders": ["node2"], "ok": True, "problem": None}]
    audit.append({"when": "after", "at": None, "holders": list(PAIR), "ok": True, "problem": None})
    given = params([phase(repaired=2500, failback=2500, audit=audit)], records=files, shared=True)
    given |= {"output_dir": str(tmp_path / "out"), **more}
    return report.make(given, write=True)


def text_of(result, kind):
    return Path(result["files"][kind]).read_text(encoding="utf-8")


def test_the_report_says_that_nodes_serve_at_once(tmp_path):
    jsonschema = pytest.importorskip("jsonschema")
    result = made(tmp_path)
    its = json.loads(text_of(result, "json"))
    jsonschema.validate(its, schema.SCHEMA)
    assert its["shared"] is True
    share = "%d %%" % round(its["faults"][0]["share"] * 100)
    assert result["table"][0].split()[-2:] == ["share", "verdict"]
    assert result["table"][2].split()[-3:] == [*share.split(), "passed"]
    markdown = text_of(result, "md")
    assert "| share | verdict |" in markdown and f"| {share} | passed |" in markdown
    assert "All nodes serve at once." in markdown
    for text in (markdown, text_of(result, "html")):
        assert not re.search("two holders|took the address|held by|Holder", text, re.IGNORECASE)


def test_the_page_and_its_pictures_name_the_gap_as_what_it_is(tmp_path):
    result = made(tmp_path)
    its = json.loads(text_of(result, "json"))
    fault = its["faults"][0]
    page = text_of(result, "html")
    assert "requests lost for %d ms" % round(fault["gap_ms"]) in page and "no good answer" not in page
    assert "Share of the target before" in page and "served by node1 and node2" in page and "Who served" in page
    assert "until all answered" in page and "first good answer" not in page.replace(
        "to the first good answer after", ""
    )
    drawn = picture.alone(picture.timeline(fault, its["nodes"]))
    words = "".join(ElementTree.fromstring(drawn).itertext())
    assert "all answered +%d ms" % round(fault["first_good_ms"]) in words and "requests lost for" in words


def test_the_schema_knows_what_only_such_drills_have(tmp_path):
    jsonschema = pytest.importorskip("jsonschema")
    its = json.loads(text_of(made(tmp_path), "json"))
    for wrong in ({"shared": "yes"}, {"faults": [{**its["faults"][0], "share": "half"}]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**its, **wrong}, schema.SCHEMA)
