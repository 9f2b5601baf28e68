# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base import time_limit
from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import CloudError, Denied, Lost, Unavailable
from ansible_collections.cloudha.vip.plugins.module_utils.clouds import session as session_module
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.session import StdlibSession
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.clouds.scripted import (
    CLOSE,
    HANG,
    RESET,
    SILENT,
    ok,
    reply,
    server,
)


def get(web, path="/x", session=None, **keys):
    return (session or StdlibSession(web.url)).request("GET", web.url + path, **keys)


def test_what_is_sent_and_what_comes_back():
    with server([reply("201 Made", '{"a": 1}', "X-Thing: b")]) as web:
        session = StdlibSession(web.url)
        answer = session.request("POST", f"{web.url}/a/b?c=d", b"{}", {"Authorization": "Bearer t"})
    assert answer == (201, {"content-length": "8", "x-thing": "b"}, b'{"a": 1}')
    assert web.requests == [
        f"POST /a/b?c=d HTTP/1.1\r\nHost: 127.0.0.1:{web.port}\r\nAccept-Encoding: identity\r\n"
        "User-Agent: cloudha-vip\r\nAuthorization: Bearer t\r\nContent-Length: 2\r\n\r\n{}"
    ]


def test_a_post_without_a_body_says_so():
    with server([ok()]) as web:
        StdlibSession(web.url).request("POST", f"{web.url}/a/wait")
    assert "Content-Length: 0\r\n" in web.requests[0]


def test_a_request_is_one_segment(monkeypatch):
    """With TCP_NODELAY, two writes would be two packets, and the server would wait for the second."""
    writes = []
    send = socket.socket.sendall

    def sendall(self, data, *flags):
        writes.append(data)
        return send(self, data, *flags)

    with server([ok()]) as web:
        session = StdlibSession(web.url)
        session.warm()
        monkeypatch.setattr(socket.socket, "sendall", sendall)
        session.request("POST", f"{web.url}/a", b"body", {})
        assert session._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    (sent,) = (data for data in writes if not data.startswith(b"HTTP/"))  # the server's
    assert sent.startswith(b"POST /a ") and sent.endswith(b"\r\n\r\nbody")


def test_one_connection_for_all_requests():
    with server([ok("1"), ok("2"), ok("3")]) as web:
        session = StdlibSession(web.url)
        assert [get(web, session=session).body for _number in range(3)] == [b"1", b"2", b"3"]
    assert web.connections == 1


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nT: u\r\n\r\n",
            b"abc0123456789",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 204 No\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", b"ab"),
    ],
)
def test_ways_to_write_an_answer(answer, body):
    # Byte by byte, and a second answer after it: nothing is left over of the first.
    with server([[bytes([byte]) for byte in answer], ok("next")]) as web:
        session = StdlibSession(web.url)
        assert get(web, session=session).body == body
        assert get(web, session=session).body == b"next"
    assert web.connections == 1


def test_an_answer_that_ends_with_the_connection():
    with server([ok("1", "Connection: close"), CLOSE], [ok("2")]) as web:
        session = StdlibSession(web.url)
        assert get(web, session=session).body == b"1"
        assert get(web, session=session).body == b"2"
    assert web.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\n\r\nnobody says how long it is",
        b"HTTP/1.1 2",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 70_000 + b"\r\n\r\n",
    ],
)
def test_half_an_answer_is_lost_and_never_repeated(answer):
    with server([ok(), answer, CLOSE], [ok("of another request")]) as web:
        session = StdlibSession(web.url)
        get(web, session=session)
        with pytest.raises(Lost, match="broke off or is not HTTP"):
            get(web, session=session)
        assert len(web.requests) == 2
        # What is left of the broken answer is not taken for the next one.
        assert get(web, session=session).body == b"of another request"


def test_an_endless_answer_is_not_kept(monkeypatch):
    monkeypatch.setattr(session_module, "ANSWER_LIMIT", 100_000)
    with server([ok("x" * 200_000)]) as web, pytest.raises(Lost, match="longer than 100000 bytes"):
        get(web)


# --- a connection that is not what it was


def test_closed_while_idle_is_noticed_before_anything_is_sent():
    """So that also a request goes through that must not be repeated."""
    with server([ok(), CLOSE], [ok("new")]) as web:
        session = StdlibSession(web.url)
        get(web, session=session)
        assert web.idle_closed.wait(10)
        assert session.request("POST", f"{web.url}/x", b"").body == b"new"
    assert len(web.requests) == 2


def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next():
    with server([ok("1") + ok("stray") * 4000], [ok("2")]) as web:
        session = StdlibSession(web.url)
        get(web, session=session)
        assert session.request("POST", f"{web.url}/x", b"").body == b"2"
    assert web.connections == 2


@pytest.mark.parametrize("end", [SILENT, RESET])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/routes"),
        ("POST", "/routes?requestId=1"),
        ("DELETE", "/routes/r?a=b&requestId=1"),
        ("POST", "/operations/o/wait"),
    ],
)
def test_closed_under_way_is_repeated_once(end, method, path):
    with server([ok(), end], [ok("again")]) as web:
        session = StdlibSession(web.url)
        get(web, session=session)
        assert session.request(method, web.url + path, b"{}").body == b"again"
    assert web.requests[1] == web.requests[2]


@pytest.mark.parametrize("path", ["/routes", "/routes?a=requestId=1", "/wait/x", "/x?y=/wait"])
def test_closed_under_way_is_not_repeated_if_that_may_do_it_twice(path):
    with server([ok(), SILENT], [ok()]) as web:
        session = StdlibSession(web.url)
        get(web, session=session)
        with pytest.raises(Lost, match="before an answer"):
            session.request("POST", web.url + path, b"{}")
        assert web.connections == 1


def test_a_new_connection_that_breaks_is_not_tried_again():
    with server([SILENT], [ok()]) as web, pytest.raises(Lost, match="before an answer"):
        get(web)
    assert len(web.requests) == 1


def test_the_repetition_too_may_fail():
    with server([ok(), SILENT], [SILENT], [ok()]) as web:
        session = StdlibSession(web.url)
        get(web, session=session)
        with pytest.raises(Lost, match="before an answer"):
            get(web, session=session)
    assert len(web.requests) == 3


def test_the_repetition_may_not_even_get_a_connection(monkeypatch):
    """Lost all the same: the first attempt may have been carried out."""
    with server([ok(), SILENT]) as web:
        session = StdlibSession(web.url)
        get(web, session=session)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_keys: [])
        with pytest.raises(Lost, match=r"before an answer: closed by the server; and then .*: cannot connect"):
            get(web, session=session)


# --- time


def test_no_answer_in_time():
    with server([ok(), HANG], [ok("new")]) as web:
        session = StdlibSession(web.url)
        get(web, session=session)
        started = time.monotonic()
        with pytest.raises(Lost, match="no answer in time"):
            get(web, session=session, timeout=0.2)
        assert 0.19 < time.monotonic() - started < 2
        # The answer that may still come belongs to nobody.
        assert get(web, session=session).body == b"new"


def test_the_time_is_for_the_whole_answer():
    """A server that sends a byte now and then does not get more of it."""

    def trickle():
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
        for _number in range(1000):
            time.sleep(0.02)
            yield b"x"

    with server([trickle()]) as web:
        started = time.monotonic()
        with pytest.raises(Lost, match="no answer in time"):
            get(web, timeout=0.3)
        assert time.monotonic() - started < 2


def test_silence_in_the_middle_of_an_answer():
    def half():
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"
        time.sleep(3)

    with server([half()]) as web, pytest.raises(Lost, match="broke off"):
        get(web, session=StdlibSession(web.url, read_timeout=0.1))


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(Unavailable, match=r"cannot connect: 127.0.0.1 port .*: Connection refused") as failure:
        StdlibSession(url).request("GET", f"{url}/")
    assert not isinstance(failure.value, Lost)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://api.example"])
def test_no_time_is_left(url):
    """Nothing is wrong with the server, and nothing says so."""
    with time_limit.limit(0), pytest.raises(Unavailable, match="the time was over before a connection was tried") as at:
        StdlibSession(url).request("GET", f"{url}/", timeout=10)
    assert "cannot connect" not in str(at.value) and "not known" not in str(at.value)


def test_a_server_that_accepts_no_connection():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        # The queue is full: what comes next is dropped, as by a host that is down.
        full = [socket.socket() for _number in range(3)]
        for sock in full:
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        started = time.monotonic()
        with pytest.raises(Unavailable, match="cannot connect"):
            StdlibSession(url, connect_timeout=0.2).request("GET", f"{url}/", timeout=30)
        assert time.monotonic() - started < 2
        for sock in full:
            sock.close()


def test_an_unknown_name(monkeypatch):
    def getaddrinfo(*_args, **_keys):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(Unavailable, match=r"the address of api.example is not known: Name or service not known"):
        StdlibSession("https://api.example").warm()


def test_the_second_address_is_tried(monkeypatch):
    with server([ok("here")]) as web:
        stream = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        addresses = [(*stream, ("127.0.0.1", 1)), (*stream, ("127.0.0.1", web.port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_keys: addresses)
        assert get(web).body == b"here"


# --- warm


def test_warm_opens_the_connection_and_renews_it():
    with server([CLOSE], [ok()]) as web:
        session = StdlibSession(web.url)
        session.warm()
        assert web.idle_closed.wait(10)
        session.warm()
        get(web, session=session)
        session.warm()
        assert web.connections == 2
        session.close()
        session.close()


def test_threads_take_turns():
    with server([ok("1"), HANG]) as web:
        session = StdlibSession(web.url)
        get(web, session=session)
        web.asked.clear()

        def wait():
            with pytest.raises(Lost):
                session.request("POST", f"{web.url}/o", timeout=5)

        thread = threading.Thread(target=wait)
        thread.start()
        assert web.asked.wait(10)
        with pytest.raises(Unavailable, match="another request waits"):
            get(web, session=session, timeout=0.05)
        web.release.set()
        thread.join(10)
        assert not thread.is_alive()


# --- where a token may go


@pytest.mark.parametrize(
    "url",
    ["http://other.example/x", "{}.other.example/x", "{}@other.example/x", "{}/a b", "{}/é", "{}/\r\nX: y"],
)
def test_only_to_its_own_server(url):
    with server([ok()]) as web:
        with pytest.raises(ValueError, match=r"not a URL of http://127.0.0.1"):
            StdlibSession(web.url).request("GET", url.format(web.url), None, {"Authorization": "Bearer t"})
        assert web.connections == 0


def test_a_redirect_is_an_answer_like_another():
    with server([reply("302 Found", "", "Location: http://other.example/")]) as web:
        assert get(web).status == 302
    assert web.connections == 1


def test_no_header_through_a_token():
    with server([ok()]) as web, pytest.raises(ValueError, match="Authorization must be one line") as failure:
        get(web, headers={"Authorization": "Bearer secret\r\nX: y"})
    assert "secret" not in str(failure.value)


@pytest.mark.parametrize("url", ["ftp://x", "x", "https://", "http://user:password@x"])
def test_not_a_server(url):
    with pytest.raises(ValueError, match="not a URL of an HTTP server") as failure:
        StdlibSession(url)
    assert "password" not in str(failure.value)


# --- TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A CA, and what it signed for 127.0.0.1 and for another name."""
    directory = tmp_path_factory.mktemp("tls")

    def openssl(*arguments):
        try:
            subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True, timeout=60)
        except FileNotFoundError:
            pytest.skip("openssl is not here")

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=Test CA")
    for name, alternative in (("good", "IP:127.0.0.1"), ("other", "DNS:other.example")):
        (directory / "extensions").write_text(f"subjectAltName={alternative}\n")
        openssl("req", *curve, "-keyout", f"{name}.key", "-out", "request", "-subj", f"/CN={name}")
        openssl(
            *("x509", "-req", "-in", "request", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"),
            *("-extfile", "extensions", "-out", f"{name}.pem"),
        )
    return directory


def tls_server(certificates, name, *scripts, most=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / f"{name}.pem", certificates / f"{name}.key")
    if most:
        context.maximum_version = most
    return server(*scripts, tls=context)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_keeps_one_connection_warm(certificates, version):
    """TLS 1.3 sends tickets after the handshake: they are neither an answer nor the end."""
    with tls_server(certificates, "good", [ok("1"), ok("2")], [ok()], most=version) as web:
        session = StdlibSession(web.url, ca_file=str(certificates / "ca.pem"))
        session.warm()
        session.warm()
        assert get(web, session=session).body == b"1"
        session.warm()
        assert session.request("POST", f"{web.url}/x", b"").body == b"2"
        assert session._socket.version() == {ssl.TLSVersion.TLSv1_2: "TLSv1.2"}.get(version, "TLSv1.3")
        assert web.connections == 1


def test_tls_closed_while_idle(certificates):
    with tls_server(certificates, "good", [ok(), CLOSE], [ok("new")]) as web:
        session = StdlibSession(web.url, ca_file=str(certificates / "ca.pem"))
        get(web, session=session)
        assert web.idle_closed.wait(10)
        assert session.request("POST", f"{web.url}/x", b"").body == b"new"


def test_tls_connections_share_what_they_trust_and_no_other(certificates):
    ca_file = str(certificates / "ca.pem")
    with tls_server(certificates, "good", [ok()], [ok()]) as web:
        one, two = (StdlibSession(web.url, ca_file=ca_file) for _session in range(2))
        get(web, session=one)
        get(web, session=two)
        assert web.connections == 2
        assert one._tls_context() is two._tls_context()
        assert one._tls_context() is not StdlibSession(web.url)._tls_context()


def test_tls_unknown_ca(certificates):
    with tls_server(certificates, "good", [ok()]) as web:
        with pytest.raises(Denied, match="certificate is refused: unable to get local issuer certificate"):
            get(web, headers={"Authorization": "Bearer t"})
        assert web.requests == []


def test_tls_another_name(certificates):
    with tls_server(certificates, "other", [ok()]) as web:
        with pytest.raises(Denied, match=r"certificate is refused: IP address mismatch.*'127.0.0.1'"):
            get(web, session=StdlibSession(web.url, ca_file=str(certificates / "ca.pem")))
        assert web.requests == []


def test_tls_that_trusts_anybody(certificates):
    with tls_server(certificates, "other", [ok("1")]) as web:
        assert get(web, session=StdlibSession(web.url, verify=False)).body == b"1"


def test_tls_a_client_certificate(certificates):
    """A server that asks for one gets it; and files that cannot be used are named."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "good.pem", certificates / "good.key")
    context.load_verify_locations(certificates / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    options = {"ca_file": str(certificates / "ca.pem"), "client_cert": str(certificates / "other.pem")}
    with server([ok("1")], tls=context) as web:
        session = StdlibSession(web.url, **options, client_key=str(certificates / "other.key"))
        assert get(web, session=session).body == b"1"
        for key in (None, str(certificates / "nothing.key"), str(certificates / "good.key")):
            with pytest.raises(Denied, match=r"the client certificate .*other.pem and its key"):
                StdlibSession(web.url, **options, client_key=key).warm()


def test_tls_with_a_server_that_speaks_none():
    with server([b"HTTP/1.1 400 Bad Request\r\n\r\n"]) as web:
        url = web.url.replace("http", "https")
        with pytest.raises(CloudError, match="cannot connect") as failure:
            StdlibSession(url, connect_timeout=0.3).request("GET", f"{url}/")
    assert failure.value.__class__ is Unavailable


def test_tls_a_ca_file_that_is_not_there(tmp_path):
    with server([ok()]) as web:
        url = web.url.replace("http", "https")
        with pytest.raises(Denied, match=r"the CA file .*nothing.pem: No such file"):
            StdlibSession(url, ca_file=str(tmp_path / "nothing.pem")).warm()
