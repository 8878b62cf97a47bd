// Plain words for the states of a connection, and for errors.

import * as errors from "./client/index.js";

const TOO_MANY = "Too many people from this network come at once";
const RETRIES = new Map([
  [1012, "The server is restarting"],
  [4000, "Too much came at once"],
  [4001, "The connection went silent"],
  [4002, "The service is not available right now"],
  [4003, "Catching up"],
  [4004, TOO_MANY],
  [429, TOO_MANY],
  [503, "The service is not available right now"],
]);

export const OFFLINE = "You are offline";

/** Why there is no connection at the moment. */
export function lost(code) {
  if (navigator.onLine === false) return OFFLINE;
  return RETRIES.get(code) ?? (code >= 500 && code < 600 ? RETRIES.get(503) : "Connection lost");
}

const ENDS = [
  [errors.SessionClosedError, "This session is closed."],
  [errors.RemovedError, "The host has removed you from this session."],
  [errors.AbuseError, "This page sent too much, so the server ended the connection. Join again in a minute."],
  [errors.ReplacedError, "You have joined from another tab or device."],
  [errors.NameTakenError, "Somebody in this session has that name already, or one that looks like it. Choose another one."],
  [errors.SessionFullError, "Every seat is taken. Try again when somebody has left."],
  [errors.SessionNotFoundError, "There is no such session. Is the link complete?"],
  [errors.ForbiddenError, "This page may not join that session."],
  [errors.ConnectTimeoutError, "No answer from the server. Try again in a moment."],
];

const NEEDS_TOKEN = "This page can't join that session by itself. Open the session from the application that invited you.";
const ACCESS_ENDED = "Your access to this session has ended and could not be renewed. Join again to go on.";

/** Why a join was unauthorized: a wrong password, or a token that this page does not have. */
export function unauthorized({ hasPassword, isHidden = false }) {
  if (!hasPassword) return NEEDS_TOKEN;
  const wrong = "That is not the password of this session";
  return isHidden ? `${wrong}, or the session can be joined only from the application that invited you.` : `${wrong}.`;
}

/** Why the client ended, or could not join; `denied`: the words for an unauthorized one. */
export function ended(error, denied = ACCESS_ENDED) {
  if (error === null) return "You have left this session.";
  if (error instanceof errors.UnauthorizedError) return denied;
  if (error instanceof errors.BadJoinError) return `That name can't be used: ${error.reason}. Choose another name.`;
  return ENDS.find(([Kind]) => error instanceof Kind)?.[1] ?? `The server has ended the connection: ${error.message}.`;
}

const SHORT_ENDS = [
  [errors.SessionClosedError, "Session closed"],
  [errors.RemovedError, "Removed by the host"],
  [errors.UnauthorizedError, "Access ended"],
  [errors.AbuseError, "Sent too much"],
  [errors.ReplacedError, "Open in another tab"],
];

/** The same for the header, in a few words. */
export const endedShortly = (error) => SHORT_ENDS.find(([Kind]) => error instanceof Kind)?.[1] ?? "Not connected";

/** Why a message was not delivered. */
export function undelivered(error) {
  return error instanceof errors.CommandError ? `It was not delivered: ${error.reason}.` : "It was not delivered.";
}

/** A join that has to wait: too many passwords were tried. */
export const tooManyAttempts = (seconds) => `Too many attempts. Try again in ${seconds} s.`;

/** Whether there is no session at this address. */
export const isMissing = (error) => error instanceof errors.RestError && error.status === 404;

/** Whether the server wants a token, which this page does not have. */
export const asksForToken = (error) => error instanceof errors.RestError && error.status === 401;

/** The words for an error of the REST API. */
export function refused(error) {
  if (!(error instanceof errors.RestError)) return "Something went wrong. Try again.";
  if (error.status === 0) return "The server can't be reached. Are you online?";
  if (isMissing(error)) return "There is no such session. Is the link complete?";
  if (asksForToken(error)) return "Only applications with a token may do that on this server.";
  if (error.status >= 500) return "The service is not available right now. Try again in a moment.";
  return error.status === 429 ? `${sentence(error.reason)} Try again in a moment.` : sentence(error.reason);
}

/** Why an action of the host failed. */
export function notDone(error) {
  if (!(error instanceof errors.RestError) || error.status === 0 || error.status >= 500) return refused(error);
  return `The server refused: ${error.reason}.`;
}

const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

export const seats = (taken, all) => {
  const left = all - taken;
  const free = left <= 0 ? "every seat is taken" : left === 1 ? "1 seat left" : `${left.toLocaleString("en")} seats left`;
  return `${taken.toLocaleString("en")} of ${all.toLocaleString("en")}, ${free}`;
};

/** Who is typing: texts, and elements for names, which `written(name)` makes. */
export function typing(names, written) {
  if (names.length === 0) return [];
  if (names.length > 3) return ["Several people are typing"];
  const parts = new Intl.ListFormat("en").formatToParts(names);
  const list = parts.map(({ type, value }) => (type === "element" ? written(value) : value));
  return [...list, names.length === 1 ? " is typing" : " are typing"];
}
