// What survives a reload of the page: the user's token, the position, the last messages, and the host token.

const TAIL = 100;
// A page that is left writes at once; a crash loses at most the changes of this time, position and transcript alike.
const WRITE_MS = 200;
const keyOf = (sessionId) => `seance:${sessionId}`;
const hostKeyOf = (sessionId) => `seance:host:${sessionId}`;

// For a browser that does not store (site data blocked, storage full): what lasts until the page is left.
const unstored = new Map();

function read(key) {
  if (unstored.has(key)) return unstored.get(key);
  try {
    return JSON.parse(sessionStorage.getItem(key));
  } catch {
    return null;
  }
}

function write(key, value) {
  try {
    sessionStorage.setItem(key, JSON.stringify(value));
    unstored.delete(key);
  } catch {
    unstored.set(key, value);
  }
}

function remove(key) {
  unstored.delete(key);
  try {
    sessionStorage.removeItem(key);
  } catch {
    // Nothing is stored.
  }
}

/** Whether a reload will find what the page keeps. */
export function isLasting() {
  try {
    sessionStorage.setItem("seance:probe", "");
    sessionStorage.removeItem("seance:probe");
    return true;
  } catch {
    return false;
  }
}

export const hostToken = (sessionId) => read(hostKeyOf(sessionId));
export const keepHostToken = (sessionId, token) => write(hostKeyOf(sessionId), token);

/** The last name used in any session of this tab. */
export const lastName = () => read("seance:name") ?? "";
export const keepName = (name) => write("seance:name", name);

/** The stored memory of a session from before the reload, or null: `{token, position, tail, pending, unfetched}`. */
export const recall = (sessionId) => read(keyOf(sessionId));

export const forget = (sessionId) => remove(keyOf(sessionId));

/**
 * Stores a session's memory: position, last messages and unsent messages are written together, so that after a reload
 * at any moment the transcript ends exactly where the resume begins.
 */
export class Memory {
  #sessionId;
  #look;
  #timer = null;
  #isOver = false;

  /** `look()`: the current `{token, position, tail, pending, unfetched}`. */
  constructor(sessionId, look) {
    this.#sessionId = sessionId;
    this.#look = look;
    addEventListener("pagehide", () => this.save());
  }

  /** Store a change soon; several changes within a short time are written once. */
  changed() {
    this.#timer ??= setTimeout(() => this.save(), WRITE_MS);
  }

  save() {
    clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#isOver) return;
    const { tail, ...rest } = this.#look();
    write(keyOf(this.#sessionId), { ...rest, tail: tail.slice(-TAIL) });
  }

  /** Forget the session: a reload can't come back. */
  end() {
    this.#isOver = true;
    clearTimeout(this.#timer);
    forget(this.#sessionId);
  }
}
