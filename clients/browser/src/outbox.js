// The messages that wait for their acknowledgement, over any number of connections. Pure.

// How long messages go one at a time after the gateway refused one because of a rate.
const LIMITED_MS = 10_000;

/** Keeps the order of the calls; `policy.keyMs` is the time during which a repetition is safe. */
export class Outbox {
  /** When the next message may be sent; null: at any time, or after an answer. */
  heldUntil = null;
  #policy;
  // Command id → {command, firstSentAt, epoch, isInFlight}, in the order of the calls.
  #waiting = new Map();
  #inFlight = 0;
  // Until then messages go one at a time.
  #limitedUntil = -Infinity;

  constructor(policy) {
    this.#policy = policy;
  }

  get isFull() {
    return this.#waiting.size >= this.#policy.maxWaiting;
  }

  has(id) {
    return this.#waiting.has(id);
  }

  /** A message to send. */
  add(command) {
    this.#waiting.set(command.id, { command, firstSentAt: null, epoch: null, isInFlight: false });
  }

  /** Remove and return the message; null when there is none of this id. */
  take(id) {
    const pending = this.#waiting.get(id) ?? null;
    if (pending?.isInFlight) this.#inFlight -= 1;
    this.#waiting.delete(id);
    return pending;
  }

  /** Remove all messages; returns their ids. */
  takeAll() {
    const ids = [...this.#waiting.keys()];
    this.#waiting.clear();
    this.#inFlight = 0;
    return ids;
  }

  /** The frames to write to the connection now, in the order of the calls. */
  due(now, epoch) {
    if (this.heldUntil !== null && now < this.heldUntil) return [];
    this.heldUntil = null;
    // One at a time, so that the gateway takes no later message before one that it refuses.
    const most = now < this.#limitedUntil ? 1 : this.#policy.maxInFlight;
    const commands = [];
    for (const pending of this.#waiting.values()) {
      if (this.#inFlight >= most) break;
      if (pending.isInFlight) continue;
      pending.isInFlight = true;
      this.#inFlight += 1;
      if (pending.firstSentAt === null) {
        pending.firstSentAt = now;
        pending.epoch = epoch;
      }
      commands.push(pending.command);
    }
    return commands;
  }

  /** Remove and return the messages that may be stored and whose repetition could be stored a second time. */
  takeUnsafe(now, epoch) {
    const unsafe = [];
    for (const [id, { isInFlight, firstSentAt, epoch: sentIn }] of this.#waiting) {
      const isStale = sentIn !== epoch || now - firstSentAt > this.#policy.keyMs;
      if (!isInFlight && firstSentAt !== null && isStale) unsafe.push(id);
    }
    for (const id of unsafe) this.#waiting.delete(id);
    return unsafe;
  }

  /** The gateway could not take this message now; all messages wait until `until`, so that none overtakes another. */
  hold(id, until) {
    const pending = this.#waiting.get(id);
    if (pending.isInFlight) this.#inFlight -= 1;
    pending.isInFlight = false;
    this.heldUntil = Math.max(until, this.heldUntil ?? until);
  }

  /** The gateway refused this message because of a rate; all wait, and for some seconds go one at a time. */
  limit(id, until) {
    this.hold(id, until);
    this.#limitedUntil = Math.max(this.#limitedUntil, until + LIMITED_MS);
  }

  /** The connection is lost: commands under way may be lost too. */
  disconnected() {
    this.heldUntil = null;
    this.#inFlight = 0;
    for (const pending of this.#waiting.values()) pending.isInFlight = false;
  }
}
