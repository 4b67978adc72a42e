"""The 2FA guide's own requests and receivers in four languages, each request with its receiver."""

import os
import re
import subprocess
import sys
import threading
import time

from suite.packages import HERE
from suite.server import free_port
from suite.stories import expect

HANDSET = "441632960960"
PINS = ["7001", "7002"]
PIN_NEVER_SENT = "7003"
REQUEST_SECONDS_MAX = 20
START_SECONDS_MAX = 10
RECEIPT_SECONDS_MAX = 10
STOP_SECONDS_MAX = 5


class Language:
    """How one language of the guide is run, and which receipts its receiver can read."""

    def __init__(self, name, request, receiver, methods):
        self.name = name
        self.request = request
        self.receiver = receiver
        self.methods = methods


def _script(name):
    return str(HERE / "guide" / name)


LANGUAGES = [
    Language("javascript", ["node", _script("request.js")],
             lambda port: ["node", _script("receiver.js")], ["get", "post"]),
    Language("php", ["php", _script("request.php")],
             lambda port: ["php", "-S", f"127.0.0.1:{port}", _script("receiver.php")],
             ["get", "post"]),
    Language("python", [sys.executable, _script("request.py")],
             lambda port: [sys.executable, _script("receiver.py")], ["get"]),
    Language("ruby", ["ruby", _script("request.rb")],
             lambda port: ["ruby", _script("receiver.rb")], ["get"]),
]


class GuideReceiver:
    """A context manager around one receiver of the guide; collects the lines it prints."""

    def __init__(self, language, environment):
        self._language = language
        self._port = free_port()
        self.environment = dict(environment, PORT=str(self._port))
        self.url = f"http://127.0.0.1:{self._port}/delivery-receipt"
        self.lines = []

    def __enter__(self):
        self._process = subprocess.Popen(
            self._language.receiver(self._port), env=self.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        threading.Thread(target=self._read, daemon=True).start()
        # Each receiver says something when it listens: a line of its own, or php's banner.
        if not self._wait(lambda: self.lines, START_SECONDS_MAX):
            self.__exit__()
            raise RuntimeError(f"the {self._language.name} receiver did not start")
        return self

    def __exit__(self, *_):
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self):
        for line in self._process.stdout:
            self.lines.append(line.rstrip())

    @staticmethod
    def _wait(happened, seconds):
        give_up = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > give_up:
                return False
            time.sleep(0.05)
        return True

    def receipts(self, message_id):
        """How often the delivered receipt of a message was read so far."""
        wanted = f"receipt {message_id} delivered"
        return sum(wanted in line for line in self.lines)

    def wait_for(self, message_id):
        """Whether the delivered receipt of a message is read in time."""
        return self._wait(lambda: self.receipts(message_id), RECEIPT_SECONDS_MAX)


def tell_all(stories, who, language, server, packages):
    """Tells one language's stories."""
    environment = dict(
        os.environ, NODE_PATH=packages.node("guide-js"), REST_HOST="127.0.0.1",
        REST_PORT=str(server.port), API_KEY=server.demo["api_key"],
    )
    with GuideReceiver(language, environment) as receiver:
        for method, pin in zip(language.methods, PINS):
            _tell_one(stories, who, language, method, pin, server, receiver)
    _tell_wrong_secret(stories, who, language, server, environment)


def _request(language, environment, secret, pin):
    done = subprocess.run(
        language.request, env=dict(environment, API_SECRET=secret, PIN=pin),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=REQUEST_SECONDS_MAX,
    )
    return done.stdout + done.stderr


def _tell_one(stories, who, language, method, pin, server, receiver):
    message_id = read = None
    with stories.tell(who, f"the request is accepted and the PIN arrives (receipts by {method})"):
        server.set_account(dlr_url=receiver.url, dlr_method=method, dlr_signed=False)
        said = _request(language, receiver.environment, server.demo["api_secret"], pin)
        match = re.search(r"^sent (\S+)$", said, re.MULTILINE)
        expect(match, "the request prints that it was sent", said)
        text = server.wait_for_text(HANDSET, lambda each: pin in each["text"])
        expect(text, "a text with the PIN is in the inbox", server.inbox(HANDSET))
        message_id = match.group(1)
    if message_id is None:
        return
    with stories.tell(who, f"the receiver reads the receipt of a {method}"):
        read = receiver.wait_for(message_id)
        expect(read, "the receipt is read", receiver.lines)
    if not read:
        return
    with stories.tell(who, f"the receiver's answer to a {method} ends the delivery"):
        # Long enough for the webhook's first repetitions, on the sandbox clock.
        server.advance(180)
        time.sleep(0.5)
        times = receiver.receipts(message_id)
        expect(times == 1, "the receipt was read once", receiver.lines)


def _tell_wrong_secret(stories, who, language, server, environment):
    with stories.tell(who, "the request reads the refusal of a wrong secret"):
        said = _request(language, environment, "not-the-secret", PIN_NEVER_SENT)
        expect("refused 4 " in said, "the request prints status 4 and its text", said)
        texts = [each["text"] for each in server.inbox(HANDSET)["messages"]]
        expect(not any(PIN_NEVER_SENT in text for text in texts), "nothing was sent", texts)
