// Starts the page: the address names the session; the stored memory tells whether this tab has joined already.

import { door } from "./door.js";
import { one } from "./dom.js";
import { home, idIn } from "./home.js";
import * as memory from "./memory.js";
import { Room } from "./room.js";

/** Join with a name, as a new user. */
async function enter({ session, name, password, trouble }) {
  memory.keepName(name);
  const room = new Room(session.id, { name, password, trouble });
  await room.enter();
  // Without a `hashchange` event: the page shows the room already. A new entry, so that Back leads to the start.
  if (idIn(location.hash) !== session.id) history.pushState(null, "", `#${session.id}`);
}

/** Come back after a reload; show the door when the seat is gone. */
async function comeBack(sessionId, known) {
  const room = new Room(sessionId, { known });
  room.show();
  try {
    await room.enter();
  } catch {
    // The room shows the reason.
  }
}

function open(sessionId) {
  location.assign(`#${sessionId}`);
}

function begin() {
  const sessionId = idIn(location.hash);
  const known = sessionId === null ? null : memory.recall(sessionId);
  if (sessionId === null) home(enter, open, written(location.hash));
  else if (known?.token && known.position) comeBack(sessionId, known);
  else door(sessionId, enter);
}

/** What stands behind the #, as a person reads it. */
function written(hash) {
  try {
    return decodeURIComponent(hash.slice(1));
  } catch {
    return hash.slice(1);
  }
}

// Another link, Back or Forward. A door or a room starts anew: an answer that is under way is for another session.
addEventListener("hashchange", () => {
  if (one("#home").hidden || one("#create").hasAttribute("aria-busy")) location.reload();
  else begin();
});
begin();
