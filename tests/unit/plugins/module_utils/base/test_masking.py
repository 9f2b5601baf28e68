# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import html
import json
import textwrap
from urllib.parse import quote, quote_plus, urlencode

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base import masking
from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import TEXT_LIMIT, CloudError, Lost

TOKEN = "ya29.c.b0AXv0zTP+/9_kQwertyuiopASDFGHJKLzxcvbnm1234567890-_" + "aB3dE5gH7jK9" * 20
SECRETS = [
    "s3kret!",
    TOKEN,
    "pass\"word\\with/every'thing & <more> 100%",
    "pässwörd-日本-🔑",
    "密码密码密码",
    "two words+plus",
    "line one of it\nline two of it\n",
    "%41%42%43%44literal",
    "\\u0041\\nliteral",
    "a+ b+c",
    "x" * 40,
]


def all_escaped(text):
    return "".join(f"\\u{unit:04x}" for unit in memoryview(text.encode("utf-16-le")).cast("H"))


FORMS = {
    "plain": str,
    "json": json.dumps,
    "json, not ascii": lambda text: json.dumps(text, ensure_ascii=False),
    "json of PHP": lambda text: json.dumps(text).replace("/", "\\/"),
    "json in json": lambda text: json.dumps({"message": json.dumps({"echo": text})}),
    "json in json in json": lambda text: json.dumps(json.dumps(json.dumps(text))),
    "every character escaped": all_escaped,
    "url": lambda text: quote(text, safe=""),
    "url, path": quote,
    "url, lower case": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "url, twice": lambda text: quote(quote(text, safe=""), safe=""),
    "form": lambda text: urlencode({"password": text}),
    "plus": quote_plus,
    "url in json": lambda text: json.dumps({"url": "https://x/?a=" + quote(text)}),
    "json in url": lambda text: quote(json.dumps(text)),
    "repr": repr,
    "repr of repr": lambda text: repr(repr(text)),
    "ascii": ascii,
    "bytes": lambda text: repr(text.encode()),
    "latin-1 read as utf-8": lambda text: text.encode("utf-8").decode("latin-1"),
    "html": html.escape,
    "html, numbers": lambda text: "".join(f"&#{ord(character)};" for character in text),
    "html, hexadecimal": lambda text: "".join(f"&#x{ord(character):x};" for character in text),
    "folded": lambda text: "\n ".join(textwrap.wrap(text, 9)),
    "folded in json": lambda text: json.dumps("\r\n".join(text[at : at + 5] for at in range(0, len(text), 5))),
}


def traces(text, secret):
    """Pieces of the secret that can be read in the text, whoever undoes which escape."""
    texts = [text]
    for _layer in range(4):
        last = texts[-1]
        texts += [html.unescape(last), last.encode().decode("unicode_escape", "replace")]
    seen = "".join(character for each in texts for character in each if character.isalnum())
    plain = "".join(character for character in secret if character.isalnum())
    size = min(len(plain), masking.SURE_PIECE)
    return [plain[at : at + size] for at in range(len(plain) - size + 1) if plain[at : at + size] in seen]


# A secret without enough ASCII, misread; and an escape that is itself broken.
# Nor one that is hardly anything but what is passed over.
UNKNOWN = {("密码密码密码", "latin-1 read as utf-8"), ("\\u0041\\nliteral", "folded in json")}
UNKNOWN |= {("a+ b+c", form) for form in ("form", "plus", "folded in json")}


@pytest.mark.parametrize(
    ("secret", "form"), [(secret, form) for secret in SECRETS for form in FORMS if (secret, form) not in UNKNOWN]
)
def test_a_secret_is_masked_in_every_form(secret, form):
    masking.keep("of another", secret)
    written = FORMS[form](secret)
    text = f"Cannot do it: 400: your request was {written}, sorry."
    said = masking.masked(text)
    assert masking.MASK in said and not traces(said, secret)
    assert said.startswith("Cannot do it: 400: your request was ") and said.endswith(" sorry.")


@pytest.mark.parametrize("secret", ["correct horse battery staple", TOKEN, "s3kret-of-12"])
def test_what_is_left_of_a_secret_that_was_cut(secret):
    masking.keep(secret)
    for at in range(len(secret)):
        for cut in (f"You sent: {secret[:at]}", f"{secret[at:]} was sent by you", f"{secret[at : at + 40]}..."):
            said = masking.masked(cut)
            assert not [
                piece
                for piece in (secret[begin : begin + masking.SURE_PIECE] for begin in range(len(secret)))
                if len(piece) == masking.SURE_PIECE and piece in said
            ]
            assert len(secret) > 20 or secret[:8] not in said
    assert masking.masked("You sent: correct, of course") == "You sent: correct, of course"


def test_short_secrets_are_words_of_their_own():
    masking.keep("a1", "x", "", " ", None, 7)
    assert (
        masking.masked("a1: the box is at https://a1/x?y=xx&z=a1b") == "***: the box is at https://***/***?y=xx&z=a1b"
    )


def test_other_words_stay():
    masking.keep("hunter2-and-more", "lab-controller-token")
    text = 'Cannot get project lab-project: {"message": "the \\u00e4 100% lab-cont%20is it\\n"} & more'
    assert masking.masked(text) == text


def test_errors_have_no_secret_whoever_raises_them():
    masking.keep("s3kret-token")
    error = Lost("said: s3kret-token", resource="r/s3kret-token", code="s3kret-token")
    assert (str(error), error.resource, error.code) == ("said: ***", "r/***", "***")


def test_errors_have_an_end():
    masking.keep("s3kret-token")
    error = CloudError("x" * 10_000_000 + "s3kret-token. Try again later.")
    assert len(str(error)) < TEXT_LIMIT + 20 and str(error).endswith("***. Try again later.")


def test_what_a_session_learns():
    basic = base64.b64encode(b"user:pa55word").decode()
    password = {"user": {"name": "operator", "password": "pa55word"}}
    login = {"auth": {"identity": {"methods": ["password"], "password": password}, "scope": {"project": "shop"}}}
    masking.keep_request({"AUTHORIZATION": f"Basic {basic}", "Accept": "application/json"}, json.dumps(login).encode())
    masking.keep_request({b"x".decode(): "y", "X-Auth-Token": b"gAAAAtoken"}, '{"token": {"id": "t0ken-id"}}')
    form = {
        "grant_type": "jwt-bearer",
        "assertion": "eyJ.x+y/z",
        "Signature": "0123abcd",
        "subject_token_type": "jwt-x",
    }
    masking.keep_request({}, urlencode(form))
    for body in (b"[" * 100_000, b"{", b"\xff\xfe", b"a=b&c", b"x" * 1_000_000, b'{"password": ["li5t", {"n": 1}]}'):
        masking.keep_request({}, body)
    text = f"{basic} operator pa55word gAAAAtoken t0ken-id eyJ.x+y/z 0123abcd jwt-bearer jwt-x shop li5t methods"
    assert masking.masked(text) == "*** operator *** *** *** *** *** jwt-bearer jwt-x shop *** methods"


def test_passwords_in_urls():
    options = {"endpoint": "https://user:p%40ss@w0rd@host:1/x", "urls": ["http://a.b:80/c@d", "ssh://me:you@x"]}
    assert set(masking.passwords_in_urls(options)) == {"p%40ss@w0rd", "p@ss@w0rd", "you"}


def test_listeners_learn_all_forms_of_old_and_new_secrets():
    heard = set()
    masking.keep('o"ld')
    masking.watch(heard.add)
    masking.keep("n/ew", "abc")
    assert {'o"ld', 'o\\"ld', "o%22ld", "n/ew", "n%2Few"} <= heard and "abc" not in heard


def test_the_set_does_not_grow_for_ever():
    """An agent gets a token every hour. What is in use is not lost."""
    masking.keep("the private key")
    for number in range(3 * masking.KEPT):
        masking.keep("the private key", f"signature {number:05}")
    assert len(masking._known) == masking.KEPT
    assert masking.masked("the private key") == "***"


def test_a_long_run_of_backslashes():
    """It took the square of its length: ten seconds for 32,000, and a quarter of an hour for these."""
    masking.keep("s3cret-of-many-words")
    text = 256_000 * "\\" + "s3cret-of-many-words"
    assert masking.masked(text) == 256_000 * "\\" + masking.MASK
