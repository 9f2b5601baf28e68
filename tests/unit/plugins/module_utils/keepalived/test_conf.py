# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.conf import (
    ConfError,
    Statement,
    command_problem,
    load,
    parse,
    quote,
    quote_command,
    quote_word,
    render,
    split_command,
    without_secrets,
    word_problem,
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


def test_the_directory_of_a_file_is_substituted_where_it_includes(tmp_path):
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "main.conf").write_text("include ${_PWD}/conf.d/*.conf\na ${_PWD}\n")
    (tmp_path / "conf.d" / "1.conf").write_text("b $_PWD\n")
    statements = load(str(tmp_path / "main.conf"))
    assert [s.words for s in statements] == [["b", str(tmp_path / "conf.d")], ["a", str(tmp_path)]]


@pytest.mark.parametrize("parameter", ["$_INSTANCE", "${_RANDOM 1 9}", "${_ENV HOME}"])
def test_a_parameter_whose_value_only_keepalived_knows_is_an_error(parameter):
    with pytest.raises(ConfError, match=r"keepalived.conf:2: what keepalived makes of"):
        parse(f"a\nb {parameter}\n")
    assert flat(f"# {parameter}\n@other b {parameter}\na") == [["a"]]


def test_an_include_without_a_match_is_told(tmp_path):
    notes = []
    (tmp_path / "main.conf").write_text("a\ninclude conf.d/*.conf\ninclude ${NO}/x\n")
    assert [s.words for s in load(str(tmp_path / "main.conf"), notes=notes)] == [["a"]]
    assert notes == [
        f"{tmp_path}/main.conf:2: conf.d/*.conf is included, and no file matches it",
        f"{tmp_path}/main.conf:3: ${{NO}}/x is included, and no file matches it",
    ]


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


# What the role writes. tests/node gives it to the real keepalived.


def decode(text, escapes):
    """Words as keepalived reads them: with escapes (the arguments of a command; up to 2.2 also a line), or without."""
    words, word, quoted, position = [], None, "", 0
    while position < len(text):
        char = text[position]
        position += 1
        if char == "\\":
            digits = text[position : position + 3]
            if escapes and digits[:1].isdigit():
                assert len(digits) == 3
                word, position = (word or "") + chr(int(digits, 8)), position + 3
            else:
                word = (word or "") + ("" if escapes else "\\") + text[position]
                position += 1
        elif char == quoted:
            quoted = ""
        elif not quoted and char in "\"'":
            quoted, word = char, word or ""
        elif not quoted and char.isspace():
            words += [] if word is None else [word]
            word = None
        else:
            word = (word or "") + char
    assert not quoted
    return words + ([] if word is None else [word])


HOSTILE = [
    '"', '""', 'say "hi"', "it's", "'", "''", "'a'", """'"'"'""", "; # ! { } }", "$(id) $_PWD ${_PWD} $HOME a$", "%d",
    "", " ", "  a  ", "a\nb", "\n}\n", "\t", "\x01\x7f", "é日本", "~SEQ(A, 1, 2)", "@a", "<>|&*", "x" * 800,
]  # fmt: skip


@pytest.mark.parametrize("word", HOSTILE)
def test_every_version_of_keepalived_reads_a_command_as_it_was_given(word):
    argv = ["/usr/bin/tell", word, "last"]
    written = quote_command(argv)
    for escapes in (True, False):  # 2.2 and before, 2.3 and later
        (once,) = decode(written, escapes)
        assert decode(once, True) == argv
    # What looks for comments, blocks and parameters knows double quotes only, and no escapes within them.
    outside = written.split('"')[::2]
    assert not any(char in part for part in outside for char in "#!{} \t")
    assert len(outside) % 2 == 1 or written.count('"') % 2 == 0
    assert not any(char in written for char in "$\n\r\0")


@pytest.mark.parametrize("word", HOSTILE)
def test_a_command_that_was_written_is_read_back(word):
    argv = ["/usr/bin/tell", word, "last"]
    ((keyword, command),) = flat(f"script {quote_command(argv)}")
    assert keyword == "script"
    assert split_command(command) == argv


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("/bin/true", ""),
        ("/bin/sh -c 'echo \"a b\" > /x; exit 1'", ""),
        ('/bin/bash -c "echo > /dev/tcp/127.0.0.1/80"', ""),
        ("", "is empty"),
        ("  ", "is empty"),
        ("true", "is no absolute path"),
        ("./true", "is no absolute path"),
        ("/bin/sh -c 'echo", "cannot be split into words (no closing quotation)"),
        ("/bin/grep '\\.ok' /x", "has a backslash"),
        ("/bin/echo a\0b", "has a NUL character"),
        ("/bin/echo " + "x" * 10_000, "bytes long, and keepalived reads at most 900"),
        ("/bin/echo '" + "\n" * 300 + "'", "bytes long"),
    ],
)
def test_a_command_which_keepalived_would_not_run_as_it_is(command, problem):
    assert problem in command_problem(command)
    assert bool(problem) == bool(command_problem(command))


@pytest.mark.parametrize("word", ["/a b", "it's", "a#b!c", "{ } ;", "%$5$", "é", "'x'", "$(id)"])
def test_a_plain_word_is_written_in_double_quotes_which_know_no_escapes(word):
    assert word_problem(word) == ""
    written = quote_word(word)
    assert written in (word, f'"{word}"')
    assert flat(f"file {written}") == [["file", word]]


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("", "is empty"),
        ('a"b', "has a double quote"),
        ("a\\b", "has a backslash"),
        ("a\nb", "has a control character or a line break"),
        ("\0", "has a control character"),
        ("$_PWD", "has a $"),
        ("${A}", "has a $"),
        ("x" * 10_000, "is 10000 bytes long"),
        ("é" * 500, "is 1000 bytes long"),
    ],
)
def test_a_plain_word_which_keepalived_would_not_read_as_it_is(word, problem):
    assert word_problem(word).startswith(problem)
