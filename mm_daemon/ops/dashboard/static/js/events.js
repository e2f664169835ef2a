"use strict";
// The last log events, newest first, as the daemon redacted them.

import { byId, element } from "./dom.js";
import * as format from "./format.js";

const QUIET = new Set(["debug", "info"]);

export class Events {
  #store;

  constructor(store) {
    this.#store = store;
    byId("events-notable").addEventListener("change", () => this.show());
  }

  show() {
    const isNotableOnly = byId("events-notable").checked;
    const shown = this.#store.events.filter(([, level]) => !isNotableOnly || !QUIET.has(level)).toReversed();
    const items = shown.map(([time, level, name, fields]) =>
      element("li", { "data-level": level },
        element("time", { datetime: time }, format.clock(Date.parse(time))),
        element("span", { class: "level" }, level),
        element("span", { class: "event-name" }, format.words(name)),
        element("span", { class: "event-fields" }, Object.entries(fields).map(([key, value]) => `${key} ${format.shortHashes(value)}`).join(" · ")),
      ),
    );
    byId("events").replaceChildren(...(items.length ? items : [element("li", { class: "note" }, "nothing yet")]));
  }
}
