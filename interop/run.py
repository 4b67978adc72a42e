#!/usr/bin/env python3
"""Runs clients that others wrote against a Countersign binary: `run.py BINARY [--only WORD]`.

Prints a line a story and closes with the count; exits non-zero when a story failed.
"""

import argparse
import contextlib
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from suite import (  # noqa: E402
    calls, chaos, guide, jasmin, kannel, phones, smpp, textmagic, vonage, xml_answers,
)
from suite.driver import Driver  # noqa: E402
from suite.packages import HERE, Packages  # noqa: E402
from suite.server import Server  # noqa: E402
from suite.stories import Stories  # noqa: E402
from suite.webhook import Receiver  # noqa: E402

DRIVERS = HERE / "drivers"

# Who plays the 2FA door's stories: name, package set, driver and its arguments, receipt method.
VONAGE = [
    ("nexmo 2.5.2 (PyPI)", "nexmo-py-2", ["nexmo_py_2.py"], "get"),
    ("vonage 3.15.0 (PyPI)", "vonage-py-3", ["vonage_py_3.py"], "post"),
    ("vonage 4.9.1 (PyPI)", "vonage-py-4", ["vonage_py_4.py"], "post-json"),
    ("nexmo 2.9.1 (npm)", "nexmo-js-2", ["vonage_js_2.js", "nexmo"], "get"),
    ("server-sdk 2.11.3 (npm)", "vonage-js-2", ["vonage_js_2.js", "@vonage/server-sdk"], "post"),
    ("server-sdk 3.30.1 (npm)", "vonage-js-3", ["vonage_js_3.js"], "post-json"),
]

# Who plays the Textmagic door's stories: name, package set, driver and its arguments.
TEXTMAGIC = [
    ("textmagic 2.0.3 (PyPI)", "textmagic-py-2", ["textmagic_py_2.py"]),
    ("textmagic-client 2.0.23575 (npm)", "textmagic-client-2", ["textmagic_client.js"]),
    ("textmagic-client 3.0.50062 (npm)", "textmagic-client-3", ["textmagic_client.js"]),
    ("textmagic-rest-client 1.0.11 (npm)", "textmagic-rest-client-1", ["textmagic_rest_1.js"]),
    ("textmagic guide as form", "textmagic-py-2", ["textmagic_guide.py", "form"]),
    ("textmagic guide as JSON", "textmagic-py-2", ["textmagic_guide.py", "json"]),
]

# Who is in front of the server when phones ring behind it, and who listens to them.
CALLER = (
    "calls: textmagic-client 2.0.23575 (npm), kamailio, baresip, faster-whisper 1.2.1 (PyPI)",
    "textmagic-client-2", ["textmagic_client.js"],
)

CHAOS = "bad day of an SMSC and a server"


# What stands behind the server in the SMPP stories: name, package set, driver, what it is told.
SMSCS = [
    ("SMSC npm smpp, ids alike", "smsc-js", ["smsc_js.js"], {"ids": "same", "receipts": "text"}),
    ("SMSC npm smpp, ids in hex and decimal, receipts as TLV", "smsc-js", ["smsc_js.js"],
     {"ids": "resp_hex_receipt_dec", "receipts": "tlv"}),
    ("SMSC PyPI smpp34", "smsc-py", ["smsc_py.py"], {"ids": "same", "receipts": "text"}),
]


# What stands behind the server in the stories of HTTP links.
KANNEL = "Kannel 1.4.5 (Debian)"
JASMIN = "Jasmin 0.11.0 (PyPI)"


def arguments():
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", help="the countersign binary to test")
    parser.add_argument("--only", default="", help="run only clients whose name contains this")
    parser.add_argument(
        "--cache", default=str(HERE.parent / "target" / "interop"),
        help="where the clients' packages are installed",
    )
    return parser.parse_args()


def driver_of(packages, package_set, script, server):
    """The driver of one client, pointed at one server."""
    hello = {**server.demo, "host": "127.0.0.1", "port": server.port}
    return Driver(*command_of(packages, package_set, script), hello)


def command_of(packages, package_set, script):
    """The command and the environment of a driver."""
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
    if script[0].endswith(".py"):
        runtime = packages.python(package_set)
    else:
        runtime = "node"
        environment["NODE_PATH"] = packages.node(package_set)
    return [runtime, str(DRIVERS / script[0]), *script[1:]], environment


@contextlib.contextmanager
def server_of(stories, binary, configure=None):
    """A server of one's own, whose log is shown when a story told to it fails."""
    failed_before = stories.failed
    with Server(binary, configure) as server:
        broke = True
        try:
            yield server
            broke = False
        finally:
            if broke or stories.failed > failed_before:
                print("      the server's log ends with:", flush=True)
                print("        " + server.last_words().replace("\n", "\n        "), flush=True)


def play_vonage(stories, packages, binary, who, package_set, script, method):
    """Plays the 2FA door's stories with one client and a server of its own."""
    with stories.watch(who, "the client gets through its stories"):
        with server_of(stories, binary) as server, Receiver() as receiver:
            with driver_of(packages, package_set, script, server) as driver:
                vonage.tell_all(stories, who, driver, server, receiver, method)


def play_textmagic(stories, packages, binary, who, package_set, script):
    """Plays the Textmagic door's stories with one client and a server of its own."""
    with stories.watch(who, "the client gets through its stories"):
        with server_of(stories, binary) as server:
            with driver_of(packages, package_set, script, server) as driver:
                textmagic.tell_all(stories, who, driver, server)


def play_guide(stories, packages, binary, who, language):
    """Plays the 2FA guide's stories in one language and with a server of its own."""
    with stories.watch(who, "the guide gets through its stories"):
        with server_of(stories, binary) as server:
            guide.tell_all(stories, who, language, server, packages)


def play_xml(stories, binary, who, reader):
    """Plays the stories of XML answers with one parser and a server of its own."""
    with stories.watch(who, "the parser gets through its stories"):
        with server_of(stories, binary) as server:
            xml_answers.tell_all(stories, who, reader, server)


def play_smpp(stories, packages, binary, who, package_set, script, told):
    """Plays the SMPP stories: official clients in front, an SMSC that others wrote behind."""
    with stories.watch(who, "the SMSC gets through its stories"):
        hello = smpp.hello(told)
        command, environment = command_of(packages, package_set, script)
        with Driver(command, environment, hello) as smsc:
            smsc.call("listen")
            configure = smpp.configuration(hello)
            with server_of(stories, binary, configure) as server, Receiver() as receiver:
                clients = [
                    driver_of(packages, "vonage-py-3", ["vonage_py_3.py"], server),
                    driver_of(packages, "textmagic-client-2", ["textmagic_client.js"], server),
                ]
                with clients[0] as vonage_client, clients[1] as textmagic_client:
                    players = smpp.Players(smsc, vonage_client, textmagic_client, receiver, server)
                    smpp.tell_all(stories, who, players)


def play_kannel(stories, binary, who):
    """Plays the stories of HTTP links with Kannel behind the server."""
    with stories.watch(who, "Kannel gets through its stories"):
        with kannel.Kannel() as gateway, Receiver() as receiver:
            with server_of(stories, binary, kannel.configuration(gateway)) as server:
                kannel.tell_all(stories, who, gateway, server, receiver)


def play_jasmin(stories, packages, binary, who):
    """Plays the stories of HTTP links with Jasmin behind the server, and an SMSC behind Jasmin."""
    with stories.watch(who, "Jasmin gets through its stories"):
        # Jasmin loses or delays receipts that come before it has noted its own answer.
        hello = smpp.hello({"ids": "same", "receipts": "text", "receipt_after_ms": 1000})
        command, environment = command_of(packages, "smsc-js", ["smsc_js.js"])
        with Driver(command, environment, hello) as smsc, Receiver() as receiver:
            smsc.call("listen")
            with jasmin.Jasmin(packages.python("jasmin"), hello) as gateway:
                with server_of(stories, binary, jasmin.configuration(gateway)) as server:
                    jasmin.tell_all(stories, who, gateway, smsc, server, receiver)


def play_call(stories, packages, binary, who, package_set, script):
    """Plays the stories of calls: an official client in front, a proxy and real phones behind."""
    with stories.watch(who, "the phones get through their stories"):
        with phones.registered(calls.NUMBERS, calls.CODECS) as (proxy, called):
            with server_of(stories, binary, calls.configuration(proxy)) as server:
                with driver_of(packages, package_set, script, server) as driver:
                    calls.tell_all(stories, who, driver, server, called, binary, packages)


def play_chaos(stories, packages, binary, who):
    """Kills the SMSC and the server under load, and audits what became of every message."""
    with stories.watch(who, "the bad day comes to its end"):
        command, environment = command_of(packages, "smsc-js", ["smsc_js.js"])
        chaos.tell_all(stories, who, command, environment, binary)


def main():
    """Plays everybody that was asked for, then prints the count."""
    asked = arguments()
    packages = Packages(asked.cache)
    stories = Stories()
    for client in VONAGE:
        if asked.only in client[0]:
            play_vonage(stories, packages, asked.binary, *client)
    for client in TEXTMAGIC:
        if asked.only in client[0]:
            play_textmagic(stories, packages, asked.binary, *client)
    for language in guide.LANGUAGES:
        who = f"2FA guide in {language.name}"
        if asked.only in who:
            play_guide(stories, packages, asked.binary, who, language)
    for who, reader in xml_answers.READERS:
        if asked.only in who:
            play_xml(stories, asked.binary, who, reader)
    for smsc in SMSCS:
        if asked.only in smsc[0]:
            play_smpp(stories, packages, asked.binary, *smsc)
    if asked.only in KANNEL:
        play_kannel(stories, asked.binary, KANNEL)
    if asked.only in JASMIN:
        play_jasmin(stories, packages, asked.binary, JASMIN)
    if asked.only in CALLER[0]:
        play_call(stories, packages, asked.binary, *CALLER)
    if asked.only in CHAOS:
        play_chaos(stories, packages, asked.binary, CHAOS)
    print(stories.closing_line())
    return 0 if stories.failed == 0 and stories.passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
