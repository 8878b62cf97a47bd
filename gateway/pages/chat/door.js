// The door of a session: asks for the name, and for the password when the session has one.

import * as client from "./client/index.js";

import { busy, complain, one, pause, show } from "./dom.js";
import { GATEWAY } from "./gateway.js";
import * as limits from "./limits.js";
import * as memory from "./memory.js";
import { TooManyAttemptsError } from "./room.js";
import * as words from "./words.js";

// After these nobody can join, whatever the name.
const FINAL = [client.SessionClosedError, client.SessionNotFoundError, client.ForbiddenError];
// What a stranger sees of a session whose name is not for strangers.
const HIDDEN_NAME = "A session with a password";

/**
 * Show the door. `enter({session, name, password, trouble})` joins, and rejects when the join fails; meanwhile
 * `trouble(words)` is called when an attempt fails and another one follows.
 */
export async function door(sessionId, enter) {
  const form = one("#door form");
  const { name } = form.elements;
  const again = one("#again");
  name.value = memory.lastName();
  form.onsubmit = (event) => event.preventDefault();
  again.onclick = () => door(sessionId, enter);
  complain(form, null);
  head(form, null, "Looking for the session…");
  isOpen(form, false);
  show("door");
  let session;
  try {
    session = await looked(sessionId);
  } catch (error) {
    const isMissing = words.isMissing(error);
    head(form, null, isMissing ? "Session not found" : "The session can't be opened now");
    again.hidden = isMissing;
    complain(form, words.refused(error));
    return;
  }
  document.title = session.name ? `${session.name} · Séance` : "Séance";
  head(form, session.isActive ? "You are invited to" : null, session.name || HIDDEN_NAME);
  isOpen(form, session.isActive, session);
  if (!session.isActive) complain(form, "This session is closed.");
  show("door", session.isActive ? name : null);
  form.onsubmit = (event) => {
    event.preventDefault();
    if (isRight(form, session)) knock(form, session, enter);
  };
}

/** The session as a stranger sees it, who may not see a session with a password at all. */
async function looked(sessionId) {
  try {
    return await new client.Rest(GATEWAY).session(sessionId);
  } catch (error) {
    if (!words.asksForToken(error)) throw error;
    return { id: sessionId, isActive: true, hasPassword: true, isHidden: true };
  }
}

function head(form, eyebrow, title) {
  one(".eyebrow", form).textContent = eyebrow ?? "";
  one("h1", form).textContent = title;
}

function isRight(form, session) {
  const { name, password } = form.elements;
  const problems = { name: limits.ofName(name.value), password: session.hasPassword ? limits.ofPassword(password.value) : null };
  const [field = null, problem = null] = Object.entries(problems).find(([, value]) => value !== null) ?? [];
  complain(form, problem, field);
  return problem === null;
}

/** Try to join. After too many passwords the button waits as long as the gateway says. */
async function knock(form, session, enter) {
  let waitMs = 0;
  await busy(form, "Joining…", async () => {
    waitMs = await tryToEnter(form, session, enter);
  });
  if (waitMs === 0) return;
  await pause(form, waitMs);
  complain(form, null);
}

/** Join, or say why not; returns for how many milliseconds no attempt can succeed. */
async function tryToEnter(form, session, enter) {
  const { name, password } = form.elements;
  const trouble = (problem) => complain(form, problem);
  try {
    await enter({ session, name: name.value, password: password.value, trouble });
    password.value = "";
  } catch (error) {
    if (error instanceof TooManyAttemptsError) {
      complain(form, error.message);
      return error.retryAfterMs;
    }
    const isName = error instanceof client.NameTakenError || error instanceof client.BadJoinError;
    const isPassword = error instanceof client.UnauthorizedError && session.hasPassword;
    const field = isName ? "name" : isPassword ? "password" : null;
    if (FINAL.some((Kind) => error instanceof Kind)) isOpen(form, false);
    else if (error instanceof client.SessionFullError) facts(form, { ...session, userCount: session.maxUsers });
    complain(form, words.ended(error, words.unauthorized(session)), field);
  }
  return 0;
}

function facts(form, session) {
  one(".facts", form).textContent = session?.maxUsers ? words.seats(session.userCount ?? 0, session.maxUsers) : "";
}

/** Show the fields and the button of the join, or hide them when nobody can join. */
function isOpen(form, isIt, session = null) {
  for (const part of [form.elements.name.parentElement, one("button", form)]) part.hidden = !isIt;
  one("#again").hidden = true;
  one("#door-password").hidden = !(isIt && session.hasPassword);
  facts(form, isIt ? session : null);
}
