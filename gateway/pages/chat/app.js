// Begins the page: the address says which session, what is remembered says whether one is in it already.

import { door } from "./door.js";
import { one } from "./dom.js";
import { home, idIn } from "./home.js";
import * as memory from "./memory.js";
import { Room } from "./room.js";

/** Join with a name, as somebody new. */
async function enter({ session, name, password }) {
  memory.keepName(name);
  const room = new Room(session.id, { name, password });
  await room.enter();
  // Without a `hashchange`: this page is in the room already.
  history.replaceState(null, "", `/chat#${session.id}`);
}

/** Come back after a reload; at the door when the place is gone. */
async function comeBack(sessionId, known) {
  const room = new Room(sessionId, { known });
  room.show();
  try {
    await room.enter();
  } catch {
    // The room says why.
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

// Another link pasted into the address bar: begin anew, unless somebody is in a room, who would fall out of it.
addEventListener("hashchange", () => {
  if (one("#room").hidden) begin();
  else location.reload();
});
begin();
