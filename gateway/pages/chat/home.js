// The first view: start a session, or open the link of one.

import { Rest, RestError } from "/chat/client/index.js";

import { busy, complain, one, show } from "./dom.js";
import * as memory from "./memory.js";
import * as words from "./words.js";

const ID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/i;
// The API's fields → the form's fields.
const FIELDS = { name: "title", max_users: "seats", password: "password" };

/** The session's id in a pasted text, or null. */
export const idIn = (text) => ID.exec(text)?.[0].toLowerCase() ?? null;

/** Show the view. `start({session, name, password})` is called with a new session, `open(id)` with an existing one. */
export function home(start, open) {
  const create = one("#create");
  const find = one("#find");
  create.elements.name.value = memory.lastName();
  create.onsubmit = (event) => {
    event.preventDefault();
    busy(create, async () => {
      const { title, name, seats, password, spirit } = create.elements;
      if (!isFilled(create, title, "Say what the session is about.")) return;
      if (!isFilled(create, name, "Say your name, so that the others know you.")) return;
      complain(create, null);
      try {
        const fields = { name: title.value, maxUsers: seats.valueAsNumber, spirit: spirit.checked };
        const session = await created({ ...fields, password: password.value || undefined });
        memory.keepHostToken(session.id, session.hostToken);
        await start({ session, name: name.value, password: password.value });
      } catch (error) {
        const [detail] = error instanceof RestError ? error.details : [];
        if (detail) complain(create, `${detail.message}.`, FIELDS[detail.field] ?? null);
        else complain(create, error instanceof RestError ? words.refused(error) : words.ended(error), null);
      }
    });
  };
  find.onsubmit = (event) => {
    event.preventDefault();
    const id = idIn(find.elements.link.value);
    if (id === null) complain(find, "That is no link of a session.", "link");
    else open(id);
  };
  document.title = "Séance";
  show("home");
}

let last = { wanted: null, session: null };

/** Create the session; the same session again when an earlier try created it and could not join. */
async function created(fields) {
  const wanted = JSON.stringify(fields);
  if (last.wanted !== wanted) last = { wanted, session: await new Rest(location.origin).createSession(fields) };
  return last.session;
}

function isFilled(form, input, problem) {
  if (input.value.trim() !== "") return true;
  complain(form, problem, input.name);
  return false;
}
