"use strict";
// Commands to the daemon: each takes a dialogue, the token and a confirmation. The token is kept in this page's memory
// until it is closed, and nowhere else.

import { byId, setText } from "./dom.js";

const COMMANDS = {
  pause: { title: "Pause quoting", does: "Pulls every quote of every market. It stays so, also over a restart, until somebody resumes.", act: "Pause", typed: false },
  resume: { title: "Resume quoting", does: "Lifts every pause and kill, also one that the daily loss caused, and ends flattening.", act: "Resume", typed: false },
  flatten: { title: "Flatten positions", does: "From now on only orders that reduce positions rest, in every market, until somebody resumes.", act: "Flatten", typed: true },
  "cancel-all": { title: "Cancel all orders", does: "Pauses the daemon and cancels every order of the account, also those that are not the daemon's.", act: "Cancel all", typed: true },
};
const NO_TOKEN = "no token configured: the daemon takes no commands from this page";

export class Commands {
  #dialog = byId("confirm");
  #token = "";
  #command = "";
  #isBusy = false;

  constructor() {
    for (const button of byId("commands").querySelectorAll("button")) {
      button.disabled = true;
      button.addEventListener("click", () => this.#ask(button.dataset.command));
    }
    byId("confirm-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    byId("confirm-cancel").addEventListener("click", () => this.#dialog.close());
    byId("confirm-forget").addEventListener("click", () => this.#forget());
    for (const input of ["confirm-token", "confirm-word"]) byId(input).addEventListener("input", () => this.#check());
  }

  /** Whether the daemon takes commands at all. */
  allow(canCommand) {
    for (const button of byId("commands").querySelectorAll("button")) {
      button.disabled = !canCommand;
      button.title = canCommand ? COMMANDS[button.dataset.command].does : NO_TOKEN;
    }
    byId("commands").setAttribute("aria-label", canCommand ? "Commands" : `Commands, ${NO_TOKEN}`);
    byId("commands").dataset.note = canCommand ? "" : "no token configured";
  }

  #ask(name) {
    const command = COMMANDS[name];
    this.#command = name;
    setText(byId("confirm-title"), command.title);
    setText(byId("confirm-text"), command.does);
    setText(byId("confirm-do"), command.act);
    setText(byId("confirm-expected"), name);
    setText(byId("confirm-answer"), "");
    byId("confirm-word").value = byId("confirm-reason").value = byId("confirm-token").value = "";
    byId("confirm-word-label").hidden = !command.typed;
    this.#dialog.dataset.command = name;
    this.#showToken();
    this.#dialog.showModal();
    (this.#token ? byId(command.typed ? "confirm-word" : "confirm-reason") : byId("confirm-token")).focus();
  }

  #forget() {
    this.#token = "";
    this.#showToken();
    byId("confirm-token").focus();
  }

  #showToken() {
    byId("confirm-token-label").hidden = Boolean(this.#token);
    byId("confirm-remembered").hidden = !this.#token;
    this.#check();
  }

  #check() {
    const isTyped = !COMMANDS[this.#command]?.typed || byId("confirm-word").value.trim() === this.#command;
    byId("confirm-do").disabled = this.#isBusy || !isTyped || !(this.#token || byId("confirm-token").value);
  }

  async #send() {
    if (byId("confirm-do").disabled) return;
    const token = this.#token || byId("confirm-token").value.trim();
    this.#isBusy = true;
    this.#check();
    this.#answer("sent, waiting for the daemon", "");
    try {
      const answer = await fetch("/api/command", {
        method: "POST",
        headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
        body: JSON.stringify({ command: this.#command, reason: byId("confirm-reason").value }),
      });
      const reply = await answer.json().catch(() => ({ ok: false, text: `the daemon answered ${answer.status}` }));
      this.#token = answer.status === 401 ? "" : token;
      this.#answer(reply.text, reply.ok ? "good" : "bad");
      byId("confirm-word").value = byId("confirm-token").value = "";
    } catch {
      this.#answer("no answer: the command may have been carried out, look at the state above", "bad");
    } finally {
      this.#isBusy = false;
      this.#showToken();
    }
  }

  #answer(text, tone) {
    setText(byId("confirm-answer"), text);
    byId("confirm-answer").dataset.tone = tone;
  }
}
