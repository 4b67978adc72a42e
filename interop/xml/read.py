"""Reads an XML answer of the 2FA API with ElementTree, and prints what it holds as JSON."""

import json
import sys
import urllib.request
from xml.etree import ElementTree

answer = ElementTree.fromstring(urllib.request.urlopen(sys.argv[1]).read())
messages = answer.find("messages")

print(json.dumps({
    "root": answer.tag,
    "count": messages.get("count"),
    "messages": [
        {field.tag: field.text or "" for field in message}
        for message in messages.findall("message")
    ],
}))
