"use strict";
// The daemon as a whole: what state it is in, today's figures against the limits, latency, feeds, venue.

import { byId, element, meter, setAttribute, setHeadings, setRows, setText } from "./dom.js";
import * as format from "./format.js";
import { dayChart, dayData } from "./charts.js";

const TILES = [
  ["pnl", "P&L today"], ["loss", "Loss against the limit", true], ["risk", "Worst case at risk", true], ["equity", "Equity"],
  ["orders", "Open orders"], ["fills", "Fills today"], ["quote", "Frame to order"], ["ack", "Order to ack"],
];
const SPLIT = [
  ["spread", "spread captured"], ["markout", ""], ["realised", "realised"], ["unrealised", "change of unrealised"],
  ["fees", "fees"], ["rebates", "rebates"], ["rewards", "rewards"], ["total", "total"],
];

/** The daemon's state in a few words, worst first: [tone, text, what a person should know]. */
export function stateOf(overview, markets) {
  const seen = overview.seen;
  if (seen.is_stopping) return ["warn", "stopping", "The daemon is stopping: it cancels everything and verifies it."];
  if (seen.halts.length) return ["bad", "halted", `Halted: ${seen.halts.join("; ")}. Nothing is quoted until a person resumes.`];
  if (!seen.is_started) return ["quiet", "starting", ""];
  if (seen.holds.length) return ["warn", "held", `Held: ${seen.holds.join("; ")}. Quotes of all markets are pulled until this ends by itself.`];
  if (overview.not_ready.length) return ["warn", "not ready", `Not ready: ${overview.not_ready.join("; ")}.`];
  if (seen.ledger_problem) return ["bad", "ledger", `The ledger cannot be written: ${seen.ledger_problem}.`];
  if (seen.is_flattening) return ["warn", "flattening", "Only orders that reduce positions rest, until a person resumes."];
  const quoted = markets.filter((market) => market.ourBid !== null || market.ourAsk !== null).length;
  return ["good", `quoting ${quoted} of ${markets.length} market${markets.length === 1 ? "" : "s"}`, ""];
}

export class Overview {
  #store;
  #tiles = {};
  #chart = dayChart();
  #venue = new Map();

  constructor(store) {
    this.#store = store;
    byId("tiles").append(...TILES.map((tile) => this.#makeTile(...tile)));
    setHeadings(byId("latency"), [["", "name"], ["median", ""], ["99 %", ""], ["n", ""]]);
    setHeadings(byId("feeds"), [["", "name"], ["state", "name"], ["silent", ""], ["frames", ""], ["opened", ""]]);
    setHeadings(byId("split"), [["", "name"], ["this market", ""], ["all", ""]]);
  }

  #makeTile(name, title, hasMeter = false) {
    const tile = { value: element("dd", { class: "value" }), note: element("dd", { class: "note" }), meter: hasMeter ? meter(title) : null };
    this.#tiles[name] = tile;
    return element("dl", { class: "tile", id: `tile-${name}` }, element("dt", {}, title), tile.value, ...(tile.meter ? [element("dd", { class: "bar" }, tile.meter.node)] : []), tile.note);
  }

  #tell(name, value, note, tone = null) {
    const tile = this.#tiles[name];
    setText(tile.value, value);
    setText(tile.note, note);
    setAttribute(tile.value, "data-tone", tone);
  }

  showIdentity() {
    const hello = this.#store.hello;
    const mode = byId("mode");
    mode.hidden = false;
    setText(mode, hello.mode);
    setAttribute(mode, "data-mode", hello.mode);
    document.title = `mm-daemon ${hello.mode}`;
  }

  show() {
    const { overview, hello, markets } = this.#store;
    const seen = overview.seen;
    const [tone, text, notice] = stateOf(overview, markets);
    setText(byId("state-text"), text);
    setAttribute(byId("state"), "data-tone", tone);
    setText(byId("notice"), notice);
    setAttribute(byId("notice"), "data-tone", tone);
    byId("notice").hidden = !notice;
    setText(byId("identity"), `${hello.strategy} · ${format.shortAddress(hello.wallet)} · up ${format.age(seen.uptime_secs)} · ${hello.version}`);
    setAttribute(byId("identity"), "title", hello.wallet);
    this.#showTiles(seen, overview.latencies);
    this.#showLatencies(overview.latencies);
    this.#showFeeds(seen);
    this.#showVenue(seen);
  }

  #showTiles(seen, latencies) {
    const today = seen.today;
    this.#tell("pnl", format.result(today.total), `realised ${format.result(today.realised)}`, format.tone(today.total) || null);
    this.#tell("loss", format.dollars(seen.day_loss), `of ${format.dollars(seen.max_daily_loss)}, worst ${format.result(seen.worst)}`);
    this.#tiles.loss.meter.set(seen.day_loss, seen.max_daily_loss, `${format.dollars(seen.day_loss)} of ${format.dollars(seen.max_daily_loss)}`);
    this.#tell("risk", format.dollars(seen.exposure), `of ${format.dollars(seen.max_total_position)}`);
    this.#tiles.risk.meter.set(seen.exposure, seen.max_total_position, `${format.dollars(seen.exposure)} of ${format.dollars(seen.max_total_position)}`);
    this.#tell("equity", format.dollars(seen.equity), `cash ${format.dollars(seen.cash)}`);
    const doubts = [seen.undecided ? `${seen.undecided} undecided` : "", seen.pending_fills ? `${seen.pending_fills} fills settling` : ""].filter(Boolean).join(", ");
    this.#tell("orders", format.count(seen.open_orders), doubts || `of at most ${format.count(seen.max_open_orders)}`, seen.undecided ? "warn" : null);
    this.#tell("fills", format.count(today.fills), `volume ${format.dollars(today.volume)}`);
    for (const [tile, name] of [["quote", "frame_to_order"], ["ack", "order_to_ack"]]) {
      this.#tell(tile, format.nanoseconds(latencies[name].p50), `99 %: ${format.nanoseconds(latencies[name].p99)}`);
    }
  }

  #showLatencies(latencies) {
    const rows = Object.entries(latencies).map(([name, times]) => ({
      cells: [[format.words(name), "name"], [format.nanoseconds(times.p50), ""], [format.nanoseconds(times.p99), ""], [format.count(times.count), "note"]],
    }));
    setRows(byId("latency").tBodies[0], rows, 4);
  }

  #showFeeds(seen) {
    const sockets = seen.sockets.map((socket) => ({
      tone: socket.is_open ? null : "bad",
      cells: [
        [`${format.words(socket.name)} feed`, "name"], [socket.is_open ? "open" : "down", "name"],
        [format.age(socket.silent_secs), ""], [format.count(socket.frames), ""], [format.count(socket.connections), ""],
      ],
    }));
    const tasks = seen.tasks.map((task) => {
      const isStuck = task.age_secs > task.stuck_after_secs;
      return {
        tone: isStuck ? "bad" : null,
        cells: [[`${format.words(task.name)} task`, "name"], [isStuck ? "stuck" : "turns", "name"], [format.age(task.age_secs), ""], ["", ""], ["", ""]],
      };
    });
    setRows(byId("feeds").tBodies[0], [...sockets, ...tasks], 5);
  }

  #showVenue(seen) {
    const total = (counts) => Object.values(counts).reduce((sum, value) => sum + value, 0);
    const list = (counts) => Object.entries(counts).map(([name, value]) => `${format.words(name)} ${format.count(value)}`).join(", ");
    const counts = seen.counts;
    const posted = counts.orders_posted ?? 0;
    const facts = [
      ["orders sent", `${format.count(posted)} posts, ${format.count(counts.cancels_sent ?? 0)} cancels`],
      ["refused", list(seen.refusals) || "none"],
      ["requests", format.count(total(seen.requests))],
      ["failed requests", list(seen.request_errors) || "none"],
      ["heartbeat", `${format.age(seen.heartbeat_secs)} ago`],
      ["reconciled", seen.reconciled_secs === null ? "not yet" : `${format.age(seen.reconciled_secs)} ago, ${format.count(counts.reconciler_repairs ?? 0)} repairs`],
      ["books audited", `${format.count((counts.audit_hashes_equal ?? 0) + (counts.audit_touches_equal ?? 0))} equal, ${format.count(counts.audit_contradictions ?? 0)} not`],
      ["ledger", seen.ledger_problem ?? `${format.count(counts.ledger_rows_written ?? 0)} rows`],
    ];
    for (const [title, text] of facts) {
      if (!this.#venue.has(title)) {
        const value = element("dd");
        byId("venue").append(element("dt", {}, title), value);
        this.#venue.set(title, value);
      }
      setText(this.#venue.get(title), text);
    }
  }

  showTotals() {
    if (this.#store.totals) this.#chart.show(dayData(this.#store.totals));
  }

  /** The split of today's profit, of the market that is looked at and of all. */
  showSplit(id) {
    const { overview, hello, market } = this.#store;
    const parts = [market?.id === id ? market?.seen.today : null, overview?.seen.today];
    const cost = (value) => (value ? -value : value);
    const read = (name, index) => (today) => {
      if (!today) return null;
      return name === "markout" ? today.markouts[index] : name === "fees" ? cost(today.fees) : today[name];
    };
    const rows = SPLIT.flatMap(([name, title]) =>
      name === "markout" ? (hello?.horizons ?? []).map((secs, index) => [name, `mid after ${secs} s`, index]) : [[name, title, 0]],
    ).map(([name, title, index]) => ({
      tone: name === "total" ? "total" : null,
      cells: [[title, "name"], ...parts.map(read(name, index)).map((value) => [format.result(value), format.tone(value)])],
    }));
    setRows(byId("split").tBodies[0], rows, 3);
  }
}
