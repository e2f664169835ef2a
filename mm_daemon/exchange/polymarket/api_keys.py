"""Getting API credentials from the venue, and what it says of the account they belong to."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from mm_daemon.exchange.errors import Rejected, Unknown
from mm_daemon.exchange.polymarket.auth import ApiCredentials, level_1_headers
from mm_daemon.exchange.polymarket.keys import PrivateKey
from mm_daemon.exchange.polymarket.rest import Rest
from mm_daemon.exchange.polymarket.wire import decoded


class _CredentialsBody(msgspec.Struct, rename="camel"):
    api_key: str
    secret: str
    passphrase: str


class _ClosedOnlyBody(msgspec.Struct):
    closed_only: bool


_CREDENTIALS = msgspec.json.Decoder(_CredentialsBody)
_CLOSED_ONLY = msgspec.json.Decoder(_ClosedOnlyBody)


async def make_or_derive(rest: Rest, key: PrivateKey, chain_id: int, unix_secs: Callable[[], float]) -> ApiCredentials:
    """Make an API key, or derive the one that exists; the same wallet always gets the same.

    Raises:
        VenueError: the venue gave none.
    """
    headers = level_1_headers(key, chain_id, int(unix_secs()))
    try:
        body = rest.checked(await rest.send("POST", "/auth/api-key", headers=headers, private=False))
    except Rejected:  # there is one
        body = await rest.get("/auth/derive-api-key", headers=headers)
    except Unknown as lost:
        try:
            body = await rest.get("/auth/derive-api-key", headers=headers)
        except Rejected as none:  # it was not made after all: that is no refusal, it can be tried again
            raise Unknown(f"{lost}; {none}") from none
    made = decoded(_CREDENTIALS, body, "API credentials")
    return ApiCredentials(made.api_key, made.secret, made.passphrase)


async def is_closed_only(rest: Rest) -> bool:
    """Whether the account may only close positions.

    Raises:
        VenueError: it could not be read.
    """
    body = await rest.get("/auth/ban-status/closed-only", private=True)
    return decoded(_CLOSED_ONLY, body, "a ban status").closed_only
