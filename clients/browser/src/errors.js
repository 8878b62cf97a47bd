// Everything that can go wrong for good, by condition. What time mends is retried and throws nothing.

/** Any error of this client. */
export class SeanceError extends Error {
  constructor(message) {
    super(message);
    this.name = new.target.name;
  }
}

/** The client is used in a way that can't work: not connected yet, or connected twice. */
export class UsageError extends SeanceError {}

/** There is no connection right now; the client is about to make one. */
export class NotConnectedError extends SeanceError {}

/** No connection came about in time. */
export class ConnectTimeoutError extends SeanceError {}

/** Whoever iterates over the events reads too slowly. */
export class OverflowError extends SeanceError {}

/** The connection ended and is not made again: `code` is the close code, or the HTTP status of the refusal. */
export class EndedError extends SeanceError {
  constructor(code, reason) {
    super(`${reason || "the connection ended"} (${code})`);
    this.code = code;
    this.reason = reason;
  }
}

/** This client has left, or was closed here. */
export class LeftError extends EndedError {}
/** The gateway refused a frame for its size (1009). */
export class FrameTooLargeError extends EndedError {}
/** The join is not valid, such as a name that is too long (4500). */
export class BadJoinError extends EndedError {}
/** The token or the password is not good (4501); join again with another one. */
export class UnauthorizedError extends EndedError {}
/** The token is for something else (4502), or the Origin is not allowed (HTTP 403). */
export class ForbiddenError extends EndedError {}
/** There is no such session (4503, HTTP 404). */
export class SessionNotFoundError extends EndedError {}
/** The session is closed for good (4504). */
export class SessionClosedError extends EndedError {}
/** Every seat is taken (4505); a later try may succeed. */
export class SessionFullError extends EndedError {}
/** Somebody in the session has this name (4506); choose another one. */
export class NameTakenError extends EndedError {}
/** The host removed this user (4507). */
export class RemovedError extends EndedError {}
/** The same user connected again elsewhere (4508). */
export class ReplacedError extends EndedError {}
/** Too many malformed frames (4509). */
export class AbuseError extends EndedError {}
/** The upgrade was refused with an HTTP status that no repetition mends. */
export class RefusedError extends EndedError {}

/** The gateway refused a command and stored nothing: `code` is the protocol's, `field` the one to blame. */
export class CommandError extends SeanceError {
  constructor(code, message, field = null) {
    super(`${message} (${code})`);
    this.code = code;
    this.field = field;
  }
}

/** The text or the key is not valid; repeating it does not help. */
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

/** REST: the server refused, with HTTP status, error code and one `{field, message}` for each field to blame. */
export class RestError extends SeanceError {
  constructor(status, code, message, details = []) {
    super(`${message} (${code}, ${status})`);
    this.status = status;
    this.code = code;
    this.reason = message;
    this.details = details;
  }
}
