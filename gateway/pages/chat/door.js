// The door of a session: asks for the name, and for the password when the session has one.

import { BadJoinError, ForbiddenError, NameTakenError, Rest, SessionClosedError, SessionFullError, SessionNotFoundError, UnauthorizedError } from "./client/index.js";

import { busy, complain, one, show } from "./dom.js";
import { GATEWAY } from "./gateway.js";
import * as limits from "./limits.js";
import * as memory from "./memory.js";
import * as words from "./words.js";

// After these nobody can join, whatever the name.
const FINAL = [SessionClosedError, SessionNotFoundError, ForbiddenError];

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
    session = await new Rest(GATEWAY).session(sessionId);
  } catch (error) {
    const isMissing = words.isMissing(error);
    head(form, null, isMissing ? "Session not found" : "The session can't be opened now");
    again.hidden = isMissing;
    complain(form, words.refused(error));
    return;
  }
  document.title = `${session.name} · Séance`;
  head(form, session.isActive ? "You are invited to" : null, session.name);
  isOpen(form, session.isActive, session);
  if (!session.isActive) complain(form, "This session is closed.");
  show("door", session.isActive ? name : null);
  form.onsubmit = (event) => {
    event.preventDefault();
    if (isRight(form, session)) busy(form, "Joining…", () => tryToEnter(form, session, enter));
  };
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

async function tryToEnter(form, session, enter) {
  const { name, password } = form.elements;
  const trouble = (problem) => complain(form, problem);
  try {
    await enter({ session, name: name.value, password: password.value, trouble });
    password.value = "";
  } catch (error) {
    const isName = error instanceof NameTakenError || error instanceof BadJoinError;
    const field = isName ? "name" : error instanceof UnauthorizedError && session.hasPassword ? "password" : null;
    if (FINAL.some((Kind) => error instanceof Kind)) isOpen(form, false);
    else if (error instanceof SessionFullError) facts(form, { ...session, userCount: session.maxUsers });
    complain(form, words.ended(error, session.hasPassword), field);
  }
}

function facts(form, session) {
  one(".facts", form).textContent = session === null ? "" : words.seats(session.userCount, session.maxUsers);
}

/** Show the fields and the button of the join, or hide them when nobody can join. */
function isOpen(form, isIt, session = null) {
  for (const part of [form.elements.name.parentElement, one("button", form)]) part.hidden = !isIt;
  one("#again").hidden = true;
  one("#door-password").hidden = !(isIt && session.hasPassword);
  facts(form, isIt ? session : null);
}
