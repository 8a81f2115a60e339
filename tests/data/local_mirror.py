"""A web server on this machine, in place of those that data sets are downloaded from."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Mirror(ThreadingHTTPServer):
    """Serves bytes by path; one of them may break off in the middle, and what is not there cuts the line."""

    def __init__(self, content: Mapping[str, bytes]) -> None:
        self.content = dict(content)
        self.breaks: str | None = None
        self.requests = 0
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *args: object) -> None:
        pass


class _Handler(BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        content = self.server.content[self.path]
        self.server.requests += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if self.path == self.server.breaks else content)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serving(content: Mapping[str, bytes]) -> Iterator[Mirror]:
    with Mirror(content) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
