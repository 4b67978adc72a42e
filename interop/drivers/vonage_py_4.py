"""PyPI `vonage` 4: Basic credentials, and a JSON content type that sticks to later form bodies."""

from plain_http import PlainHttp
from vonage import Auth, HttpClientOptions, Vonage
from wire import answer_calls


def build(hello):
    """The calls of this client."""
    host = f"{hello['host']}:{hello['port']}"

    def client(auth):
        secret = "not-the-secret" if auth == "wrong" else hello["api_secret"]
        made = Vonage(
            Auth(api_key=hello["api_key"], api_secret=secret),
            HttpClientOptions(api_host=host, rest_host=host),
        )
        made.http_client._session.mount(f"https://{host}", PlainHttp())
        return made

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

    return {"send": send, "convert": convert, "send_json_then_form": send_json_then_form}


answer_calls(build)
