// Performs the effects of the state machine: one WebSocket at a time, and a timer.

import { LeftError, UsageError } from "./errors.js";
import { NO_CLOSE_FRAME } from "./closes.js";
import { Phase } from "./machine.js";
import { needed } from "./platform.js";

const BATCHES = "seance.v1.batch";
// `WebSocket.OPEN`.
const OPEN = 1;
const NO_ANSWER = "the server does not answer";
// From here on unimportant frames are left out. The messages in flight bound the important ones.
const CONGESTED_BYTES = 65_536;
// The longest delay of setTimeout; the runner asks the machine again then.
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Performs effects. `tell(event)` gets every event once, `end(error)` the end, once. */
export class Runner {
  error = null;
  #machine;
  #policy;
  #options;
  #tell;
  #end;
  #socket = null;
  #timer = null;
  #timerAt = Infinity;
  #answers = new Map();
  #effects = [];
  #isActing = false;
  #isAsking = false;
  // Removes the listeners on the page.
  #page = new AbortController();

  constructor(machine, policy, options, tell, end) {
    this.#machine = machine;
    this.#policy = policy;
    this.#options = options;
    this.#tell = tell;
    this.#end = end;
  }

  /** Begin. Throws UsageError the second time. */
  start() {
    if (this.#machine.phase !== Phase.IDLE) throw new UsageError("a client connects once; it comes back by itself");
    const { signal } = this.#page;
    const { document, addEventListener } = globalThis;
    addEventListener?.("online", () => this.act(this.#machine.reachable(this.now())), { signal });
    addEventListener?.("offline", () => this.act(this.#machine.suspected(this.now())), { signal });
    document?.addEventListener(
      "visibilitychange",
      () => document.visibilityState === "visible" && this.act(this.#machine.suspected(this.now())),
      { signal },
    );
    this.act(this.#machine.start());
  }

  /** The clock of the machine. */
  now() {
    return performance.now();
  }

  /** Check that the client can take commands. Throws UsageError, or the error that ended the client. */
  check() {
    if (this.#machine.phase === Phase.IDLE) throw new UsageError("connect first");
    if (this.#machine.phase === Phase.STOPPED) throw this.error ?? new LeftError(1000, "this client has ended");
  }

  get isCongested() {
    return this.#socket !== null && this.#socket.bufferedAmount > CONGESTED_BYTES;
  }

  /** Perform the effects of a command; returns a promise of its answer. */
  answer({ id, effects }) {
    return new Promise((resolve, reject) => {
      this.#answers.set(id, { resolve, reject });
      this.act(effects);
    });
  }

  /** The caller no longer waits for the answer. */
  forget(id) {
    this.#answers.delete(id);
  }

  /** Perform the effects in order, and set the timer. Effects that follow at once are performed after them. */
  act(effects) {
    this.#effects.push(...effects);
    if (this.#isActing) return;
    this.#isActing = true;
    try {
      while (this.#effects.length > 0) this.#carryOut(this.#effects.shift());
    } finally {
      this.#isActing = false;
    }
    this.#setTimer();
  }

  #carryOut(effect) {
    switch (effect.do) {
      case "write":
        if (this.#socket?.readyState === OPEN) this.#socket.send(effect.frame);
        break;
      case "emit":
        this.#tell(effect.event);
        break;
      case "answer":
      case "fail":
        this.#settle(effect);
        break;
      case "ask":
        this.#ask();
        break;
      case "hangup":
        this.#hangUp();
        break;
      case "dial":
        this.#dial(effect.url);
        break;
      case "stop":
        this.#stop(effect.error);
        break;
    }
  }

  #settle({ do: kind, id, ack, error }) {
    const answer = this.#answers.get(id);
    this.#answers.delete(id);
    if (kind === "answer") answer?.resolve(ack);
    else answer?.reject(error);
  }

  /** A browser can't drop a connection: ask for a close, and ignore all later frames. */
  #hangUp() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #stop(error) {
    this.error = error;
    this.#page.abort();
    this.#hangUp();
    clearTimeout(this.#timer);
    this.#end(error);
  }

  /** Ask the application for a token, unless it has not answered the last question yet. */
  async #ask() {
    if (this.#isAsking) return;
    this.#isAsking = true;
    const { getToken } = this.#options;
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error("no answer in time")), this.#policy.tokenTimeoutMs);
    });
    // In a function of its own, so that what `getToken` throws at once becomes a rejection.
    const given = (async () => getToken())();
    const answered = await Promise.race([given, late]).then(
      (token) => (now) => this.#machine.provided(token || null, now),
      (error) => (now) => this.#machine.unprovided(`the application gave no token: ${error?.message || error}`, now),
    );
    clearTimeout(timer);
    this.#isAsking = false;
    this.act(answered(this.now()));
  }

  #setTimer() {
    const { deadline } = this.#machine;
    // A timer that fires too early does no harm; a new timer for every frame would cost time.
    if (deadline >= this.#timerAt || this.#machine.phase === Phase.STOPPED) return;
    clearTimeout(this.#timer);
    this.#timerAt = deadline;
    const wait = Math.min(Math.max(0, deadline - this.now()), MAX_TIMER_MS);
    this.#timer = setTimeout(() => {
      this.#timerAt = Infinity;
      this.act(this.#machine.tick(this.now()));
    }, wait);
  }

  #dial(url) {
    const WebSocket = needed("WebSocket", this.#options.WebSocket);
    const socket = new WebSocket(url, this.#options.wantsBatches ? [BATCHES] : []);
    const isCurrent = () => this.#socket === socket;
    let hasOpened = false;
    this.#socket = socket;
    const tooLate = setTimeout(() => {
      if (isCurrent()) this.#failed(socket, url, "no connection in time");
    }, this.#policy.openTimeoutMs);
    socket.binaryType = "arraybuffer";
    socket.onerror = () => {
      // Node 20 tells a refused upgrade by `error` alone; elsewhere `close` follows.
      if (hasOpened || !isCurrent()) return;
      clearTimeout(tooLate);
      this.#failed(socket, url, NO_ANSWER);
    };
    socket.onopen = () => {
      hasOpened = true;
      clearTimeout(tooLate);
      if (isCurrent()) this.act(this.#machine.opened(this.now()));
    };
    socket.onmessage = ({ data }) => {
      if (isCurrent()) this.act(this.#machine.heard(data, this.now()));
    };
    socket.onclose = ({ code, reason }) => {
      clearTimeout(tooLate);
      if (!isCurrent()) return;
      if (hasOpened) {
        this.#socket = null;
        this.act(this.#machine.lost(code, reason || "the connection was lost", this.now()));
      } else {
        this.#failed(socket, url, NO_ANSWER);
      }
    };
  }

  /** The connection failed. A browser does not give the reason, so ask the REST API. */
  async #failed(socket, url, reason) {
    socket.onclose = null;
    // Not null: an error without a listener ends the process when the socket is that of the package `ws`.
    socket.onerror = () => {};
    socket.close();
    const refusal = await this.#options.explain(url);
    if (this.#socket !== socket) return;
    this.#socket = null;
    const now = this.now();
    if (refusal === null) this.act(this.#machine.lost(NO_CLOSE_FRAME, reason, now));
    else this.act(this.#machine.refused(refusal.status, refusal.retryAfterMs, refusal.reason, now));
  }
}
