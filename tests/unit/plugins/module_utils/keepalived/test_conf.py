# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.conf import (
    ConfError,
    Statement,
    load,
    parse,
    quote,
    render,
    without_secrets,
)


def flat(text, **options):
    """Each statement as its words, those of a block in a list behind it."""

    def nested(statements):
        for s in statements:
            yield s.words
            if s.block is not None:
                yield list(nested(s.block))

    return list(nested(parse(text, **options)))


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("", []),
        ("! a comment\n# another\n  \n", []),
        ("priority 254 # why\nstate BACKUP!really", [["priority", "254"], ["state", "BACKUP"]]),
        ("a {\n b {\n  c\n }\n}\nd", [["a"], [["b"], [["c"]]], ["d"]]),
        ("a x\n{\n b\n}", [["a", "x"], [["b"]]]),
        ("a x{b}", [["a", "x"], [["b"]]]),
        ("a { b }\nc", [["a"], [["b"]], ["c"]]),
        ("a {\n}", [["a"], []]),
        ("script \"/bin/sh -c 'exit 1'\"", [["script", "/bin/sh -c 'exit 1'"]]),
        ("script '/bin/echo \"#{!\"'", [["script", '/bin/echo "#{!"']]),
        (r'script "/bin/echo \"x\" \\ \d"', [["script", r'/bin/echo "x" \ \d']]),
        ('x ab"c d"ef ""', [["x", "abc def", ""]]),
        ('notify "/a b" root', [["notify", "/a b", "root"]]),
        ("quorum_up ${UNKNOWN}", [["quorum_up", "${UNKNOWN}"]]),
    ],
)
def test_syntax(text, statements):
    assert flat(text) == statements
    assert flat("\n".join(render(parse(text)))) == statements


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a {\n b\n", r"keepalived.conf:2: the file ends within a block; add 1 closing brace"),
        ("a\n}\n", r"keepalived.conf:2: a block ends which never began"),
        ("{\n}\n", r"keepalived.conf:1: a block begins without a name"),
        ("a {\n}\n{\n}", r"keepalived.conf:3: a block begins without a name"),
        ('a "b\nc"', r"keepalived.conf:1: a quote is never closed"),
        ("$A= \\\n b", r"keepalived.conf:1: definitions over many lines"),
        ("~SEQ(I, 1, 3) ip 10.0.0.$I", r"keepalived.conf:1: .*~SEQ"),
        ("include other.conf", r"keepalived.conf:1: other.conf is included; put its content here"),
    ],
)
def test_what_is_not_understood_says_where_and_what_to_do(text, message):
    with pytest.raises(ConfError, match=message):
        parse(text)


def test_conditions():
    text = "@node1 priority 254\n@node2 priority 253\n@^node1 nopreempt\n"
    assert flat(text, config_id="node1") == [["priority", "254"]]
    assert flat(text, config_id="node2") == [["priority", "253"], ["nopreempt"]]


def test_parameters():
    text = "$NET=10.2.${SUB}\n$SUB=0\n$N=5\na ${NET}.100/32\n$SUB=10\na ${NET}.100/32\npriority $N\nb $NOT"
    assert flat(text) == [["a", "10.2.0.100/32"], ["a", "10.2.10.100/32"], ["priority", "5"], ["b", "$NOT"]]


def test_a_parameter_which_contains_itself_ends():
    assert flat("$A=x${A}\nb ${A}") == [["b", "x" * 20 + "${A}"]]


def test_includes_relative_to_the_file_which_includes(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "main.conf").write_text("a 1\ninclude d/*.conf\nb 2\n")
    (tmp_path / "d" / "2.conf").write_text("y {\nz\n}\n")
    (tmp_path / "d" / "1.conf").write_text("include 3.txt\n")
    (tmp_path / "d" / "3.txt").write_text("x\n")
    statements = load(str(tmp_path / "main.conf"))
    assert [s.words for s in statements] == [["a", "1"], ["x"], ["y"], ["b", "2"]]
    assert load(str(tmp_path / "none.conf")) is None


def test_a_circle_of_includes_is_an_error(tmp_path):
    (tmp_path / "main.conf").write_text("include main.conf\n")
    with pytest.raises(ConfError, match="break the circle"):
        load(str(tmp_path / "main.conf"))


def test_a_mistake_in_an_included_file_is_named(tmp_path):
    (tmp_path / "main.conf").write_text("include x\n")
    (tmp_path / "x").write_text("\n}\n")
    with pytest.raises(ConfError, match=r"x:2: a block ends"):
        load(str(tmp_path / "main.conf"))


@pytest.mark.parametrize("word", ["a", "192.168.7.246/22", "a b", 'a"b', "a\\b", "a#b", "{", "", "it's"])
def test_a_quoted_word_is_read_back(word):
    assert flat(f"x {quote(word)}") == [["x", word]]


def test_secrets_are_gone_at_any_depth():
    hidden = without_secrets(parse("i {\n authentication {\n  auth_type PASS\n  auth_pass hunter2\n }\n}"))
    assert hidden == [
        Statement(
            ["i"],
            [Statement(["authentication"], [Statement(["auth_type", "PASS"], None), Statement(["auth_pass"], None)])],
        )
    ]
