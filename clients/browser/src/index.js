// The browser client of Séance: joins a session, resumes after every interruption, loses and repeats no message.

export { Client } from "./client.js";
export { Rest } from "./rest.js";
export { lengthOf, trimmed } from "./texts.js";
export * from "./errors.js";
