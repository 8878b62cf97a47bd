// Checks texts, keys and addresses before they are used, so that no invalid frame ends the connection.

import { InvalidMessageError, UsageError } from "./errors.js";

const MAX_TEXT = 500;
const MAX_KEY = 64;
const SCHEMES = { "http:": "ws:", "https:": "wss:", "ws:": "ws:", "wss:": "wss:" };
// With the flag `u` a pair of surrogates is one character, so that only a lone one matches.
const LONE_SURROGATE = /[\uD800-\uDFFF]/u;

// The white space that the gateway removes. JavaScript's `trim` differs: not U+001C to U+001F and U+0085, but U+FEFF.
const SPACE = /[\t-\r\u001c- \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;

/** The text as the gateway stores it: without white space at both ends. */
export function trimmed(text) {
  let [start, end] = [0, text.length];
  while (start < end && SPACE.test(text[start])) start += 1;
  while (start < end && SPACE.test(text[end - 1])) end -= 1;
  return text.slice(start, end);
}

/** How many characters (Unicode code points) the gateway counts in a text. */
export const lengthOf = (text) => [...trimmed(text)].length;

/** The text. Throws InvalidMessageError. */
export function checkedText(text) {
  const length = lengthOf(text);
  if (length < 1 || length > MAX_TEXT) {
    throw invalid(`text must have 1 to ${MAX_TEXT} characters after trimming; this one has ${length}`, "text");
  }
  return checked(text, "text");
}

/** The idempotency key. Throws InvalidMessageError. */
export function checkedKey(key) {
  const length = [...key].length;
  if (length < 1 || length > MAX_KEY) throw invalid(`key must have 1 to ${MAX_KEY} characters; this one has ${length}`, "key");
  return checked(key, "key");
}

/** The WebSocket URLs of the session, one for each gateway or balancer. Throws UsageError. */
export function websocketUrls(urls, sessionId) {
  const bases = [urls].flat();
  if (bases.length === 0) throw new UsageError("at least one URL is needed");
  return bases.map((base) => {
    const url = parsed(base);
    url.protocol = SCHEMES[url.protocol];
    url.pathname = `${url.pathname.replace(/\/+$/, "")}/ws/${encodeURIComponent(sessionId)}`;
    url.hash = "";
    return url.href;
  });
}

/** The HTTP address that gives the reason of a refused upgrade of this WebSocket. */
export function sessionUrl(websocketUrl) {
  const url = new URL(websocketUrl);
  url.protocol = url.protocol === "wss:" ? "https:" : "http:";
  url.pathname = url.pathname.replace(/\/ws\/([^/]*)$/, "/api/sessions/$1");
  url.search = "";
  return url.href;
}

function parsed(base) {
  try {
    const url = new URL(base);
    if (Object.hasOwn(SCHEMES, url.protocol) && url.hostname) return url;
  } catch {
    // Told below.
  }
  throw new UsageError(`${JSON.stringify(base)} is no address such as http://localhost:8000`);
}

function checked(value, field) {
  if (LONE_SURROGATE.test(value)) throw invalid(`${field} must be valid Unicode`, field);
  return value;
}

const invalid = (message, field) => new InvalidMessageError("validation_error", message, field);
