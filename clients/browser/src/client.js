// The client: the interface of the application to a session.

import { ConnectTimeoutError, NotConnectedError, SendTimeoutError, UsageError } from "./errors.js";
import { Inbox } from "./inbox.js";
import { Machine, Phase } from "./machine.js";
import { needed } from "./platform.js";
import { DEFAULTS } from "./policy.js";
import { explain } from "./refusal.js";
import { Runner } from "./runner.js";
import { checkedKey, checkedText, websocketUrls } from "./texts.js";

const PING_MS = 10_000;
const SEND_MS = 30_000;

/** A unique key; `crypto.randomUUID` exists only in secure contexts. */
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** One user in one session. Events are dispatched here by their type, and all of them as `event`. See `index.d.ts`. */
export class Client extends EventTarget {
  #machine;
  #runner;
  #joined = Promise.withResolvers?.() ?? deferred();
  #ended = Promise.withResolvers?.() ?? deferred();
  #inboxes = new Set();
  #policy;
  #lastTrouble = "nothing has answered yet";

  constructor(url, sessionId, { name, token, getToken, password, resume, policy, wantsBatches = false, ...rest } = {}) {
    super();
    if ((name ?? token ?? getToken) === undefined) throw new UsageError("a client needs a name or a token, or `getToken`");
    needed("WebSocket", rest.WebSocket);
    this.sessionId = sessionId;
    this.#policy = { ...DEFAULTS, ...policy };
    const draw = rest.draw ?? Math.random;
    const join = { name, token, password };
    const urls = websocketUrls(url, sessionId);
    this.#machine = new Machine(urls, join, this.#policy, draw, resume ?? null, getToken !== undefined);
    const explains = rest.explain ?? ((address) => explain(address, this.token, rest.fetch));
    this.#runner = new Runner(
      this.#machine,
      this.#policy,
      { wantsBatches, getToken, explain: explains, WebSocket: rest.WebSocket },
      (event) => this.#tell(event),
      (error) => this.#end(error),
    );
    // An application that does not await `connect` gets the event `ended`.
    this.#joined.promise.catch(() => {});
  }

  async connect({ timeoutMs = SEND_MS } = {}) {
    this.#runner.start();
    const late = new ConnectTimeoutError(`no welcome within ${timeoutMs} ms`);
    try {
      return await within(timeoutMs, this.#joined.promise, () => {
        late.message += `: ${this.#lastTrouble}`;
        return late;
      });
    } catch (error) {
      this.close();
      throw error;
    }
  }

  async leave() {
    this.#runner.act(this.#machine.leave(this.#runner.now()));
    await this.#ended.promise;
  }

  close() {
    this.#runner.act(this.#machine.close());
  }

  get welcome() {
    return this.#machine.welcome;
  }

  get token() {
    return this.#machine.token;
  }

  get position() {
    return this.#machine.position;
  }

  get isConnected() {
    return this.#machine.phase === Phase.JOINED;
  }

  get hasEnded() {
    return this.#machine.phase === Phase.STOPPED;
  }

  events() {
    const inbox = new Inbox(this.#policy.maxEvents, (one) => this.#inboxes.delete(one));
    if (this.hasEnded) inbox.close(this.#runner.error);
    else this.#inboxes.add(inbox);
    return inbox;
  }

  [Symbol.asyncIterator]() {
    return this.events();
  }

  async send(text, { key = newKey(), ack = "accepted", timeoutMs = SEND_MS } = {}) {
    checkedText(text);
    checkedKey(key);
    this.#runner.check();
    if (this.#machine.isFull) throw new UsageError("too many messages wait to be sent");
    const command = this.#machine.say(text, key, ack, this.#runner.now());
    return within(timeoutMs, this.#runner.answer(command), () => {
      this.#runner.forget(command.id);
      const isUncertain = this.#machine.forget(command.id);
      // The next message may have waited for this one.
      this.#runner.act(this.#machine.tick(this.#runner.now()));
      return new SendTimeoutError(`not acknowledged within ${timeoutMs} ms`, key, isUncertain);
    });
  }

  async ping({ timeoutMs = PING_MS } = {}) {
    const began = this.#runner.now();
    const command = this.#machine.ping();
    if (command === null) throw new NotConnectedError("there is no connection right now");
    await within(timeoutMs, this.#runner.answer(command), () => {
      this.#runner.forget(command.id);
      this.#machine.forget(command.id);
      return new SendTimeoutError(`no pong within ${timeoutMs} ms`, "", false);
    });
    return this.#runner.now() - began;
  }

  typing() {
    if (!this.#runner.isCongested) this.#runner.act(this.#machine.typing(this.#runner.now()));
  }

  #tell(event) {
    if (event.type === "connected") this.#joined.resolve(event.welcome);
    if (event.type === "disconnected") this.#lastTrouble = `${event.reason || "disconnected"} (${event.code})`;
    this.#dispatch(event);
  }

  #end(error) {
    this.#joined.reject(error ?? new NotConnectedError("the client was closed"));
    this.#ended.resolve();
    this.#dispatch({ type: "ended", error }, error);
  }

  #dispatch(event, error = null) {
    const isEnd = event.type === "ended";
    for (const inbox of [...this.#inboxes]) {
      if (isEnd) inbox.close(error);
      else inbox.put(event);
    }
    this.dispatchEvent(new CustomEvent(event.type, { detail: event }));
    this.dispatchEvent(new CustomEvent("event", { detail: event }));
  }
}

function deferred() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}

/** The result of the promise; rejects with the error of `problem()` when the time is over first. */
function within(milliseconds, promise, problem) {
  if (milliseconds === Infinity) return promise;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(problem()), milliseconds);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
