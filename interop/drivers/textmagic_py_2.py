"""PyPI `textmagic` 2: own header pair, form bodies; verify goes through its request layer."""

import json

from textmagic.rest import TextmagicRestClient
from textmagic.rest.exceptions import TextmagicRestException
from textmagic.rest.models.base import make_tm_request
from wire import answer_calls


def build(hello):
    """The calls of this client."""
    base = f"http://{hello['host']}:{hello['port']}/api/v2"
    good = (hello["username"], hello["key"])
    client = TextmagicRestClient(*good, base=base)

    def request(method, path, data=None, auth=good):
        try:
            answer = make_tm_request(method, base + path, data=data, auth=auth)
        except TextmagicRestException as refused:
            body = {"message": refused.msg, "errors": refused.errors}
            return {"status": refused.status, "body": body}
        body = json.loads(answer.content) if answer.content else None
        return {"status": answer.status, "body": body}

    def user():
        seen = client.user.get()
        return {"username": seen.username, "balance": seen.balance}

    def sources():
        seen = client.sources.allowed(country="GB")
        return {"dedicated": seen.dedicated, "senderIds": seen.senderIds}

    def senders():
        seen, pager = client.senderids.list(page=1, limit=10)
        return {"resources": [each.senderId for each in seen], "page": pager["page"]}

    return {
        "ping": client.util.ping,
        "user": user,
        "sources": sources,
        "senders": senders,
        "intrude": lambda: request("GET", "/ping", auth=(hello["username"], "not-the-key")),
        "start": lambda fields: request("POST", "/verify", fields),
        "check": lambda verify_id, code: request(
            "PUT", "/verify", {"verifyId": verify_id, "code": code}),
        "cancel": lambda verify_id: request("DELETE", f"/verify/{verify_id}"),
    }


answer_calls(build)
