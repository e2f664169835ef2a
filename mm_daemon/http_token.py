"""The token of the HTTP server: what whoever reads the page or the metrics, or commands by the page, has to know."""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping

from mm_daemon.config import Config
from mm_daemon.credentials import load_secret
from mm_daemon.toml_tables import ConfigError

FILE_VARIABLE = "MM_HTTP_TOKEN_FILE"
CREDENTIAL_NAME = "http_token"
SHORTEST, LONGEST = 16, 512


class HttpToken:
    """A shared secret that does not show itself.

    Raises:
        ValueError: too short to withstand guessing, or not something that an HTTP header can carry. The message does
            not repeat it.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        if not SHORTEST <= len(text) <= LONGEST:
            raise ValueError(f"the token must have from {SHORTEST} to {LONGEST} characters")
        if not all("!" <= character <= "~" for character in text):
            raise ValueError("the token must be one word of printable ASCII characters")
        self._text = text

    def matches(self, text: str) -> bool:
        """Whether `text` is the token, in a time that does not tell how much of it is right."""
        return hmac.compare_digest(self._text.encode(), text.encode(errors="replace"))

    def reveal(self) -> str:
        """The token itself, for `register_secret`."""
        return self._text

    def __repr__(self) -> str:
        return "HttpToken(hidden)"


def load_http_token(config: Config, environ: Mapping[str, str] = os.environ) -> HttpToken | None:
    """The token of these settings; None where they have none, and where there is no server.

    Raises:
        ConfigError: the server could be reached from other machines and has no token, or the token cannot be used.
    """
    http = config.http
    if not http.enabled:
        return None
    setting = config.file.parent / http.token_file if http.token_file else None
    text = load_secret("the HTTP token", setting, FILE_VARIABLE, CREDENTIAL_NAME, environ)
    if text is None:
        if http.is_loopback:
            return None
        raise ConfigError(
            config.file,
            "http.host",
            f"{http.host} can be reached from other machines, which takes a token: name its file in http.token_file, "
            f"{FILE_VARIABLE} or systemd's LoadCredential={CREDENTIAL_NAME}",
        )
    try:
        return HttpToken(text)
    except ValueError as error:
        raise ConfigError(setting or "environment", "", str(error)) from None
