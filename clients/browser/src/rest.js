// The REST API: sessions, history, and what a host does.

import { RestError } from "./errors.js";
import { needed } from "./platform.js";
import { retryAfterMs } from "./refusal.js";

const DEADLINE_MS = 10_000;
const PATIENCE_MS = 30_000;
// After 429 without a time.
const SHORTEST_WAIT_MS = 500;
const TOO_MANY_REQUESTS = 429;
const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** The REST API of a gateway or balancer. Every method throws RestError. See `index.d.ts`. */
export class Rest {
  #base;
  #token;
  #patienceMs;
  #givenFetch;

  constructor(url, { token = null, patienceMs = PATIENCE_MS, fetch } = {}) {
    needed("fetch", fetch);
    this.#base = String(url).replace(/\/+$/, "");
    this.#token = token;
    this.#patienceMs = patienceMs;
    this.#givenFetch = fetch;
  }

  /** Create a session; the answer has its `hostToken`. The same `key` and fields give the same session for 24 hours. */
  createSession({ key, token, ...fields }) {
    const headers = key === undefined ? {} : { "Idempotency-Key": key };
    const isIdempotent = key !== undefined;
    return this.#call("POST", "/api/sessions", { body: renamed(fields, snake), headers, token, isIdempotent });
  }

  session(sessionId, { token } = {}) {
    return this.#call("GET", path(sessionId), { token });
  }

  users(sessionId, { token } = {}) {
    return this.#call("GET", path(sessionId, "users"), { token });
  }

  /** A page of messages: before or after a seq, else the newest; at most 200. */
  history(sessionId, { before, after, limit = 50, token } = {}) {
    const given = Object.entries({ before, after, limit }).filter(([, value]) => value !== undefined && value !== null);
    return this.#call("GET", `${path(sessionId, "messages")}?${new URLSearchParams(given)}`, { token });
  }

  /** Close the session for good; needs its host token. */
  closeSession(sessionId, { token } = {}) {
    return this.#call("DELETE", path(sessionId), { token });
  }

  /** Remove a user, wherever connected; needs the session's host token. */
  removeUser(sessionId, userId, { token } = {}) {
    return this.#call("DELETE", path(sessionId, "users", userId), { token });
  }

  /** The answer of a request. After 429 an idempotent one waits as long as `Retry-After` says, and tries again. */
  async #call(method, where, { body, headers = {}, token = this.#token, isIdempotent = true } = {}) {
    const sent = { ...headers };
    if (body !== undefined) sent["Content-Type"] = "application/json";
    if (token) sent.Authorization = `Bearer ${token}`;
    const request = { method, headers: sent, body: JSON.stringify(body) };
    for (let patience = isIdempotent ? this.#patienceMs : 0; ; ) {
      const answer = await this.#fetch(where, request);
      // Jittered, so that not all clients come at once.
      const wait = Math.max(retryAfterMs(answer), SHORTEST_WAIT_MS) * (1 + 0.25 * Math.random());
      if (answer.status !== TOO_MANY_REQUESTS || wait > patience) return opened(answer);
      patience -= wait;
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  async #fetch(where, request) {
    // Called without `this`, which browsers demand.
    const fetch = needed("fetch", this.#givenFetch);
    try {
      return await fetch(this.#base + where, { ...request, signal: AbortSignal.timeout(DEADLINE_MS) });
    } catch (error) {
      throw new RestError(0, "unreachable", error.name === "TimeoutError" ? "no answer in time" : error.message);
    }
  }
}

/** The path of a session, or of a resource in it; escaped, so that a wrong id can't name another path. */
const path = (...parts) => ["/api/sessions", ...parts.map(encodeURIComponent)].join("/");

/** The data in the envelope. Throws RestError. */
async function opened(answer) {
  const envelope = await answer.json().catch(() => null);
  if (envelope?.success === true) return renamed(envelope.data, camel);
  const { code = "unexpected_answer", message = "this is no answer of the gateway", details } = envelope?.error ?? {};
  throw new RestError(answer.status, code, message, details, retryAfterMs(answer));
}

/** The same data with other names. */
function renamed(value, rename) {
  if (Array.isArray(value)) return value.map((one) => renamed(one, rename));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([, one]) => one !== undefined);
  return Object.fromEntries(entries.map(([name, one]) => [rename(name), renamed(one, rename)]));
}
