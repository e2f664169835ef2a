"use strict";
// The book of one market, asks over bids, our own size beside each level.

import { byId, element, setAttribute, setText } from "./dom.js";
import * as format from "./format.js";

const DEPTH = 10;

const sum = (orders) => new Map(orders.map(([price, size]) => [price, size]));

/** The levels of one side, best first, with ours among them also where the book does not show them yet. */
function levels(book, own, isBid) {
  const sizes = sum(book);
  const ours = sum(own);
  const prices = [...new Set([...sizes.keys(), ...ours.keys()])].sort((a, b) => (isBid ? b - a : a - b));
  const near = prices.slice(0, DEPTH);
  // What of ours rests farther out is shown in the place of the farthest.
  const far = prices.slice(DEPTH).filter((price) => ours.has(price));
  if (far.length) near.splice(DEPTH - Math.min(far.length, 3), 3, ...far.slice(0, 3));
  return near.map((price) => ({ price, size: sizes.get(price) ?? 0, own: ours.get(price) ?? 0 }));
}

export class Ladder {
  #body = byId("ladder").tBodies[0];
  #asks = [];
  #bids = [];
  #middle;

  constructor() {
    for (let level = 0; level < DEPTH; level++) this.#asks.unshift(this.#makeRow("ask"));
    const cell = element("td", { colspan: "5" });
    this.#middle = cell;
    this.#body.append(element("tr", { class: "middle" }, cell));
    for (let level = 0; level < DEPTH; level++) this.#bids.push(this.#makeRow("bid"));
  }

  #makeRow(side) {
    const row = element("tr", { class: side }, ...Array.from({ length: 5 }, () => element("td")));
    this.#body.append(row);
    return row;
  }

  /** Show a market's message, or with null an empty book. */
  show(message) {
    const seen = message?.seen;
    const asks = message ? levels(message.asks, message.own_asks, false) : [];
    const bids = message ? levels(message.bids, message.own_bids, true) : [];
    const most = Math.max(1, ...asks.map((level) => level.size), ...bids.map((level) => level.size));
    const tick = seen?.tick ?? 100;
    this.#asks.forEach((row, index) => this.#fill(row, asks[index], false, tick, most));
    this.#bids.forEach((row, index) => this.#fill(row, bids[index], true, tick, most));
    const isTwoSided = seen && seen.bid > 0 && seen.ask < 10000;
    const width = isTwoSided ? ((seen.ask - seen.bid) / 100).toFixed(format.priceDecimals(tick) - 2) : "";
    setText(
      this.#middle,
      isTwoSided ? `mid ${format.mid(seen.twice_mid, tick)} · others ${width} ¢ wide` : seen?.is_book_known ? "one side is empty" : "book unknown",
    );
    const last = message?.last_trade;
    const heard = seen?.book_age_secs;
    setText(
      byId("ladder-note"),
      [last ? `last ${format.price(last, tick)}` : "", heard === null || heard === undefined ? "" : `heard ${format.age(heard)} ago`].filter(Boolean).join(" · "),
    );
  }

  #fill(row, level, isBid, tick, most) {
    const [ourBid, bid, price, ask, ourAsk] = row.cells;
    const [own, size, ...others] = isBid ? [ourBid, bid, ask, ourAsk] : [ourAsk, ask, bid, ourBid];
    others.forEach((cell) => setText(cell, ""));
    setAttribute(row, "data-own", level?.own ? "true" : null);
    setText(price, level ? format.price(level.price, tick) : "");
    setText(size, level?.size ? format.sharesShort(level.size) : "");
    setText(own, level?.own ? format.sharesShort(level.own) : "");
    size.style.setProperty("--depth", `${level ? ((100 * level.size) / most).toFixed(1) : 0}%`);
  }
}
