// The limits of what people type, counted as the gateway counts: in characters (code points), not in UTF-16 units.

import { lengthOf } from "./client/index.js";

const MAX_TITLE = 100;
const MAX_NAME = 50;
const MIN_PASSWORD = 8;
const MAX_PASSWORD = 128;
const MAX_SEATS = 10_000;

const tooLong = (what, most, length) => `${what} can have at most ${most} characters. This one has ${length}.`;

/** What is wrong with the name of a session, in words; null: nothing. */
export function ofTitle(title) {
  const length = lengthOf(title.normalize("NFC"));
  if (length === 0) return "Say what the session is about.";
  return length > MAX_TITLE ? tooLong("The name of a session", MAX_TITLE, length) : null;
}

/** What is wrong with the length of the name of a person; the gateway says which characters it may not have. */
export function ofName(name) {
  const length = lengthOf(name.normalize("NFC"));
  if (length === 0) return "Say your name, so that the others know you.";
  return length > MAX_NAME ? tooLong("Your name", MAX_NAME, length) : null;
}

/** What is wrong with the password of a new session; it may be empty. */
export function ofNewPassword(password) {
  const length = [...password].length;
  if (length > 0 && length < MIN_PASSWORD) return `A password needs at least ${MIN_PASSWORD} characters. This one has ${length}.`;
  return length > MAX_PASSWORD ? tooLong("A password", MAX_PASSWORD, length) : null;
}

/** What is wrong with the password that somebody gives at the door. */
export function ofPassword(password) {
  if (password === "") return "This session has a password. Ask the person who sent you the link.";
  const length = [...password].length;
  return length > MAX_PASSWORD ? tooLong("A password", MAX_PASSWORD, length) : null;
}

/** What is wrong with the number of seats: a number, or NaN. */
export function ofSeats(seats) {
  if (Number.isInteger(seats) && seats >= 1 && seats <= MAX_SEATS) return null;
  return `A session has 1 to ${MAX_SEATS.toLocaleString("en")} seats.`;
}
