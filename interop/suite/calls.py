"""The story of a call: the official client in front of the server, a real phone behind it."""

import array
import subprocess
import tempfile
import time
import wave
from pathlib import Path

from suite.packages import HERE
from suite.server import free_port
from suite.stories import expect

PHONE = "447860021130"
CALL_WORKFLOW = "7"

# A call takes half a minute, and this machine may have more to do.
CALL_SECONDS_MAX = 120
START_SECONDS_MAX = 20
STOP_SECONDS_MAX = 5

ALL_DIGITS = "0123456789"

# The pause after each digit is 250 ms of zeros at 8000 a second; no digit is as quiet for as long.
PAUSE_SAMPLES = 1200

# The phone decodes the two zeros of mu-law as 2 and -2.
ZERO_MAX = 8

# Twenty milliseconds that are loud all along are found in no other digit.
PROBE_SAMPLES = 40


class Phone:
    """A context manager around one baresip that answers by itself and records what it hears."""

    def __init__(self):
        self.port = free_port()

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        rtp = free_port() & ~1
        config = (HERE / "peers" / "baresip" / "config").read_text()
        places = {"SIP_PORT": self.port, "RTP_FIRST": rtp, "RTP_LAST": rtp + 40, "DIR": folder}
        for place, value in places.items():
            config = config.replace(f"@{place}@", str(value))
        (folder / "config").write_text(config)
        (folder / "accounts").write_text(
            f"<sip:{PHONE}@127.0.0.1:{self.port}>;regint=0;answermode=auto"
            ";audio_codecs=PCMU/8000/1\n"
        )
        for name in ("contacts", "current_contact"):
            (folder / name).write_text("")
        self._recordings = folder / "recordings"
        self._recordings.mkdir()
        command = ["baresip", "-f", str(folder), "-p", "/usr/share/baresip"]
        log = (folder / "output").open("wb")
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder
        )
        log.close()
        listening = f":{self.port:04X} 00000000:0000"
        give_up = time.monotonic() + START_SECONDS_MAX
        while listening not in Path("/proc/net/udp").read_text():
            if time.monotonic() > give_up or self._process.poll() is not None:
                said = (folder / "output").read_text(errors="replace")
                self.__exit__()
                raise RuntimeError("the phone does not get ready; it said:\n" + said)
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def heard(self):
        """What the phone heard, once it has written all of it down."""
        known = None
        give_up = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < give_up:
            time.sleep(0.3)
            files = list(self._recordings.glob("*-dec.wav"))
            size = files[0].stat().st_size if files else None
            if size and size == known:
                return samples_of(files[0])
            known = size
        raise RuntimeError("the phone does not end its recording")


def configuration(phone):
    """Makes the server's configuration with a trunk that leads to the phone."""
    return lambda _directory, _port: f"""
[link.trunk]
kind = "sip"
host = "127.0.0.1"
port = {phone.port}
domain = "127.0.0.1:{phone.port}"
caller = "+442079460000"
countries = ["GB"]
dial_prefix = ""
costs = ["voice:44=0.02"]

[route.calls]
channel = "voice"
links = ["trunk"]

[route.messages]
channel = "sms"
links = ["sandbox"]
"""


def tell_all(stories, who, driver, server, phone, binary):
    """Tells of one call, from the request to the code that came back."""
    with stories.tell(who, "a phone that rings is told the code that verifies its number"):
        fields = {"phone": PHONE, "brand": "Acme", "codeLength": 4, "language": "en-us",
                  "workflowId": CALL_WORKFLOW}
        started = driver.call("start", fields=fields)
        expect(started["status"] == 200, "the verification starts", started)
        verify_id = started["body"]["verifyId"]
        call = _ended_call(server, verify_id)
        expect(call["cause"] == "completed", "the call was heard to its end", call)
        heard = _digits(phone.heard(), _clips(binary))
        expect(len(heard) == 8 and heard[:4] == heard[4:], "the code is read twice", heard)
        checked = driver.call("check", verify_id=verify_id, code=heard[:4])
        expect(checked["status"] == 204, "what was heard is the code", checked)


def _ended_call(server, verify_id):
    give_up = time.monotonic() + CALL_SECONDS_MAX
    while True:
        story = server.verification(verify_id)
        call = story["attempts"][0].get("call") or {}
        if call.get("ended_at"):
            return call
        expect(time.monotonic() < give_up, "the call ends", story)
        time.sleep(0.2)


def _clips(binary):
    """The samples of each digit, cut out of a call that says all of them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits.wav"
        subprocess.run(
            [binary, "speech", "render", "--language", "en-us", "--code", ALL_DIGITS, str(path)],
            check=True, capture_output=True, timeout=CALL_SECONDS_MAX,
        )
        parts = _split(samples_of(path))
    # The greeting has pauses of its own: the two readings end before what comes last.
    digits = _one_reading(parts)
    expect(len(digits) == len(ALL_DIGITS), "the voice says ten digits", len(parts))
    return digits


def _one_reading(parts):
    """The ten parts that come twice."""
    for start in range(len(parts) - 2 * len(ALL_DIGITS)):
        reading = parts[start:start + len(ALL_DIGITS)]
        for again in range(start + len(ALL_DIGITS), len(parts) - len(ALL_DIGITS) + 1):
            if parts[again:again + len(ALL_DIGITS)] == reading:
                return reading
    return []


def _split(samples):
    parts, begun, quiet = [], None, 0
    for at, sample in enumerate(samples):
        if sample:
            begun = at if begun is None else begun
            quiet = 0
        else:
            quiet += 1
            if begun is not None and quiet == PAUSE_SAMPLES:
                parts.append(samples[begun:at - quiet + 1])
                begun = None
    return parts if begun is None else [*parts, samples[begun:]]


def _digits(heard, clips):
    """The digits that are said, in order: each where most of its probes are."""
    heard = heard.tobytes()
    found = []
    for digit, clip in zip(ALL_DIGITS, clips):
        probes = [
            (at, clip[at:at + PROBE_SAMPLES])
            for at in range(0, len(clip) - PROBE_SAMPLES, PROBE_SAMPLES)
            if all(abs(sample) > ZERO_MAX for sample in clip[at:at + PROBE_SAMPLES])
        ]
        hits = sorted(
            place - at for at, probe in probes for place in _places(heard, probe.tobytes())
        )
        found += [(place, digit) for place in _clusters(hits, len(probes) / 2)]
    return "".join(digit for _, digit in sorted(found))


def _clusters(hits, least):
    clusters = []
    for hit in hits:
        if clusters and hit - clusters[-1][-1] < PAUSE_SAMPLES:
            clusters[-1].append(hit)
        else:
            clusters.append([hit])
    return [cluster[0] for cluster in clusters if len(cluster) >= least]


def _places(heard, probe):
    at = heard.find(probe)
    while at != -1:
        if at % 2 == 0:
            yield at // 2
        at = heard.find(probe, at + 1)


def samples_of(path):
    """The samples of a WAV file of 16 bits."""
    with wave.open(str(path), "rb") as file:
        return array.array("h", file.readframes(file.getnframes()))
