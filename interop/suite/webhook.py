"""A webhook receiver of the suite's own: keeps every request it gets, as sent and as parameters."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

RECEIPT_SECONDS_MAX = 10


class Receiver:
    """A context manager; answers 200 to everything and remembers it."""

    def __enter__(self):
        self.requests = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.requests))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/receipts"
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, message_id, path="/receipts"):
        """Waits for the delivered receipt of a message at a path; None when none comes."""
        give_up = time.monotonic() + RECEIPT_SECONDS_MAX
        while True:
            for seen in list(self.requests):
                params = seen["params"]
                ours = seen["path"] == path and params.get("messageId") == message_id
                if ours and params.get("status") == "delivered":
                    return seen
            if time.monotonic() > give_up:
                return None
            time.sleep(0.05)


def _handler(requests):
    class Handler(BaseHTTPRequestHandler):
        """Reads parameters from the query and, by content type, from the body."""

        protocol_version = "HTTP/1.1"

        def _receive(self):
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            content_type = self.headers.get("Content-Type", "")
            params = dict(parse_qsl(parts.query, keep_blank_values=True))
            if "json" in content_type:
                params.update(json.loads(body))
            elif body:
                params.update(parse_qsl(body, keep_blank_values=True))
            requests.append({
                "method": self.command, "path": parts.path, "query": parts.query,
                "content_type": content_type, "body": body, "params": params,
                "user_agent": self.headers.get("User-Agent", ""),
            })
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = do_PUT = do_HEAD = _receive

        def log_message(self, *_):
            """Stays silent: the stories say what matters."""

    return Handler
