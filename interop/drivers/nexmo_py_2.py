"""PyPI `nexmo` 2: form bodies, key and secret as parameters, signatures by all five methods."""

import nexmo
import requests
from plain_http import PlainHttp
from wire import answer_calls


def build(hello):
    """The calls of this client."""
    host = f"{hello['host']}:{hello['port']}"

    def client(auth, method="md5hash"):
        secret = "not-the-secret" if auth == "wrong" else hello["api_secret"]
        if auth in ("signed", "missigned"):
            secret = None
        signing = "not-the-secret" if auth == "missigned" else hello["signature_secret"]
        # This client's name for md5hash is none at all.
        made = nexmo.Client(
            key=hello["api_key"], secret=secret, signature_secret=signing,
            signature_method=None if method == "md5hash" else method,
        )
        # `host()` refuses a port, so the names are set where the client keeps them.
        made._Client__host = made._Client__api_host = host
        made.session = requests.Session()
        made.session.mount(f"https://{host}", PlainHttp())
        return made

    def send(auth, params):
        return client(auth).send_2fa_message(params)

    def send_signed(auth, method, params):
        # The one call that this version signs is the plain SMS; its `post` takes any path.
        made = client(auth, method)
        return made.post(host, "/sc/us/2fa/json", params, supports_signature_auth=True)

    def convert(message_id, delivered):
        client("good").submit_sms_conversion(message_id, delivered)
        return True

    def webhook_is_genuine(method, params):
        return client("signed", method).check_signature(params)

    return {
        "send": send, "send_signed": send_signed, "convert": convert,
        "webhook_is_genuine": webhook_is_genuine,
        "signature_methods": lambda: ["md5hash", "md5", "sha1", "sha256", "sha512"],
    }


answer_calls(build)
