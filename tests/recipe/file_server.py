"""An HTTP server on this machine with the faults of real ones: no ranges, short answers, errors for a while."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer:
    """Serves bytes by path.

    Attributes:
        files: Path without the leading slash -> content.
        ranges: Whether byte ranges are served.
        cut: Bytes after which an answer breaks off although it promised more; None for whole answers.
        failures: Answers with status 503 before the first good one.
        pause: Seconds between pieces of 16 kB, for interrupting a download.
        requests: (path, value of the Range header) of every request.
    """

    def __init__(self):
        self.files, self.requests = {}, []
        self.ranges, self.cut, self.failures, self.pause = True, None, 0, 0.0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, request):
        path, wanted = request.path.lstrip("/").split("?")[0], request.headers.get("Range")
        self.requests.append((path, wanted))
        if self.failures > 0:
            self.failures -= 1
            request.send_error(503)
            return
        if path not in self.files:
            request.send_error(404)
            return
        content, start = self.files[path], 0
        if wanted and self.ranges:
            start = int(wanted.removeprefix("bytes=").split("-")[0])
            if start >= len(content):
                request.send_error(416)
                return
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            request.send_response(200)
        body = content[start:]
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        self.send(request, body if self.cut is None else body[: self.cut])

    def send(self, request, body):
        import time

        try:
            for begin in range(0, len(body), 16384):
                request.wfile.write(body[begin : begin + 16384])
                time.sleep(self.pause)
        except (BrokenPipeError, ConnectionResetError):
            pass
        if self.cut is not None:
            request.close_connection = True

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
