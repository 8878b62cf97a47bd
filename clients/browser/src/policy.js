// The client's times and bounds in one place, and the backoff. Times are milliseconds.

/** The defaults suit people; tests make them shorter. `index.d.ts` tells what each one is. */
export const DEFAULTS = Object.freeze({
  backoffBaseMs: 500,
  backoffCapMs: 20_000,
  openTimeoutMs: 10_000,
  joinTimeoutMs: 15_000,
  leaveTimeoutMs: 5_000,
  stableAfterMs: 5_000,
  pingAfter: 1,
  deadAfter: 2.5,
  suspectMs: 2_500,
  tokenTimeoutMs: 10_000,
  tokenRetryMs: 5_000,
  limitedMs: 1_000,
  typingMs: 2_000,
  // The server keeps a key for 300 s, and must still have the key when a repetition arrives.
  keyMs: 270_000,
  ghostMs: 60_000,
  maxEvents: 1024,
  maxInFlight: 64,
  maxWaiting: 1024,
});

/** Full jitter: each wait is drawn between 0 and a bound that doubles up to the cap. */
export class Backoff {
  attempts = 0;
  #policy;
  #draw;

  constructor(policy, draw) {
    this.#policy = policy;
    this.#draw = draw;
  }

  /** The next wait. */
  next() {
    const bound = this.#policy.backoffBaseMs * 2 ** Math.min(this.attempts, 30);
    this.attempts += 1;
    return this.#draw() * Math.min(this.#policy.backoffCapMs, bound);
  }

  /** A wait that the server asked for, and up to a quarter more, so that not all clients come at once. */
  jittered(milliseconds) {
    return milliseconds * (1 + 0.25 * this.#draw());
  }

  /** The connection was good: start again with the smallest wait. */
  reset() {
    this.attempts = 0;
  }
}
