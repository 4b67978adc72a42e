"""The 2FA guide's request in Python: a GET through urllib with everything in the query."""

import json
import os
import urllib.parse
import urllib.request

params = {
    "api_key": os.environ["API_KEY"],
    "api_secret": os.environ["API_SECRET"],
    "to": "441632960960",
    "pin": os.environ["PIN"],
}
origin = f"http://{os.environ['REST_HOST']}:{os.environ['REST_PORT']}"
response = urllib.request.urlopen(f"{origin}/sc/us/2fa/json?" + urllib.parse.urlencode(params))

if response.code == 200:
    for message in json.loads(response.read().decode("utf-8"))["messages"]:
        if message["status"] == "0":
            print(f"sent {message['message-id']}")
        else:
            print(f"refused {message['status']} {message['error-text']}")
else:
    print(f"unexpected {response.code}")
