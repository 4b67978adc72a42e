"""One running Countersign sandbox: started on a free port in an own directory, ended by its pid."""

import json
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

READY_SECONDS_MAX = 10
INBOX_SECONDS_MAX = 10
STOP_SECONDS_MAX = 10

# About a screen of a failed run.
LOG_CHARACTERS_MAX = 4000


def free_port():
    """A TCP port of the loopback that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A context manager around `countersign serve --sandbox --demo-account`."""

    def __init__(self, binary, configure=None):
        """`configure(directory, port)` returns the text of a configuration file for the server."""
        self._binary = binary
        self._configure = configure
        self._process = None
        self.demo = {}
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def kill(self):
        """Kills the server as a loss of power would."""
        self._process.kill()
        self._process.wait()

    def start_again(self):
        """Starts the server again over what is on disk."""
        self._start()
        self._wait_until_ready()

    def __enter__(self):
        self._directory = Path(tempfile.mkdtemp(prefix="countersign-interop-"))
        self.log = self._directory / "server.log"
        data = self._directory / "data"
        data.mkdir()
        options = []
        if self._configure:
            file = self._directory / "countersign.toml"
            file.write_text(self._configure(self._directory, self.port))
            options = ["--config", str(file)]
        self._data, self._options = data, options
        self._start()
        try:
            self._wait_until_ready()
            self.demo = json.loads((data / "demo.json").read_text())
            self._admin_token = (data / "admin.token").read_text().strip()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self):
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._binary, "serve", "--sandbox", "--demo-account",
                    "--data", str(self._data), "--listen", f"127.0.0.1:{self.port}", *self._options,
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )

    def __exit__(self, *_):
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _wait_until_ready(self):
        give_up = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < give_up:
            if self._process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(self.url + "/readyz", timeout=2) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                pass
            time.sleep(0.05)
        raise RuntimeError("the server did not get ready; it said:\n" + self.last_words())

    def last_words(self):
        """The end of the server's log."""
        return self.log.read_text(errors="replace")[-LOG_CHARACTERS_MAX:]

    def _call(self, method, path, body=None, bearer=None):
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                text = answer.read()
        except urllib.error.HTTPError as refused:
            said = refused.read().decode(errors="replace")
            raise RuntimeError(f"{method} {path} {body} answered {refused.code}: {said}") from None
        return json.loads(text) if text.strip() else None

    def set_account(self, **settings):
        """Changes settings of the demo account through the admin API."""
        path = f"/admin/v1/accounts/{self.demo['account_id']}"
        return self._call("PATCH", path, settings, self._admin_token)

    def set_signature_method(self, method):
        """Changes how the demo account's 2FA key signs, through the admin API."""
        path = f"/admin/v1/accounts/{self.demo['account_id']}/keys"
        keys = self._call("GET", path, bearer=self._admin_token)["items"]
        key = next(each for each in keys if each["name"] == self.demo["api_key"])
        changed = {"signature_method": method}
        return self._call("PATCH", f"{path}/{key['id']}", changed, self._admin_token)

    def put_template(self, text):
        """Replaces the text of the demo account's 2FA messages through the admin API."""
        path = f"/admin/v1/accounts/{self.demo['account_id']}/templates"
        return self._call("POST", path, {"index": 0, "text": text}, self._admin_token)

    def start_verification(self, **fields):
        """Starts a verification of the demo account through the admin API; returns its id."""
        fields["account"] = self.demo["account_id"]
        return self._call("POST", "/admin/v1/verifications", fields, self._admin_token)["id"]

    def message(self, identifier):
        """A message as the admin API tells it."""
        return self._call("GET", f"/admin/v1/messages/{identifier}", bearer=self._admin_token)

    def converted(self, kind, identifier):
        """What was reported of a message or a verification; None when nothing was."""
        path = f"/admin/v1/{kind}/{identifier}"
        return self._call("GET", path, bearer=self._admin_token).get("converted")

    def verification(self, identifier):
        """Everything that the operator is told of a verification."""
        return self._call("GET", f"/admin/v1/verifications/{identifier}", bearer=self._admin_token)

    def type_code(self, digits, code):
        """Types a code as the owner of the virtual handset does; returns the verdict."""
        return self._call("POST", f"/sandbox/v1/handsets/{digits}/type", {"code": code})

    def advance(self, seconds):
        """Moves the sandbox clock; returns when everything that fell due was taken up."""
        self._call("POST", "/sandbox/v1/clock", {"advance_s": seconds})

    def inbox(self, digits):
        """What the virtual handset with this number has received, oldest first."""
        return self._call("GET", f"/sandbox/v1/handsets/{digits}/inbox")

    def wait_for_text(self, digits, wanted):
        """Waits for a text on the handset that `wanted(message)` accepts; None when none comes."""
        return self._wait_in_inbox(digits, "messages", wanted)

    def wait_for_call(self, digits):
        """Waits for the first call on the handset; None when none comes."""
        return self._wait_in_inbox(digits, "calls", lambda call: True)

    def _wait_in_inbox(self, digits, kind, wanted):
        give_up = time.monotonic() + INBOX_SECONDS_MAX
        while True:
            for item in self.inbox(digits)[kind]:
                if wanted(item):
                    return item
            if time.monotonic() > give_up:
                return None
            time.sleep(0.05)


def code_in(text, length):
    """The only run of exactly `length` digits in a text, or None."""
    runs = re.findall(rf"(?<!\d)\d{{{length}}}(?!\d)", text)
    return runs[0] if len(runs) == 1 else None
