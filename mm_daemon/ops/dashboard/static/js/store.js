"use strict";
// What the page knows: the last of every kind of message, put together. It draws nothing.

const COLUMNS = [
  "status", "tick", "isBookKnown", "bid", "ask", "twiceMid", "ourBid", "ourAsk", "net", "atRisk", "exposure",
  "openOrders", "pnl", "fills", "why", "held",
];
const SAMPLES = 450;

/** Add a sample's values to lines, and forget the oldest beyond what the daemon keeps itself. */
function extend(lines, sample) {
  const at = sample.times[0];
  if (at === undefined || !lines || at <= (lines.times.at(-1) ?? 0)) return false;
  for (const name of Object.keys(sample)) {
    lines[name].push(sample[name][0]);
    if (lines[name].length > SAMPLES) lines[name].shift();
  }
  return true;
}

export class Store {
  hello = null;
  overview = null;
  markets = []; // { id, slug, question, endSecs, text, ...COLUMNS }
  totals = null;
  events = [];
  market = null;
  lines = null;
  fills = null;
  #byId = new Map();

  /** Take a message in; returns the kinds of things that changed. */
  apply(message) {
    switch (message.type) {
      case "hello":
        this.hello = message;
        return ["hello"];
      case "names":
        this.#takeNames(message.markets);
        return ["names"];
      case "totals":
        this.totals = { times: message.times, pnl: message.pnl, exposure: message.exposure };
        return ["totals"];
      case "overview":
        return this.#takeOverview(message);
      case "events":
        this.events = message.events;
        return ["events"];
      case "lines":
        this.lines = { id: message.id, times: message.times, mids: message.mids, bids: message.bids, asks: message.asks, nets: message.nets };
        return ["lines"];
      case "market": {
        this.market = message;
        const isLonger = this.lines?.id === message.id && extend(this.lines, message.sample);
        return isLonger ? ["market", "lines"] : ["market"];
      }
      case "fills":
        this.fills = message;
        return ["fills"];
      default:
        return []; // a newer daemon's word for a newer page
    }
  }

  /** The market with this id, or undefined. */
  find(id) {
    return this.#byId.get(id);
  }

  #takeNames(markets) {
    this.markets = markets.map(([id, slug, question, endSecs]) => ({
      id, slug, question, endSecs, text: `${slug} ${question}`.toLowerCase(),
      status: "open", tick: 100, isBookKnown: false, bid: 0, ask: 10000, twiceMid: null, ourBid: null, ourAsk: null,
      net: 0, atRisk: 0, exposure: 0, openOrders: 0, pnl: 0, fills: 0, why: "", held: null,
    }));
    this.#byId = new Map(this.markets.map((market) => [market.id, market]));
  }

  #takeOverview(message) {
    this.overview = message;
    for (const [index, ...values] of message.rows) {
      const market = this.markets[index];
      if (market) COLUMNS.forEach((name, number) => { market[name] = values[number]; });
    }
    const changed = ["overview"];
    if (message.rows.length) changed.push("rows");
    if (extend(this.totals, message.sample)) changed.push("totals");
    return changed;
  }
}
