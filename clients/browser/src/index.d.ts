// Types of the browser client of Séance. Times are milliseconds unless they are texts (RFC 3339 in UTC).

/** A position in a session: the last event received. A new epoch begins when the session lost events. */
export interface Position {
  readonly epoch: string;
  readonly seq: number;
}

/** A user in the session; `id` is null for a server. */
export interface User {
  readonly id: string | null;
  readonly name: string;
}

export type Source = "log" | "history" | "none";
export type Level = "accepted" | "persisted";

/** The answer to a join: the session, this user, the present users (empty under `summary`), and the position. */
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
  /** The user's token at the time of this join; `client.token` is the newest one. */
  readonly token: string;
  readonly resumed: {
    readonly recovered: boolean;
    readonly source: Source;
    readonly missed: number | null;
    readonly missedAtLeast: number;
  };
  readonly heartbeatSeconds: number;
  /** How long the token is valid; null: unknown. */
  readonly tokenExpiresInSeconds: number | null;
}

/** A message has its `seq`: `accepted` means ordered and on its way, `persisted` means committed in Postgres. */
export interface Ack {
  readonly seq: number;
  readonly messageId: string;
  readonly level: Level;
}

interface Sequenced {
  readonly seq: number;
  readonly ts: string;
}

/** A message; `userId` is null when a server published it. */
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

/** The session was closed; the connection ends. */
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

/** The number of present users, in sessions with `summary` presence. */
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

/** The gateway could not deliver the events `first` to `last`; fetch the messages among them over REST. */
export interface Gap {
  readonly type: "gap";
  readonly first: number;
  readonly last: number;
}

/** The token ends in so many seconds. With `getToken` the client renews it; else the connection may end (4501). */
export interface TokenExpiring {
  readonly type: "token_expiring";
  readonly inSeconds: number;
}

/** The token of the next join, here and in a later client: keep it in place of the one before. */
export interface TokenRenewed {
  readonly type: "token_renewed";
  readonly token: string;
  readonly expiresInSeconds: number;
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

/**
 * All `missed` events follow. From `history` they are messages only, and `seq` skips the other events.
 *
 * `missed` is null when there are too many to count; `missedAtLeast` is a lower bound then, else 0.
 */
export interface Recovered {
  readonly type: "recovered";
  readonly source: Source;
  readonly missed: number | null;
  readonly missedAtLeast: number;
}

/** Events after `previous` may be missing; load the history with `after: previous.seq` over REST. */
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

/** An error of the gateway that answers no `send`; a close often follows. */
export interface ErrorReceived {
  readonly type: "error_received";
  readonly code: string;
  readonly message: string;
  /** How long to wait, when the gateway names a time. */
  readonly retryAfterMs: number | null;
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
  | TokenExpiring
  | TokenRenewed
  | Unknown
  | Connected
  | Recovered
  | NotRecovered
  | Disconnected
  | ErrorReceived;

/** The client has ended; `error` is null when the application ended it. An iteration ends or throws instead. */
export interface Ended {
  readonly type: "ended";
  readonly error: EndedError | null;
}

type AnyEvent = SeanceEvent | Ended;
/** The events of the client as an EventTarget, by name; `event` is every one of them. */
export type ClientEventMap = { [Type in AnyEvent["type"]]: CustomEvent<Extract<AnyEvent, { type: Type }>> } & {
  event: CustomEvent<AnyEvent>;
};

/** All times and bounds. */
export interface Policy {
  /** The first wait is between 0 and this value, each further wait up to twice as long: 500. */
  backoffBaseMs: number;
  /** 20 000. */
  backoffCapMs: number;
  /** 10 000. */
  openTimeoutMs: number;
  /** 15 000. */
  joinTimeoutMs: number;
  /** 5 000. */
  leaveTimeoutMs: number;
  /** A connection that lasted so long resets the backoff: 5 000. */
  stableAfterMs: number;
  /** Silence, in heartbeats of the server, after which this client sends a ping: 1. */
  pingAfter: number;
  /** Silence, in heartbeats, after which the connection counts as dead: 2.5. */
  deadAfter: number;
  /** How long the pong may take after the network changed or the machine slept: 2 500. */
  suspectMs: number;
  /** How long `getToken` may take: 10 000. */
  tokenTimeoutMs: number;
  /** The wait after `getToken` has failed while the connection is open: 5 000. */
  tokenRetryMs: number;
  /** The shortest wait after a message was refused with `rate_limited`: 1 000. */
  limitedMs: number;
  /** The shortest time between two `typing`; gateways take 0.5 a second: 2 000. */
  typingMs: number;
  /** How long a repetition of a message is safe: 270 000. */
  keyMs: number;
  /** How long a join without an answer may hold the name or the seat: 60 000. */
  ghostMs: number;
  /** Events that may wait for one iteration; the iteration throws OverflowError after them: 1024. */
  maxEvents: number;
  /** Messages under way at once: 64. */
  maxInFlight: number;
  /** Messages that wait, including those under way: 1024. */
  maxWaiting: number;
}

/** Why an upgrade was refused. */
export interface Refusal {
  readonly status: number;
  readonly retryAfterMs: number;
  readonly reason: string;
}

export interface ClientOptions {
  /** The user's name, unless the token says it. */
  name?: string;
  /** A user's token (`client.token` of an earlier client, or one of the application), or the session's host token. */
  token?: string;
  /**
   * Gives a token of the application for this user, or null when the user gets none any more. The client calls it before
   * the first join without `token`, before the token ends, and before it comes back with a token that has ended or was
   * refused. What it throws counts as a passing failure.
   */
  getToken?: () => string | null | undefined | Promise<string | null | undefined>;
  /** The session's password, when it has one. */
  password?: string;
  /** The position of an earlier client of the same user (`client.position`); all later events follow. */
  resume?: Position;
  policy?: Partial<Policy>;
  /** Let the gateway put several events into one frame; only frames change, not events. */
  wantsBatches?: boolean;
  /** Random numbers from 0 to 1, for the backoff. */
  draw?: () => number;
  /** Finds the reason of a refused upgrade, which browsers don't give; by default asks the REST API. */
  explain?: (websocketUrl: string) => Promise<Refusal | null>;
  /** The class of the connections, such as that of the package `ws`; by default the global `WebSocket`. */
  WebSocket?: new (url: string, protocols?: string[]) => any;
  /** Asks the REST API for the reason of a refused upgrade; by default the global `fetch`. */
  fetch?: typeof fetch;
}

/** One user in one session. */
export class Client extends EventTarget implements AsyncIterable<SeanceEvent> {
  /**
   * `url`: address of a gateway or balancer (`http`, `https`, `ws` or `wss`), or several, tried in turn.
   * Throws UsageError: a wrong address, neither name nor token nor `getToken`, or a runtime without `WebSocket`.
   */
  constructor(url: string | readonly string[], sessionId: string, options: ClientOptions);
  readonly sessionId: string;

  /**
   * Join the session; resolves with the welcome. After failures that may pass the client tries again for 30 s.
   * Rejects with EndedError (its subclasses say why) or ConnectTimeoutError; then the client is closed.
   */
  connect(options?: { timeoutMs?: number }): Promise<Welcome>;
  /** Give up the seat, so that the others see `user_left` at once, and end. Without a connection: only end. */
  leave(): Promise<void>;
  /** End, but keep the seat for the session's grace time: a client with `token` and `resume` may come back. */
  close(): void;

  /** The last welcome; null before the first. */
  readonly welcome: Welcome | null;
  /** The newest token of this user: a later client comes back with it. It changes with every renewal. */
  readonly token: string | null;
  /** The position of the last event received; a later client needs it and `token`. */
  readonly position: Position | null;
  /** Whether the client is in the session now. */
  readonly isConnected: boolean;
  /** Whether the client has ended. */
  readonly hasEnded: boolean;

  /** The events from now on. Ends with the client, or throws the EndedError that ended the client. */
  events(): AsyncIterableIterator<SeanceEvent>;
  [Symbol.asyncIterator](): AsyncIterableIterator<SeanceEvent>;

  /**
   * Send a message; resolves once it is acknowledged, over as many reconnects as the time (30 s) allows. Calls keep
   * their order. `key` makes a repetition within 5 minutes harmless; by default the client makes a key.
   *
   * Rejects with InvalidMessageError, CommandError (refused, nothing was stored), NotStoredError (`persisted`:
   * delivered, but Postgres refuses it), SendTimeoutError, UnconfirmedError (stored or not, and a repetition could be
   * stored again), UsageError or EndedError.
   */
  send(text: string, options?: { key?: string; ack?: Level; timeoutMs?: number }): Promise<Ack>;
  /** The round trip to the gateway in milliseconds. */
  ping(options?: { timeoutMs?: number }): Promise<number>;
  /** Tell the others that this user is typing, at most every 2 s; without a connection nothing happens. */
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
  /** Null for a caller without a token, when the session has a password. */
  readonly name: string | null;
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
  /** Idempotency key of the creation; without a token one that nobody can guess, such as `crypto.randomUUID()`. */
  key?: string;
  /** For this call, in place of the token of `Rest`. */
  token?: string;
}

export type StoredMessage = Omit<MessageReceived, "type" | "ts">;

/** Messages, seq rising; `nextBefore` and `nextAfter` lead to the pages before and after, null at an end. */
export interface Page {
  readonly items: readonly StoredMessage[];
  readonly nextBefore: number | null;
  readonly nextAfter: number | null;
}

/**
 * The REST API of a gateway or balancer. Every method rejects with RestError. `token` goes with every request, unless the
 * call has its own. After 429 an idempotent call (reading, closing, removing, and with a `key` creating) waits as long as
 * `Retry-After` says and tries again, for up to `patienceMs` (30 000) in total.
 */
export class Rest {
  /** `fetch`: by default the global one. Throws UsageError in a runtime without `fetch`. */
  constructor(url: string, options?: { token?: string | null; patienceMs?: number; fetch?: typeof fetch });
  /** `hostToken` is null when a creation without a token was repeated. */
  createSession(fields: NewSession): Promise<Session & { readonly hostToken: string | null }>;
  session(sessionId: string, options?: { token?: string }): Promise<Session>;
  users(sessionId: string, options?: { token?: string }): Promise<{ readonly users: readonly User[]; readonly userCount: number }>;
  history(sessionId: string, options?: { before?: number; after?: number; limit?: number; token?: string }): Promise<Page>;
  closeSession(sessionId: string, options?: { token?: string }): Promise<unknown>;
  removeUser(sessionId: string, userId: string, options?: { token?: string }): Promise<unknown>;
}

/** The text as the gateway stores it: without the white space that Python's `str.strip` removes. */
export function trimmed(text: string): string;

/** How many characters (Unicode code points, trimmed) the gateway counts in a text. */
export function lengthOf(text: string): number;

/** Any error of this client. */
export class SeanceError extends Error {}
/** The application uses the client wrongly. */
export class UsageError extends SeanceError {}
/** There is no connection now; the client is connecting. */
export class NotConnectedError extends SeanceError {}
/** No connection in time. */
export class ConnectTimeoutError extends SeanceError {}
/** The iteration over the events is too slow. */
export class OverflowError extends SeanceError {}
/** The connection ended for good: `code` is the close code, or the HTTP status of the refusal. */
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
  readonly reason: string;
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
  /** What `Retry-After` names; 0: nothing. */
  readonly retryAfterMs: number;
}
