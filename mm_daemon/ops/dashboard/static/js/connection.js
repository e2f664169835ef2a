"use strict";
// The websocket to the daemon: opened again with growing patience, and honest about how old its last word is.

const STALE_MS = 5000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15000;
const OPEN_MS = 8000;

export class Connection {
  #heard = performance.now();
  #failures = 0;
  #socket = null;
  #watched = null;
  #timer = 0;
  #onMessage;
  #onStale;

  /** onMessage is given each message, onStale how many seconds there was none (0: all is well) and what is done about it. */
  constructor(onMessage, onStale) {
    this.#onMessage = onMessage;
    this.#onStale = onStale;
    setInterval(() => this.#look(), 500);
    addEventListener("online", () => this.#reopen());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.#reopen();
    });
    this.#open();
  }

  /** Ask for a market's ladder, orders and fills; null for none. */
  watch(id) {
    this.#watched = id;
    this.#ask();
  }

  #ask() {
    if (this.#watched !== null && this.#socket?.readyState === WebSocket.OPEN) {
      this.#socket.send(JSON.stringify({ watch: this.#watched }));
    }
  }

  #open() {
    clearTimeout(this.#timer);
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/live`);
    this.#socket = socket;
    const patience = setTimeout(() => socket.close(), OPEN_MS);
    socket.onopen = () => {
      clearTimeout(patience);
      this.#ask();
    };
    socket.onmessage = (event) => {
      this.#heard = performance.now();
      this.#failures = 0;
      this.#onStale(0, "");
      this.#onMessage(JSON.parse(event.data));
    };
    socket.onclose = () => {
      clearTimeout(patience);
      if (socket === this.#socket) this.#wait();
    };
  }

  #wait() {
    this.#socket = null;
    const pause = Math.min(FIRST_PAUSE_MS * 2 ** this.#failures, LONGEST_PAUSE_MS) * (0.75 + Math.random() / 2);
    this.#failures += 1;
    if (this.#failures > 1) this.#loginIfAsked();
    this.#timer = setTimeout(() => this.#open(), pause);
  }

  /** A browser does not tell why a websocket was refused: a session that ran out shows itself on any other address. */
  async #loginIfAsked() {
    try {
      const answer = await fetch("/static/dashboard.css", { cache: "no-store" });
      if (answer.status === 401) location.assign("/login");
    } catch {
      // The daemon is not there: the banner says so already, and the next try is set.
    }
  }

  #reopen() {
    if (this.#socket === null) {
      this.#failures = 0;
      this.#open();
    }
  }

  #look() {
    const silent = performance.now() - this.#heard;
    if (silent < STALE_MS) return;
    this.#onStale(Math.floor(silent / 1000), this.#socket?.readyState === WebSocket.OPEN ? "connected, but silent" : "connecting again");
    if (silent > 3 * STALE_MS && this.#socket?.readyState === WebSocket.OPEN) this.#socket.close();
  }
}
