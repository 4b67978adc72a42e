"""The 2FA guide's receiver in Python: answers first, then splits the query by hand, undecoded."""

import os
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlparse


class Handler(BaseHTTPRequestHandler):
    """Takes a GET for a receipt unless it carries a text."""

    def do_GET(self):
        """Reads one receipt."""
        self.send_response(200)
        self.send_header("Content-type", "text/html")
        self.end_headers()
        try:
            receipt = dict(pair.split("=") for pair in urlparse(self.path)[4].split("&"))
        except ValueError:
            receipt = {}
        if "text" in receipt:
            print("no receipt", flush=True)
        else:
            print(
                f"receipt {receipt['messageId']} {receipt['status']} {receipt['msisdn']}",
                flush=True,
            )


server = HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
print("listening", flush=True)
server.serve_forever()
