"""PyPI `vonage` 4: Basic or HMAC, and a JSON content type that sticks to later form bodies."""

from plain_http import PlainHttp
from vonage import Auth, HttpClientOptions, Vonage
from wire import answer_calls


def build(hello):
    """The calls of this client."""
    host = f"{hello['host']}:{hello['port']}"

    def mounted(auth):
        made = Vonage(auth, HttpClientOptions(api_host=host, rest_host=host))
        made.http_client._session.mount(f"https://{host}", PlainHttp())
        return made

    def client(auth):
        secret = "not-the-secret" if auth == "wrong" else hello["api_secret"]
        return mounted(Auth(api_key=hello["api_key"], api_secret=secret))

    def signing(auth, method):
        secret = "not-the-secret" if auth == "missigned" else hello["signature_secret"]
        return mounted(Auth(
            api_key=hello["api_key"], signature_secret=secret, signature_method=method,
        ))

    # One client for all good calls: what it remembers between calls is part of the test.
    kept = client("good")

    def send(auth, params, shape="form"):
        made = kept if auth == "good" else client(auth)
        http = made.http_client
        return http.post(http.rest_host, "/sc/us/2fa/json", params, "basic", shape)

    def convert(message_id, delivered):
        kept.sms.submit_sms_conversion(message_id, delivered)
        return True

    def send_json_then_form(first, second):
        return [send("good", first, "json"), send("good", second, "form")]

    def send_signed(auth, method, params):
        http = signing(auth, method).http_client
        return http.post(http.rest_host, "/sc/us/2fa/json", params, "signature", "form")

    def convert_signed(method, message_id, delivered):
        # The time of the conversion, in words, is the time of the signature as well.
        signing("signed", method).sms.submit_sms_conversion(message_id, delivered)
        return True

    def webhook_is_genuine(method, params):
        return signing("signed", method).http_client.auth.check_signature(params)

    return {
        "send": send, "send_signed": send_signed, "convert": convert,
        "convert_signed": convert_signed, "send_json_then_form": send_json_then_form,
        "webhook_is_genuine": webhook_is_genuine,
        "signature_methods": lambda: ["md5", "sha1", "sha256", "sha512"],
    }


answer_calls(build)
