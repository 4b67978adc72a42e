"""A webhook receiver of the suite's own: keeps every request it gets, as sent and as parameters."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

RECEIPT_SECONDS_MAX = 10


class Receiver:
    """A context manager; remembers everything, and answers 200 unless told to fail."""

    def __enter__(self):
        self.requests = []
        self._failures = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/receipts"
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def fail(self, path, times):
        """Answers 500 to the next so many requests for a path."""
        self._failures[path] = times

    def status_for(self, path):
        """The status that a request for a path is answered with."""
        left = self._failures.get(path, 0)
        self._failures[path] = max(left - 1, 0)
        return 500 if left else 200

    def delivered(self, message_id, path="/receipts"):
        """The delivered receipts of a message that came to a path so far."""
        return [
            seen for seen in list(self.requests)
            if seen["path"] == path and seen["params"].get("messageId") == message_id
            and seen["params"].get("status") == "delivered"
        ]

    def wait_for_status(self, message_id, status):
        """Waits for a receipt of a message with this status; returns its parameters."""
        give_up = time.monotonic() + RECEIPT_SECONDS_MAX
        while True:
            for seen in list(self.requests):
                told = seen["params"]
                if told.get("messageId") == message_id and told.get("status") == status:
                    return told
            if time.monotonic() > give_up:
                return None
            time.sleep(0.05)

    def wait_for(self, message_id, path="/receipts", count=1):
        """Waits for that many delivered receipts of a message at a path; returns the last."""
        give_up = time.monotonic() + RECEIPT_SECONDS_MAX
        while True:
            seen = self.delivered(message_id, path)
            if len(seen) >= count:
                return seen[count - 1]
            if time.monotonic() > give_up:
                return None
            time.sleep(0.05)


def _handler(receiver):
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
            status = receiver.status_for(parts.path)
            receiver.requests.append({
                "method": self.command, "path": parts.path, "query": parts.query,
                "content_type": content_type, "body": body, "params": params,
                "user_agent": self.headers.get("User-Agent", ""), "answered": status,
            })
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = do_PUT = do_HEAD = _receive

        def log_message(self, *_):
            """Stays silent: the stories say what matters."""

    return Handler
