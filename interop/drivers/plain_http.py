"""Lets a client built on `requests`, which insists on https, reach a plain-http loopback port."""

from requests.adapters import HTTPAdapter


class PlainHttp(HTTPAdapter):
    """Sends what is addressed to https over http; nothing else of the request changes."""

    def send(self, request, **options):
        """Sends one prepared request."""
        request.url = request.url.replace("https://", "http://", 1)
        return super().send(request, **options)
