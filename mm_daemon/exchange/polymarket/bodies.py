"""Bodies of the exchange's REST answers: pages, batch verdicts, cancels, balances.

Everything is optional here and judged afterwards, because one strict field would lose the verdicts of a whole batch.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence

import msgspec

from mm_daemon.core.units import OrderId
from mm_daemon.exchange.api import Accepted, AnswerLost, Balance, CancelOutcome, Placement, Refused
from mm_daemon.exchange.errors import ProtocolError, RejectReason
from mm_daemon.exchange.polymarket.errors_map import is_ambiguous, reject_reason
from mm_daemon.exchange.polymarket.user_frames import order_id
from mm_daemon.exchange.polymarket.wire import UNREADABLE, decoded, text_of, whole_of

FIRST_CURSOR = base64.b64encode(b"0").decode()
LAST_CURSOR = base64.b64encode(b"-1").decode()

_NONE = msgspec.Raw(b"null")
_TEXT_KEPT = 300
_RESTING = "live"
_MATCHING = frozenset({"matched", "delayed", "unmatched"})


class Page(msgspec.Struct):
    """One page of a list; the elements are still undecoded."""

    data: list[msgspec.Raw]
    next_cursor: str


class VerdictBody(msgspec.Struct):
    """What the venue says of one order of a batch."""

    success: bool | None = None
    errorMsg: str | None = None
    error: str | None = None
    orderID: str | None = None
    status: str | None = None


class CancelBody(msgspec.Struct):
    """What became of cancels; both maps have to be read."""

    canceled: list[str] | None = None
    not_canceled: dict[str, object] | None = None


class BalanceBody(msgspec.Struct):
    """Balance and allowances in base units."""

    balance: msgspec.Raw
    allowances: dict[str, msgspec.Raw] | None = None
    allowance: msgspec.Raw = _NONE


_PAGE = msgspec.json.Decoder(Page)
_BATCH = msgspec.json.Decoder(list[msgspec.Raw])
_VERDICT = msgspec.json.Decoder(VerdictBody)
_CANCEL = msgspec.json.Decoder(CancelBody)
_BALANCE = msgspec.json.Decoder(BalanceBody)


def read_page(body: bytes) -> Page:
    """One page.

    Raises:
        ProtocolError: not a page, or one that does not say whether more follow.
    """
    return decoded(_PAGE, body, "a page")


def verdicts(body: bytes, ids: Sequence[OrderId]) -> list[Placement]:
    """The verdict of each order of a batch, in the order of `ids`.

    An element counts for the order that it names, else for the one at its place. An order without a readable verdict
    may rest: AnswerLost.
    """
    elements = _elements(body)
    named = {order_id(e.orderID): e for e in elements if e is not None and e.orderID}
    placements: list[Placement] = []
    for place, id in enumerate(ids):
        element = named.get(id)
        if element is None and len(elements) == len(ids):
            element = elements[place]
        placements.append(_placement(element, id))
    return placements


def _elements(body: bytes) -> list[VerdictBody | None]:
    try:
        raws = _BATCH.decode(body) if body.lstrip()[:1] == b"[" else [msgspec.Raw(body)]
    except UNREADABLE:
        return []
    elements: list[VerdictBody | None] = []
    for raw in raws:
        try:
            elements.append(_VERDICT.decode(raw))
        except UNREADABLE:
            elements.append(None)
    return elements


def _placement(element: VerdictBody | None, id: OrderId) -> Placement:
    if element is None:
        return AnswerLost(id, "no readable verdict")
    error = (element.errorMsg or element.error or "")[:_TEXT_KEPT]
    status = (element.status or "").lower()
    if element.orderID and order_id(element.orderID) != id:
        return AnswerLost(id, f"the verdict is for another order, {element.orderID[:80]}")
    if error:
        return _refusal(element, id, error)
    if element.success is not False and element.orderID and status == _RESTING:
        return Accepted(id)
    if element.success is not False and element.orderID and status in _MATCHING:
        return Accepted(id, may_match=True)
    return AnswerLost(id, f"verdict without error: success {element.success}, status {status[:40]!r}")


def _refusal(element: VerdictBody, id: OrderId, error: str) -> Placement:
    """An element with an error: a refusal, unless the same element or its words say that the order may exist."""
    reason = reject_reason(error)
    if reason is RejectReason.DUPLICATE or is_ambiguous(error) or (element.success and element.orderID):
        return AnswerLost(id, error)
    return Refused(id, reason, error)


def refused_all(ids: Iterable[OrderId], reason: RejectReason, text: str) -> list[Placement]:
    """The verdicts after the venue refused a whole batch; "duplicated" means that an order of it may rest."""
    if reason is RejectReason.DUPLICATE:
        return [AnswerLost(id, text) for id in ids]
    return [Refused(id, reason, text) for id in ids]


def cancel_outcomes(body: bytes) -> dict[OrderId, CancelOutcome]:
    """What became of the orders that the venue names.

    Raises:
        ProtocolError: not an answer to a cancel.
    """
    answer = decoded(_CANCEL, body, "an answer to a cancel")
    if answer.canceled is None and answer.not_canceled is None:
        raise ProtocolError("an answer to a cancel without canceled and not_canceled")
    outcomes = {order_id(id): CancelOutcome.NOT_CANCELLED for id in answer.not_canceled or ()}
    outcomes |= {order_id(id): CancelOutcome.CANCELLED for id in answer.canceled or ()}
    return outcomes


def read_balance(body: bytes, spenders: Iterable[str]) -> Balance:
    """A balance in base units with the least allowance over `spenders`, None where none of them is named.

    Raises:
        ProtocolError: not a balance.
    """
    answer = decoded(_BALANCE, body, "a balance")
    try:
        allowances = {spender.lower(): whole_of(raw) for spender, raw in (answer.allowances or {}).items()}
        found = [allowances[spender.lower()] for spender in spenders if spender.lower() in allowances]
        if not allowances and text_of(answer.allowance):
            found = [whole_of(answer.allowance)]
        return Balance(whole_of(answer.balance), min(found, default=None))
    except ValueError as error:
        raise ProtocolError(f"not a balance: {error}") from error
