"""What can go wrong between us and a venue.

    VenueError
    ├── Rejected        the venue said no; `reason` says why in our words
    ├── Throttled       too many requests; `retry_after_secs`
    ├── Restricted      the venue takes less than usual: `mode`, `retry_after_secs`
    ├── Unreachable     no connection could be made
    ├── Unknown         the request may or may not have happened
    ├── AuthError       our key, signature or address is not accepted
    └── ProtocolError   an answer that we cannot read

`Throttled`, `Restricted`, `Rejected`, `Unreachable` and `AuthError` mean that nothing happened. `Unknown` and, on a
request that changes something, `ProtocolError` mean that it may have: look it up, never send a new one.
"""

from __future__ import annotations

from enum import Enum


class VenueError(Exception):
    """Any failure of a request to the venue."""


class RejectReason(Enum):
    """Why the venue refused, folded from its many wordings; `fatal` ones will not go away by trying again."""

    POST_ONLY_CROSSED = "post_only_crossed"
    NOT_ENOUGH_BALANCE = "not_enough_balance"
    OFF_TICK = "off_tick"
    TOO_SMALL = "too_small"
    DUPLICATE = "duplicate"
    MARKET_NOT_READY = "market_not_ready"
    NO_BOOK = "no_book"
    DELAYED = "delayed"
    BAD_PAYLOAD = "bad_payload"
    BAD_SIGNATURE = "bad_signature"
    VERSION_MISMATCH = "version_mismatch"
    WRONG_OWNER = "wrong_owner"
    WRONG_SIGNER = "wrong_signer"
    WRONG_WALLET_TYPE = "wrong_wallet_type"
    BANNED = "banned"
    CLOSED_ONLY = "closed_only"
    NOT_FOUND = "not_found"
    OTHER = "other"

    @property
    def is_fatal(self) -> bool:
        """Whether every later order would meet the same answer, so that the daemon has to stop."""
        return self in _FATAL


_FATAL = frozenset(
    {
        RejectReason.BAD_PAYLOAD,
        RejectReason.BAD_SIGNATURE,
        RejectReason.VERSION_MISMATCH,
        RejectReason.WRONG_OWNER,
        RejectReason.WRONG_SIGNER,
        RejectReason.WRONG_WALLET_TYPE,
        RejectReason.BANNED,
        RejectReason.CLOSED_ONLY,
    }
)


class Rejected(VenueError):
    """The venue read the request and said no. Nothing happened."""

    def __init__(self, reason: RejectReason, text: str, status: int = 400) -> None:
        super().__init__(f"{reason.value}: {text}")
        self.reason = reason
        self.text = text
        self.status = status


class Throttled(VenueError):
    """Too many requests (HTTP 429). Nothing happened; try again after `retry_after_secs`."""

    def __init__(self, retry_after_secs: float) -> None:
        super().__init__(f"rate limited, retry after {retry_after_secs:g} s")
        self.retry_after_secs = retry_after_secs


class Mode(Enum):
    """What the venue takes while it is restricted."""

    RESTARTING = "restarting"
    CANCEL_ONLY = "cancel_only"
    POST_ONLY = "post_only"
    DISABLED = "disabled"
    REGION = "region"


class Restricted(VenueError):
    """The venue takes less than usual (HTTP 425, 503, or 403 for our region). Nothing happened."""

    def __init__(self, mode: Mode, retry_after_secs: float, text: str = "") -> None:
        super().__init__(f"venue is {mode.value}, retry after {retry_after_secs:g} s: {text}".rstrip(": "))
        self.mode = mode
        self.retry_after_secs = retry_after_secs


class Unreachable(VenueError):
    """No connection could be made (refused, no such host, connect timeout). Nothing was sent, so nothing happened."""


class Unknown(VenueError):
    """No readable verdict: timeout, reset, or a server error. The request may have happened."""


class AuthError(VenueError):
    """The venue does not accept our key, signature or address (HTTP 401). Nothing happened."""


class ProtocolError(VenueError):
    """The answer is not what the venue's protocol promises."""
