"""The stories of the Textmagic door, told once and played by every Textmagic client."""

import re

from suite.server import code_in
from suite.stories import expect

# The recipient and the country of the vendor's own samples, which contradict each other.
SAMPLE = {
    "phone": "447860021130", "brand": "Textmagic", "codeLength": 4, "language": "en-gb",
    "senderId": "Textmagic", "country": "US", "workflowId": "6",
}
SAMPLE_HANDSET = "447860021130"
SECOND_HANDSET = "447700900123"
THIRD_HANDSET = "447700900124"

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def tell_all(stories, who, driver, server):
    """Tells every story that the client has calls for."""
    _tell_reads(stories, who, driver, server)
    _tell_verified(stories, who, driver, server)
    _tell_wrong_fields(stories, who, driver)
    _tell_cancelled(stories, who, driver, server)
    _tell_typed(stories, who, driver, server)


def _is(status, answer):
    """Whether an answer has a status; a client that hides the status hides it only of a success."""
    seen = answer["status"]
    return status < 300 if seen is None else seen == status


def _expect_status(status, answer):
    expect(_is(status, answer), f"the status is {status}", answer)
    if status >= 400:
        expect((answer["body"] or {}).get("message"), "the refusal has a message", answer)


def _tell_reads(stories, who, driver, server):
    with stories.tell(who, "ping answers pong"):
        answer = driver.call("ping")
        expect(answer.get("ping") == "pong", "pong", answer)
        expect(isinstance(answer.get("userId"), int), "userId is an integer", answer)
        expect(answer.get("utcDateTime"), "utcDateTime is set", answer)
    with stories.tell(who, "user tells whose account it is and its balance"):
        answer = driver.call("user")
        expect(answer.get("username") == server.demo["username"], "the username", answer)
        expect(isinstance(answer.get("balance"), (int, float)), "balance is a number", answer)
    if "sources" in driver.can:
        with stories.tell(who, "sources lists the originators by kind"):
            answer = driver.call("sources")
            for kind in ("dedicated", "senderIds"):
                expect(isinstance(answer.get(kind), list), f"{kind} is a list", answer)
    if "senders" in driver.can:
        with stories.tell(who, "senderids is a page"):
            answer = driver.call("senders")
            expect(answer.get("page") == 1, "the page is 1", answer)
            expect(isinstance(answer.get("resources"), list), "resources is a list", answer)
    with stories.tell(who, "a wrong key is answered with 401"):
        _expect_status(401, driver.call("intrude"))


def _start(driver, **fields):
    answer = driver.call("start", fields=fields)
    _expect_status(200, answer)
    verify_id = answer["body"].get("verifyId")
    expect(isinstance(verify_id, str) and verify_id, "verifyId is a string", answer)
    expect(isinstance(answer["body"].get("price"), (int, float)), "price is a number", answer)
    return verify_id


def _tell_verified(stories, who, driver, server):
    verify_id = None
    with stories.tell(who, "the vendor's own sample starts a verification"):
        verify_id = _start(driver, **SAMPLE)
    if verify_id is None:
        return
    with stories.tell(who, "a second start for the number is answered with 409"):
        _expect_status(409, driver.call("start", fields=SAMPLE))
    code = None
    with stories.tell(who, "the code arrives on the handset under the brand's name"):
        text = server.wait_for_text(SAMPLE_HANDSET, lambda each: "Textmagic" in each["text"])
        expect(text, "a text is in the inbox", server.inbox(SAMPLE_HANDSET))
        code = code_in(text["text"], 4)
        expect(code, "the text has one code of 4 digits", text)
    with stories.tell(who, "a cancel before 30 seconds is refused"):
        _expect_status(400, driver.call("cancel", verify_id=verify_id))
    if code is None:
        return
    with stories.tell(who, "a wrong code is answered with 400"):
        wrong = f"{(int(code) + 1111) % 10000:04}"
        _expect_status(400, driver.call("check", verify_id=verify_id, code=wrong))
    with stories.tell(who, "the right code is answered with 204 and no body"):
        answer = driver.call("check", verify_id=verify_id, code=code)
        _expect_status(204, answer)
        expect(not answer["body"], "there is no body", answer)
    with stories.tell(who, "the right code counts once"):
        answer = driver.call("check", verify_id=verify_id, code=code)
        expect(answer["status"] in (400, 404), "the status is 400 or 404", answer)
    with stories.tell(who, "a verified number may be verified again"):
        _start(driver, **SAMPLE)


def _tell_wrong_fields(stories, who, driver):
    with stories.tell(who, "fields that are wrong are named in a 400"):
        fields = {"phone": SECOND_HANDSET, "brand": "x" * 19, "codeLength": 5}
        answer = driver.call("start", fields=fields)
        _expect_status(400, answer)
        named = ((answer["body"] or {}).get("errors") or {}).get("fields") or {}
        for field in ("brand", "codeLength"):
            expect(isinstance(named.get(field), list), f"{field} has a list of texts", answer)
    with stories.tell(who, "a verification that never was is answered with 404"):
        unknown = "123e4567-e89b-12d3-a456-426655440000"
        _expect_status(404, driver.call("cancel", verify_id=unknown))


def _spoken_digits(transcript):
    """The digits that an English transcript speaks, in a row."""
    words = re.findall("[a-z]+", transcript.lower())
    return "".join(str(DIGITS.index(word)) for word in words if word in DIGITS)


def _tell_cancelled(stories, who, driver, server):
    fields = {"phone": f"+{SECOND_HANDSET}", "brand": "Acme Two", "codeLength": 6}
    verify_id = None
    with stories.tell(who, "workflow 1 texts a code of 6 digits"):
        verify_id = _start(driver, **fields, workflowId=1)
        text = server.wait_for_text(SECOND_HANDSET, lambda each: "Acme Two" in each["text"])
        expect(text, "a text is in the inbox", server.inbox(SECOND_HANDSET))
        expect(code_in(text["text"], 6), "the text has one code of 6 digits", text)
    if verify_id is None:
        return
    with stories.tell(who, "workflow 1 calls the number after 60 seconds with the same code"):
        server.advance(60)
        call = server.wait_for_call(SECOND_HANDSET)
        expect(call, "a call is in the inbox", server.inbox(SECOND_HANDSET))
        code = code_in(text["text"], 6)
        spoken = _spoken_digits(call["transcript"])
        expect(code in spoken, "the call speaks the code of the text", [call, text])
    with stories.tell(who, "a cancel after 30 seconds is answered with 204"):
        _expect_status(204, driver.call("cancel", verify_id=verify_id))
    with stories.tell(who, "a cancelled verification neither calls again nor takes its code"):
        server.advance(61)
        calls = server.inbox(SECOND_HANDSET)["calls"]
        expect(len(calls) == 1, "there was one call", calls)
        answer = driver.call("check", verify_id=verify_id, code=code)
        expect(answer["status"] in (400, 404), "the status is 400 or 404", answer)
    with stories.tell(who, "a cancel is possible from 31 seconds on"):
        verify_id = _start(driver, **fields, workflowId="6")
        server.advance(31)
        _expect_status(204, driver.call("cancel", verify_id=verify_id))


def _tell_typed(stories, who, driver, server):
    with stories.tell(who, "the handset's owner types a wrong code, then the right one"):
        fields = {"phone": THIRD_HANDSET, "brand": "Acme Three", "codeLength": 6}
        verify_id = _start(driver, **fields, workflowId=1)
        text = server.wait_for_text(THIRD_HANDSET, lambda each: "Acme Three" in each["text"])
        expect(text, "a text is in the inbox", server.inbox(THIRD_HANDSET))
        code = code_in(text["text"], 6)
        wrong = f"{(int(code) + 111111) % 1000000:06}"
        verdict = server.type_code(THIRD_HANDSET, wrong)
        expect(verdict == {"verdict": "mismatch", "checks_left": 2}, "two checks left", verdict)
        verdict = server.type_code(f"+{THIRD_HANDSET}", code)
        expect(verdict == {"verdict": "match"}, "the code matches", verdict)
        answer = driver.call("check", verify_id=verify_id, code=code)
        expect(answer["status"] in (400, 404), "what was typed counts for the client", answer)
