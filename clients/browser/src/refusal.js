// Finds the reason of a refused upgrade: browsers don't give it, and the REST API of the same gateway does.

import { needed } from "./platform.js";
import { sessionUrl } from "./texts.js";

const DEADLINE_MS = 5000;
const MAX_RETRY_AFTER_SECONDS = 300;

/**
 * The refusal `{status, retryAfterMs, reason}` of this WebSocket URL; null when the API knows no reason either, or when
 * there is neither a global `fetch` nor `givenFetch`.
 */
export async function explain(websocketUrl, givenFetch) {
  try {
    const fetch = needed("fetch", givenFetch);
    const answer = await fetch(sessionUrl(websocketUrl), { signal: AbortSignal.timeout(DEADLINE_MS) });
    if (answer.ok) return null;
    const body = await answer.json().catch(() => null);
    return {
      status: answer.status,
      retryAfterMs: secondsOf(answer.headers.get("Retry-After")) * 1000,
      reason: String(body?.error?.message ?? "the upgrade was refused"),
    };
  } catch {
    return null;
  }
}

/** `Retry-After`, when it is a number; for a date the backoff decides. */
const secondsOf = (value) => (/^\d+$/.test(value ?? "") ? Math.min(Number(value), MAX_RETRY_AFTER_SECONDS) : 0);
