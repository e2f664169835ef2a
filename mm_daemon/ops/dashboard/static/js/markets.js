"use strict";
// The list of markets: searched, sorted, and drawn only where it is seen, so that a thousand cost as little as ten.

import { byId, element, setAttribute, setText } from "./dom.js";
import * as format from "./format.js";

const ROW_PX = 40;
const SPARE_ROWS = 6;

const quoting = (market) => (market.ourBid === null ? 0 : 1) + (market.ourAsk === null ? 0 : 1);
const STATES = [["none", "not quoting"], ["one", "quoting one side"], ["both", "quoting both sides"]];

const HEADINGS = [
  ["market", "name", (market) => market.slug],
  ["mid", "", (market) => market.twiceMid ?? -1],
  ["ours", "wide", (market) => quoting(market)],
  ["net", "", (market) => market.net],
  ["P&L", "", (market) => market.pnl],
];

export class MarketList {
  #store;
  #onChoose;
  #scroll = byId("markets-scroll");
  #body = byId("markets").tBodies[0];
  #above = element("tr", { class: "spacer", "aria-hidden": "true" }, element("td"));
  #below = element("tr", { class: "spacer", "aria-hidden": "true" }, element("td"));
  #lines = [];
  #shown = [];
  #chosen = null;
  #column = -1;
  #way = 1;

  constructor(store, onChoose) {
    this.#store = store;
    this.#onChoose = onChoose;
    this.#body.append(this.#above, this.#below);
    this.#makeHeadings();
    byId("markets-search").addEventListener("input", () => this.refresh());
    byId("markets-idle").addEventListener("change", () => this.refresh());
    this.#scroll.addEventListener("scroll", () => this.#draw(), { passive: true });
    this.#scroll.addEventListener("keydown", (event) => this.#step(event));
    new ResizeObserver(() => this.#draw()).observe(this.#scroll);
  }

  /** Mark a market as the one that is looked at. */
  choose(id) {
    this.#chosen = id;
    this.#draw();
  }

  /** Search and sort again, after the markets or their values changed. */
  refresh() {
    const wanted = byId("markets-search").value.trim().toLowerCase();
    const isIdleOnly = byId("markets-idle").checked;
    this.#shown = this.#store.markets.filter(
      (market) => (!wanted || market.text.includes(wanted)) && (!isIdleOnly || quoting(market) < 2),
    );
    if (this.#column >= 0) {
      const key = HEADINGS[this.#column][2];
      this.#shown.sort((a, b) => {
        const [left, right] = [key(a), key(b)];
        return this.#way * (typeof left === "string" ? left.localeCompare(right, "en", { numeric: true }) : left - right);
      });
    }
    const all = this.#store.markets.length;
    setText(byId("markets-count"), this.#shown.length === all ? String(all) : `${this.#shown.length} of ${all}`);
    this.#draw();
  }

  #makeHeadings() {
    const row = byId("markets").tHead.rows[0];
    HEADINGS.forEach(([title, kind], column) => {
      const button = element("button", { type: "button", class: "sort" }, title);
      button.addEventListener("click", () => this.#sortBy(column));
      row.append(element("th", { scope: "col", class: kind || null }, button));
    });
  }

  /** Largest first, then smallest first, then as configured. Names begin with the smallest. */
  #sortBy(column) {
    const first = column === 0 ? 1 : -1;
    if (this.#column !== column) [this.#column, this.#way] = [column, first];
    else if (this.#way === first) this.#way = -first;
    else this.#column = -1;
    [...byId("markets").tHead.rows[0].cells].forEach((cell, index) =>
      setAttribute(cell, "aria-sort", index === this.#column ? (this.#way > 0 ? "ascending" : "descending") : null),
    );
    this.refresh();
  }

  #step(event) {
    const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!way || !this.#shown.length) return;
    event.preventDefault();
    const at = this.#shown.findIndex((market) => market.id === this.#chosen);
    const next = Math.min(Math.max(at + way, 0), this.#shown.length - 1);
    const top = next * ROW_PX;
    const room = this.#scroll.clientHeight - this.#body.parentNode.tHead.offsetHeight - ROW_PX;
    if (top < this.#scroll.scrollTop) this.#scroll.scrollTop = top;
    else if (top > this.#scroll.scrollTop + room) this.#scroll.scrollTop = top - room;
    this.#onChoose(this.#shown[next].id);
  }

  #draw() {
    const first = Math.max(Math.floor(this.#scroll.scrollTop / ROW_PX) - SPARE_ROWS, 0);
    const room = Math.ceil(this.#scroll.clientHeight / ROW_PX) + 2 * SPARE_ROWS;
    const seen = this.#shown.slice(first, first + room);
    while (this.#lines.length > seen.length) this.#lines.pop().row.remove();
    while (this.#lines.length < seen.length) this.#lines.push(this.#makeLine());
    seen.forEach((market, index) => this.#fill(this.#lines[index], market));
    this.#above.firstChild.style.height = `${first * ROW_PX}px`;
    this.#below.firstChild.style.height = `${Math.max(this.#shown.length - first - seen.length, 0) * ROW_PX}px`;
  }

  #makeLine() {
    const mark = element("span", { class: "mark", role: "img" });
    const name = element("button", { type: "button", class: "market-name" });
    const why = element("span", { class: "market-why" });
    const cells = HEADINGS.map(([, kind]) => element("td", { class: kind || null }));
    cells[0].append(mark, name, why);
    const row = element("tr", {}, ...cells);
    const line = { row, mark, name, why, cells, id: null };
    row.addEventListener("click", () => this.#onChoose(line.id));
    this.#body.insertBefore(row, this.#below);
    return line;
  }

  #fill(line, market) {
    const [state, meaning] = STATES[quoting(market)];
    const why = market.held ? `held: ${market.held}` : market.isBookKnown ? market.why : `book unknown · ${market.why}`;
    line.id = market.id;
    setAttribute(line.mark, "data-state", state);
    setAttribute(line.mark, "aria-label", meaning);
    setText(line.name, market.slug);
    setAttribute(line.name, "title", market.question);
    setText(line.why, format.words(why));
    setText(line.cells[1], format.mid(market.twiceMid, market.tick));
    setText(line.cells[2], quoting(market) ? `${format.price(market.ourBid, market.tick)} / ${format.price(market.ourAsk, market.tick)}` : format.NONE);
    setText(line.cells[3], format.position(market.net));
    setText(line.cells[4], format.result(market.pnl));
    line.cells[4].className = format.tone(market.pnl);
    setAttribute(line.row, "aria-current", market.id === this.#chosen ? "true" : null);
  }
}
