// Notices a silent gateway: first sends a ping, then gives up the connection. Pure.

/**
 * Follows one connection, whose gateway pings every `heartbeatMs`. The browser answers
 * pings of the WebSocket and does not show them, so an idle connection sends a ping once per heartbeat.
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

  /** A frame arrived. */
  broken(now) {
    this.#since = now;
    this.#deadAt = null;
  }

  /** When the silence has to be checked. */
  get deadline() {
    return this.#deadAt ?? this.#since + this.#askMs;
  }

  /** Whether the silence has lasted too long. Counted from the ping: a hidden page's timers may be a minute late. */
  isDead(now) {
    return this.#deadAt !== null && now >= this.#deadAt;
  }

  /** Whether it is time to send a ping; the call counts the ping as sent. */
  asks(now) {
    if (this.#deadAt !== null || now < this.#since + this.#askMs) return false;
    this.#deadAt = now + this.#answerMs;
    return true;
  }

  /** The connection may be dead: the network changed, or the machine slept. Send a ping now, and wait only briefly. */
  suspected(now) {
    this.#deadAt = Math.min(this.#deadAt ?? Infinity, now + this.#suspectMs);
  }
}
