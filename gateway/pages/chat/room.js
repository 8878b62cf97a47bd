// The room: joins one client to the conversation, the roster, the composer and the state of the connection.

import { Client, ReplacedError, Rest, SessionClosedError } from "/chat/client/index.js";

import { Composer } from "./composer.js";
import { ask, copy, make, one, show } from "./dom.js";
import * as memory from "./memory.js";
import { Pending } from "./pending.js";
import { Roster } from "./roster.js";
import { Status } from "./status.js";
import { Transcript } from "./transcript.js";
import * as words from "./words.js";

const PAGE = 50;
const TYPING_MS = 4000;
const THINKING_MS = 15_000;
const LOOK_AGAIN_MS = 1500;
const REASONS = { left: "left", lost: "lost the connection and left", removed: "was removed by the host" };
const stored = (message) => ({ ...message, kind: "message" });

export class Room {
  #sessionId;
  #client;
  #rest = new Rest(location.origin);
  #memory;
  #status = new Status();
  #transcript;
  #roster;
  #pending;
  #composer;
  #known;
  #hasBeenHere = false;
  // Name → when to stop showing it.
  #typing = new Map();
  #thinkingUntil = 0;
  #typingTimer = null;

  /** `known`: the memory of a reload, or null; then `name` and `password` are those of the join. */
  constructor(sessionId, { name, password, known = null }) {
    this.#sessionId = sessionId;
    this.#known = known;
    const who = known === null ? { name, password: password || undefined } : { token: known.token, resume: known.position };
    this.#client = new Client(location.origin, sessionId, { ...who, wantsBatches: true });
    this.#client.addEventListener("event", ({ detail }) => this.#happened(detail));
  }

  /** Join; rejects with the reason when the join fails. The page shows the room from then on. */
  async enter() {
    this.#status.connecting();
    await this.#client.connect({ timeoutMs: this.#known === null ? 20_000 : Infinity });
  }

  /** Show the stored messages before the connection of a reload is open. */
  show() {
    if (this.#transcript !== undefined) return;
    this.#transcript = new Transcript((before) => this.#older(before));
    this.#memory = new memory.Memory(this.#sessionId, () => ({
      token: this.#client.welcome?.token ?? this.#known?.token,
      position: this.#client.position,
      tail: this.#transcript.tail,
      pending: this.#pending.unsent,
      title: one("#room h1").textContent,
      you: this.#client.welcome?.you ?? this.#known?.you,
    }));
    this.#pending = new Pending(this.#client, () => this.#memory.changed(), this.#known?.pending);
    this.#composer = new Composer(
      (text) => {
        this.#transcript.toEnd();
        this.#pending.send(text);
        this.#transcript.toEnd();
      },
      () => this.#client.typing(),
    );
    const token = memory.hostToken(this.#sessionId);
    this.#roster = new Roster(token === null ? null : (user) => this.#remove(user, token));
    this.#buttons(token);
    if (this.#known !== null) {
      this.#titled(this.#known.title);
      this.#transcript.yourId = this.#known.you?.id ?? null;
      this.#transcript.fill(this.#known.tail);
    }
    show("room", one("#text"));
  }

  #titled(title) {
    one("#room h1").textContent = title;
    document.title = `${title} · Séance`;
  }

  #buttons(token) {
    const share = one("#share");
    const people = one("#people");
    const roster = one("#roster");
    share.addEventListener("click", async () => {
      const words = one("span", share);
      try {
        await copy(location.href);
        words.textContent = "Copied";
      } catch {
        words.textContent = "Copy it from the address bar";
      }
      setTimeout(() => (words.textContent = "Copy link"), 2000);
    });
    const open = (isOpen) => {
      roster.classList.toggle("open", isOpen);
      people.setAttribute("aria-expanded", String(isOpen));
    };
    people.addEventListener("click", () => open(!roster.classList.contains("open")));
    one("#room").addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !roster.classList.contains("open")) return;
      open(false);
      people.focus();
    });
    one("#leave").addEventListener("click", async () => {
      this.#memory.end();
      await this.#client.leave();
      location.assign("/chat");
    });
    one("#close").addEventListener("click", () => this.#close(token));
  }

  // Events of the client.

  #happened(event) {
    switch (event.type) {
      case "connected":
        this.#connected(event.welcome);
        break;
      case "recovered":
        this.#status.back(event.missed === 0 ? "Connected again, nothing was missed" : "Connected again, caught up");
        break;
      case "not_recovered":
        this.#status.back("Connected again");
        this.#catchUp(event.previous.seq, event.current.seq);
        break;
      case "gap":
        this.#catchUp(event.first - 1, event.last);
        break;
      case "disconnected":
        this.#typing.clear();
        this.#thinkingUntil = 0;
        this.#drawTyping();
        if (event.willRetry && this.#transcript) this.#status.lost(words.lost(event.code), event.retryMs);
        break;
      case "ended":
        this.#ended(event.error);
        return;
      case "message_received":
        this.#said(event);
        break;
      case "user_joined":
        this.#roster.joined(event);
        this.#noted(event, "joined");
        break;
      case "user_left":
        this.#roster.left(event);
        this.#typing.delete(event.user.name);
        this.#noted(event, REASONS[event.reason] ?? "left");
        break;
      case "presence_changed":
        this.#roster.counted(event.userCount);
        break;
      case "user_typing":
        this.#typing.set(event.user.name, performance.now() + TYPING_MS);
        this.#drawTyping();
        break;
      case "spirit_thinking":
        this.#thinkingUntil = performance.now() + THINKING_MS;
        this.#drawTyping();
        break;
    }
    this.#memory?.changed();
  }

  #connected(welcome) {
    this.show();
    this.#titled(welcome.session.name);
    this.#transcript.yourId = welcome.you.id;
    this.#roster.welcomed(welcome);
    this.#status.connected();
    this.#pending.release();
    if (this.#hasBeenHere) return;
    this.#hasBeenHere = true;
    if (this.#known === null) this.#readBack(welcome.seq);
  }

  #said(event) {
    const { type: _, ts: __, ...message } = event;
    if (event.userId === this.#client.welcome.you.id) this.#pending.came(event.text);
    this.#typing.delete(event.userName);
    if (event.isSpirit) this.#thinkingUntil = 0;
    this.#drawTyping();
    this.#transcript.add(stored(message));
  }

  #noted({ seq, ts, user }, words) {
    this.#transcript.add({ kind: "notice", seq, timestamp: ts, name: user.name, words });
  }

  #ended(error) {
    if (this.#transcript === undefined || error === null) return;
    this.#status.over();
    this.#composer.disable();
    // Mark the waiting messages as not delivered.
    this.#pending.release();
    // A user who has joined in another tab may want to come back to this tab.
    if (error instanceof ReplacedError) this.#memory.save();
    else this.#memory.end();
    const over = one("#over");
    over.hidden = false;
    one("p", over).textContent = words.ended(error);
    const textContent = error instanceof ReplacedError ? "Use it here" : "Join again";
    const again = make("button", { type: "button", className: "primary", textContent });
    again.addEventListener("click", () => location.reload());
    const another = make("a", { href: "/chat", className: "button", textContent: "Start another session" });
    const isFinal = error instanceof SessionClosedError;
    one(".actions", over).replaceChildren(...(isFinal ? [] : [again]), another);
    one("button, a", over).focus();
  }

  // History.

  async #older(before) {
    const page = await this.#rest.history(this.#sessionId, { before, limit: PAGE });
    return { items: page.items.map(stored), nextBefore: page.nextBefore };
  }

  /** Load the messages before the join. The last ones may not be in Postgres yet, so a second request follows. */
  async #readBack(seq) {
    try {
      const { items, nextBefore } = await this.#older(seq + 1);
      this.#transcript.fill(items);
      if (nextBefore === null) this.#transcript.began();
      const last = items.at(-1)?.seq ?? 0;
      if (last < seq - 1) setTimeout(() => this.#catchUp(last, seq), LOOK_AGAIN_MS);
    } catch {
      this.#transcript.failed();
    }
    this.#memory.changed();
  }

  /** Fetch the messages after one seq up to another, which the gateway could not deliver. */
  async #catchUp(after, upTo) {
    try {
      for (let from = after; from !== null && from < upTo; ) {
        const page = await this.#rest.history(this.#sessionId, { after: from, limit: 200 });
        this.#transcript.fill(page.items.filter(({ seq }) => seq <= upTo).map(stored));
        from = page.nextAfter;
      }
    } catch {
      const timestamp = new Date().toISOString();
      this.#transcript.add({ kind: "notice", seq: upTo + 0.5, timestamp, name: null, words: "Some messages can't be fetched right now." });
    }
    this.#memory.changed();
  }

  // Who is typing or thinking.

  #drawTyping() {
    clearTimeout(this.#typingTimer);
    const now = performance.now();
    for (const [name, until] of this.#typing) if (until <= now) this.#typing.delete(name);
    const isThinking = this.#thinkingUntil > now;
    const line = one("#typing");
    const texts = [words.typing([...this.#typing.keys()]), isThinking ? "The spirit is thinking" : ""].filter(Boolean);
    line.classList.toggle("busy", texts.length > 0);
    line.classList.toggle("spirit", isThinking);
    line.textContent = texts.join(" · ");
    const next = Math.min(...this.#typing.values(), isThinking ? this.#thinkingUntil : Infinity);
    if (next < Infinity) this.#typingTimer = setTimeout(() => this.#drawTyping(), next - now + 10);
  }

  // Actions of the host.

  async #remove(user, token) {
    const details = "They are disconnected at once and can't come back by the same place.";
    if (!(await ask(`Remove ${user.name}?`, details, "Remove"))) return;
    await this.#asHost(() => this.#rest.removeUser(this.#sessionId, user.id, { token }));
  }

  async #close(token) {
    if (!(await ask("Close the session?", "Everyone is disconnected, and nobody can join any more.", "Close it"))) return;
    await this.#asHost(() => this.#rest.closeSession(this.#sessionId, { token }));
  }

  async #asHost(work) {
    try {
      await work();
    } catch (error) {
      this.#status.back(words.refused(error));
    }
  }
}
