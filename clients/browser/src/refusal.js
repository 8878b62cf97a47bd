// Finds the reason of a refused upgrade: browsers don't give it, and the REST API of the same gateway does.

import { needed } from "./platform.js";
import { sessionUrl } from "./texts.js";

const DEADLINE_MS = 5000;
const MAX_RETRY_AFTER_SECONDS = 300;

// The session may be read with another token only, which says nothing about the upgrade.
const NO_REASON = new Set(["unauthorized", "forbidden"]);

/**
 * The refusal `{status, retryAfterMs, reason}` of this WebSocket URL; null when the API knows no reason either, or when
 * there is neither a global `fetch` nor `givenFetch`. `token`: that of the user, or null.
 */
export async function explain(websocketUrl, token, givenFetch) {
  try {
    const fetch = needed("fetch", givenFetch);
    const headers = token === null ? {} : { Authorization: `Bearer ${token}` };
    const answer = await fetch(sessionUrl(websocketUrl), { headers, signal: AbortSignal.timeout(DEADLINE_MS) });
    if (answer.ok) return null;
    const body = await answer.json().catch(() => null);
    if (NO_REASON.has(body?.error?.code)) return null;
    return {
      status: answer.status,
      retryAfterMs: retryAfterMs(answer),
      reason: String(body?.error?.message ?? "the upgrade was refused"),
    };
  } catch {
    return null;
  }
}

/** The milliseconds that `Retry-After` names, at most five minutes; 0 without the header, and for a date. */
export function retryAfterMs({ headers }) {
  const value = headers.get("Retry-After") ?? "";
  return /^\d+$/.test(value) ? Math.min(Number(value), MAX_RETRY_AFTER_SECONDS) * 1000 : 0;
}
