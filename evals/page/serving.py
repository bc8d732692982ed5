"""A page served on this machine alone, whose data follow a database that grows.

The page asks for ``/data`` again and again, and by its ETag gets nothing while nothing is new. Only GET and HEAD of
these two addresses are answered, and only where the ``Host`` is this machine: a foreign site that lets its name point
here (DNS rebinding) reads nothing, and no path of the disk can be asked for.
"""

import hashlib
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from utils.system.console import format_error

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
PATIENCE = 10  # seconds that a request may take to arrive
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
Stamp = tuple[tuple[str, int, int], ...]


class Followed:
    """The data of a page, made anew when the files of a database have changed.

    Args:
        database: the file; its journal lies beside it.
        make: returns the data, in JSON.
    """

    def __init__(self, database: Path, make: Callable[[], str]):
        self._database, self._make = database, make
        self._lock = threading.Lock()
        self._stamp = self._read_stamp()
        self.text = make()
        self.trouble = ""  # why the data are older than the database

    @property
    def tag(self) -> str:
        """The ETag of the data."""
        return f'"{hashlib.sha256(self.text.encode(errors="replace")).hexdigest()[:24]}"'

    def refresh(self) -> tuple[str, str, str]:
        """Returns the data as the database is now, their tag, and why they are older, if they are."""
        with self._lock:
            if (stamp := self._read_stamp()) != self._stamp:
                try:
                    self.text, self.trouble = self._make(), ""
                except (ValueError, OSError) as error:
                    self.trouble = format_error(error)
                self._stamp = stamp
            return self.text, self.tag, self.trouble

    def _read_stamp(self) -> Stamp:
        """The time and size of the database, its journal and its deliveries, where they are there."""
        paths = [self._database.with_name(f"{self._database.name}{part}") for part in ("", ".journal", ".inbox")]
        held = [(str(path), path.stat()) for path in paths if path.exists()]
        return tuple((name, own.st_mtime_ns, own.st_size) for name, own in held)


class Server(ThreadingHTTPServer):
    """Serves a page about followed data.

    Args:
        followed: the data.
        page: the HTML that shows data, in JSON, of a tag.
        port: to listen at; None takes a free one.

    Raises:
        ValueError: the port is taken.
    """

    daemon_threads = True

    def __init__(self, followed: Followed, page: Callable[[str, str], str], port: int | None):
        self.followed, self.page = followed, page
        try:
            super().__init__((HOST, port or 0), Handler)
        except OSError as error:
            raise ValueError(f"port={port}: {error.strerror}; leave port out to take a free one") from error
        names = {f"{name}:{self.server_port}" for name in NAMES}
        self.names = names | (set(NAMES) if self.server_port == 80 else set())  # 80 goes without saying

    @property
    def address(self) -> str:
        """The address of the page."""
        return f"http://{HOST}:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD of the page and of its data."""

    server: Server
    timeout = PATIENCE
    server_version, sys_version = "page", ""

    def do_GET(self) -> None:
        """Answers with the content."""
        self._answer(whole=True)

    def do_HEAD(self) -> None:
        """Answers with the headers alone."""
        self._answer(whole=False)

    def _answer(self, *, whole: bool) -> None:
        status, kind, text, tag = self._find()
        body = text.encode(errors="replace")  # a lone surrogate has no bytes
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if tag:
            self.send_header("ETag", tag)
        if status != HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if whole and status != HTTPStatus.NOT_MODIFIED:
            self.wfile.write(body)

    def _find(self) -> tuple[HTTPStatus, str, str, str]:
        """Returns status, kind of content, content and tag."""
        if self.headers.get("Host") not in self.server.names:
            return HTTPStatus.FORBIDDEN, "text/plain", "this page is for its own machine alone", ""
        if self.path not in ("/", "/data"):
            return HTTPStatus.NOT_FOUND, "text/plain", "there is the page, /, and its data, /data", ""
        text, tag, trouble = self.server.followed.refresh()
        if self.path == "/":
            return HTTPStatus.OK, "text/html", self.server.page(text, tag), ""
        if trouble:
            return HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", trouble, ""
        if self.headers.get("If-None-Match") == tag:
            return HTTPStatus.NOT_MODIFIED, "", "", tag
        return HTTPStatus.OK, "application/json", text, tag

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: the command says where the page is, once."""
