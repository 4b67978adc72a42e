"""The stories of SMPP links: an official client in front of the server, an SMSC behind it."""

import time
from dataclasses import dataclass

from suite.driver import Driver
from suite.server import Server, free_port
from suite.stories import expect
from suite.vonage import only_message, params
from suite.webhook import Receiver

SECONDS_MAX = 10
SYSTEM_ID = "countersign"
PASSWORD = "pass1234"

# Workflow 4 sends a second message after the first.
TWO_MESSAGES = "4"

UNDELIVERABLE = "12015550199"
REJECTED = "12015550198"
RECEIPT_FIRST = "12015550197"
RECEIPT_TWICE = "12015550196"


@dataclass
class Players:
    """Who plays."""

    smsc: Driver
    vonage: Driver
    textmagic: Driver
    receiver: Receiver
    server: Server


def hello(told):
    """What the SMSC is told at its start."""
    return {"host": "127.0.0.1", "port": free_port(), "system_id": SYSTEM_ID,
            "password": PASSWORD, **told}


def configuration(smsc):
    """Makes the server's configuration with a link to the SMSC."""
    def configure(directory, _port):
        password = directory / "smsc.password"
        password.write_text(PASSWORD)
        password.chmod(0o600)
        return f"""
[link.smsc]
kind = "smpp"
hosts = ["{smsc["host"]}:{smsc["port"]}"]
system_id = "{SYSTEM_ID}"
password_file = "{password}"
ids = "{smsc["ids"]}"
binds = 2

[route.messages]
channel = "sms"
links = ["smsc"]

[route.calls]
channel = "voice"
links = ["sandbox"]
"""
    return configure


def tell_all(stories, who, play):
    """Tells every story that the SMSC has calls for."""
    play.server.set_account(dlr_url=play.receiver.url, dlr_method="get", dlr_signed=False)
    with stories.tell(who, "the server binds"):
        bound = _wait(lambda: play.smsc.call("counts")["binds"] >= 1)
        expect(bound, "there is a bind", play.smsc.call("counts"))
    _tell_receipts(stories, who, play)
    _tell_workflow(stories, who, play)
    if "throttle" in play.smsc.can:
        _tell_odd_receipts(stories, who, play)
        _tell_texts(stories, who, play)
        _tell_trouble(stories, who, play)
    if "send" in play.smsc.can:
        _tell_opt_out(stories, who, play)


def _tell_receipts(stories, who, play):
    with stories.tell(who, "a 2FA message reaches the SMSC, and its receipt the webhook"):
        message_id = _send(play, "12015550110", "4811")
        got = _message_to(play, "12015550110")
        expect(got and "4811" in got["text"], "the PIN arrives", play.smsc.call("messages"))
        expect(got["receipt"] == 1, "a receipt is asked for", got)
        told = play.receiver.wait_for_status(message_id, "delivered")
        expect(told, "the delivered receipt comes", play.receiver.requests)
        expect(told["to"] == got["from"], "it names the short code", [told, got])
    with stories.tell(who, "an undeliverable message is told as failed"):
        message_id = _send(play, UNDELIVERABLE, "4812")
        told = play.receiver.wait_for_status(message_id, "failed")
        expect(told, "the failed receipt comes", play.receiver.requests)
        expect(told["err-code"] != "0", "with a reason", told)
    with stories.tell(who, "a message that the SMSC refuses is told as rejected"):
        message_id = _send(play, REJECTED, "4813")
        told = play.receiver.wait_for_status(message_id, "rejected")
        expect(told, "the rejected receipt comes", play.receiver.requests)


def _tell_workflow(stories, who, play):
    with stories.tell(who, "an undeliverable first message of workflow 4 sends the second at once"):
        before = len(_messages_to(play, UNDELIVERABLE))
        started = play.textmagic.call("start", fields={
            "phone": UNDELIVERABLE, "brand": "Acme", "codeLength": 4, "workflowId": TWO_MESSAGES})
        expect(started, "the verification starts", started)
        both = _wait(lambda: len(_messages_to(play, UNDELIVERABLE)) >= before + 2)
        expect(both, "two messages came within seconds", play.smsc.call("messages"))


def _tell_odd_receipts(stories, who, play):
    odd = [(RECEIPT_FIRST, "before the submit is confirmed"), (RECEIPT_TWICE, "twice")]
    for number, how in odd:
        with stories.tell(who, f"a receipt that comes {how} is told once"):
            message_id = _send(play, number, "4814")
            told = play.receiver.wait_for_status(message_id, "delivered")
            expect(told, "the delivered receipt comes", play.receiver.requests)
            settled = _wait(lambda: play.smsc.call("counts")["unanswered_receipts"] == 0)
            expect(settled, "every receipt was answered", play.smsc.call("counts"))
            again = play.receiver.delivered(message_id)
            expect(len(again) == 1, "there is one webhook", again)


def _tell_texts(stories, who, play):
    texts = [
        ("of three parts", "12015550120", "${pin} is your PIN. " + "So long a text. " * 24, 3),
        ("in Cyrillic of two parts", "12015550121", "Ваш код ${pin}. " + "Не говорите. " * 5, 2),
        ("with the GSM extension table", "12015550122", "{[€~]} ${pin} @_$", 1),
    ]
    for what, number, text, parts in texts:
        with stories.tell(who, f"a text {what} arrives whole"):
            play.server.put_template(text)
            _send(play, number, "4815")
            got = _message_to(play, number)
            expect(got, "the message arrives", play.smsc.call("messages"))
            wanted = text.replace("${pin}", "4815").strip()
            expect(got["text"].strip() == wanted, f"it reads {wanted}", got)
            expect(got["parts"] == parts, f"in {parts} parts", got)
    play.server.put_template("Your PIN is ${pin}")


def _tell_trouble(stories, who, play):
    with stories.tell(who, "a throttled link slows down and loses nothing"):
        play.smsc.call("throttle", next=5)
        numbers = [f"120155501{index}" for index in range(30, 40)]
        for number in numbers:
            _send(play, number, "4816")
        arrived = _wait(lambda: all(_messages_to(play, number) for number in numbers), 60)
        expect(arrived, "all ten arrive", play.smsc.call("messages"))
        twice = [number for number in numbers if len(_messages_to(play, number)) > 1]
        expect(not twice, "and none twice", twice)
    with stories.tell(who, "a link that was cut is bound again, and messages go on"):
        binds = play.smsc.call("counts")["binds"]
        play.smsc.call("cut")
        again = _wait(lambda: play.smsc.call("counts")["binds"] > binds, 20)
        expect(again, "it is bound again", play.smsc.call("counts"))
        message_id = _send(play, "12015550145", "4817")
        told = play.receiver.wait_for_status(message_id, "delivered")
        expect(told, "the delivered receipt comes", play.receiver.requests)


def _tell_opt_out(stories, who, play):
    with stories.tell(who, "STOP is heard, and the next message is answered 102"):
        number = "12015550150"
        _send(play, number, "4818")
        got = _message_to(play, number)
        expect(got, "the message arrives", play.smsc.call("messages"))
        status = play.smsc.call("send", **{"from": number, "to": got["from"], "text": "Stop"})
        expect(status == 0, "the inbound message is taken", status)
        answer = play.vonage.call("send", auth="good", params=params("4819", number))
        expect(only_message(answer)["status"] == "102", "the status is 102", answer)
    with stories.tell(who, "HELP is answered with the campaign's text"):
        number = "12015550151"
        _send(play, number, "4820")
        short_code = _message_to(play, number)["from"]
        play.smsc.call("send", **{"from": number, "to": short_code, "text": "help"})
        answered = _wait(lambda: len(_messages_to(play, number)) == 2)
        expect(answered, "a second message comes", play.smsc.call("messages"))


def _send(play, number, pin):
    answer = play.vonage.call("send", auth="good", params=params(pin, number))
    message = only_message_or_first(answer)
    expect(message["status"] == "0", "the request is accepted", answer)
    return message["message-id"]


def only_message_or_first(answer):
    """The message of an answer; of several parts the first."""
    return only_message(answer) if answer["message-count"] == "1" else answer["messages"][0]


def _messages_to(play, number):
    return [message for message in play.smsc.call("messages") if message["to"] == number]


def _message_to(play, number):
    _wait(lambda: _messages_to(play, number))
    return next(iter(_messages_to(play, number)), None)


def _wait(is_so, seconds=SECONDS_MAX):
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        if is_so():
            return True
        time.sleep(0.05)
    return is_so()
