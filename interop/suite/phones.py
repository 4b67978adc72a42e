"""Phones that others wrote, and the carrier's proxy that they are registered with."""

import contextlib
import itertools
import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from suite.packages import HERE
from suite.server import free_port

PEERS = HERE / "peers"

START_SECONDS_MAX = 30
STOP_SECONDS_MAX = 5
WRITE_SECONDS_MAX = 20

# What the proxy lets in, whoever says it.
PASSWORD = "an-unlikely-password"
DOMAIN = "trunk.test"

# Where phones listen.
FIRST_PORT, PAIRS = 18_000, 900

_TURNS = itertools.count()

# What a phone needs for one call and the ones that follow it too soon.
PHONE_PORTS = 40


class Peer:
    """A program of somebody else's in a folder of its own; it is ended by its id."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="countersign-peer-")
        self.folder = Path(self._folder.name)
        self._process = None

    def start(self, command):
        """Starts the program; what it says is kept."""
        with (self.folder / "output").open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder
            )

    def wait_until(self, what, holds):
        """Waits until something holds, or fails with what the program has said."""
        give_up = time.monotonic() + START_SECONDS_MAX
        while not holds():
            if time.monotonic() > give_up or self._process.poll() is not None:
                raise RuntimeError(f"{self} does not {what}; it said:\n{self.output()[-4000:]}")
            time.sleep(0.05)

    def output(self):
        """What the program has said."""
        return (self.folder / "output").read_text(errors="replace")

    def fill(self, source, target, places):
        """Copies a file of the peers with its places filled in."""
        text = (PEERS / source).read_text()
        for place, value in places.items():
            text = text.replace(f"@{place}@", str(value))
        (self.folder / target).write_text(text)

    def close(self):
        """Ends the program and takes its folder away."""
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._folder.cleanup()


class Proxy(Peer):
    """One kamailio: it registers phones, challenges every call, and stays in its path."""

    def __init__(self):
        super().__init__()
        self.port, self.tls_port = free_port(), free_port()
        self.certificate = self.folder / "cert.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-keyout", "key.pem",
             "-out", "cert.pem", "-subj", f"/CN={DOMAIN}",
             "-addext", f"subjectAltName=DNS:{DOMAIN}",
             "-addext", "basicConstraints=critical,CA:FALSE"],
            cwd=self.folder, check=True, capture_output=True, timeout=START_SECONDS_MAX,
        )
        places = {"PORT": self.port, "TLS_PORT": self.tls_port, "DIR": self.folder,
                  "PASSWORD": PASSWORD}
        for file in ("proxy.cfg", "tls.cfg"):
            self.fill(f"kamailio/{file}", file, places)
        # Not every user has the folder of system programs in the path.
        self.start(["/usr/sbin/kamailio", "-f", "proxy.cfg", "-DD", "-E", "-m", "32", "-M", "8",
                    "-Y", str(self.folder)])
        self.wait_until("listen", lambda: all(map(_listens, (self.port, self.tls_port))))

    def __str__(self):
        return "kamailio"


class Phone(Peer):
    """One baresip that answers by itself, and records what it hears."""

    def __init__(self, number, proxy, codec):
        super().__init__()
        self.number, self.codec = number, codec
        sip, rtp = _free_pair(), _free_pair()
        places = {"SIP_PORT": sip, "RTP_FIRST": rtp, "RTP_LAST": rtp + PHONE_PORTS,
                  "DIR": self.folder}
        self.fill("baresip/config", "config", places)
        (self.folder / "accounts").write_text(
            f"<sip:{number}@{DOMAIN};transport=udp>;auth_user={number};auth_pass={PASSWORD}"
            f";outbound=\"sip:127.0.0.1:{proxy.port}\";regint=60;answermode=auto"
            f";audio_codecs={codec}/8000/1\n"
        )
        for name in ("contacts", "current_contact"):
            (self.folder / name).write_text("")
        self._recordings = self.folder / "recordings"
        self._recordings.mkdir()
        self.start(["baresip", "-f", str(self.folder), "-p", "/usr/share/baresip"])

    def __str__(self):
        return "baresip"

    def wait_until_registered(self):
        """Waits until the proxy knows where the phone is."""
        self.wait_until("register", lambda: "200 OK" in self.output())

    def recording(self):
        """The file with what the phone heard in its first call, once all of it is written."""
        known = None
        give_up = time.monotonic() + WRITE_SECONDS_MAX
        while time.monotonic() < give_up:
            files = sorted(self._recordings.glob("*-dec.wav"))
            size = files[0].stat().st_size if files else None
            if size and size == known:
                return files[0]
            known = size
            time.sleep(0.3)
        raise RuntimeError("the phone does not end its recording")


@contextlib.contextmanager
def registered(numbers, codecs):
    """A proxy, and a phone for each number, of its codec, that is registered with it."""
    with contextlib.ExitStack() as peers:
        proxy = Proxy()
        peers.callback(proxy.close)
        phones = []
        for number, codec in zip(numbers, codecs):
            phones.append(Phone(number, proxy, codec))
            peers.callback(phones[-1].close)
        for phone in phones:
            phone.wait_until_registered()
        yield proxy, phones


def _free_pair():
    """A port that is free together with the next one, which a phone takes for TLS.

    It is below those that systems hand out themselves, so that no client takes it before the phone.
    """
    while True:
        at = (os.getpid() * 97 + next(_TURNS)) % PAIRS
        port = FIRST_PORT + 2 * at
        with contextlib.suppress(OSError), contextlib.ExitStack() as sockets:
            for each in (port, port + 1):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    sockets.enter_context(socket.socket(type=kind)).bind(("127.0.0.1", each))
            return port


def _listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
