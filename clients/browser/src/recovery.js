// Decides after the end of a connection: how long to wait for the next attempt, or to end. Pure.

import { CODES_BY_NAME, Reaction, SEAT_CODES, WITHOUT_CODE, reactionToClose, reactionToRefusal } from "./closes.js";

/** Remembers what the gateway announced and how earlier connections ended. */
export class Recovery {
  #policy;
  #backoff;
  #joinedAt = null;
  // From `reconnect`: the time of the next attempt.
  #backAt = null;
  // From an `error` with `retry_after_ms`: no attempt comes before this time.
  #notBefore = -Infinity;
  // The last `error`: its close code, for the case that the close frame is lost, and its reason.
  #announcedCode = null;
  #announcedReason = "";
  // Until then a join without an answer may hold the name, the seat or the user.
  #ghostUntil = null;

  constructor(policy, backoff) {
    this.#policy = policy;
    this.#backoff = backoff;
  }

  /** A connection is open; announcements of earlier connections no longer count. */
  opened() {
    this.#announcedCode = null;
    this.#backAt = null;
    this.#notBefore = -Infinity;
  }

  /** The welcome came. An older join may still succeed on another gateway, and replace this connection. */
  joined(now) {
    this.#joinedAt = now;
  }

  /** The gateway asked this client to reconnect at this time. */
  toldToReturn(at) {
    this.#backAt = at;
  }

  /** The gateway sent an `error`; a close may follow. `notBefore`: the time that the error names, if any. */
  complained(name, message, notBefore) {
    this.#announcedCode = CODES_BY_NAME.get(name) ?? null;
    this.#announcedReason = message;
    this.#notBefore = Math.max(this.#notBefore, notBefore);
  }

  /** The close code and its reason; the announced ones when the close frame is lost or says less. */
  explained(code, reason) {
    const isAnnounced = this.#announcedCode !== null && (WITHOUT_CODE.has(code) || code === this.#announcedCode);
    return isAnnounced ? [this.#announcedCode, this.#announcedReason || reason] : [code, reason];
  }

  /**
   * Milliseconds until the next attempt after this close code; null: no further attempt.
   *
   * `wasJoining`: a join has no answer; the gateway may still execute it. `isUrgent`: reconnect at once, unless
   * connections have just been failing. `isCurable`: the next join comes with a better token, so no code is final.
   */
  waitAfterClose(code, now, { wasJoining, isUrgent = false, isCurable = false }) {
    const reaction = reactionToClose(code);
    const isGhost = SEAT_CODES.has(code) && this.#ghostUntil !== null && now < this.#ghostUntil;
    if (reaction === Reaction.STOP && !isGhost && !isCurable) return null;
    if (wasJoining && !SEAT_CODES.has(code)) this.#ghostUntil = now + this.#policy.ghostMs;
    if (this.#joinedAt !== null && now - this.#joinedAt >= this.#policy.stableAfterMs) this.#backoff.reset();
    this.#joinedAt = null;
    const isAtOnce = (isUrgent || isCurable || reaction === Reaction.AT_ONCE) && this.#backoff.attempts === 0;
    let wait = this.#backoff.next();
    if (this.#backAt !== null) wait = Math.max(0, this.#backAt - now);
    else if (isAtOnce) wait = 0;
    this.#backAt = null;
    return Math.max(wait, this.#notBefore - now);
  }

  /** Milliseconds until the next attempt after a failure on this side of the connection. */
  waitAfterFailure() {
    return this.#backoff.next();
  }

  /** Milliseconds until the next attempt after this HTTP status; null: no further attempt. */
  waitAfterRefusal(status, retryAfterMs) {
    return reactionToRefusal(status) === Reaction.STOP ? null : this.#backoff.next() + retryAfterMs;
  }
}
