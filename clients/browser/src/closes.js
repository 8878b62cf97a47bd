// The close codes of the protocol and the HTTP refusals as data: what the client does after each.

import * as errors from "./errors.js";

export const LEFT = 1000;
export const NO_CLOSE_FRAME = 1006;
export const RESYNC = 4003;
export const UNAUTHORIZED = 4501;
const TOO_LARGE = 1009;

/** What to do when a connection ends. */
export const Reaction = Object.freeze({ STOP: "stop", BACK_OFF: "back off", AT_ONCE: "at once" });

export const WITHOUT_CODE = new Set([1005, NO_CLOSE_FRAME]);
// An earlier join of this client, whose welcome never came, may hold the seat or the name.
export const SEAT_CODES = new Set([4505, 4506, 4508]);

const REPEATABLE_REFUSALS = new Set([408, 425, 429]);
const ERRORS = new Map([
  [LEFT, errors.LeftError],
  [TOO_LARGE, errors.FrameTooLargeError],
  [403, errors.ForbiddenError],
  [404, errors.SessionNotFoundError],
  [4500, errors.BadJoinError],
  [UNAUTHORIZED, errors.UnauthorizedError],
  [4502, errors.ForbiddenError],
  [4503, errors.SessionNotFoundError],
  [4504, errors.SessionClosedError],
  [4505, errors.SessionFullError],
  [4506, errors.NameTakenError],
  [4507, errors.RemovedError],
  [4508, errors.ReplacedError],
  [4509, errors.AbuseError],
]);

// The `error` before a close has the same name; a browser may see only 1006 of the close itself.
export const CODES_BY_NAME = new Map([
  ["internal_error", 1011],
  ["restart", 1012],
  ["slow_consumer", 4000],
  ["heartbeat_lost", 4001],
  ["unavailable", 4002],
  ["resync", RESYNC],
  ["rate_limited", 4004],
  ["bad_join", 4500],
  ["unauthorized", UNAUTHORIZED],
  ["forbidden", 4502],
  ["session_not_found", 4503],
  ["session_closed", 4504],
  ["session_full", 4505],
  ["name_taken", 4506],
  ["removed", 4507],
  ["replaced", 4508],
  ["abuse", 4509],
]);

const isStopCode = (code) => code >= 4500 && code < 5000;

/** What to do after this close code; after an undefined code the client tries again. */
export function reactionToClose(code) {
  if (code === LEFT || code === TOO_LARGE || isStopCode(code)) return Reaction.STOP;
  return code === RESYNC ? Reaction.AT_ONCE : Reaction.BACK_OFF;
}

/** What to do when the answer to the upgrade has this HTTP status. */
export function reactionToRefusal(status) {
  return (status >= 500 && status < 600) || REPEATABLE_REFUSALS.has(status) ? Reaction.BACK_OFF : Reaction.STOP;
}

/** The typed error for a close code or an HTTP status that ends the client. */
export function errorOf(code, reason) {
  const Kind = ERRORS.get(code) ?? (isStopCode(code) ? errors.EndedError : errors.RefusedError);
  return new Kind(code, reason);
}
