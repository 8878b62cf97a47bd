// The application's commands: gives each a number, and settles each exactly once. Pure.

import { CommandError, InvalidMessageError, NotConnectedError, NotStoredError, UnconfirmedError } from "./errors.js";
import { Outbox } from "./outbox.js";

const DEFAULT_RETRY_MS = 1000;
const ERRORS = new Map([
  ["validation_error", InvalidMessageError],
  ["unavailable", NotStoredError],
]);

const write = (command) => ({ do: "write", frame: JSON.stringify(command) });
const fail = (id, error) => ({ do: "fail", id, error });

/** Messages wait in the outbox for their acknowledgement; a ping ends with its connection. */
export class Commands {
  #backoff;
  #outbox;
  #limitedMs;
  #pings = new Set();
  // The last `refresh` without an answer.
  #refresh = null;
  #lastId = 0;

  constructor(policy, backoff) {
    this.#backoff = backoff;
    this.#outbox = new Outbox(policy);
    this.#limitedMs = policy.limitedMs;
  }

  /** The earliest time at which `due` has something to write; null: nothing waits for a time. */
  get deadline() {
    return this.#outbox.heldUntil;
  }

  /** Whether no more messages can wait. */
  get isFull() {
    return this.#outbox.isFull;
  }

  /** Queue a message, to be sent once it is due; returns its id. */
  say(text, key, ack) {
    const id = (this.#lastId += 1);
    this.#outbox.add({ type: "message", id, text, key, ...(ack === "accepted" ? {} : { ack }) });
    return id;
  }

  /** Make a ping, to be written now. */
  ping() {
    const id = (this.#lastId += 1);
    this.#pings.add(id);
    return { id, effect: write({ type: "ping", id }) };
  }

  /** Make a `refresh`, to be written now. */
  refresh(token) {
    const id = (this.#lastId += 1);
    this.#refresh = id;
    return write({ type: "refresh", id, token });
  }

  /** Whether this is the id of the last `refresh`. */
  isRefresh(id) {
    return id !== null && id === this.#refresh;
  }

  /** Milliseconds until a refused command may be repeated, with jitter. */
  waitOf({ retryAfterMs }) {
    return this.#backoff.jittered(retryAfterMs || DEFAULT_RETRY_MS);
  }

  /** The caller no longer waits for the command; returns whether the gateway may have executed it. */
  forget(id) {
    this.#pings.delete(id);
    const pending = this.#outbox.take(id);
    return pending !== null && pending.firstSentAt !== null;
  }

  /** The frames to write now, in the order of the calls, and the messages that can't be sent any more. */
  due(now, epoch) {
    const problem = "no answer came in time, and a repetition could be stored twice";
    const unsafe = this.#outbox.takeUnsafe(now, epoch).map((id) => fail(id, new UnconfirmedError(problem)));
    return [...unsafe, ...this.#outbox.due(now, epoch).map(write)];
  }

  /** The gateway acknowledged a message. */
  acked(id, ack) {
    return this.#outbox.take(id) === null ? [] : [{ do: "answer", id, ack }];
  }

  /** A pong came. */
  ponged(id) {
    return this.#pings.delete(id) ? [{ do: "answer", id, ack: null }] : [];
  }

  /** The gateway refused a command; null when the error is about none of these commands. */
  refused(id, complaint, now) {
    if (!this.#outbox.has(id)) return null;
    if (complaint.retryable) {
      const until = now + this.waitOf(complaint);
      // The rate gives room for several messages during the longer wait, so that refusals stay rare.
      const later = now + this.#backoff.jittered(this.#limitedMs);
      if (complaint.code === "rate_limited") this.#outbox.limit(id, Math.max(until, later));
      else this.#outbox.hold(id, until);
      return [];
    }
    this.#outbox.take(id);
    const Kind = ERRORS.get(complaint.code) ?? CommandError;
    return [fail(id, new Kind(complaint.code, complaint.message, complaint.field))];
  }

  /** The connection is lost: commands under way may be lost too. */
  disconnected() {
    this.#outbox.disconnected();
    this.#refresh = null;
    const lost = [...this.#pings].map((id) => fail(id, new NotConnectedError("the connection was lost")));
    this.#pings.clear();
    return lost;
  }

  /** The client has ended: fail all commands. */
  ended(error) {
    return this.#outbox.takeAll().map((id) => fail(id, error));
  }
}
