// Errors, named by condition. The client retries after every failure that may pass, and throws no error for it.

/** Any error of this client. */
export class SeanceError extends Error {
  constructor(message) {
    super(message);
    this.name = new.target.name;
  }
}

/** The application uses the client wrongly: not connected yet, or connected twice. */
export class UsageError extends SeanceError {}

/** There is no connection now; the client is connecting. */
export class NotConnectedError extends SeanceError {}

/** No connection in time. */
export class ConnectTimeoutError extends SeanceError {}

/** The iteration over the events is too slow. */
export class OverflowError extends SeanceError {}

/** The connection ended for good: `code` is the close code, or the HTTP status of the refusal. */
export class EndedError extends SeanceError {
  constructor(code, reason) {
    super(`${reason || "the connection ended"} (${code})`);
    this.code = code;
    this.reason = reason;
  }
}

/** The application left or closed this client. */
export class LeftError extends EndedError {}
/** The gateway refused a frame because of its size (1009). */
export class FrameTooLargeError extends EndedError {}
/** The join is not valid, such as a name that is too long (4500). */
export class BadJoinError extends EndedError {}
/** The token or the password is wrong, or the token has ended (4501); join again with another one. */
export class UnauthorizedError extends EndedError {}
/** The token does not allow this (4502), or the Origin is not allowed (HTTP 403). */
export class ForbiddenError extends EndedError {}
/** There is no such session (4503, HTTP 404). */
export class SessionNotFoundError extends EndedError {}
/** The session is closed (4504). */
export class SessionClosedError extends EndedError {}
/** Every seat is taken (4505); a later try may succeed. */
export class SessionFullError extends EndedError {}
/** Somebody in the session has this name (4506); choose another one. */
export class NameTakenError extends EndedError {}
/** The host removed this user (4507), who stays out for a time. */
export class RemovedError extends EndedError {}
/** A newer connection of the same user replaced this one (4508). */
export class ReplacedError extends EndedError {}
/** This client sent too much, or too many malformed frames (4509). */
export class AbuseError extends EndedError {}
/** The server refused the upgrade with an HTTP status after which a retry can't help. */
export class RefusedError extends EndedError {}

/** The gateway refused a command and stored nothing: `code` is the protocol's, `field` the invalid field. */
export class CommandError extends SeanceError {
  constructor(code, message, field = null) {
    super(`${message} (${code})`);
    this.code = code;
    this.reason = message;
    this.field = field;
  }
}

/** The text or the key is not valid; a repetition does not help. */
export class InvalidMessageError extends CommandError {}
/** The message was delivered, but Postgres refuses it for good. */
export class NotStoredError extends CommandError {}

/**
 * No answer came, and a repetition is not safe any more: the message may have been stored, or not.
 * Either the gateways have forgotten the key (it is older than 5 minutes), or the session lost its state.
 */
export class UnconfirmedError extends SeanceError {}

/** No answer in time. When `isUncertain`, the message may have been stored; sending with the same key is safe. */
export class SendTimeoutError extends SeanceError {
  constructor(message, key, isUncertain) {
    super(message);
    this.key = key;
    this.isUncertain = isUncertain;
  }
}

/**
 * REST: the server refused, with HTTP status, error code, one `{field, message}` for each invalid field, and the
 * milliseconds that `Retry-After` names, else 0.
 */
export class RestError extends SeanceError {
  constructor(status, code, message, details = [], retryAfterMs = 0) {
    super(`${message} (${code}, ${status})`);
    this.status = status;
    this.code = code;
    this.reason = message;
    this.details = details;
    this.retryAfterMs = retryAfterMs;
  }
}
