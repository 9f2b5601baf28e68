# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.drill import page, picture, report, schema, svg
from ansible_collections.cloudha.vip.plugins.module_utils.drill.records import RecordError
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.drill.made_up import (
    lost,
    params,
    phase,
    recording,
    transition,
    write_recording,
)

DOCS = Path(__file__).resolve().parents[5] / "docs"
HOSTILE = "<script>\"&'"


def outcome(at):
    if at < 0 or at >= 3000:
        return "node1"
    return lost("timeout") if at < 700 else "node2"


def options(tmp_path, **more):
    records = [
        write_recording(recording(outcome, client=client), tmp_path / (client + ".jsonl"))
        for client in ("client1", "client2")
    ]
    events = tmp_path / "events.jsonl"
    events.write_text("".join(json.dumps(e) + "\n" for e in [transition(690, "node2", "MASTER")] * 2))
    audit = [{"when": "during", "at": None, "holders": ["node2"], "ok": True, "problem": None}]
    result = params(
        [phase(audit=audit), phase("partition", audit=[{**audit[0], "ok": False, "problem": HOSTILE}])],
        records=records,
        events=[str(events), str(events)],
        versions={"keepalived": "2.2.7", HOSTILE: 1},
        output_dir=str(tmp_path / "out" / "drill"),
        history_dir=str(tmp_path / "history"),
    )
    result.update(more)
    return result


def load(result):
    return json.loads(Path(result["files"]["json"]).read_text(encoding="utf-8"))


def valid(value, against):
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(against)
    jsonschema.validate(value, against)


def test_the_files(tmp_path):
    result = report.make(options(tmp_path), write=True)
    assert result["changed"]
    made = load(result)
    valid(made, schema.SCHEMA)
    assert json.loads(Path(result["files"]["schema"]).read_text()) == schema.SCHEMA
    assert made["verdict"] == "failed"
    assert [f["verdict"] for f in made["faults"]] == ["passed", "failed"]
    assert len(made["faults"][0]["events"]) == 1, "logs that overlap were counted twice"
    assert result["summary"]["faults"]["service_kill"]["gap_ms"] == 704
    assert result["summary"]["reasons"] == made["reasons"]
    assert len(json.dumps(result["summary"])) < 1000
    row = "service kill  node1   704 ms    690 ms  690 ms  175 of 750     4.0 ms         0 ms  passed"
    assert result["table"][2] == row
    markdown = Path(result["files"]["md"]).read_text(encoding="utf-8")
    assert (
        "| service kill | node1 | 704 ms | 690 ms | 690 ms | 701 ms | 175 of 750 | 4.0 ms | 0 ms | passed |" in markdown
    )


def test_nothing_was_measured_is_valid_too(tmp_path):
    phases = [phase(injected_at=None, error="node1 is gone", repaired_at=None, failback_at=None)]
    result = report.make(options(tmp_path, phases=phases, records=[], events=[]), write=True)
    valid(load(result), schema.SCHEMA)
    assert "node1 is gone" in Path(result["files"]["html"]).read_text(encoding="utf-8")
    assert result["table"][2].split()[-1] == "failed"


def test_junit(tmp_path):
    suite = ElementTree.parse(report.make(options(tmp_path), write=True)["files"]["junit"]).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    cases = suite.findall("testcase")
    assert [case.get("name") for case in cases] == ["service_kill node1 trial 1", "partition node1 trial 1"]
    assert cases[0].get("time") == "5.000"
    assert [case.findall("failure") == [] for case in cases] == [True, False]
    assert cases[1].find("failure").get("message") == "Audit during: %s." % HOSTILE


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.tags, self.loads, self.ids, self.links = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append(tag)
        self.loads += [attributes[name] for name in ("src", "srcset", "data", "xlink:href") if name in attributes]
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if "href" in attributes else []
        if tag == "svg":
            assert attributes["role"] == "img" and attributes["aria-label"]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_is_well_formed(tmp_path):
    text = Path(report.make(options(tmp_path), write=True)["files"]["html"]).read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.loads == []
    assert not re.search(r"url\(|@import|https?://(?!192\.0\.2\.1)", text)
    assert not {"script", "link", "iframe", "img", "object"} & set(page.tags)
    # What failed is named above all numbers.
    assert page.links == ["#fault-1", *("#" + name for name in page.ids)]
    assert page.tags.count("section") == 4
    assert HOSTILE not in text


def test_the_same_input_changes_nothing(tmp_path):
    report.make(options(tmp_path), write=True)
    assert not report.make(options(tmp_path), write=True)["changed"]
    assert report.make(options(tmp_path, drill_id="drill-2"), write=False)["changed"]
    assert not report.make(options(tmp_path), write=False)["changed"]


def test_check_mode_writes_nothing(tmp_path):
    result = report.make(options(tmp_path), write=False)
    assert result["changed"]
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "history").exists()


def test_history_is_of_this_topology_and_bounded(tmp_path):
    for number in range(5):
        report.make(options(tmp_path, drill_id="drill-%d" % number), write=True)
    report.make(options(tmp_path, drill_id="other", topology="gcp_alias_ip"), write=True)
    made = load(report.make(options(tmp_path, drill_id="drill-3", history_length=3), write=True))
    assert [line["drill_id"] for line in made["history"]] == ["drill-2", "drill-3", "drill-4"]
    assert {line["topology"] for line in made["history"]} == {"onprem_active_standby"}
    valid(made, schema.SCHEMA)
    lines = (tmp_path / "history" / "history.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["drill_id"] for line in lines) == [*("drill-%d" % n for n in range(5)), "other"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "records: cannot read"),
        ('{"t": 1}\n', "line 1 has no"),
        ("", "does not begin with the prober's first line"),
        ('{"prober": 1}\nnonsense\n{}\n', "line 2 is not a JSON object"),
        ("[1]\n\n", "line 1 is not a JSON object"),
    ],
)
def test_bad_records_are_named(tmp_path, content, message):
    path = tmp_path / "bad.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RecordError, match=message) as raised:
        report.make(options(tmp_path, records=[str(path)]), write=True)
    assert "bad.jsonl" in str(raised.value)


def test_a_record_cut_off_in_its_last_line_is_read(tmp_path):
    given = options(tmp_path)
    path = Path(given["records"][0])
    path.write_text(path.read_text().rsplit('"skipped', 1)[0])
    assert load(report.make(given, write=True))["faults"][0]["gap_ms"] == 704


@pytest.mark.parametrize("change", [{"phases": []}, {"events": ["/no/such/file"]}, {"history_dir": "broken"}])
def test_what_cannot_be_reported(tmp_path, change):
    if change.get("history_dir"):
        (tmp_path / "history.jsonl").write_text("nonsense\n")
        change = {"history_dir": str(tmp_path)}
    with pytest.raises(RecordError, match=r"^(phases|events|history_dir): "):
        report.make(options(tmp_path, **change), write=True)


def test_pictures_that_stand_alone_are_xml(tmp_path):
    made = load(report.make(options(tmp_path), write=True))
    for overview in (True, False):
        drawn = picture.alone(picture.timeline(made["faults"][0], made["nodes"], overview=overview))
        root = ElementTree.fromstring(drawn)
        words = "".join(root.itertext())
        assert "no good answer for 704 ms" in words
        assert "moved +690 ms" in words
        assert "prefers-color-scheme: dark" in words
    values = [{"median": 152.1, "min": 140, "max": 170.3}, {"median": 30000, "min": 30000, "max": 30000, "more": True}]
    results = {
        "title": "A & B",
        "series": ["ours", "theirs"],
        "faults": [{"fault": "service_kill", "values": values}, {"fault": "link_down", "values": [None, values[0]]}],
    }
    words = "".join(ElementTree.fromstring(picture.alone(picture.comparison(results))).itertext())
    assert "A & B" in words
    assert "more than 30,000 ms" in words
    assert "not measured" in words


def test_the_documents_are_those_of_the_code():
    path = DOCS / "report-schema.json"
    again = "run tests/run python -m ansible_collections.cloudha.vip.plugins.module_utils.drill.schema docs"
    assert json.loads(path.read_text(encoding="utf-8")) == schema.SCHEMA, again
    assert schema.tables() in (DOCS / "drill-report.md").read_text(encoding="utf-8"), again


def test_the_page_says_what_was_drilled_and_at_the_top_why_it_has_not_passed(tmp_path):
    text = Path(report.make(options(tmp_path), write=True)["files"]["html"]).read_text(encoding="utf-8")
    title = text[text.index("<title>") : text.index("</title>")]
    assert "192.0.2.1 on node1, node2" in title
    assert text.index('class="why"') < text.index('class="bars"')


def test_a_pair_does_not_get_the_history_of_another_one(tmp_path):
    report.make(options(tmp_path, drill_id="a"), write=True)
    other = report.make(options(tmp_path, drill_id="b", addresses=["192.0.2.2"]), write=True)
    assert [line["drill_id"] for line in load(other)["history"]] == ["b"]


def test_what_could_not_be_measured_is_an_error_to_junit_and_no_failure(tmp_path):
    made = options(tmp_path, probes=["client1", "client2", "client3"])
    made["phases"] = made["phases"][:1]
    result = report.make(made, write=True)
    suite = ElementTree.parse(result["files"]["junit"]).getroot()
    assert (suite.get("failures"), suite.get("errors")) == ("0", "1")
    assert result["summary"]["verdict"] == "inconclusive"


PAINTED = re.compile(r"<(?:rect|path|circle|polyline|text)\b[^>]*>")
PICTURES = sorted([*(DOCS / "images").glob("*.svg"), *(DOCS.parent / "bench" / "results").glob("*.svg")])


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_a_picture_has_colours_where_variables_are_not_known(path):
    text = path.read_text(encoding="utf-8")
    for tag in PAINTED.findall(text):
        assert not re.search(r'(fill|stroke)="var', tag), tag
        # What has neither is black, which is right for words alone.
        assert tag.startswith("<text") or re.search(r'\b(fill|stroke)="(#|none)', tag), tag


def test_counts_are_not_drawn_as_times_and_no_name_is_cut():
    name = "bindings left over, 8 at once"
    values = [{"median": 0, "min": 0, "max": 2}, {"median": 8, "min": 8, "max": 8}]
    drawn = picture.comparison(
        {"title": "t", "counts": True, "series": ["a", "b"], "faults": [{"fault": name, "values": values}]}
    )
    assert not re.search(r"\d ms|Logarithmic", drawn)
    at = float(re.search(r'<text x="([\d.]+)"[^>]*>%s<' % name, drawn).group(1))
    assert at - svg.text_width(name) > 0


def test_on_a_telephone_a_table_is_a_list_and_a_picture_says_that_it_is_wider(tmp_path):
    text = Path(report.make(options(tmp_path), write=True)["files"]["html"]).read_text(encoding="utf-8")
    head = re.search(r"<table class=\"stacked\">.*?</thead>(.*?)</table>", text, re.S).group(1)
    cells = re.findall(r"<td\b[^>]*>", head)
    assert sum("data-name=" in cell for cell in cells) >= 8, "each number says what it is"
    assert "content:attr(data-name)" in text
    assert "wider than the screen: move it sideways" in text and '<div class="scroll wide">' in text


def test_the_bar_of_a_fault_shows_a_gap_that_comes_after_the_first_good_answer(tmp_path):
    """A partition that was none: node2 answered after 0.6 s, and nobody from 3.6 s to 5 s."""

    def comes_back(at):
        if at < 0 or at >= 5000:
            return "node1"
        return "node2" if 600 <= at < 3600 else lost("timeout")

    record = write_recording(recording(comes_back, end=9000), tmp_path / "seen.jsonl")
    phases = [phase("partition", repaired=6000, failback=8000, ended=9000)]
    result = report.make(options(tmp_path, phases=phases, records=[record], probes=["client1"], events=[]), write=True)
    (fault,) = load(result)["faults"]
    *before, last = page.stages(fault)
    assert (round(last[0]), round(last[1]), last[3]) == (3597, 5001, "no answer once more")
    assert max(end for _start, end, _kind, _words in before) == fault["first_good_ms"] == 601


def test_names_of_moments_beside_each_other_do_not_overlap(tmp_path):
    fault = load(report.make(options(tmp_path), write=True))["faults"][0]
    fault.update(repaired_ms=30, failback_ms=3000)
    panel = picture.Panel(120, 800, 0, 60_000)  # a pixel is 75 ms
    drawn = picture.draw_overview(panel, fault, fault["clients"][0], ["node1", "node2"], ["node1", "node2"], 40, [])
    names = re.findall(r'<text x="([\d.]+)"[^>]*>(fault|repair|fail-back)<', drawn)
    assert len(names) >= 2, drawn
    end = 0.0
    for x, name in names:
        assert float(x) > end, names
        end = float(x) + svg.text_width(name)
