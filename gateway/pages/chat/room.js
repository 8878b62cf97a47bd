// The room: joins one client to the conversation, the roster, the composer and the state of the connection.

import { Client, RemovedError, ReplacedError, Rest, SeanceError, SessionClosedError, SessionNotFoundError } from "./client/index.js";

import { Composer } from "./composer.js";
import { ask, copy, make, one, show, unask, written } from "./dom.js";
import { GATEWAY } from "./gateway.js";
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
const CATCH_UP_AGAIN_MS = 10_000;
const ATTEMPT_AGAIN_MS = 10_000;
const LEAVE_MS = 2000;
const TOLD_MS = 2000;
// Added to a seq: the place of a notice of the page, between two events.
const BETWEEN = 0.5;
const REASONS = { left: "left", lost: "lost the connection and left", removed: "was removed by the host" };
const MISSING = "Earlier messages may be missing here. The page tries again to fetch them.";
const stored = (message) => ({ ...message, kind: "message" });

/** Too many passwords were tried; the next attempt may come after `retryAfterMs`. */
export class TooManyAttemptsError extends SeanceError {
  constructor(retryAfterMs) {
    super(words.tooManyAttempts(Math.ceil(retryAfterMs / 1000)));
    this.retryAfterMs = retryAfterMs;
  }
}

export class Room {
  #sessionId;
  #client;
  #rest = new Rest(GATEWAY);
  #memory;
  #status = new Status();
  #transcript;
  #roster;
  #pending;
  #composer;
  #known;
  #hasBeenHere = false;
  #isLeaving = false;
  #trouble;
  #hasPassword;
  // Why the page gave up the join; null: the page did not.
  #gaveUp = null;
  // Ranges of the history, {after, upTo}, that could not be fetched; tried again later, and with the next connection.
  #unfetched;
  // Name → when to stop showing it.
  #typing = new Map();
  #thinkingUntil = 0;
  #typingTimer = null;

  /**
   * `known`: the memory of a reload, or null; then `name` and `password` are those of the join, and `trouble(words)` is
   * told why the page is not in the session yet.
   */
  constructor(sessionId, { name, password, trouble, known = null }) {
    this.#sessionId = sessionId;
    this.#known = known;
    this.#trouble = trouble;
    this.#hasPassword = Boolean(password);
    this.#unfetched = known?.unfetched ?? [];
    const who = known === null ? { name, password: password || undefined } : { token: known.token, resume: known.position };
    this.#client = new Client(GATEWAY, sessionId, { ...who, wantsBatches: true, policy: { leaveTimeoutMs: LEAVE_MS } });
    this.#client.addEventListener("event", ({ detail }) => this.#happened(detail));
    addEventListener("offline", () => this.#doubted());
    // A page that stores nothing can't come back: give up the seat and the name.
    addEventListener("pagehide", () => memory.isLasting() || this.#client.leave());
  }

  /** Join; rejects with the reason when the join fails. The page shows the room from then on. */
  async enter() {
    this.#status.connecting();
    try {
      await this.#client.connect({ timeoutMs: this.#known === null ? 20_000 : Infinity });
    } catch (error) {
      throw this.#gaveUp ?? error;
    }
  }

  /** Show the stored messages before the connection of a reload is open. */
  show() {
    if (this.#transcript !== undefined) return;
    this.#transcript = new Transcript((before) => this.#older(before));
    this.#memory = new memory.Memory(this.#sessionId, () => ({
      token: this.#client.token,
      position: this.#client.position,
      tail: this.#transcript.tail,
      pending: this.#pending.unsent,
      unfetched: this.#unfetched,
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
    const told = (isCopied) => {
      share.classList.toggle("done", isCopied);
      one("span", share).textContent = isCopied ? "Copied" : "Copy link";
    };
    share.addEventListener("click", async () => {
      try {
        await copy(location.href);
        told(true);
        setTimeout(() => told(false), TOLD_MS);
      } catch {
        await ask(["Copy this link yourself"], location.href, "Done");
      }
    });
    people.addEventListener("click", () => this.#showPeople(!roster.classList.contains("open")));
    // On the document: the focus may be nowhere, after a button was disabled. A dialog has its own Escape.
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || one("#ask").open || !roster.classList.contains("open")) return;
      this.#showPeople(false);
      people.focus();
    });
    one("#leave").addEventListener("click", async () => {
      if (this.#isLeaving) return;
      this.#isLeaving = true;
      this.#memory.end();
      this.#status.leaving();
      this.#composer.end();
      await this.#client.leave();
      location.assign("chat");
    });
    one("#close").addEventListener("click", () => this.#close(token));
  }

  /** On a phone the people cover the conversation. */
  #showPeople(isOpen) {
    one("#roster").classList.toggle("open", isOpen);
    one("#people").setAttribute("aria-expanded", String(isOpen));
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
        this.#linked(false);
        if (event.willRetry) this.#lost(event);
        break;
      case "error_received":
        this.#complained(event);
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
    this.#linked(true);
    this.#pending.release();
    this.#catchUpAgain();
    if (this.#hasBeenHere) return;
    this.#hasBeenHere = true;
    if (this.#known === null) this.#readBack(welcome.seq);
  }

  #complained({ code, retryAfterMs }) {
    // The client would try the same password again and again; the person decides.
    if (code !== "rate_limited" || !this.#hasPassword || this.#transcript !== undefined) return;
    this.#gaveUp = new TooManyAttemptsError(retryAfterMs ?? ATTEMPT_AGAIN_MS);
    this.#client.close();
  }

  #lost({ code, retryMs }) {
    if (this.#isLeaving) return;
    if (this.#transcript) this.#status.lost(words.lost(code), retryMs);
    else this.#trouble(`${words.lost(code)}. Trying again…`);
  }

  /** Whether there is a connection: what waits for one says so, and what needs one is disabled. */
  #linked(isLinked) {
    this.#pending?.linked(isLinked);
    this.#roster?.linked(isLinked);
  }

  /** The browser says that the network is away. Only an answer shows whether this connection lives. */
  async #doubted() {
    if (this.#transcript === undefined || this.#client.hasEnded || this.#isLeaving) return;
    if (!this.#client.isConnected) {
      this.#status.because(words.OFFLINE);
      return;
    }
    this.#status.doubted(words.OFFLINE);
    this.#linked(false);
    try {
      await this.#client.ping();
      this.#status.connected();
      this.#linked(true);
    } catch {
      // The client tells why the connection is lost.
    }
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
    if (this.#transcript === undefined || this.#isLeaving) return;
    unask();
    this.#showPeople(false);
    this.#status.over(words.endedShortly(error));
    this.#roster.over();
    const draft = this.#composer.end();
    const isFinal = error instanceof SessionClosedError || error instanceof SessionNotFoundError;
    one("#leave").hidden = true;
    one("#share").hidden = isFinal;
    // Mark the waiting messages as not delivered.
    this.#pending.release();
    if (draft !== "") this.#pending.keep(draft);
    // A user who has joined in another tab may want to come back to this tab.
    if (error instanceof ReplacedError) this.#memory.save();
    else this.#memory.end();
    const over = one("#over");
    over.hidden = false;
    one("p", over).textContent = words.ended(error);
    const textContent = error instanceof ReplacedError ? "Use it here" : "Join again";
    const again = make("button", { type: "button", className: "primary", textContent });
    again.addEventListener("click", () => location.reload());
    const another = make("a", { href: "chat", className: "button", textContent: "Start another session" });
    const mayReturn = !isFinal && !(error instanceof RemovedError);
    one(".actions", over).replaceChildren(...(mayReturn ? [again] : []), another);
    one("button, a", over).focus();
  }

  // History.

  /** A page of the history; the token of the user admits to a session with a password too. */
  #history(options) {
    return this.#rest.history(this.#sessionId, { ...options, token: this.#client.token });
  }

  async #older(before) {
    const page = await this.#history({ before, limit: PAGE });
    return { items: page.items.map(stored), nextBefore: page.nextBefore };
  }

  /** Load the messages before the join. The last ones may not be in Postgres yet, so a second request follows. */
  async #readBack(seq) {
    try {
      const { items, nextBefore } = await this.#older(seq + 1);
      this.#transcript.fill(items);
      this.#transcript.read(nextBefore === null);
      const last = items.at(-1)?.seq ?? 0;
      if (last < seq - 1) {
        this.#unfetched.push({ after: last, upTo: seq });
        setTimeout(() => this.#catchUpAgain(), LOOK_AGAIN_MS);
      }
    } catch {
      this.#transcript.failed(() => this.#readBack(seq));
    }
    this.#memory.changed();
  }

  #catchUpAgain() {
    if (!this.#client.isConnected) return;
    for (const { after, upTo } of this.#unfetched.splice(0)) this.#catchUp(after, upTo);
  }

  /** Fetch the messages after one seq up to another, which the gateway could not deliver. */
  async #catchUp(after, upTo) {
    let from = after;
    try {
      while (from !== null && from < upTo) {
        const page = await this.#history({ after: from, limit: 200 });
        this.#transcript.fill(page.items.filter(({ seq }) => seq <= upTo).map(stored));
        from = page.nextAfter;
      }
      this.#transcript.remove(upTo + BETWEEN);
    } catch {
      this.#unfetched.push({ after: from, upTo });
      setTimeout(() => this.#catchUpAgain(), CATCH_UP_AGAIN_MS);
      const timestamp = new Date().toISOString();
      this.#transcript.add({ kind: "notice", seq: upTo + BETWEEN, timestamp, name: null, words: MISSING });
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
    const typing = words.typing([...this.#typing.keys()], (name) => written(name));
    const thinking = isThinking ? ["The spirit is thinking"] : [];
    const between = typing.length > 0 && isThinking ? [" · "] : [];
    line.classList.toggle("busy", typing.length + thinking.length > 0);
    line.classList.toggle("spirit", isThinking);
    line.replaceChildren(...typing, ...between, ...thinking);
    const next = Math.min(...this.#typing.values(), isThinking ? this.#thinkingUntil : Infinity);
    if (next < Infinity) this.#typingTimer = setTimeout(() => this.#drawTyping(), next - now + 10);
  }

  // Actions of the host.

  async #remove(user, token) {
    const details = "This person is disconnected at once, and can't come back for a time.";
    if (!(await ask(["Remove ", written(user.name), "?"], details, "Remove"))) return;
    await this.#asHost(() => this.#rest.removeUser(this.#sessionId, user.id, { token }));
  }

  async #close(token) {
    if (!(await ask(["Close the session?"], "Everyone is disconnected, and nobody can join any more.", "Close it"))) return;
    await this.#asHost(() => this.#rest.closeSession(this.#sessionId, { token }));
  }

  async #asHost(work) {
    const alert = one("#roster .alert");
    alert.hidden = true;
    try {
      await work();
    } catch (error) {
      // The answer may come after the end of the session that it is about.
      if (this.#client.hasEnded) return;
      alert.textContent = words.notDone(error);
      alert.hidden = false;
    }
  }
}
