# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stands between a client and an API: sees each request, and may do something before and after it."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import ssl
import subprocess
import threading


class Hangup(Exception):
    """Raised by a hook: the client gets no answer."""


class Proxy:
    """``hook(number, moment)`` is called "before" a request goes on and "after" it was answered, with its number.

    upstream: the address that requests go on to, or a function that tells it for a path.
    """

    def __init__(self, upstream, certificate=None):
        self.requests = []
        self.hook = lambda number, moment: None
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            upstream_connection = None

            def forward(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                proxy.requests.append((self.command, self.path))
                number = len(proxy.requests)
                try:
                    proxy.hook(number, "before")
                    answer, content = self.ask(body)
                    proxy.hook(number, "after")
                except Hangup:
                    self.close_connection = True
                    return
                self.send_response_only(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("connection", "content-length", "transfer-encoding"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def ask(self, body):
                headers = {
                    key: value for key, value in self.headers.items() if key.lower() not in ("connection", "host")
                }
                address = upstream(self.path) if callable(upstream) else upstream
                connection = http.client.HTTPConnection(*address, timeout=30)
                with contextlib.closing(connection):
                    connection.request(self.command, self.path, body, headers)
                    answer = connection.getresponse()
                    return answer, answer.read()

            do_GET = do_POST = do_DELETE = do_PATCH = do_PUT = forward

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass  # a client that was killed hangs up

        self.server = Server(("127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.address = self.server.server_address[:2]
        scheme = "https" if certificate else "http"
        self.url = "{}://{}:{}".format(scheme, *self.address)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def certificate(directory):
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    paths = directory / "certificate.pem", directory / "key.pem"
    options = ("-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1")
    subprocess.run(
        [
            *("openssl", "req", "-x509", *options, "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-out", paths[0], "-keyout", paths[1]),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return paths
