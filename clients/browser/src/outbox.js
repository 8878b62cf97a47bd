// The messages that wait for their acknowledgement, over as many connections as that takes. Pure.

/** Keeps the order of the calls; `policy.keyMs` is for how long a repetition is safe. */
export class Outbox {
  /** When the next message may go out; null: at any time. */
  heldUntil = null;
  #policy;
  // Command id → {command, firstSentAt, epoch, isInFlight}, in the order of the calls.
  #waiting = new Map();
  #inFlight = 0;

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

  /** The message, which is done with now; null when there is none of this id. */
  take(id) {
    const pending = this.#waiting.get(id) ?? null;
    if (pending?.isInFlight) this.#inFlight -= 1;
    this.#waiting.delete(id);
    return pending;
  }

  /** The ids of all messages, which are done with now. */
  takeAll() {
    const ids = [...this.#waiting.keys()];
    this.#waiting.clear();
    this.#inFlight = 0;
    return ids;
  }

  /** What is to be written to the connection now, in the order of the calls. */
  due(now, epoch) {
    if (this.heldUntil !== null && now < this.heldUntil) return [];
    this.heldUntil = null;
    const commands = [];
    for (const pending of this.#waiting.values()) {
      if (this.#inFlight >= this.#policy.maxInFlight) break;
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

  /** Messages that may have been stored and can't be repeated any more without becoming two; done with now. */
  takeUnsafe(now, epoch) {
    const unsafe = [];
    for (const [id, { isInFlight, firstSentAt, epoch: sentIn }] of this.#waiting) {
      const isStale = sentIn !== epoch || now - firstSentAt > this.#policy.keyMs;
      if (!isInFlight && firstSentAt !== null && isStale) unsafe.push(id);
    }
    for (const id of unsafe) this.#waiting.delete(id);
    return unsafe;
  }

  /** The gateway could not take this one now; everything waits until then, so that messages don't overtake. */
  hold(id, until) {
    const pending = this.#waiting.get(id);
    if (pending.isInFlight) this.#inFlight -= 1;
    pending.isInFlight = false;
    this.heldUntil = Math.max(until, this.heldUntil ?? until);
  }

  /** What was under way may be lost. */
  disconnected() {
    this.heldUntil = null;
    this.#inFlight = 0;
    for (const pending of this.#waiting.values()) pending.isInFlight = false;
  }
}
