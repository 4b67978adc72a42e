"""An SMSC on the PyPI `smpp34` server: keeps what it is given and sends receipts."""

import asyncio
import threading

import smpp34
from wire import answer_calls

# As in the other SMSC: what a destination's last two digits do.
UNDELIVERABLE = "99"
REJECTED = "98"

RECEIPT_SECONDS = 0.05


class Smsc:
    """The server in a loop of its own, since the line protocol waits for its input."""

    def __init__(self, hello):
        self._hello = hello
        self._loop = asyncio.new_event_loop()
        self._esmes = {}
        self._messages = []
        self._binds = 0
        self._ready = threading.Event()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def listen(self):
        """Starts to take binds."""
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(5)

    async def _start(self):
        self._server = smpp34.Server(self._hello["host"], self._hello["port"], system_id="smpp34")
        await self._server.start()
        self._task = self._loop.create_task(self._serve())

    async def _serve(self):
        while True:
            event = await self._server.next()
            if event is None:
                return
            if isinstance(event, smpp34.Esme):
                self._binds += 1
                self._esmes[event.session_id] = event
            elif isinstance(event, smpp34.SubmitSmEvent):
                self._submitted(event)

    def _submitted(self, event):
        to = event.destination_addr
        if to.endswith(REJECTED):
            event.reject(smpp34.ESME_RINVDSTADR)
            return
        name = f"m{len(self._messages)}"
        self._messages.append({
            "to": to, "from": event.source_addr, "data_coding": event.data_coding,
            "text": bytes(event.short_message).decode("ascii", "replace"),
            "parts": 1, "receipt": event.registered_delivery & 1,
        })
        event.accept(name)
        if event.registered_delivery & 1:
            self._loop.create_task(self._receipt(event, name))

    async def _receipt(self, event, name):
        await asyncio.sleep(RECEIPT_SECONDS)
        failed = event.destination_addr.endswith(UNDELIVERABLE)
        stat, code = ("UNDELIV", "005") if failed else ("DELIVRD", "000")
        text = f"id:{name} stat:{stat} err:{code}"
        esme = next(e for e in self._esmes.values() if e.can_receive)
        await esme.deliver_sm(
            event.source_addr, text.encode(), source_addr=event.destination_addr, esm_class=4)

    def messages(self):
        """What it was given, in order."""
        return list(self._messages)

    def counts(self):
        """What it has seen so far."""
        return {"binds": self._binds, "submits": len(self._messages)}


def build(hello):
    """The calls of this SMSC."""
    smsc = Smsc(hello)
    return {"listen": smsc.listen, "messages": smsc.messages, "counts": smsc.counts}


answer_calls(build)
