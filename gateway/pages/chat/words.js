// Plain words for the states of a connection, and for errors.

import * as errors from "/chat/client/index.js";

const RETRIES = new Map([
  [1012, "The gateway is restarting"],
  [4000, "Too much came at once"],
  [4001, "The connection went silent"],
  [4002, "The service is not available right now"],
  [4003, "Catching up"],
  [429, "Too many connections from this network"],
  [503, "The service is not available right now"],
]);

/** Why there is no connection at the moment. */
export function lost(code) {
  if (navigator.onLine === false) return "You are offline";
  return RETRIES.get(code) ?? "Connection lost";
}

const ENDS = [
  [errors.SessionClosedError, "This session is closed."],
  [errors.RemovedError, "The host has removed you from this session."],
  [errors.ReplacedError, "You have joined from another tab or device."],
  [errors.NameTakenError, "Somebody in this session has that name already. Choose another one."],
  [errors.SessionFullError, "Every seat is taken. Try again when somebody has left."],
  [errors.SessionNotFoundError, "There is no such session. Is the link complete?"],
  [errors.ForbiddenError, "This page may not join that session."],
  [errors.BadJoinError, "That name can't be used. Choose another one, with something visible in it."],
  [errors.ConnectTimeoutError, "No answer from the server. Try again in a moment."],
];

/** Why the client ended, or could not join; `hasPassword` decides about the words for an unauthorized join. */
export function ended(error, hasPassword = false) {
  if (error instanceof errors.UnauthorizedError) {
    return hasPassword ? "That is not the password of this session." : "Your place in this session is no longer valid.";
  }
  return ENDS.find(([Kind]) => error instanceof Kind)?.[1] ?? "The connection has ended.";
}

/** The words for an error of the REST API. */
export function refused(error) {
  if (!(error instanceof errors.RestError)) return "Something went wrong. Try again.";
  if (error.status === 0) return "The server can't be reached. Are you online?";
  if (error.status === 404 || error.status === 422) return "There is no such session. Is the link complete?";
  return error.status === 503 ? "The service is not available right now. Try again in a moment." : error.reason;
}

export const seats = (taken, all) => {
  const left = all - taken;
  const free = left <= 0 ? "every seat is taken" : left === 1 ? "1 seat left" : `${left.toLocaleString("en")} seats left`;
  return `${taken.toLocaleString("en")} of ${all.toLocaleString("en")}, ${free}`;
};

/** Who is typing. */
export function typing(names) {
  if (names.length === 0) return "";
  if (names.length > 3) return "Several people are typing";
  return `${new Intl.ListFormat("en").format(names)} ${names.length === 1 ? "is" : "are"} typing`;
}
