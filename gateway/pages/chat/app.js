// Starts the page: the address names the session; the stored memory tells whether this tab has joined already.

import { door } from "./door.js";
import { one } from "./dom.js";
import { home, idIn } from "./home.js";
import * as memory from "./memory.js";
import { Room } from "./room.js";

/** Join with a name, as a new user. */
async function enter({ session, name, password }) {
  memory.keepName(name);
  const room = new Room(session.id, { name, password });
  await room.enter();
  // Without a `hashchange` event: the page shows the room already.
  history.replaceState(null, "", `/chat#${session.id}`);
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
  location.assign(`/chat#${sessionId}`);
}

function begin() {
  const sessionId = idIn(location.hash);
  const known = sessionId === null ? null : memory.recall(sessionId);
  if (sessionId === null) home(enter, open);
  else if (known?.token && known.position) comeBack(sessionId, known);
  else door(sessionId, enter);
}

// Another link pasted into the address bar: start again, unless the page is in a room, which the user would lose.
addEventListener("hashchange", () => {
  if (one("#room").hidden) begin();
  else location.reload();
});
begin();
