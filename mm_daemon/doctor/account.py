"""Our account at the venue: the key, the wallet that it trades from, what that wallet holds and what it allows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mm_daemon.config import Config
from mm_daemon.core.market import Market
from mm_daemon.core.units import Cash, Outcome, Size, format_size, format_usd
from mm_daemon.doctor.checks import Seen, fail, ok, skip, warn
from mm_daemon.exchange.api import Balance, Complete, Read, Unavailable
from mm_daemon.exchange.errors import AuthError, VenueError
from mm_daemon.exchange.polymarket import approvals, wallets
from mm_daemon.exchange.polymarket.contracts import Contracts
from mm_daemon.exchange.polymarket.throttle import CANCELS_PER_SEC, ORDERS_PER_SEC
from mm_daemon.exchange.polymarket.venue import PolymarketVenue
from mm_daemon.ops.logs import register_secret

HOLDINGS_READ = 20
"""Markets whose tokens are looked up: two reads each, under the venue's limit of reads."""
APPROVE = "allow it: setup_trading_approvals() of the venue's client polymarket-client, or a first trade on the website"


async def look_at_credentials(venue: PolymarketVenue) -> Seen:
    """Whether the venue takes our key. Makes an API key if there is none, which is all that is ever changed here."""
    try:
        credentials = await venue.connect()
    except AuthError as error:
        return fail(
            f"the venue does not accept our key: {error}",
            "check the private key and this machine's clock: both are in the signature",
        )
    except VenueError as error:
        return fail(f"no API key: {error}", "try again; if it stays, the venue may be down or the account closed")
    register_secret(credentials.secret)
    register_secret(credentials.passphrase)
    return ok(f"the venue accepts our key {venue.account}")


async def look_at_status(venue: PolymarketVenue) -> Seen:
    """Whether the account may open positions."""
    if await venue.is_closed_only():
        return fail("closed-only: the account may not open positions", "ask the venue why; it may be the region")
    return ok("may open positions")


def judge_wallet(account: str, wallet: str, signature_type: int, chain_id: int) -> Seen:
    """Whether the wallet that shall trade belongs to the key, under the signature type of the settings."""
    kind = wallets.TYPE_NAMES[signature_type]
    if chain_id != wallets.CHAIN_ID:
        return skip(f"whose wallet {wallet} is can be told for chain {wallets.CHAIN_ID} only")
    found = wallets.signature_type_of(account, wallet)
    if found == signature_type:
        return ok(f"type {signature_type}, {kind}, and it follows from the key")
    if found is not None:
        return fail(
            f"{wallet} is {wallets.TYPE_NAMES[found]} of key {account}, and not {kind}",
            f"signature_type = {found} under [wallet]",
        )
    own = ", ".join(dict.fromkeys(address for group in wallets.wallets_of(account).values() for address in group))
    if signature_type == 0:
        return fail(f"{wallet} is not the key's own address, {account}", "leave funder out, or name the wallet's type")
    return warn(
        f"{wallet} does not follow from key {account}, whose wallets are {own}",
        "check funder and the key; only a wallet whose owner was changed later looks like this",
    )


async def look_at_balances(venue: PolymarketVenue, signature_type: int, markets: Sequence[Market]) -> list[Seen]:
    """What there is to trade with: pUSD, and tokens of the markets."""
    held, unread = await _holdings(venue, markets[:HOLDINGS_READ])
    match await _collateral(venue):
        case Complete(balance):
            if balance.amount:
                first = ok(f"{format_usd(Cash(balance.amount))} dollars", "pUSD")
            elif held:
                first = warn("none: only what is held can be sold", f"deposit pUSD to {venue.wallet}", "pUSD")
            else:
                first = await _nothing_found(venue, signature_type)
        case Unavailable(reason):
            first = fail(f"could not be read: {reason}", "try again; the venue may be down", "pUSD")
    return [first, *held, *unread]


async def _collateral(venue: PolymarketVenue) -> Read[Balance]:
    """Our pUSD. For a new wallet the venue says nothing until it was asked to look at the chain once."""
    read = await venue.collateral()
    if isinstance(read, Complete) and not (read.value.amount and read.value.allowance != 0):
        try:
            await venue.refresh_collateral()
        except VenueError as error:
            return Unavailable(str(error))
        return await venue.collateral()
    return read


async def _nothing_found(venue: PolymarketVenue, signature_type: int) -> Seen:
    """Where the money may be instead: under another signature type of the same key."""
    for other in range(len(wallets.TYPE_NAMES)):
        if other == signature_type:
            continue
        match await venue.collateral_of_type(other):
            case Complete(balance) if balance.amount:
                where = ", ".join(wallets.wallets_of(venue.account)[other])
                return fail(
                    f"none in {venue.wallet}; {format_usd(Cash(balance.amount))} dollars are in "
                    f"{wallets.TYPE_NAMES[other]} of the same key",
                    f"under [wallet]: signature_type = {other}, funder = {where}",
                    "pUSD",
                )
    return fail("none, and no tokens of the markets", f"deposit pUSD to {venue.wallet} on Polygon", "pUSD")


async def _holdings(venue: PolymarketVenue, markets: Iterable[Market]) -> tuple[list[Seen], list[Seen]]:
    """(what is held, what could not be read)."""
    held: list[Seen] = []
    unread: list[Seen] = []
    for market in markets:
        texts: list[str] = []
        for outcome in Outcome:
            match await venue.holding(market.token(outcome)):
                case Complete(balance) if balance.amount:
                    texts.append(f"{format_size(Size(balance.amount))} {outcome.name}")
                case Unavailable(reason):
                    unread.append(warn(f"holding could not be read: {reason}", "try again", market.slug))
        if texts:
            held.append(ok(f"{' and '.join(texts)} held", market.slug))
    return held, unread


async def look_at_allowances(
    venue: PolymarketVenue, config: Config, contracts: Contracts, markets: Sequence[Market]
) -> list[Seen]:
    """What each contract of the venue may move: by the data API, and by what the exchange itself counts with."""
    spenders = needed_spenders(contracts, markets)
    lines = [await _counted(venue, config.wallet.signature_type, spenders)]
    if config.venue.chain_id != approvals.CHAIN_ID:
        return [*lines, skip(f"approvals are known for chain {approvals.CHAIN_ID} only", "all others")]
    match await venue.approvals(config.venue.data_url):
        case Complete(found):
            wanted = approvals.permissions(
                contracts.normal.address, contracts.neg_risk.address, contracts.positions.address
            )
            return [*lines, *(judge_approval(one, found, spenders) for one in wanted)]
        case Unavailable(reason):
            return [*lines, warn(f"could not be read: {reason}", "look at them on the website", "all others")]


def needed_spenders(contracts: Contracts, markets: Sequence[Market]) -> frozenset[str]:
    """The contracts that settle orders in these markets; the two usual ones where no market is known."""
    spenders = {contracts.for_token(token, market.neg_risk).address for market in markets for token in market.tokens}
    return frozenset(spenders or {contracts.normal.address, contracts.neg_risk.address})


async def _counted(venue: PolymarketVenue, signature_type: int, spenders: Iterable[str]) -> Seen:
    """The least allowance that the exchange counts with, over the contracts that our markets need."""
    subject = "pUSD, as the exchange counts it"
    match await venue.collateral_of_type(signature_type, spenders):
        case Complete(Balance(amount=amount, allowance=allowance)):
            if allowance is None:
                return warn("the exchange names none", "the first order tells", subject)
            if not allowance:
                return fail("none: every bid would be refused", APPROVE, subject)
            if allowance < amount:
                text = f"{format_usd(Cash(allowance))} of {format_usd(Cash(amount))} dollars"
                return warn(f"{text}: the rest cannot be traded with", APPROVE, subject)
            return ok("covers the balance", subject)
        case Unavailable(reason):
            return fail(f"could not be read: {reason}", "try again; the venue may be down", subject)


def judge_approval(wanted: approvals.Permission, found: Mapping[tuple[str, str], int], needed: frozenset[str]) -> Seen:
    """One contract's permission to move one kind of token."""
    amount = found.get((wanted.token.lower(), wanted.spender.lower()))
    use = "settles orders of our markets" if wanted.spender in needed else "not used by our markets' orders"
    if amount:
        return ok(f"approved; {use}", wanted.title)
    state = "not listed by the data API" if amount is None else "not approved"
    remedy = f"{APPROVE} ({wanted.spender})"
    if wanted.spender in needed and amount is not None:
        what = "bids" if wanted.token == approvals.PUSD else "sales of what we hold"
        return fail(f"{state}: {what} would be refused", remedy, wanted.title)
    if wanted.spender in needed:
        return warn(state, remedy, wanted.title)
    return warn(f"{state}; {use}", remedy, wanted.title)


async def look_at_tier(venue: PolymarketVenue) -> Seen:
    """The rate limit that the venue grants us; ours is below the lowest in any case."""
    ours = f"we keep to {ORDERS_PER_SEC:g} orders and {CANCELS_PER_SEC:g} cancels a second"
    match await venue.rate_limit_tier():
        case Complete(tier):
            return ok(f"{tier}; {ours}")
        case Unavailable(reason):
            return warn(f"could not be read: {reason}; {ours}", "nothing: that is below every tier")


async def look_at_orders(venue: PolymarketVenue, at_start: str) -> Seen:
    """What rests already."""
    match await venue.open_orders():
        case Complete(reports):
            if not reports:
                return ok("none rest")
            return warn(
                f"{len(reports)} rest on this key",
                f"fine if a daemon runs; the next start does as [risk].orders_at_start says: {at_start}",
            )
        case Unavailable(reason):
            return fail(f"could not be read: {reason}", "try again; the venue may be down")
