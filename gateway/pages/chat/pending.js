// Messages that are not delivered yet: shown below the conversation until they are part of it.

import { UnconfirmedError } from "/chat/client/index.js";

import { make, one } from "./dom.js";

// How long a repetition with the same key is harmless.
const SAFE_MS = 270_000;
const UNCERTAIN = "It may have been delivered, or not.";

function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Pending {
  #list = one("#pending");
  // {key, text, at, epoch, element, hasCome, isFailed}, in the order of sending.
  #messages = [];
  #client;
  #changed;
  // Unsent messages of an earlier page go first, once it is known whether a repetition is safe; until then all wait.
  #isHeld;

  /** `changed()` is called when the memory has to be stored again; `left`: the unsent messages of an earlier page. */
  constructor(client, changed, left = []) {
    this.#client = client;
    this.#changed = changed;
    this.#isHeld = true;
    for (const message of left) this.#add({ ...message, mayHaveCome: true });
  }

  /** The part of the memory that a reload needs. */
  get unsent() {
    return this.#messages.map(({ key, text, at, epoch }) => ({ key, text, at, epoch }));
  }

  /** Send a message. */
  send(text) {
    this.#add({ key: newKey(), text, at: Date.now(), epoch: this.#client.position?.epoch ?? null });
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
    const message = this.#messages.find((one) => !one.hasCome && !one.isFailed && one.text.trim() === text);
    if (message === undefined) return;
    message.hasCome = true;
    message.element.hidden = true;
  }

  #add({ key, text, at, epoch, mayHaveCome = false }) {
    const state = make("span", { className: "sending", textContent: "Sending…" });
    const body = make("div", { className: "body" }, make("p", { className: "text", dir: "auto", textContent: text }), state);
    const message = { key, text, at, epoch, mayHaveCome, state, element: make("li", { className: "message yours pending" }, body) };
    this.#messages.push(message);
    this.#list.append(message.element);
    this.#changed();
    if (!this.#isHeld) this.#deliver(message);
  }

  async #deliver(message) {
    try {
      await this.#client.send(message.text, { key: message.key, timeoutMs: Infinity });
      this.#done(message);
    } catch (error) {
      if (message.hasCome) this.#done(message);
      else this.#failed(message, error instanceof UnconfirmedError ? UNCERTAIN : "It was not delivered.");
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
