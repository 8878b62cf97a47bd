// The client's state machine: events with their time go in, effects come out. Pure: no promise, clock or socket.
//
// Each method that is told of something returns the effects, in order: {do: "dial" | "write" | "hangup" | "emit" |
// "answer" | "fail" | "ask" | "stop", ...}. `deadline` says when `tick` is due. Times are milliseconds.

import { LEFT, NO_CLOSE_FRAME, UNAUTHORIZED, errorOf } from "./closes.js";
import { Commands } from "./commands.js";
import { Credentials } from "./credentials.js";
import { LeftError } from "./errors.js";
import { Order, Place } from "./order.js";
import { Backoff } from "./policy.js";
import { Recovery } from "./recovery.js";
import { Silence } from "./silence.js";
import { MalformedFrame, content, decode } from "./wire.js";

/** The phases of a client. */
export const Phase = Object.freeze({
  IDLE: "idle",
  // The application is asked for a token.
  ASKING: "asking",
  DIALING: "dialing",
  JOINING: "joining",
  JOINED: "joined",
  LEAVING: "leaving",
  WAITING: "waiting",
  STOPPED: "stopped",
});

const OPEN = new Set([Phase.JOINING, Phase.JOINED, Phase.LEAVING]);
const write = (command) => ({ do: "write", frame: JSON.stringify(command) });

/** One user in one session, over any number of connections. */
export class Machine {
  phase = Phase.IDLE;
  welcome = null;
  #urls;
  #join;
  #credentials;
  #policy;
  #order;
  #commands;
  #recovery;
  #effects = [];
  #dials = 0;
  // When the current phase ends without an event: waiting, joining, leaving.
  #phaseEndsAt = null;
  // While joined.
  #silence = null;
  // When to ask the application again for a token, while joined.
  #askAt = null;
  // When `typing` was written last, and when it is due again because it was asked for too soon.
  #typingAt = -Infinity;
  #typingDue = null;

  /**
   * `urls`: WebSocket addresses of the session, tried in turn. `join`: who comes; later joins use the newest token of the
   * gateway. `draw`: random numbers from 0 to 1. `position`: where an earlier client of the same user stopped. `canAsk`:
   * whether the application gives tokens.
   */
  constructor(urls, join, policy, draw, position = null, canAsk = false) {
    const backoff = new Backoff(policy, draw);
    this.#urls = urls;
    this.#join = join;
    this.#credentials = new Credentials(join.token, canAsk);
    this.#policy = policy;
    this.#order = new Order(position);
    this.#commands = new Commands(policy, backoff);
    this.#recovery = new Recovery(policy, backoff);
  }

  /** The last event received; null before the first welcome. */
  get position() {
    return this.#order.position;
  }

  /** The token of the next join: the newest of the gateway, or of the application; null: none. */
  get token() {
    return this.#credentials.token;
  }

  /** Whether no more messages can wait. */
  get isFull() {
    return this.#commands.isFull;
  }

  /** When `tick` has to be called, unless something happens before; Infinity: never. */
  get deadline() {
    const { deadline } = this.#commands;
    const joined = this.#silence ? [deadline, this.#silence.deadline, this.#askAt, this.#typingDue] : [];
    const waits = [this.#phaseEndsAt, ...joined];
    return Math.min(...waits.map((time) => time ?? Infinity));
  }

  // Calls of the application.

  /** Begin. */
  start() {
    this.#reach(-Infinity);
    return this.#done();
  }

  /** Send a message as soon as possible; an effect answers or fails its id later. */
  say(text, key, ack, now) {
    this.#typingDue = null;
    const id = this.#commands.say(text, key, ack);
    this.#flush(now);
    return { id, effects: this.#done() };
  }

  /** The caller no longer waits for this command; returns whether the gateway may have executed it. */
  forget(id) {
    return this.#commands.forget(id);
  }

  /** Ask the gateway for a pong; null without a connection. */
  ping() {
    if (this.phase !== Phase.JOINED) return null;
    const { id, effect } = this.#commands.ping();
    return { id, effects: [effect] };
  }

  /** Tell the others that this user is typing, later when that is too soon; nothing happens without a connection. */
  typing(now) {
    if (this.phase === Phase.JOINED) {
      this.#typingDue = Math.max(now, this.#typingAt + this.#policy.typingMs);
      this.#type(now);
    }
    return this.#done();
  }

  /** The application answers the effect `ask`; null: this user gets no token any more. */
  provided(token, now) {
    if (this.phase === Phase.ASKING && token === null) {
      this.#goOn(null, UNAUTHORIZED, "the application has no token for this user", now);
    } else if (this.phase === Phase.ASKING) {
      this.#credentials.provided(token);
      this.#dial();
    } else if (this.phase === Phase.JOINED && token !== null) {
      this.#effects.push(this.#commands.refresh(token));
    }
    return this.#done();
  }

  /** The application could not answer the effect `ask` now. */
  unprovided(reason, now) {
    if (this.phase === Phase.ASKING) this.#goOn(this.#recovery.waitAfterFailure(), NO_CLOSE_FRAME, reason, now);
    else if (this.phase === Phase.JOINED) this.#askAt = now + this.#policy.tokenRetryMs;
    return this.#done();
  }

  /** Give up the seat and end. */
  leave(now) {
    if (this.phase === Phase.JOINED) {
      this.#effects.push(write({ type: "leave" }));
      this.#disconnected();
      this.phase = Phase.LEAVING;
      this.#phaseEndsAt = now + this.#policy.leaveTimeoutMs;
    } else if (this.phase !== Phase.LEAVING) {
      this.#stop(null);
    }
    return this.#done();
  }

  /** End without giving up the seat; the user may come back by token. */
  close() {
    this.#stop(null);
    return this.#done();
  }

  // Events of the connection.

  /** The connection is open. */
  opened(now) {
    if (this.phase === Phase.DIALING) {
      this.phase = Phase.JOINING;
      this.#phaseEndsAt = now + this.#policy.joinTimeoutMs;
      this.#recovery.opened();
      const wanted = {
        name: this.#join.name,
        token: this.token,
        password: this.#join.password,
        resume: this.position,
      };
      const given = Object.entries(wanted).filter(([, value]) => value !== null && value !== undefined);
      this.#effects.push(write({ type: "join", ...Object.fromEntries(given) }));
    }
    return this.#done();
  }

  /** The server answered the upgrade with an HTTP status; `retryAfterMs` is 0 without that header. */
  refused(status, retryAfterMs, reason, now) {
    if (this.phase === Phase.DIALING) {
      this.#goOn(this.#recovery.waitAfterRefusal(status, retryAfterMs), status, reason, now);
    }
    return this.#done();
  }

  /** The connection ended, or could not be made (1006). */
  lost(code, reason, now) {
    if (this.phase === Phase.LEAVING) {
      this.#stop(null);
    } else if (OPEN.has(this.phase) || this.phase === Phase.DIALING) {
      const [why, words] = this.#recovery.explained(code, reason);
      const isCurable = why === UNAUTHORIZED && this.#credentials.refused();
      const wasJoining = this.phase === Phase.JOINING;
      const wait = this.#recovery.waitAfterClose(why, now, { wasJoining, isCurable });
      const hasEnded = why === UNAUTHORIZED && this.#credentials.hasEnded(now);
      this.#goOn(wait, why, hasEnded ? `${words || "the token is not valid"}; the token of this user has ended` : words, now);
    }
    return this.#done();
  }

  /** A frame came. */
  heard(payload, now) {
    this.#silence?.broken(now);
    try {
      for (const envelope of decode(payload)) {
        if (OPEN.has(this.phase)) this.#object(envelope, content(envelope), now);
      }
    } catch (error) {
      if (!(error instanceof MalformedFrame)) throw error;
      this.#mend(error.message, now);
    }
    return this.#done();
  }

  /** Time has passed. */
  tick(now) {
    if (this.#phaseEndsAt !== null && now >= this.#phaseEndsAt) {
      this.#phaseEnded(now);
    } else if (this.#silence?.isDead(now)) {
      this.#mend("the gateway is silent", now);
    } else {
      if (this.#silence?.asks(now)) this.#effects.push(this.#commands.ping().effect);
      if (this.#askAt !== null && now >= this.#askAt) this.#ask();
      this.#type(now);
      this.#flush(now);
    }
    return this.#done();
  }

  /** The network changed or the machine woke up: check now whether the connection lives. */
  suspected(now) {
    if (this.phase === Phase.JOINED) {
      this.#silence.suspected(now);
      this.#effects.push(this.#commands.ping().effect);
    }
    return this.#done();
  }

  /** The network is back: an attempt that waits starts now. */
  reachable(now) {
    if (this.phase === Phase.WAITING) this.#reach(now);
    return this.suspected(now);
  }

  // The meaning of a frame.

  #object(envelope, event, now) {
    const isJoining = this.phase === Phase.JOINING;
    if (event.type === "error") this.#complained(envelope.id, event, now);
    else if (event.type === "reconnect") this.#recovery.toldToReturn(now + event.afterMs);
    else if (event.type === "welcome") isJoining ? this.#welcomed(event, now) : this.#mend("a second welcome", now);
    else if (isJoining) this.#mend(`${envelope.type} before the welcome`, now);
    else if (event.type === "ack") this.#answered(this.#commands.acked(envelope.id, event), now);
    else if (event.type === "pong") this.#effects.push(...this.#commands.ponged(envelope.id));
    else if (event.type === "token_expiring" || event.type === "token_renewed") this.#tokenChanged(event, now);
    else this.#happened(envelope.seq, event, now);
  }

  #tokenChanged(event, now) {
    if (event.type === "token_renewed") {
      this.#credentials.issued(event.token, event.expiresInSeconds, now);
      this.#askAt = null;
    } else if (this.#credentials.canAsk) {
      this.#ask();
    }
    this.#emit(event);
  }

  #happened(seq, event, now) {
    let place = Place.NEXT;
    if (event.type === "gap") place = this.#order.skipped(event.first, event.last);
    else if (seq !== null) place = this.#order.place(seq);
    if (place === Place.BEYOND_A_HOLE) {
      this.#mend(`events are missing after ${this.position.seq}`, now);
    } else if (place === Place.NEXT && (event.type !== "message_received" || this.#order.isNew(event.id))) {
      this.#emit(event);
    }
  }

  #welcomed({ type: _, ts: __, ...welcome }, now) {
    const previous = this.position;
    const hasRecovered = this.#order.welcomed(welcome);
    this.welcome = welcome;
    this.#credentials.issued(welcome.token, welcome.tokenExpiresInSeconds, now);
    this.phase = Phase.JOINED;
    this.#phaseEndsAt = null;
    this.#recovery.joined(now);
    this.#silence = new Silence(this.#policy, welcome.heartbeatSeconds * 1000, now);
    this.#emit({ type: "connected", welcome });
    if (previous !== null) {
      const { source, missed, missedAtLeast } = welcome.resumed;
      const current = this.position;
      this.#emit(
        hasRecovered
          ? { type: "recovered", source, missed, missedAtLeast }
          : { type: "not_recovered", previous, current },
      );
    }
    this.#flush(now);
  }

  #answered(effects, now) {
    this.#effects.push(...effects);
    // A waiting message may have room now.
    if (effects.length > 0) this.#flush(now);
  }

  #complained(id, complaint, now) {
    const effects = this.#commands.refused(id, complaint, now);
    if (effects !== null) {
      this.#answered(effects, now);
      return;
    }
    const { code, message, retryable, retryAfterMs } = complaint;
    const again = now + this.#commands.waitOf(complaint);
    if (id === null || this.phase === Phase.JOINING) {
      this.#recovery.complained(code, message, retryAfterMs === null ? -Infinity : again);
    } else if (this.#commands.isRefresh(id) && retryable) {
      this.#askAt = again;
    }
    this.#emit({ type: "error_received", code, message, retryAfterMs });
  }

  // What follows.

  /** Open a connection; first ask the application for a token when there is none that could be good. */
  #reach(now) {
    if (!this.#credentials.needsAnother(now)) {
      this.#dial();
      return;
    }
    this.phase = Phase.ASKING;
    this.#phaseEndsAt = null;
    this.#ask();
  }

  #type(now) {
    if (this.#typingDue === null || now < this.#typingDue) return;
    this.#typingAt = now;
    this.#typingDue = null;
    this.#effects.push(write({ type: "typing" }));
  }

  #ask() {
    this.#askAt = null;
    this.#effects.push({ do: "ask" });
  }

  #dial() {
    this.phase = Phase.DIALING;
    this.#phaseEndsAt = null;
    this.#effects.push({ do: "dial", url: this.#urls[this.#dials % this.#urls.length] });
    this.#dials += 1;
  }

  #flush(now) {
    if (this.phase === Phase.JOINED) this.#effects.push(...this.#commands.due(now, this.position.epoch));
  }

  /** This connection is not reliable: drop it, and resume from the last good position. */
  #mend(problem, now) {
    this.#effects.push({ do: "hangup" });
    if (this.phase === Phase.LEAVING) {
      this.#stop(null);
      return;
    }
    const wasJoining = this.phase === Phase.JOINING;
    const wait = this.#recovery.waitAfterClose(NO_CLOSE_FRAME, now, { wasJoining, isUrgent: !wasJoining });
    this.#goOn(wait, NO_CLOSE_FRAME, problem, now);
  }

  /** Wait for the next attempt, or end when there is no further attempt. */
  #goOn(wait, code, reason, now) {
    this.#disconnected();
    this.#emit({ type: "disconnected", code, reason, willRetry: wait !== null, retryMs: wait ?? 0 });
    if (wait === null) {
      this.#stop(errorOf(code, reason));
    } else {
      this.phase = Phase.WAITING;
      this.#phaseEndsAt = now + wait;
    }
  }

  #phaseEnded(now) {
    if (this.phase === Phase.WAITING) {
      this.#reach(now);
    } else if (this.phase === Phase.JOINING) {
      this.#mend("no welcome in time", now);
    } else {
      this.#effects.push({ do: "hangup" });
      this.#stop(null);
    }
  }

  /** The client has ended; `error` is null when the application ended the client. */
  #stop(error) {
    if (this.phase === Phase.STOPPED) return;
    this.#disconnected();
    this.phase = Phase.STOPPED;
    this.#phaseEndsAt = null;
    this.#effects.push(...this.#commands.ended(error ?? new LeftError(LEFT, "this client has ended")));
    this.#effects.push({ do: "stop", error });
  }

  #disconnected() {
    this.#effects.push(...this.#commands.disconnected());
    this.#silence = null;
    this.#askAt = null;
    this.#typingDue = null;
  }

  #emit(event) {
    this.#effects.push({ do: "emit", event });
  }

  #done() {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }
}
