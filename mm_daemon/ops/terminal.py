"""The live view in a terminal: book, our quotes, position, fills and profit, read from the desk twice a second.

`plain_line` is the same for where there is no terminal. Nothing here changes anything.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterable

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from mm_daemon.core.desk import Desk, MarketState
from mm_daemon.core.fills import Step
from mm_daemon.core.orders import own_levels
from mm_daemon.core.units import Cash, Outcome, Price, Side, Size, format_price, format_usd, mirror

LEVELS = 5
LADDERS = 3
FILLS = 8

UP, DOWN = "green", "red"


class LogTail(io.StringIO):
    """A text stream that keeps only its last lines, to show logs inside the view."""

    def __init__(self, lines: int) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=lines)

    def write(self, text: str) -> int:
        """Keep whole lines."""
        self.lines.extend(line for line in text.splitlines() if line.strip())
        return len(text)


def shares(size: int) -> str:
    """Shares with up to two decimals, for people."""
    hundredths = round(size / 10_000)
    return f"{hundredths / 100:,.2f}".removesuffix(".00")


def money(cash: Cash) -> Text:
    """Dollars with their sign and colour."""
    return Text(f"{'+' if cash > 0 else ''}{format_usd(cash)}", style=UP if cash > 0 else DOWN if cash < 0 else "dim")


def quoted(state: MarketState, desk: Desk, direction: Side) -> tuple[Price | None, Size]:
    """Our best resting YES price on one side and the size there."""
    levels = own_levels(o for o in desk.orders.working(state.market.condition_id) if o.may_rest)[direction]
    if not levels:
        return None, Size(0)
    best = max(levels) if direction is Side.BUY else min(levels)
    return best, levels[best]


def pnl(state: MarketState) -> Cash:
    """Profit in this market since the start, at the mid."""
    return state.position.pnl(state.twice_mid) if state.twice_mid else Cash(0)


def plain_line(desk: Desk, state: MarketState, secs: float) -> str:
    """One line that says what there is to see of a market."""
    bid, bid_size = quoted(state, desk, Side.BUY)
    ask, ask_size = quoted(state, desk, Side.SELL)
    touch = state.book.touch
    mid = f"{state.twice_mid / 20_000:.4f}" if state.twice_mid else "-"
    return (
        f"{secs:7.1f}s {state.market.slug:<10} book {format_price(touch.bid)}/{format_price(touch.ask)} mid {mid} "
        f"ours {_level(bid, bid_size)} / {_level(ask, ask_size)} "
        f"net {shares(state.position.net)} risk ${format_usd(state.exposure)} "
        f"fills {state.position.fills} (+{shares(state.position.bought)} -{shares(state.position.sold)}) "
        f"pnl ${format_usd(pnl(state))} [{state.why}]"
    )


def _level(price: Price | None, size: Size) -> str:
    return "-" if price is None else f"{shares(size)} @ {format_price(price)}"


def screen(desk: Desk, secs: float, holds: Iterable[str], log_lines: Iterable[str]) -> RenderableType:
    """The whole view."""
    states = list(desk.markets.values())
    ladders = Columns([_ladder(desk, state) for state in states[:LADDERS]], padding=(0, 1))
    return Group(
        _headline(desk, secs, list(holds)),
        ladders,
        _markets(desk, states),
        Columns(
            [
                _fills(desk),
                Panel(
                    Text("\n".join(log_lines) or "quiet", no_wrap=True, overflow="ellipsis"),
                    title="warnings",
                    width=102,
                ),
            ],
            padding=(0, 1),
        ),
    )


def _headline(desk: Desk, secs: float, holds: list[str]) -> Text:
    total = Cash(sum(pnl(state) for state in desk.markets.values()))
    line = Text.assemble(
        ("mm-daemon", "bold"),
        f"  {secs:.0f} s  cash ${format_usd(desk.cash)}  at risk ${format_usd(desk.exposure)} of "
        f"${format_usd(desk.limits.max_total_position)} in the worst case  open orders {desk.open_orders}  pnl $",
        money(total),
    )
    if holds:
        line.append(f"  HELD: {', '.join(holds)}", style="bold yellow")
    return line


def _ladder(desk: Desk, state: MarketState) -> Panel:
    """The book around the touch, our own size beside each level."""
    own_bids, own_asks = own_levels(o for o in desk.orders.working(state.market.condition_id) if o.may_rest)
    table = Table(box=None, padding=(0, 1), show_header=True, header_style="dim")
    for heading in ("ours", "bid size", "price", "ask size", "ours"):
        table.add_column(heading, justify="right")
    asks = [level for level, _ in zip(state.book.asks.best_first(), range(LEVELS), strict=False)]
    for price, size in reversed(asks):
        table.add_row("", "", Text(format_price(price), DOWN), shares(size), _own(own_asks, price))
    for price, size in [level for level, _ in zip(state.book.bids.best_first(), range(LEVELS), strict=False)]:
        table.add_row(_own(own_bids, price), shares(size), Text(format_price(price), UP), "", "")
    return Panel(table, title=state.market.slug, subtitle=state.why[:44], width=50)


def _own(levels: dict[Price, Size], price: Price) -> Text:
    return Text(f"{shares(levels[price])} *" if price in levels else "", "bold cyan")


def _markets(desk: Desk, states: Iterable[MarketState]) -> Table:
    table = Table(header_style="dim", expand=False, padding=(0, 1))
    for heading in ("market", "mid", "our bid", "our ask", "YES", "NO", "net", "worst case", "bought", "sold", "pnl"):
        table.add_column(heading, justify="left" if heading == "market" else "right")
    for state in states:
        position = state.position
        table.add_row(
            state.market.slug,
            f"{state.twice_mid / 20_000:.4f}" if state.twice_mid else "-",
            _level(*quoted(state, desk, Side.BUY)),
            _level(*quoted(state, desk, Side.SELL)),
            shares(position.yes.held),
            shares(position.no.held),
            shares(position.net),
            f"${format_usd(state.exposure)}",
            shares(position.bought),
            shares(position.sold),
            money(pnl(state)),
        )
    return table


def _fills(desk: Desk) -> Panel:
    lines = Text()
    booked = [effect for effect in desk.recent if effect.step in (Step.BOOK, Step.BOOK_SETTLED, Step.REVERSE)]
    for effect in booked[-FILLS:]:
        market = desk.markets[effect.fill.market].market
        is_no = market.outcome(effect.fill.token) is Outcome.NO
        price = mirror(effect.fill.price) if is_no else effect.fill.price
        word = "bid hit" if effect.direction is Side.BUY else "ask lifted"
        lines.append(
            f"{market.slug} {word}{' REVERSED' if effect.step is Step.REVERSE else ''} "
            f"{shares(effect.fill.size)} @ {format_price(price)}\n",
            UP if effect.direction is Side.BUY else DOWN,
        )
    return Panel(lines or Text("none yet"), title="fills", width=50)
