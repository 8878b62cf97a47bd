// The door of a session: asks for the name, and for the password when the session has one.

import { BadJoinError, NameTakenError, Rest, UnauthorizedError } from "/chat/client/index.js";

import { busy, complain, one, show } from "./dom.js";
import * as memory from "./memory.js";
import * as words from "./words.js";

/** Show the door. `enter({session, name, password})` joins, and rejects when the join fails. */
export async function door(sessionId, enter) {
  const form = one("#door form");
  const { name, password } = form.elements;
  const title = one("h1", form);
  const facts = one(".facts", form);
  title.textContent = "A session";
  facts.textContent = "";
  name.value = memory.lastName();
  form.onsubmit = (event) => event.preventDefault();
  complain(form, null);
  let session;
  try {
    session = await new Rest(location.origin).session(sessionId);
  } catch (error) {
    isOpen(form, false);
    show("door");
    complain(form, words.refused(error));
    return;
  }
  title.textContent = session.name;
  document.title = `${session.name} · Séance`;
  facts.textContent = session.isActive ? `${words.seats(session.userCount, session.maxUsers)}` : "";
  one("#door-password").hidden = !session.hasPassword;
  isOpen(form, session.isActive);
  show("door", session.isActive ? name : null);
  if (!session.isActive) complain(form, "This session is closed.");
  form.onsubmit = (event) => {
    event.preventDefault();
    if (name.value.trim() === "") complain(form, "Say your name, so that the others know you.", "name");
    else busy(form, () => tryToEnter(form, session, enter));
  };
}

async function tryToEnter(form, session, enter) {
  const { name, password } = form.elements;
  complain(form, null);
  try {
    await enter({ session, name: name.value, password: password.value });
    password.value = "";
  } catch (error) {
    const isName = error instanceof NameTakenError || error instanceof BadJoinError;
    const field = isName ? "name" : error instanceof UnauthorizedError && session.hasPassword ? "password" : null;
    complain(form, words.ended(error, session.hasPassword), field);
  }
}

function isOpen(form, isIt) {
  for (const part of [form.elements.name.parentElement, one("button", form)]) part.hidden = !isIt;
  if (!isIt) one("#door-password").hidden = true;
}
