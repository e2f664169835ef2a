"use strict";
// Puts the page together: messages go into the store, and what changed is drawn once a frame.

import { byId, setText } from "./dom.js";
import { Commands } from "./commands.js";
import { Connection } from "./connection.js";
import { Events } from "./events.js";
import { age } from "./format.js";
import { MarketList } from "./markets.js";
import { MarketView } from "./market.js";
import { Overview } from "./overview.js";
import { Store } from "./store.js";

const store = new Store();
const overview = new Overview(store);
const view = new MarketView(store);
const list = new MarketList(store, choose);
const events = new Events(store);
const commands = new Commands();
let chosen = null;

const DRAW = {
  hello: () => {
    overview.showIdentity();
    commands.allow(store.hello.can_command);
  },
  names: () => {
    list.refresh();
    const wanted = store.find(fromAddress()) ?? store.find(chosen) ?? store.markets[0];
    if (wanted) choose(wanted.id);
  },
  overview: () => {
    overview.show();
    overview.showSplit(chosen);
  },
  rows: () => list.refresh(),
  totals: () => overview.showTotals(),
  events: () => events.show(),
  market: () => {
    view.showMarket();
    overview.showSplit(chosen);
  },
  lines: () => view.showLines(),
  fills: () => view.showFills(),
};

const changed = new Set();
let isDrawing = false;

function draw() {
  isDrawing = false;
  // In the order of DRAW: the names come before what is told of them.
  for (const kind of Object.keys(DRAW)) if (changed.has(kind)) DRAW[kind]();
  changed.clear();
  document.body.classList.remove("is-waiting");
}

const connection = new Connection(
  (message) => {
    store.apply(message).forEach((kind) => changed.add(kind));
    if (!isDrawing && store.overview) {
      isDrawing = true;
      requestAnimationFrame(draw);
    }
  },
  (secs, doing) => {
    byId("stale").hidden = !secs;
    document.body.classList.toggle("is-stale", secs > 0);
    // Said once; the seconds are only shown.
    setText(byId("stale-said"), secs ? "No data for more than 5 s: what stands here is old." : "");
    setText(byId("stale-since"), secs ? `Last heard ${age(secs)} ago, ${doing}.` : "");
  },
);

function fromAddress() {
  return location.hash.slice(1) || null; // ids are hexadecimal: nothing in them is escaped
}

function choose(id) {
  const isNew = id !== chosen;
  chosen = id;
  list.choose(id);
  if (isNew) {
    history.replaceState(null, "", `#${id}`);
    connection.watch(id);
    view.turnTo(id);
    overview.showSplit(id);
  }
}

addEventListener("hashchange", () => {
  const wanted = store.find(fromAddress());
  if (wanted) choose(wanted.id);
});

const THEMES = [["", "Auto", "as the system"], ["dark", "Dark", "dark"], ["light", "Light", "light"]];

function showTheme() {
  const [, text, meaning] = THEMES.find(([name]) => name === window.theme.chosen()) ?? THEMES[0];
  setText(byId("theme"), text);
  byId("theme").setAttribute("aria-label", `Colours: ${meaning}`);
}

function nextTheme() {
  const at = THEMES.findIndex(([name]) => name === window.theme.chosen());
  window.theme.choose(THEMES[(at + 1) % THEMES.length][0]);
  showTheme();
}

byId("theme").addEventListener("click", nextTheme);
showTheme();
