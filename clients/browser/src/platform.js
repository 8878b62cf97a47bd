// What the client takes from the runtime: the global WebSocket and fetch, or those that the application passes in.

import { UsageError } from "./errors.js";

const HINTS = {
  WebSocket: "pass that of a package such as `ws` as the option `WebSocket`, or use Node 22 or newer",
  fetch: "pass one as the option `fetch`, or use Node 18 or newer",
};

/** The function `given`, or the global function of this name. Throws UsageError when both are missing. */
export function needed(name, given) {
  const found = given ?? globalThis[name];
  if (typeof found === "function") return found;
  throw new UsageError(`this runtime has no ${name}: ${HINTS[name]}`);
}
