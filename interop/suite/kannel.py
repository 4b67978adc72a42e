"""The stories of HTTP links against Kannel: its bearerbox, its smsbox and its own fake SMSC."""

import json
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

from suite.server import free_port
from suite.stories import expect

SECONDS_MAX = 10
STOP_SECONDS_MAX = 5
USER = "countersign"
PASSWORD = "pass&word 1"

# Debian puts the fake SMSC beside Kannel's other test programs, in kannel-extras.
FAKE_SMSC = "/usr/lib/kannel/test/fakesmsc"
BEARERBOX = "/usr/sbin/bearerbox"
SMSBOX = "/usr/sbin/smsbox"

# A text with whatever breaks requests that are pasted together; it fits GSM 03.38.
NASTY_GSM = 'PIN 4821 & "quotes" 100% + é=x'
NASTY_UNICODE = "Код 4822 ☎ & \"кавычки\" 100%"


class Kannel:
    """A context manager around the three processes."""

    def __enter__(self):
        self._directory = Path(tempfile.mkdtemp(prefix="countersign-kannel-"))
        self._processes = []
        self.sendsms_port = free_port()
        self._ports = {"admin": free_port(), "smsbox": free_port(), "smsc": free_port()}
        self._config = self._directory / "kannel.conf"
        self._config.write_text(self._configuration())
        try:
            self._start("bearerbox", [BEARERBOX, str(self._config)])
            self._wait_for_port(self._ports["smsbox"])
            self._wait_for_port(self._ports["smsc"])
            self._start("smsbox", [SMSBOX, str(self._config)])
            self._wait_for_port(self.sendsms_port)
            # With -m 0 it sends nothing and prints what it receives.
            self._start("fakesmsc", [
                FAKE_SMSC, "-m", "0", "-v", "0", "-H", "127.0.0.1", "-r", str(self._ports["smsc"]),
            ])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _configuration(self):
        ports = self._ports
        return f"""
group = core
admin-port = {ports["admin"]}
admin-password = {PASSWORD.replace(" ", "")}
smsbox-port = {ports["smsbox"]}
box-allow-ip = "127.0.0.1"
dlr-storage = internal

group = smsc
smsc = fake
smsc-id = FAKE
host = 127.0.0.1
port = {ports["smsc"]}
connect-allow-ip = 127.0.0.1

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {self.sendsms_port}
global-sender = 13013

group = sendsms-user
username = {USER}
password = "{PASSWORD}"
max-messages = 5
concatenation = true
"""

    def _start(self, name, command):
        with (self._directory / f"{name}.log").open("wb") as log:
            self._processes.append(subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=self._directory))

    def _wait_for_port(self, port):
        give_up = time.monotonic() + SECONDS_MAX
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > give_up:
                    raise RuntimeError(f"nothing listens on {port}: {self.last_words()}") from None
                time.sleep(0.05)

    def last_words(self):
        """The ends of the processes' logs."""
        logs = sorted(self._directory.glob("*.log"))
        return {log.name: log.read_text(errors="replace")[-1000:] for log in logs}

    def texts(self, digits):
        """What the fake SMSC received for a number: texts, decoded."""
        log = (self._directory / "fakesmsc.log").read_text(errors="replace")
        lines = re.findall(r"Got message \d+: <(\S+) \+?(\d+) (\S+) (.*?)>\n", log, re.DOTALL)
        return [_decoded(kind, text) for _, to, kind, text in lines if to == digits]


def _decoded(kind, text):
    if kind == "text":
        return text
    octets = urllib.parse.unquote_to_bytes(text.replace("+", " "))
    return octets.decode("utf-16-be") if kind == "ucs-2" else octets.decode("utf-8", "replace")


def configuration(kannel):
    """Makes the server's configuration with a link to Kannel."""
    url = f"http://127.0.0.1:{kannel.sendsms_port}/cgi-bin/sendsms"
    return link_to("kannel", url, USER, PASSWORD)


def link_to(profile, url, user, secret):
    """Makes the server's configuration with a link to a gateway, by the profile of its name."""
    def configure(directory, port):
        password = directory / f"{profile}.password"
        password.write_text(secret)
        password.chmod(0o600)
        return f"""
[server]
public_url = "http://127.0.0.1:{port}"

[link.{profile}]
kind = "http"
profile = "{profile}"
url = "{url}"
user = "{user}"
password_file = "{password}"

[route.messages]
channel = "sms"
links = ["{profile}"]

[route.calls]
channel = "voice"
links = ["sandbox"]
"""
    return configure


def tell_all(stories, who, kannel, server, receiver):
    """Tells every story."""
    server.set_account(dlr_url=receiver.url, dlr_method="get", dlr_signed=False)
    with stories.tell(who, "a 2FA message reaches the SMSC, and its receipt the webhook"):
        message_id = send(server, "12015550110", "4811")
        got = wait(lambda: kannel.texts("12015550110"))
        expect(got and "4811" in got[0], "the PIN arrives", kannel.last_words())
        told = receiver.wait_for(message_id)
        expect(told, "the delivered receipt comes", [receiver.requests, kannel.last_words()])
    for text, digits, alphabet in [
        (NASTY_GSM, "12015550111", "GSM 03.38"), (NASTY_UNICODE, "12015550112", "Unicode"),
    ]:
        with stories.tell(who, f"separators, quotes and escapes arrive as they are, in {alphabet}"):
            server.put_template(re.sub(r"\d{4}", "${pin}", text))
            message_id = send(server, digits, re.search(r"\d{4}", text)[0])
            got = wait(lambda number=digits: kannel.texts(number))
            expect(got and got[0] == text, "the text is the same", [got, kannel.last_words()])
            expect(receiver.wait_for(message_id), "its receipt comes", receiver.requests)


def send(server, digits, pin):
    """Has the 2FA API send a PIN; answers the message's id."""
    query = urllib.parse.urlencode({
        "api_key": server.demo["api_key"], "api_secret": server.demo["api_secret"],
        "to": digits, "pin": pin,
    })
    url = f"{server.url}/sc/us/2fa/json?{query}"
    with urllib.request.urlopen(url, timeout=20) as answer:
        told = json.loads(answer.read())
    message = told["messages"][0]
    expect(message["status"] == "0", "the message is accepted", told)
    return message["message-id"]


def wait(wanted):
    """Waits for what a function finds; answers it, or nothing."""
    give_up = time.monotonic() + SECONDS_MAX
    while True:
        found = wanted()
        if found or time.monotonic() > give_up:
            return found
        time.sleep(0.05)
