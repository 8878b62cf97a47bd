// The token of the next join, when it ends, and when the application is asked for another one. Pure.

/** Follows the user's token over connections. `canAsk`: the application gives a token when it is asked for one. */
export class Credentials {
  token;
  canAsk;
  #endsAt = null;
  // Whether the token came from the application and no gateway has judged it yet.
  #isUntried = false;
  #isRefused = false;

  constructor(token, canAsk) {
    this.token = token ?? null;
    this.canAsk = canAsk;
  }

  /** The gateway gave this token, in a welcome or a renewal. `seconds`: how long it is valid; null: unknown. */
  issued(token, seconds, now) {
    this.token = token;
    this.#endsAt = seconds === null ? null : now + seconds * 1000;
    this.#isUntried = this.#isRefused = false;
  }

  /** The application gave this token, for the next join. */
  provided(token) {
    this.token = token;
    this.#endsAt = null;
    this.#isUntried = true;
    this.#isRefused = false;
  }

  /** A gateway refused the token; returns whether the application may have a better one. */
  refused() {
    this.#isRefused = this.canAsk && !this.#isUntried;
    return this.#isRefused;
  }

  /** Whether the token has ended by this client's clock. */
  hasEnded(now) {
    return this.#endsAt !== null && now >= this.#endsAt;
  }

  /** Whether the application has to be asked before the next join. */
  needsAnother(now) {
    return this.canAsk && (this.token === null || this.#isRefused || this.hasEnded(now));
  }
}
