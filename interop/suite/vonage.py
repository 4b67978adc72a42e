"""The stories of the 2FA door, told once and played by every Vonage client."""

import re

from suite.stories import expect

PIN = "4815"
US_HANDSET = "12015550123"

# The workflow that does nothing but call.
VOICE = 7

# How often the receiver fails before it takes a receipt.
FAILURES = 2


def handset(number):
    """One of a hundred American handsets; a story that sends has its own, as users have."""
    return f"120155501{number:02}"


def params(pin=PIN, to=US_HANDSET, **more):
    """The fields of one 2FA request."""
    return {"to": to, "pin": pin, **more}


def only_message(answer):
    """The one message of an answer, in the shape that every client reads."""
    expect(isinstance(answer, dict), "the client hands out an object", answer)
    expect(answer.get("message-count") == "1", "message-count is the string 1", answer)
    expect(len(answer.get("messages", [])) == 1, "there is one message", answer)
    return answer["messages"][0]


def tell_all(stories, who, driver, server, receiver, method):
    """Tells every story that the client has calls for."""
    server.set_account(dlr_url=receiver.url, dlr_method=method, dlr_signed=False)
    sent = _tell_sending(stories, who, driver, server)
    if sent:
        _tell_receipt(stories, who, sent, server, receiver, method)
        _tell_conversions(stories, who, sent, driver, server)
    _tell_refusals(stories, who, driver)
    _tell_callback(stories, who, driver, receiver)
    _tell_repeats(stories, who, driver, server, receiver)
    if "send_json" in driver.can:
        with stories.tell(who, "a JSON body is understood as a form is"):
            answer = driver.call("send_json", auth="good", params=params(1234, handset(31)))
            expect(only_message(answer)["status"] == "0", "the request is accepted", answer)
    if "send_json_then_form" in driver.can:
        with stories.tell(who, "a form under the label of JSON is understood"):
            first, second = params(to=handset(32)), params(to=handset(33))
            answers = driver.call("send_json_then_form", first=first, second=second)
            for answer in answers:
                expect(only_message(answer)["status"] == "0", "the request is accepted", answers)
    server.set_account(dlr_signed=True)
    for index, signature in enumerate(driver.call("signature_methods")):
        server.set_signature_method(signature)
        if "send_signed" in driver.can:
            _tell_signatures(stories, who, driver, signature, index)
        if sent and "convert_signed" in driver.can:
            _tell_signed_conversion(stories, who, sent, driver, server, signature, index)
        _tell_signed_receipt(stories, who, driver, receiver, signature, index)


def _tell_sending(stories, who, driver, server):
    sent = None
    with stories.tell(who, "a 2FA request is accepted"):
        asked = params(**{"client-ref": f"ref of {who}"})
        answer = driver.call("send", auth="good", params=asked)
        message = only_message(answer)
        expect(message.get("status") == "0", "the status is the string 0", answer)
        expect(message.get("to") == US_HANDSET, "to is echoed", answer)
        expect(message.get("client-ref") == f"ref of {who}", "client-ref is echoed", answer)
        for field in ("message-id", "remaining-balance", "message-price", "network"):
            expect(isinstance(message.get(field), str), f"{field} is a string", answer)
        expect("error-text" not in message, "a success carries no error text", answer)
        sent = message
    if sent:
        with stories.tell(who, "the PIN arrives on the handset"):
            text = server.wait_for_text(US_HANDSET, lambda each: PIN in each["text"])
            expect(text, "a text with the PIN is in the inbox", server.inbox(US_HANDSET))
    return sent


def _tell_receipt(stories, who, sent, server, receiver, method):
    with stories.tell(who, f"the receipt comes by {method} and matches the request"):
        seen = receiver.wait_for(sent["message-id"])
        expect(seen, "a delivered receipt comes", receiver.requests)
        got = seen["params"]
        text = server.wait_for_text(US_HANDSET, lambda each: PIN in each["text"])
        expect(got.get("msisdn") == US_HANDSET, "msisdn is the request's to", seen)
        expect(got.get("to") == text["from"], "to is who the text was from", [seen, text])
        expect(got.get("client-ref") == f"ref of {who}", "client-ref is the request's", seen)
        expect(got.get("network-code"), "network-code is set", seen)
        expect(got.get("err-code") == "0", "err-code is 0", seen)
        expect(re.fullmatch(r"\d{10}", got.get("scts", "")), "scts is YYMMDDHHMM", seen)
        expect(re.fullmatch(r"\d+\.\d{8}", got.get("price", "")), "price has 8 decimals", seen)
        expect(got.get("api-key") == server.demo["api_key"], "api-key is the account's", seen)
        expect(got.get("message-timestamp"), "message-timestamp is set", seen)
        expect("sig" not in got, "an unsigned receipt has no signature", seen)
        _expect_method(seen, method)


def _expect_method(seen, method):
    if method == "get":
        expect(seen["method"] == "GET" and not seen["body"], "a GET without a body", seen)
        return
    expect(seen["method"] == "POST" and not seen["query"], "a POST without a query", seen)
    wanted = "json" if method == "post-json" else "x-www-form-urlencoded"
    expect(wanted in seen["content_type"], f"the content type is {wanted}", seen)
    values = seen["params"].values()
    expect(all(isinstance(value, str) for value in values), "every value is a string", seen)


def _tell_refusals(stories, who, driver):
    refusals = [
        ("a wrong secret", "4", "wrong", params()),
        ("a request without a PIN", "2", "good", {"to": US_HANDSET, "pin": ""}),
        ("a PIN of letters", "3", "good", params(pin="abcd")),
        ("a recipient of letters", "3", "good", params(to="nobody")),
    ]
    for story, status, auth, asked in refusals:
        with stories.tell(who, f"{story} is answered with status {status}"):
            answer = driver.call("send", auth=auth, params=asked)
            message = only_message(answer)
            expect(message.get("status") == status, f"the status is {status}", answer)
            expect(message.get("error-text"), "the error has a text", answer)


def _tell_callback(stories, who, driver, receiver):
    with stories.tell(who, "a callback in the request gets the receipt"):
        asked = params(to=handset(34), callback=f"{receiver.url}/own")
        answer = driver.call("send", auth="good", params=asked)
        message = only_message(answer)
        expect(message["status"] == "0", "the request is accepted", answer)
        seen = receiver.wait_for(message["message-id"], "/receipts/own")
        expect(seen, "a delivered receipt comes to the callback", receiver.requests)


def _tell_conversions(stories, who, sent, driver, server):
    if "convert" in driver.can:
        with stories.tell(who, "a conversion of the message is accepted and kept"):
            message_id = sent["message-id"]
            accepted = driver.call("convert", message_id=message_id, delivered=True)
            expect(accepted is True, "the conversion is accepted", accepted)
            kept = server.converted("messages", message_id)
            expect(kept is True, "the message is converted", kept)
    if "convert_voice" in driver.can:
        with stories.tell(who, "a conversion of a call is accepted and kept"):
            number = handset(37)
            verify_id = server.start_verification(phone=number, brand="Acme", workflow=VOICE)
            expect(server.wait_for_call(number), "the handset is called", server.inbox(number))
            for delivered in (False, True):
                accepted = driver.call("convert_voice", message_id=verify_id, delivered=delivered)
                expect(accepted is True, "the conversion is accepted", accepted)
                kept = server.converted("verifications", verify_id)
                expect(kept is delivered, f"the call is converted: {delivered}", kept)


def _tell_repeats(stories, who, driver, server, receiver):
    with stories.tell(who, "a receipt is repeated until the receiver answers 200, and no more"):
        receiver.fail("/receipts/flaky", FAILURES)
        asked = params(to=handset(38), callback=f"{receiver.url}/flaky")
        message_id = only_message(driver.call("send", auth="good", params=asked))["message-id"]
        for count in range(1, FAILURES + 2):
            seen = receiver.wait_for(message_id, "/receipts/flaky", count)
            expect(seen, f"the receipt comes for time {count}", receiver.requests)
            wanted = 500 if count <= FAILURES else 200
            expect(seen["answered"] == wanted, f"it was answered {wanted}", seen)
            # Later than the longest wait before the next time, on the sandbox clock.
            server.advance(60)
        server.advance(3600)
        every = receiver.delivered(message_id, "/receipts/flaky")
        expect(len(every) == FAILURES + 1, "it does not come again", every)
        # That one field is the time of the push, not of the delivery.
        told = [{**each["params"], "message-timestamp": ""} for each in every]
        expect(all(each == told[0] for each in told), "it tells the same every time", every)


def _tell_signatures(stories, who, driver, signature, index):
    with stories.tell(who, f"a request signed by {signature} is accepted without the secret"):
        asked = params(to=handset(40 + index), **{"client-ref": "a signed one"})
        answer = driver.call("send_signed", auth="signed", method=signature, params=asked)
        expect(only_message(answer)["status"] == "0", "the request is accepted", answer)
    with stories.tell(who, f"a wrong signature by {signature} is answered with status 14"):
        answer = driver.call("send_signed", auth="missigned", method=signature, params=params())
        expect(only_message(answer)["status"] == "14", "the status is 14", answer)
    with stories.tell(who, f"another method's signature than {signature} is answered with 14"):
        other = "sha1" if signature != "sha1" else "sha256"
        answer = driver.call("send_signed", auth="signed", method=other, params=params())
        expect(only_message(answer)["status"] == "14", "the status is 14", answer)


def _tell_signed_conversion(stories, who, sent, driver, server, signature, index):
    with stories.tell(who, f"a conversion signed by {signature} is accepted and kept"):
        # Every second one takes back what the one before said, so each must be kept.
        delivered = index % 2 == 1
        message_id = sent["message-id"]
        accepted = driver.call(
            "convert_signed", method=signature, message_id=message_id, delivered=delivered)
        expect(accepted is True, "the conversion is accepted", accepted)
        kept = server.converted("messages", message_id)
        expect(kept is delivered, f"the message is converted: {delivered}", kept)


def _tell_signed_receipt(stories, who, driver, receiver, signature, index):
    with stories.tell(who, f"a receipt signed by {signature} is genuine, and a changed one not"):
        asked = params(to=handset(50 + index), **{"client-ref": "a=1&b=2 é"})
        answer = driver.call("send", auth="good", params=asked)
        seen = receiver.wait_for(only_message(answer)["message-id"])
        expect(seen, "a delivered receipt comes", receiver.requests)
        got = seen["params"]
        for field in ("timestamp", "nonce", "sig"):
            expect(got.get(field), f"{field} is set", seen)
        expect(got.get("client-ref") == "a=1&b=2 é", "client-ref is unchanged", seen)
        genuine = driver.call("webhook_is_genuine", method=signature, params=got)
        expect(genuine is True, "the client accepts the signature", seen)
        changed = {**got, "status": "failed"}
        genuine = driver.call("webhook_is_genuine", method=signature, params=changed)
        expect(genuine is False, "the client refuses a changed receipt", changed)
