// Notices that the gateway says nothing: first asks for a sign of life, then gives the connection up. Pure.

/**
 * Follows one connection, whose gateway pings every `heartbeatMs`. Pings of the WebSocket itself are answered by the
 * browser and not seen here, so an idle connection asks once per heartbeat.
 */
export class Silence {
  #askMs;
  #answerMs;
  #suspectMs;
  #since;
  // When to give up; null: nothing was asked.
  #deadAt = null;

  constructor(policy, heartbeatMs, now) {
    this.#askMs = policy.pingAfter * heartbeatMs;
    this.#answerMs = (policy.deadAfter - policy.pingAfter) * heartbeatMs;
    this.#suspectMs = policy.suspectMs;
    this.#since = now;
  }

  /** Something was heard. */
  broken(now) {
    this.#since = now;
    this.#deadAt = null;
  }

  /** When it has to be looked after. */
  get deadline() {
    return this.#deadAt ?? this.#since + this.#askMs;
  }

  /** Whether it has lasted too long. Counted from the question: a hidden page's timers may be a minute late. */
  isDead(now) {
    return this.#deadAt !== null && now >= this.#deadAt;
  }

  /** Whether it is time to ask for a sign of life, which this call counts as done. */
  asks(now) {
    if (this.#deadAt !== null || now < this.#since + this.#askMs) return false;
    this.#deadAt = now + this.#answerMs;
    return true;
  }

  /** There is reason for doubt: the network changed, the machine slept. Ask now, and don't wait long for an answer. */
  suspected(now) {
    this.#deadAt = Math.min(this.#deadAt ?? Infinity, now + this.#suspectMs);
  }
}
