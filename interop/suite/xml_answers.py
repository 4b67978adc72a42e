"""The stories of the 2FA door's XML answers, each read with a language's own XML parser."""

import json
import re
import subprocess
import sys
import urllib.parse

from suite.packages import HERE
from suite.stories import expect

HANDSET = "12015550190"
PIN = "7201"

# What XML must escape, and what a parser must read as UTF-8.
REFERENCE = "<ref> & \"it's\" café ]]>"

# Longer than one SMS part together with the PIN.
LONG_TEMPLATE = "Your PIN is ${pin}. " + "Never tell it to anybody. " * 7

READ_SECONDS_MAX = 20

# Who plays: the parser, and how its reader is run.
READERS = [
    ("XML in PHP (SimpleXML)", ["php", str(HERE / "xml" / "read.php")]),
    ("XML in Python (ElementTree)", [sys.executable, str(HERE / "xml" / "read.py")]),
    ("XML in Ruby (REXML)", ["ruby", str(HERE / "xml" / "read.rb")]),
]


def tell_all(stories, who, reader, server):
    """Tells every story of one parser."""
    with stories.tell(who, "a success holds its fields and no error"):
        message = _only(_read(reader, server, pin=PIN, **{"client-ref": REFERENCE}))
        expect(message.get("status") == "0", "the status is 0", message)
        expect(message.get("to") == HANDSET, "to is echoed", message)
        expect(message.get("clientRef") == REFERENCE, "clientRef is unchanged", message)
        expect(message.get("messageId") and message.get("network"), "id and network", message)
        for field in ("remainingBalance", "messagePrice"):
            is_amount = re.fullmatch(r"\d+\.\d{8}", message.get(field, ""))
            expect(is_amount, f"{field} has 8 decimals", message)
        expect("errorText" not in message, "a success carries no error text", message)
        text = server.wait_for_text(HANDSET, lambda each: PIN in each["text"])
        expect(text, "a text with the PIN is in the inbox", server.inbox(HANDSET))
    refusals = [
        ("a wrong secret", "4", {"api_secret": "not-the-secret", "pin": PIN}),
        ("a request without a PIN", "2", {}),
        ("a PIN of letters", "3", {"pin": "abcd"}),
    ]
    for story, status, fields in refusals:
        with stories.tell(who, f"{story} is a message with status {status} and a text"):
            message = _only(_read(reader, server, **fields, **{"client-ref": REFERENCE}))
            expect(message.get("status") == status, f"the status is {status}", message)
            expect(message.get("errorText"), "the error has a text", message)
            expect("messageId" not in message, "nothing was sent", message)
            # Of a caller who is not let in, nothing is repeated.
            known = status != "4"
            expect(not known or message.get("clientRef") == REFERENCE, "clientRef", message)
    with stories.tell(who, "a text of two parts is two messages with ids of their own"):
        server.put_template(LONG_TEMPLATE)
        answer = _read(reader, server, pin=PIN)
        expect(answer["count"] == "2", "the count is 2", answer)
        ids = {message.get("messageId") for message in answer["messages"]}
        expect(len(answer["messages"]) == 2 and len(ids) == 2, "there are two messages", answer)
        expect(all(each["status"] == "0" for each in answer["messages"]), "both are sent", answer)


def _read(reader, server, **fields):
    """Asks for a 2FA message in XML; returns what the language's parser found in the answer."""
    demo = server.demo
    query = {"api_key": demo["api_key"], "api_secret": demo["api_secret"], "to": HANDSET, **fields}
    url = f"{server.url}/sc/us/2fa/xml?{urllib.parse.urlencode(query)}"
    done = subprocess.run(
        [*reader, url], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        encoding="utf-8", timeout=READ_SECONDS_MAX,
    )
    said = done.stdout + done.stderr
    expect(done.returncode == 0 and not done.stderr, "the parser reads the answer", said)
    answer = json.loads(done.stdout)
    expect(answer["root"] == "mt-submission-response", "the root is as documented", answer)
    return answer


def _only(answer):
    expect(answer["count"] == "1", "the count is 1", answer)
    expect(len(answer["messages"]) == 1, "there is one message", answer)
    return answer["messages"][0]
