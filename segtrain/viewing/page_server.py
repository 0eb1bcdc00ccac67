"""The server of one page for the person at this machine.

It listens on loopback alone, so no other machine reaches it. What is left are pages of strangers in the same browser:
one that lets its own name point to 127.0.0.1 sends that name as Host, and one that posts here sends its own Origin;
both are refused. Images are worked on one at a time, for each takes the memory and the cores that there are.
"""

import json
import select
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any
from urllib.parse import parse_qs

from smearsynth.base.errors import UserError, WorkError, first_line

LOOPBACK = "127.0.0.1"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_SILENCE_S = 60
"""A client that is silent for so long in the middle of a request is given up."""
_LINGER_S = 5
"""For so long what a refused client still sends is thrown away: were its connection reset, it would not read why."""


@dataclass(frozen=True)
class File:
    """Something the page is made of. kind: its media type."""

    kind: str
    content: bytes


Step = Callable[[float], None]
"""Is called with the share of the work that is done; raises where nobody waits for the rest."""
Answer = Callable[[bytes, Mapping[str, str], Step], Mapping[str, Any]]
"""The bytes of an uploaded file and the fields of its query to what the page shows of it. Raises UserError."""


class _NobodyWaits(Exception):  # noqa: N818  (no error)
    """The client has left, or the server is about to."""


class Server(ThreadingHTTPServer):
    """GET gives `files`, by path; POST /segment what `answer` makes of a body of at most `most_bytes`, and GET
    /progress how far that is, 0 to 1.

    Answers are JSON; a refusal is {"error": sentence}. Raises UserError where the port cannot be had; 0 takes one that
    is free.
    """

    daemon_threads = True

    def __init__(self, port: int, files: Mapping[str, File], answer: Answer, *, most_bytes: int) -> None:
        self.files, self.answer, self.most_bytes = files, answer, most_bytes
        self.working, self.closing, self.share = threading.Lock(), False, 0.0
        self.worker: threading.Thread | None = None
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except OSError as error:
            raise UserError(f"{port} cannot be had ({error.strerror}): name another, or none", "port") from None
        names = (LOOPBACK, "localhost")
        self.hosts = {f"{name}:{self.server_port}" for name in names} | ({*names} if self.server_port == 80 else set())

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{LOOPBACK}:{self.server_port}/"

    def serve_until_interrupted(self) -> None:
        """Serves until Ctrl-C; an image that is being worked on then is given up at its next step."""
        with suppress(KeyboardInterrupt):
            self.serve_forever()
        self.closing = True
        with self.working:
            self.server_close()
            worker = self.worker
        if worker:  # torch aborts a process that ends while another thread lets go of its tensors
            worker.join()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left is no error; anything else is printed, and the next request served."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = _SILENCE_S

    def do_GET(self) -> None:
        if not self._is_ours():
            return
        path, _, _ = self.path.partition("?")
        if path == "/progress":
            self._send_json(HTTPStatus.OK, {"share": self.server.share})
        elif path in self.server.files:
            self._send(HTTPStatus.OK, self.server.files[path])
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "There is nothing at this address.")

    def do_POST(self) -> None:
        if not self._is_ours():
            return
        path, _, query = self.path.partition("?")
        length = self.headers.get("Content-Length", "")
        if path != "/segment":
            self._refuse(HTTPStatus.NOT_FOUND, "There is nothing at this address.")
        elif not (length.isascii() and length.isdigit()):
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "The upload does not say how large it is.")
        elif len(length) > 18 or int(length) > self.server.most_bytes:
            limit = self.server.most_bytes >> 20
            self._refuse(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"The file is over {limit} MiB, the most that this page takes; cut it into fields, or use "
                "`segtrain predict` and `segtrain count`.",
            )
        else:
            body = self.rfile.read(int(length))
            fields = {key: values[-1] for key, values in parse_qs(query).items()}
            if len(body) == int(length):
                self._work(body, fields)

    def _work(self, body: bytes, fields: Mapping[str, str]) -> None:
        with self.server.working, suppress(_NobodyWaits):
            self.server.worker = threading.current_thread()
            self._step(0)
            status, values = _outcome(partial(self.server.answer, body, fields, self._step))
            self._send_json(status, values)

    def _step(self, share: float) -> None:
        """Notes how far the work is; raises _NobodyWaits as when another image was dropped since."""
        self.server.share = share
        if self.server.closing or self._has_left():
            raise _NobodyWaits

    def _has_left(self) -> bool:
        readable, _, _ = select.select([self.connection], [], [], 0)
        try:
            return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def _is_ours(self) -> bool:
        """Whether the request was made by this page, or by hand; refuses it otherwise."""
        hosts = self.server.hosts
        origin = self.headers.get("Origin")
        if self.headers.get("Host") not in hosts:
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST, f"Only {self.server.url} is served here.")
        elif origin is not None and origin not in {f"http://{host}" for host in hosts}:
            self._refuse(HTTPStatus.FORBIDDEN, "Other pages may not ask here.")
        else:
            return True
        return False

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        self._send_json(status, {"error": sentence})
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(1)
        end = monotonic() + _LINGER_S
        with suppress(OSError):
            while monotonic() < end and self.connection.recv(1 << 16):
                pass

    def _send_json(self, status: HTTPStatus, values: Mapping[str, Any]) -> None:
        self._send(status, File("application/json", json.dumps(values, allow_nan=False).encode()))

    def _send(self, status: HTTPStatus, file: File) -> None:
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", file.kind)
        self.send_header("Content-Length", str(len(file.content)))
        self.end_headers()
        self.wfile.write(file.content)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not worth a line each."""


def _outcome(answer: Callable[[], Mapping[str, Any]]) -> tuple[HTTPStatus, Mapping[str, Any]]:
    try:
        return HTTPStatus.OK, answer()
    except _NobodyWaits:
        raise
    except (UserError, WorkError) as error:
        return HTTPStatus.UNPROCESSABLE_ENTITY, {"error": error.text(lambda _: "")}
    # Whatever an upload does to the work, the next one is served.
    except Exception as error:
        traceback.print_exc()
        cause = f"{type(error).__name__}: {first_line(error)}"
        return HTTPStatus.INTERNAL_SERVER_ERROR, {"error": f"The work on this image failed ({cause})."}
