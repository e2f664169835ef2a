"use strict";
// Everything about the market that is looked at: why it is quoted as it is, charts, book, position, orders and fills.

import { byId, element, meter, setAttribute, setHeadings, setRows, setText } from "./dom.js";
import * as format from "./format.js";
import { netChart, netData, priceChart, priceData } from "./charts.js";
import { Ladder } from "./ladder.js";

const ORDER_COLUMNS = [["side", "name"], ["price", ""], ["shares", ""], ["state", ""], ["age", ""]];
const NO_LINES = { times: [], mids: [], bids: [], asks: [], nets: [] };

export class MarketView {
  #store;
  #ladder = new Ladder();
  #prices;
  #nets;
  #risk = meter("At risk against the limit");
  #worst = meter("Worst case against the limit");
  #facts = {};
  #id = null;
  #isAsked = false;

  constructor(store) {
    this.#store = store;
    this.#prices = priceChart(
      () => store.find(this.#id)?.tick ?? 100,
      () => (store.fills?.id === this.#id ? store.fills.fills ?? [] : []),
    );
    this.#nets = netChart();
    setHeadings(byId("orders"), ORDER_COLUMNS);
    this.#makePosition();
  }

  /** Turn to a market. */
  turnTo(id) {
    this.#id = id;
    this.showMarket();
    this.showLines();
    this.showFills();
  }

  #makePosition() {
    const fact = (name, title, ...more) => {
      const value = element("dd");
      this.#facts[name] = value;
      return [element("dt", {}, title), value, ...more];
    };
    byId("position").append(
      element("dl", { class: "facts" },
        ...fact("net", "net"),
        ...fact("held", "held"),
        ...fact("settling", "not settled"),
        ...fact("risk", "at risk", element("dd", { class: "bar" }, this.#risk.node)),
        ...fact("worst", "worst case", element("dd", { class: "bar" }, this.#worst.node)),
        ...fact("rules", "market"),
        ...fact("ends", "ends"),
      ),
    );
  }

  showMarket() {
    const market = this.#store.find(this.#id);
    const message = this.#store.market?.id === this.#id ? this.#store.market : null;
    setText(byId("market-title"), market?.slug ?? "No market");
    setText(byId("market-question"), market?.question ?? "");
    this.#ladder.show(message);
    const seen = message?.seen;
    const isQuoted = Boolean(seen && (seen.our_bid !== null || seen.our_ask !== null));
    const why = !seen ? "" : seen.held ? `held: ${seen.held}` : format.words(seen.why);
    const doing = isQuoted ? "quoting" : message?.is_wanted && !seen.held ? "placing quotes" : "not quoting";
    setText(byId("market-why"), seen ? `${doing} · ${why}` : "");
    setAttribute(byId("market-why"), "data-tone", !seen ? null : isQuoted ? "good" : doing === "not quoting" ? "warn" : null);
    this.#showPosition(seen, message, market);
    this.#showOrders(message, seen?.tick ?? 100);
  }

  #showPosition(seen, message, market) {
    const facts = this.#facts;
    if (!seen) {
      Object.values(facts).forEach((fact) => setText(fact, format.NONE));
      this.#risk.set(0, 1, "");
      this.#worst.set(0, 1, "");
      return;
    }
    const way = seen.net > 0 ? "long YES" : seen.net < 0 ? "long NO" : "flat";
    setText(facts.net, seen.net ? `${format.position(seen.net)} · ${way}` : way);
    const unsettled = [seen.yes - message.settled[0], seen.no - message.settled[1]].map((size) => Math.max(size, 0));
    setText(facts.held, `${format.shares(seen.yes)} YES, ${format.shares(seen.no)} NO`);
    const settling = unsettled.map((size, outcome) => (size ? `${format.shares(size)} ${["YES", "NO"][outcome]}` : "")).filter(Boolean);
    setText(facts.settling, settling.join(", ") || "none");
    const limit = format.dollars(seen.max_position);
    for (const [name, bar, value] of [["risk", this.#risk, seen.at_risk], ["worst", this.#worst, seen.exposure]]) {
      const text = `${format.dollars(value)} of ${limit}`;
      setText(facts[name], text);
      bar.set(value, seen.max_position, text);
    }
    setText(facts.rules, `${format.words(seen.status)}, tick ${format.price(seen.tick, seen.tick)}`);
    setText(facts.ends, format.date(market?.endSecs));
  }

  #showOrders(message, tick) {
    const orders = message?.orders ?? [];
    setText(byId("orders-note"), message && !orders.length ? "none rest" : "");
    const rows = orders
      .toSorted((a, b) => b[2] - a[2])
      .map(([direction, outcome, price, size, state, age]) => ({
        cells: [
          [`${direction === "BUY" ? "bid" : "ask"}${outcome === "NO" ? " by NO" : ""}`, direction === "BUY" ? "name bid" : "name ask"],
          [format.price(price, tick), ""],
          [format.sharesShort(size), ""],
          [state.toLowerCase(), ""],
          [format.age(age), ""],
        ],
      }));
    setRows(byId("orders").tBodies[0], rows, ORDER_COLUMNS.length);
  }

  showLines() {
    const lines = this.#store.lines?.id === this.#id ? this.#store.lines : NO_LINES;
    this.#prices.show(priceData(lines));
    this.#nets.show(netData(lines));
  }

  showFills() {
    const message = this.#store.fills?.id === this.#id ? this.#store.fills : null;
    const horizons = this.#store.hello?.horizons ?? [];
    const columns = [["time", "name"], ["side", "name"], ["price", ""], ["shares", ""], ["spread", ""], ...horizons.map((secs) => [`after ${secs} s`, "wide"]), ["state", "wide"]];
    if (!this.#isAsked || byId("fills").tHead.rows[0].cells.length !== columns.length) {
      setHeadings(byId("fills"), columns);
      this.#isAsked = true;
    }
    const fills = message?.fills ?? [];
    setText(byId("fills-note"), message?.unread ?? (message && !fills.length ? "none yet" : fills.length ? "newest first; what the mid did since, in dollars" : ""));
    const tick = this.#store.find(this.#id)?.tick ?? 100;
    const rows = fills.map(([time, direction, outcome, price, size, isMaker, state, spread, markouts]) => ({
      tone: state === "failed" ? "void" : null,
      cells: [
        [format.clock(time), "name"],
        [`${direction}${outcome === "NO" ? " by NO" : ""}${isMaker ? "" : ", taker"}`, `name ${direction}`],
        [format.price(price, tick), ""],
        [format.sharesShort(size), ""],
        [format.smallResult(spread), format.tone(spread)],
        ...markouts.map((value) => [format.smallResult(value), `wide ${format.tone(value)}`.trim()]),
        [state, "wide note"],
      ],
    }));
    setRows(byId("fills").tBodies[0], rows, columns.length);
    this.#prices.redraw();
  }
}
