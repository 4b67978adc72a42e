"""The stories of bad days: the SMSC and the server are killed under load, and everything is audited."""

import json
import threading
import time
import urllib.parse
import urllib.request
from collections import Counter

from suite.driver import Driver
from suite.server import Server
from suite.smpp import configuration, hello
from suite.stories import expect

SENDERS = 8
LOAD_SECONDS = 8
SETTLED_SECONDS_MAX = 60

# Two binds with the default window of ten each: no more can be unanswered when something dies.
UNANSWERED_MAX = 20

# What is taken and not yet written down when the server dies is sent again: what was unanswered,
# and what a commit had not reached.
TWICE_MAX = 2 * UNANSWERED_MAX


def tell_all(stories, who, command, environment, binary):
    """Tells of one day on which first the SMSC dies, then the server."""
    told = hello({"ids": "same", "receipts": "text"})
    smscs = [_smsc(command, environment, told)]
    load = None
    try:
        with Server(binary, configuration(told)) as server:
            load = _Load(server)
            load.start()
            time.sleep(1.5)
            taken = smscs[0].call("messages")
            # By its own id: it says no goodbye.
            smscs[0]._process.kill()
            time.sleep(1)
            smscs.append(_smsc(command, environment, told))
            time.sleep(2)
            server.kill()
            server.start_again()
            sent = load.finish()
            statuses = _settled(server, sent)
            taken = taken + smscs[1].call("messages")
            _tell_audit(stories, who, sent, statuses, taken)
    finally:
        if load:
            load.finish()
        for smsc in smscs:
            smsc.__exit__()


def _smsc(command, environment, told):
    smsc = Driver(command, environment, told).__enter__()
    smsc.call("listen")
    return smsc


def _tell_audit(stories, who, sent, statuses, taken):
    arrived = Counter(message["to"] for message in taken)
    counts = Counter(statuses.values())
    with stories.tell(who, "every acknowledged message came to an end, and none is lost"):
        expect(len(sent) > 100, "there was load", len(sent))
        waiting = [each for each, status in statuses.items() if status == "queued"]
        expect(not waiting, "nothing waits any more", counts)
    with stories.tell(who, "no more is unknown than was unanswered, and nothing is refused"):
        unknown = counts["unconfirmed"]
        expect(unknown <= UNANSWERED_MAX, f"at most {UNANSWERED_MAX} are unconfirmed", counts)
        refused = counts["rejected"] + counts["failed"]
        expect(refused == 0, "none was refused", counts)
    with stories.tell(who, "what is told as delivered did come to the SMSC"):
        # The list of the SMSC that died was read just before, so what it took last is not in it.
        missing = [
            number for each, number in sent.items()
            if statuses[each] == "delivered" and not arrived[number]
        ]
        expect(len(missing) <= TWICE_MAX, "all but what came at its last moment", len(missing))
    with stories.tell(who, "what was sent twice was under way when the server died"):
        twice = [number for number, count in arrived.items() if count > 1]
        thrice = [number for number, count in arrived.items() if count > 2]
        expect(len(twice) <= TWICE_MAX and not thrice, f"at most {TWICE_MAX}", [len(twice), thrice])
    print(f"      {len(sent)} acknowledged, {dict(counts)}, {len(twice)} sent twice", flush=True)


class _Load:
    """Clients that send one message after the other and remember what was acknowledged."""

    def __init__(self, server):
        self._url = server.url + "/sc/us/2fa/json"
        self._keys = {"api_key": server.demo["api_key"], "api_secret": server.demo["api_secret"]}
        self._until = time.monotonic() + LOAD_SECONDS
        self._lock = threading.Lock()
        self._drawn = 0
        self._sent = {}
        self._threads = [threading.Thread(target=self._run) for _ in range(SENDERS)]

    def start(self):
        """Begins to send."""
        for thread in self._threads:
            thread.start()

    def finish(self):
        """Waits for the last answers; returns the number of each acknowledged message by its id."""
        for thread in self._threads:
            thread.join()
        return self._sent

    def _number(self):
        with self._lock:
            self._drawn += 1
            # The last digit keeps away from the endings that the SMSC refuses.
            return f"1212{200_000 + self._drawn}1"

    def _run(self):
        while time.monotonic() < self._until:
            number = self._number()
            form = urllib.parse.urlencode({**self._keys, "to": number, "pin": "4815"}).encode()
            try:
                with urllib.request.urlopen(self._url, form, timeout=10) as answer:
                    message = json.loads(answer.read())["messages"][0]
            except OSError:
                # The server is dead at the moment: what has no answer is not acknowledged.
                time.sleep(0.05)
                continue
            if message["status"] == "0":
                with self._lock:
                    self._sent[message["message-id"]] = number
            time.sleep(0.02)


def _settled(server, sent):
    """The status of every message, once none waits or settling takes too long."""
    give_up = time.monotonic() + SETTLED_SECONDS_MAX
    statuses = {}
    left = list(sent)
    while True:
        for each in left:
            statuses[each] = server.message(each)["status"]
        open_ones = ("queued", "submitted")
        left = [each for each in left if statuses[each] in open_ones]
        if not left or time.monotonic() > give_up:
            return statuses
        if all(statuses[each] == "submitted" for each in left) and time.monotonic() > give_up - 45:
            # Their receipts died with the SMSC.
            return statuses
        time.sleep(0.5)
