// Messages that are not delivered yet: shown below the conversation until they are part of it.

import { trimmed, UnconfirmedError } from "./client/index.js";

import { make, one } from "./dom.js";
import * as words from "./words.js";

// How long a repetition with the same key is harmless.
const SAFE_MS = 270_000;
const UNCERTAIN = "It may have been delivered, or not.";

function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Pending {
  #list = one("#pending");
  // {key, text, at, epoch, element, hasCome, isFailed, isDraft}, in the order of sending.
  #messages = [];
  #client;
  #changed;
  // Unsent messages of an earlier page go first, once it is known whether a repetition is safe; until then all wait.
  #isHeld;
  // Whether there is a connection that is believed to live.
  #isLinked = false;

  /** `changed()` is called when the memory has to be stored again; `left`: the unsent messages of an earlier page. */
  constructor(client, changed, left = []) {
    this.#client = client;
    this.#changed = changed;
    this.#isHeld = true;
    for (const message of left) this.#add({ ...message, mayHaveCome: true });
  }

  /** The part of the memory that a reload needs. */
  get unsent() {
    return this.#messages.filter(({ isDraft }) => !isDraft).map(({ key, text, at, epoch }) => ({ key, text, at, epoch }));
  }

  /** Send a message. */
  send(text) {
    this.#add({ key: newKey(), text, at: Date.now(), epoch: this.#client.position?.epoch ?? null });
  }

  /** The client has ended while somebody wrote: keep the text in view, never send it. */
  keep(text) {
    const message = this.#add({ text, isDraft: true });
    this.#failed(message, "You had not sent this.");
  }

  /** There is a connection now, or none: say what the messages wait for. */
  linked(isLinked) {
    this.#isLinked = isLinked;
    for (const message of this.#messages) if (!message.isFailed) message.state.textContent = this.#progress;
  }

  get #progress() {
    return this.#isLinked ? "Sending…" : "Waiting for the connection";
  }

  /** Connected: repeat the unsent messages of an earlier page, as long as a repetition is safe. */
  release() {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    for (const message of this.#messages) {
      const isSafe = Date.now() - message.at < SAFE_MS && message.epoch === this.#client.position.epoch;
      if (isSafe || !message.mayHaveCome) this.#deliver(message);
      else this.#failed(message, UNCERTAIN);
    }
  }

  /** A message of this user has arrived: it is in the conversation, and no longer shown as pending. */
  came(text) {
    const message = this.#messages.find((one) => !one.hasCome && !one.isFailed && trimmed(one.text) === text);
    if (message === undefined) return;
    message.hasCome = true;
    message.element.hidden = true;
  }

  #add({ key, text, at, epoch, mayHaveCome = false, isDraft = false }) {
    const state = make("span", { className: "sending", textContent: this.#progress });
    const body = make("div", { className: "body" }, make("p", { className: "text", dir: "auto", textContent: text }), state);
    const element = make("li", { className: "message yours pending" }, body);
    const message = { key, text, at, epoch, mayHaveCome, isDraft, state, element };
    this.#messages.push(message);
    this.#list.append(message.element);
    this.#changed();
    if (!this.#isHeld && !isDraft) this.#deliver(message);
    return message;
  }

  async #deliver(message) {
    try {
      await this.#client.send(message.text, { key: message.key, timeoutMs: Infinity });
      this.#done(message);
    } catch (error) {
      if (message.hasCome) this.#done(message);
      else this.#failed(message, error instanceof UnconfirmedError ? UNCERTAIN : words.undelivered(error));
    }
  }

  #failed(message, problem) {
    message.isFailed = true;
    const again = make("button", { type: "button", className: "quiet", textContent: "Send again" });
    const discard = make("button", { type: "button", className: "quiet", textContent: "Discard" });
    again.addEventListener("click", () => {
      this.#done(message);
      if (!this.#client.hasEnded) this.send(message.text);
    });
    discard.addEventListener("click", () => this.#done(message));
    again.hidden = this.#client.hasEnded;
    message.element.classList.add("failed");
    message.state.replaceChildren(problem, " ", again, " ", discard);
  }

  #done(message) {
    message.element.remove();
    this.#messages = this.#messages.filter((one) => one !== message);
    this.#changed();
  }
}
