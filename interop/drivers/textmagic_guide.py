"""The Textmagic guide's own requests, written with the standard library, as form or as JSON."""

import json
import sys
import urllib.error
import urllib.parse
import urllib.request

from wire import answer_calls


def build(hello):
    """The calls of the guide, and the two reads that its reader makes first."""
    base = f"http://{hello['host']}:{hello['port']}/api/v2"
    as_json = sys.argv[1] == "json"

    def request(method, path, fields=None, key=None):
        headers = {"X-TM-Username": hello["username"], "X-TM-Key": key or hello["key"]}
        data = None
        if fields is not None and as_json:
            headers["Content-Type"] = "application/json"
            data = json.dumps(fields).encode()
        elif fields is not None:
            data = urllib.parse.urlencode(fields).encode()
        asked = urllib.request.Request(base + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=15) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            status, text = refused.code, refused.read()
        return {"status": status, "body": json.loads(text) if text else None}

    return {
        "ping": lambda: request("GET", "/ping")["body"],
        "user": lambda: request("GET", "/user")["body"],
        "sources": lambda: request("GET", "/sources?country=GB")["body"],
        "intrude": lambda: request("GET", "/ping", key="not-the-key"),
        "start": lambda fields: request("POST", "/verify", fields),
        "check": lambda verify_id, code: request(
            "PUT", "/verify", {"code": code, "verifyId": verify_id}),
        "cancel": lambda verify_id: request("DELETE", f"/verify/{verify_id}"),
    }


answer_calls(build)
