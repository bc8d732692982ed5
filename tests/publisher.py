"""A publisher's server on this machine, from which data sets are downloaded."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest


class Publisher(BaseHTTPRequestHandler):
    """Answers every address with the content, /missing with 404 and /cut with its beginning; counts the requests."""

    asked = 0
    content = b""

    def do_GET(self):
        Publisher.asked += 1
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content[:100] if self.path == "/cut" else self.content)

    def log_message(self, *_):
        pass


@contextmanager
def publish(content: bytes) -> Iterator[str]:
    """The address of a server that offers the content."""
    Publisher.asked, Publisher.content = 0, content
    server = HTTPServer(("127.0.0.1", 0), Publisher)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
