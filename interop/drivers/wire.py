"""The Python drivers' end of the line protocol: a hello, then one call and one answer a line."""

import json
import sys
import traceback


def answer_calls(build):
    """Builds the table of calls from the hello, then answers calls until the input ends."""
    out, sys.stdout = sys.stdout, sys.stderr

    def say(message):
        out.write(">> " + json.dumps(message, default=_plain) + "\n")
        out.flush()

    calls = build(json.loads(sys.stdin.readline()))
    say({"can": sorted(calls)})
    for line in sys.stdin:
        message = json.loads(line)
        try:
            say({"returned": calls[message["call"]](**message["with"])})
        except Exception:
            say({"raised": traceback.format_exc()})


def _plain(value):
    return value.decode() if isinstance(value, bytes) else str(value)
