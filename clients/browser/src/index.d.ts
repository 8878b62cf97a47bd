// Types of the browser client of Séance. Times are milliseconds unless they are texts (RFC 3339 in UTC).

/** A place in a session: the last event that was received. A new epoch begins when the session lost events. */
export interface Position {
  readonly epoch: string;
  readonly seq: number;
}

/** Somebody in the session; `id` is null for a server. */
export interface User {
  readonly id: string | null;
  readonly name: string;
}

export type Source = "log" | "history" | "none";
export type Level = "accepted" | "persisted";

/** The answer to a join: the session, oneself, who is there now (empty under `summary`), and the own place. */
export interface Welcome {
  readonly session: {
    readonly id: string;
    readonly name: string;
    readonly createdAt: string;
    readonly maxUsers: number;
    readonly presence: "full" | "summary";
    readonly spirit: boolean;
  };
  readonly you: User;
  readonly users: readonly User[];
  readonly userCount: number;
  readonly seq: number;
  readonly epoch: string;
  /** By this token the user comes back; keep it with `client.position`. */
  readonly token: string;
  readonly resumed: { readonly recovered: boolean; readonly source: Source; readonly missed: number };
  readonly heartbeatSeconds: number;
}

/** A message has its place `seq`: `accepted` is ordered and on its way, `persisted` is committed in Postgres. */
export interface Ack {
  readonly seq: number;
  readonly messageId: string;
  readonly level: Level;
}

interface Sequenced {
  readonly seq: number;
  readonly ts: string;
}

/** Somebody said something; `userId` is null when a server did. */
export interface MessageReceived extends Sequenced {
  readonly type: "message_received";
  readonly id: string;
  readonly sessionId: string;
  readonly userId: string | null;
  readonly userName: string;
  readonly text: string;
  readonly timestamp: string;
  readonly isSpirit: boolean;
}

export interface UserJoined extends Sequenced {
  readonly type: "user_joined";
  readonly user: User;
  readonly userCount: number;
}

export interface UserLeft extends Sequenced {
  readonly type: "user_left";
  readonly user: User;
  readonly userCount: number;
  readonly reason: "left" | "lost" | "removed" | (string & {});
}

/** The session is over; the connection ends. */
export interface SessionClosed extends Sequenced {
  readonly type: "session_closed";
}

/** The session's AI participant is about to answer. */
export interface SpiritThinking {
  readonly type: "spirit_thinking";
  readonly ts?: string;
}

export interface UserTyping {
  readonly type: "user_typing";
  readonly ts?: string;
  readonly user: User;
}

/** How many are there now, in sessions with `summary` presence. */
export interface PresenceChanged {
  readonly type: "presence_changed";
  readonly ts?: string;
  readonly userCount: number;
}

/** Every event up to `seq` is committed in Postgres. */
export interface Persisted {
  readonly type: "persisted";
  readonly seq: number;
}

/** The gateway could not deliver the events `first` to `last`; messages among them can be had over REST. */
export interface Gap {
  readonly type: "gap";
  readonly first: number;
  readonly last: number;
}

/** An event of a type `of` that this client does not know. */
export interface Unknown {
  readonly type: "unknown";
  readonly of: string;
  readonly seq: number | null;
  readonly ts: string | null;
  readonly data: unknown;
}

/** Joined, for the first time or again; the roster in the welcome is the current one. */
export interface Connected {
  readonly type: "connected";
  readonly welcome: Welcome;
}

/** Nothing was lost: `missed` events follow. From `history` they are messages only, and `seq` skips the rest. */
export interface Recovered {
  readonly type: "recovered";
  readonly source: Source;
  readonly missed: number;
}

/** Events after `previous` may be missing here; load the history with `after: previous.seq` over REST. */
export interface NotRecovered {
  readonly type: "not_recovered";
  readonly previous: Position;
  readonly current: Position;
}

/** There is no connection. `code` is the WebSocket close code, 1006 without one, or an HTTP status below 1000. */
export interface Disconnected {
  readonly type: "disconnected";
  readonly code: number;
  readonly reason: string;
  readonly willRetry: boolean;
  readonly retryMs: number;
}

/** The gateway complains about something that is no command of `send`; a close often follows. */
export interface ErrorReceived {
  readonly type: "error_received";
  readonly code: string;
  readonly message: string;
}

/** What `for await (const event of client)` yields. */
export type SeanceEvent =
  | MessageReceived
  | UserJoined
  | UserLeft
  | SessionClosed
  | SpiritThinking
  | UserTyping
  | PresenceChanged
  | Persisted
  | Gap
  | Unknown
  | Connected
  | Recovered
  | NotRecovered
  | Disconnected
  | ErrorReceived;

/** It is over. `error` is null when the application wanted it so. Only dispatched; an iteration ends or throws. */
export interface Ended {
  readonly type: "ended";
  readonly error: EndedError | null;
}

type AnyEvent = SeanceEvent | Ended;
/** The events of the client as an EventTarget, by name; `event` is every one of them. */
export type ClientEventMap = { [Type in AnyEvent["type"]]: CustomEvent<Extract<AnyEvent, { type: Type }>> } & {
  event: CustomEvent<AnyEvent>;
};

/** Every time and bound. */
export interface Policy {
  /** The first wait is between 0 and this, each further one up to twice as long: 500. */
  backoffBaseMs: number;
  /** 20 000. */
  backoffCapMs: number;
  /** 10 000. */
  openTimeoutMs: number;
  /** 15 000. */
  joinTimeoutMs: number;
  /** 5 000. */
  leaveTimeoutMs: number;
  /** A connection that held for so long makes the backoff start anew: 5 000. */
  stableAfterMs: number;
  /** Silence in heartbeats of the server after which this client asks for a sign of life: 1. */
  pingAfter: number;
  /** Silence in heartbeats after which the connection counts as dead: 2.5. */
  deadAfter: number;
  /** How long a sign of life may take after the network changed or the machine slept: 2 500. */
  suspectMs: number;
  /** For how long a message may be repeated without becoming two: 270 000. */
  keyMs: number;
  /** For how long a join that was never answered may hold the name or the seat: 60 000. */
  ghostMs: number;
  /** Events that may wait for one iteration; the iteration throws OverflowError after them: 1024. */
  maxEvents: number;
  /** Messages under way at once: 64. */
  maxInFlight: number;
  /** Messages that wait, those under way among them: 1024. */
  maxWaiting: number;
}

/** Why an upgrade was refused. */
export interface Refusal {
  readonly status: number;
  readonly retryAfterMs: number;
  readonly reason: string;
}

export interface ClientOptions {
  /** The user's name, unless `token` says it. */
  name?: string;
  /** A user's token from an earlier welcome, or the host token of the session. */
  token?: string;
  /** The session's password, when it has one. */
  password?: string;
  /** Where an earlier client of the same user stopped (`client.position`); what came since follows. */
  resume?: Position;
  policy?: Partial<Policy>;
  /** Let the gateway put several events into one frame; only frames change, not events. */
  wantsBatches?: boolean;
  /** Random numbers from 0 to 1, for the backoff. */
  draw?: () => number;
  /** Finds out why an upgrade was refused, which browsers don't tell: asks the REST API, unless another way is given. */
  explain?: (websocketUrl: string) => Promise<Refusal | null>;
}

/** One user in one session. */
export class Client extends EventTarget implements AsyncIterable<SeanceEvent> {
  /** `url`: address of a gateway or balancer (`http`, `https`, `ws` or `wss`), or several, tried in turn. */
  constructor(url: string | readonly string[], sessionId: string, options: ClientOptions);
  readonly sessionId: string;

  /**
   * Join the session; the welcome. Trouble that time mends is waited out until the time (30 s) is over.
   * Rejects with EndedError (its subclasses say why) or ConnectTimeoutError; then the client is closed.
   */
  connect(options?: { timeoutMs?: number }): Promise<Welcome>;
  /** Give up the seat, so that the others see `user_left` at once, and end. Without a connection it only ends. */
  leave(): Promise<void>;
  /** End, but keep the seat for the session's grace time: a client with `token` and `resume` may come back. */
  close(): void;

  /** The last welcome; null before the first. */
  readonly welcome: Welcome | null;
  /** The last event that was received; with the welcome's token it is what a later client needs. */
  readonly position: Position | null;
  /** Whether it is in the session right now. */
  readonly isConnected: boolean;
  /** Whether it is over for good. */
  readonly hasEnded: boolean;

  /** The events from now on. Ends with the client, or throws the EndedError that was the end. */
  events(): AsyncIterableIterator<SeanceEvent>;
  [Symbol.asyncIterator](): AsyncIterableIterator<SeanceEvent>;

  /**
   * Say something; resolves once it is acknowledged, over as many reconnects as the time (30 s) allows. Calls keep
   * their order. `key` makes a repetition within 5 minutes harmless; without one, one is made.
   *
   * Rejects with InvalidMessageError, CommandError (refused, nothing was stored), NotStoredError (`persisted`:
   * delivered, but Postgres refuses it), SendTimeoutError, UnconfirmedError (stored or not, and a repetition could make
   * it two), UsageError or EndedError.
   */
  send(text: string, options?: { key?: string; ack?: Level; timeoutMs?: number }): Promise<Ack>;
  /** Milliseconds to the gateway and back. */
  ping(options?: { timeoutMs?: number }): Promise<number>;
  /** Tell the others that this user is typing; without a connection nothing happens. */
  typing(): void;

  addEventListener<Type extends keyof ClientEventMap>(
    type: Type,
    listener: (event: ClientEventMap[Type]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<Type extends keyof ClientEventMap>(
    type: Type,
    listener: (event: ClientEventMap[Type]) => void,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
}

export interface Session {
  readonly id: string;
  readonly name: string;
  readonly createdAt: string;
  readonly maxUsers: number;
  readonly isActive: boolean;
  readonly hasPassword: boolean;
  readonly presence: "full" | "summary";
  readonly spirit: boolean;
  readonly slowConsumers: "resync" | "disconnect";
  readonly multipleConnections: boolean;
  readonly userCount: number;
}

export interface NewSession {
  name: string;
  maxUsers?: number;
  password?: string;
  presence?: "full" | "summary";
  spirit?: boolean;
  slowConsumers?: "resync" | "disconnect";
  multipleConnections?: boolean;
  /** Idempotency key of the creation. */
  key?: string;
}

export type StoredMessage = Omit<MessageReceived, "type" | "ts">;

/** Messages, seq rising; `nextBefore` and `nextAfter` ask for the pages around it, null at an end. */
export interface Page {
  readonly items: readonly StoredMessage[];
  readonly nextBefore: number | null;
  readonly nextAfter: number | null;
}

/** The REST API of a gateway or balancer. Every method rejects with RestError. */
export class Rest {
  constructor(url: string, options?: { token?: string | null });
  createSession(fields: NewSession): Promise<Session & { readonly hostToken: string }>;
  session(sessionId: string): Promise<Session>;
  users(sessionId: string): Promise<{ readonly users: readonly User[]; readonly userCount: number }>;
  history(sessionId: string, options?: { before?: number; after?: number; limit?: number }): Promise<Page>;
  closeSession(sessionId: string, options?: { token?: string }): Promise<unknown>;
  removeUser(sessionId: string, userId: string, options?: { token?: string }): Promise<unknown>;
}

/** How many characters (Unicode code points, trimmed) the gateway counts in a text. */
export function lengthOf(text: string): number;

/** Any error of this client. */
export class SeanceError extends Error {}
/** The client is used in a way that can't work. */
export class UsageError extends SeanceError {}
/** There is no connection right now; the client is about to make one. */
export class NotConnectedError extends SeanceError {}
/** No connection came about in time. */
export class ConnectTimeoutError extends SeanceError {}
/** Whoever iterates over the events reads too slowly. */
export class OverflowError extends SeanceError {}
/** The connection ended and is not made again: `code` is the close code, or the HTTP status of the refusal. */
export class EndedError extends SeanceError {
  readonly code: number;
  readonly reason: string;
}
export class LeftError extends EndedError {}
export class FrameTooLargeError extends EndedError {}
export class BadJoinError extends EndedError {}
export class UnauthorizedError extends EndedError {}
export class ForbiddenError extends EndedError {}
export class SessionNotFoundError extends EndedError {}
export class SessionClosedError extends EndedError {}
export class SessionFullError extends EndedError {}
export class NameTakenError extends EndedError {}
export class RemovedError extends EndedError {}
export class ReplacedError extends EndedError {}
export class AbuseError extends EndedError {}
export class RefusedError extends EndedError {}
/** The gateway refused a command and stored nothing. */
export class CommandError extends SeanceError {
  readonly code: string;
  readonly field: string | null;
}
export class InvalidMessageError extends CommandError {}
export class NotStoredError extends CommandError {}
export class UnconfirmedError extends SeanceError {}
/** When `isUncertain`, the message may have been stored; sending with the same key is safe. */
export class SendTimeoutError extends SeanceError {
  readonly key: string;
  readonly isUncertain: boolean;
}
/** REST: the server refused; `status` is 0 when no answer came. */
export class RestError extends SeanceError {
  readonly status: number;
  readonly code: string;
  readonly reason: string;
  readonly details: readonly { readonly field: string; readonly message: string }[];
}
