// The first view: start a session, or open the link of one.

import { BadJoinError, Rest, RestError } from "./client/index.js";

import { busy, complain, one, show } from "./dom.js";
import { GATEWAY } from "./gateway.js";
import * as limits from "./limits.js";
import * as memory from "./memory.js";
import * as words from "./words.js";

const NO_LINK = "That is no link of a session. Ask for the whole link again: it ends with # and 36 characters.";
const ID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/i;
// The API's fields → the form's fields, and what people call them.
const FIELDS = { name: ["title", "name of the session"], max_users: ["seats", "number of seats"], password: ["password", "password"] };

/** The session's id in a pasted text, or null. */
export const idIn = (text) => ID.exec(text)?.[0].toLowerCase() ?? null;

/**
 * Show the view. `start({session, name, password, trouble})` is called with a new session, `open(id)` with an existing
 * one. `address`: what stands behind the # of the address, but names no session; empty: nothing.
 */
export function home(start, open, address = "") {
  const create = one("#create");
  const find = one("#find");
  create.elements.name.value = memory.lastName();
  create.onsubmit = (event) => {
    event.preventDefault();
    if (!isRight(create)) return;
    busy(create, "Starting the session…", async () => {
      const { title, name, seats, password, spirit } = create.elements;
      const trouble = (problem) => complain(create, problem);
      try {
        const fields = { name: title.value, maxUsers: seats.valueAsNumber, spirit: spirit.checked };
        const session = await created({ ...fields, password: password.value || undefined });
        memory.keepHostToken(session.id, session.hostToken);
        await start({ session, name: name.value, password: password.value, trouble });
      } catch (error) {
        const [detail] = error instanceof RestError ? error.details : [];
        if (detail) {
          const [field, called] = FIELDS[detail.field] ?? [null, detail.field];
          complain(create, `The server refused the ${called}: ${detail.message}.`, field);
        } else if (error instanceof BadJoinError) {
          complain(create, words.ended(error), "name");
        } else {
          complain(create, error instanceof RestError ? words.refused(error) : words.ended(error));
        }
      }
    });
  };
  find.onsubmit = (event) => {
    event.preventDefault();
    const id = idIn(find.elements.link.value);
    if (id === null) complain(find, NO_LINK, "link");
    else open(id);
  };
  document.title = "Séance";
  show("home", address === "" ? null : find.elements.link);
  complain(find, null);
  if (address === "") return;
  find.elements.link.value = address;
  complain(find, `The address of this page leads to no session. ${NO_LINK}`, "link");
}

let last = { wanted: null, session: null };

/** Create the session; the same session again when an earlier try created it and could not join. */
async function created(fields) {
  const wanted = JSON.stringify(fields);
  if (last.wanted !== wanted) last = { wanted, session: await new Rest(GATEWAY).createSession(fields) };
  return last.session;
}

/** Whether every field can be sent; tells the first problem. */
function isRight(form) {
  const { title, name, seats, password } = form.elements;
  const problems = {
    title: limits.ofTitle(title.value),
    name: limits.ofName(name.value),
    seats: limits.ofSeats(seats.valueAsNumber),
    password: limits.ofNewPassword(password.value),
  };
  const [field = null, problem = null] = Object.entries(problems).find(([, value]) => value !== null) ?? [];
  complain(form, problem, field);
  return problem === null;
}
