"""The stories of HTTP links against Jasmin: its HTTP API, with an SMSC behind it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from suite import kannel
from suite.server import free_port
from suite.stories import expect

SECONDS_MAX = 60
STOP_SECONDS_MAX = 10
USER = "countersign"
# Jasmin takes 16 characters at most.
PASSWORD = "p&w 1=x"

RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"
REDIS = "/usr/bin/redis-server"

UNDELIVERABLE = "12015550199"
REFUSED = "12015550198"


class Jasmin:
    """A context manager around RabbitMQ, Redis and Jasmin, connected to an SMSC."""

    def __init__(self, python, smsc):
        self._python = Path(python)
        self._smsc = smsc

    def __enter__(self):
        self._directory = Path(tempfile.mkdtemp(prefix="countersign-jasmin-"))
        self._processes = []
        names = ["amqp", "dist", "epmd", "redis", "clients", "router", "smpp", "smpp_pb", "jcli",
                 "http"]
        self._ports = {name: free_port() for name in names}
        self.http_port = self._ports["http"]
        for name in ("etc", "etc/store", "log", "rabbitmq"):
            (self._directory / name).mkdir()
        try:
            self._start_broker()
            self._start("redis", [
                REDIS, "--bind", "127.0.0.1", "--port", str(self._ports["redis"]), "--save", "",
            ])
            self._wait_for_port("amqp")
            self._wait_for_port("redis")
            self._start_jasmin()
            self._wait_for_port("jcli")
            self._wait_for_port("http")
            self._provision()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self._processes):
            # Each leads a group of its own: the broker's virtual machine is a child of a script.
            _signal(process, signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                _signal(process, signal.SIGKILL)
                process.wait()
        # The broker leaves its port mapper behind, which listens on a port of this test's own.
        subprocess.run(
            ["epmd", "-port", str(self._ports["epmd"]), "-kill"], check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _start_broker(self):
        at = self._directory / "rabbitmq"
        config = at / "rabbitmq.conf"
        config.write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self._ports['amqp']}\nloopback_users = none\n")
        plugins = at / "enabled_plugins"
        plugins.write_text("[].")
        self._start("rabbitmq", [RABBITMQ], {
            "HOME": str(at),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._ports["epmd"]),
            "RABBITMQ_NODENAME": "countersign@localhost",
            "RABBITMQ_MNESIA_BASE": str(at / "mnesia"),
            "RABBITMQ_LOG_BASE": str(at / "log"),
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_DIST_PORT": str(self._ports["dist"]),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS":
                "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none",
        })

    def _start_jasmin(self):
        at = self._directory
        ports = self._ports
        packages = next(self._python.parent.parent.glob("lib/python*/site-packages"))
        spec = packages / "txamqp" / "specs" / "standard" / "amqp0-9-1.stripped.xml"
        config = at / "etc" / "jasmin.cfg"
        config.write_text(f"""
[client-management]
bind = 127.0.0.1
port = {ports["clients"]}
store_path = {at}/etc/store

[router]
bind = 127.0.0.1
port = {ports["router"]}
store_path = {at}/etc/store

[smpp-server]
bind = 127.0.0.1
port = {ports["smpp"]}

[smpp-server-pb]
bind = 127.0.0.1
port = {ports["smpp_pb"]}

[jcli]
bind = 127.0.0.1
port = {ports["jcli"]}
authentication = False

[http-api]
bind = 127.0.0.1
port = {ports["http"]}

[amqp-broker]
host = 127.0.0.1
port = {ports["amqp"]}
spec = {spec}

[redis-client]
host = 127.0.0.1
port = {ports["redis"]}
""")
        script = self._python.parent / "jasmind.py"
        self._start("jasmin", [
            str(self._python), str(script), "-c", str(config), "--enable-dlr-thrower", "--enable-dlr-lookup",
        ], {
            "CONFIG_PATH": f"{at}/etc/", "RESOURCE_PATH": f"{at}/etc/", "LOG_PATH": f"{at}/log/",
            "ROOT_PATH": str(at),
        })

    def _start(self, name, command, environment=None):
        with (self._directory / f"{name}.log").open("wb") as log:
            self._processes.append(subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._directory,
                env={**os.environ, **(environment or {})}, start_new_session=True))

    def _wait_for_port(self, name):
        give_up = time.monotonic() + SECONDS_MAX
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._ports[name]), timeout=1).close()
                return
            except OSError:
                ended = [process.args[0] for process in self._processes if process.poll()]
                if ended or time.monotonic() > give_up:
                    told = f"nothing listens for {name}; ended: {ended}; {self.last_words()}"
                    raise RuntimeError(told) from None
                time.sleep(0.1)

    def _provision(self):
        """Sets up a user, the SMSC and the route to it, as an operator would by hand."""
        with Console(self._ports["jcli"]) as console:
            console.fill("group -a", gid="all")
            console.fill("user -a", uid=USER, gid="all", username=USER, password=PASSWORD)
            console.fill(
                "smppccm -a", cid="smsc", host=self._smsc["host"], port=self._smsc["port"],
                username=self._smsc["system_id"], password=self._smsc["password"])
            console.fill("mtrouter -a", type="DefaultRoute", connector="smppc(smsc)", rate="0.0")
            console.say("smppccm -1 smsc")
            give_up = time.monotonic() + SECONDS_MAX
            while "BOUND" not in console.say("smppccm --list"):
                if time.monotonic() > give_up:
                    raise RuntimeError(f"the SMSC is not bound: {self.last_words()}")
                time.sleep(0.2)

    def last_words(self):
        """The ends of the processes' logs."""
        logs = sorted([*self._directory.glob("*.log"), *self._directory.glob("log/*.log")])
        return {log.name: log.read_text(errors="replace")[-1000:] for log in logs}


class Console:
    """Jasmin's console, which asks for one setting at a time."""

    def __init__(self, port):
        self._port = port

    def __enter__(self):
        self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=SECONDS_MAX)
        self._read()
        return self

    def __exit__(self, *_):
        self._socket.close()

    def say(self, line):
        """Gives one command; answers what the console says."""
        self._socket.sendall(f"{line}\r\n".encode())
        return self._read()

    def fill(self, command, **settings):
        """Gives a command that asks for settings, and the settings."""
        self.say(command)
        for name, value in settings.items():
            self.say(f"{name} {value}")
        told = self.say("ok")
        if "uccessfully" not in told:
            raise RuntimeError(f"{command} failed: {told}")

    def _read(self):
        """Reads up to the next prompt; the greeting has none."""
        told = b""
        while not re.search(rb"(jcli : |> |Session ref: \d+\s*\n)$", told):
            octets = self._socket.recv(4096)
            if not octets:
                break
            told += octets
        return told.decode(errors="replace")


def _signal(process, number):
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def configuration(gateway):
    """Makes the server's configuration with a link to Jasmin."""
    url = f"http://127.0.0.1:{gateway.http_port}/send"
    return kannel.link_to("jasmin", url, USER, PASSWORD)


def tell_all(stories, who, gateway, smsc, server, receiver):
    """Tells every story."""
    server.set_account(dlr_url=receiver.url, dlr_method="get", dlr_signed=False)

    def texts(digits):
        return [told["text"] for told in smsc.call("messages") if told["to"] == digits]

    def told_of(message_id, status):
        told = receiver.wait_for_status(message_id, status)
        expect(told, f"the {status} receipt comes", [receiver.requests, gateway.last_words()])

    with stories.tell(who, "a 2FA message reaches the SMSC, and its receipt the webhook"):
        message_id = kannel.send(server, "12015550110", "4811")
        got = kannel.wait(lambda: texts("12015550110"))
        expect(got and "4811" in got[0], "the PIN arrives", [got, gateway.last_words()])
        told_of(message_id, "delivered")
    for text, digits, alphabet in [
        (kannel.NASTY_GSM, "12015550111", "GSM 03.38"),
        (kannel.NASTY_UNICODE, "12015550112", "Unicode"),
    ]:
        with stories.tell(who, f"separators, quotes and escapes arrive as they are, in {alphabet}"):
            server.put_template(re.sub(r"\d{4}", "${pin}", text))
            message_id = kannel.send(server, digits, re.search(r"\d{4}", text)[0])
            got = kannel.wait(lambda number=digits: texts(number))
            expect(got and got[0] == text, "the text is the same", [got, gateway.last_words()])
            told_of(message_id, "delivered")
    server.put_template("Your PIN is ${pin}")
    with stories.tell(who, "an undeliverable message is told as failed"):
        told_of(kannel.send(server, UNDELIVERABLE, "4813"), "failed")
    with stories.tell(who, "a message that the SMSC refuses is told as rejected"):
        told_of(kannel.send(server, REFUSED, "4814"), "rejected")
