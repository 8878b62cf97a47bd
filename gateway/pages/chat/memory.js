// What outlives a reload of the page: who one is in a session, the place in it, its last messages, and the host token.

const TAIL = 100;
// A page that goes writes at once; a crash costs so much at most, of place and transcript alike.
const WRITE_MS = 200;
const keyOf = (sessionId) => `seance:${sessionId}`;
const hostKeyOf = (sessionId) => `seance:host:${sessionId}`;

function read(key) {
  try {
    return JSON.parse(sessionStorage.getItem(key));
  } catch {
    return null;
  }
}

function write(key, value) {
  try {
    sessionStorage.setItem(key, JSON.stringify(value));
  } catch {
    // Storage is full or forbidden: a reload will begin anew, all else works.
  }
}

export const hostToken = (sessionId) => read(hostKeyOf(sessionId));
export const keepHostToken = (sessionId, token) => write(hostKeyOf(sessionId), token);

/** The name that was used last, in any session of this tab. */
export const lastName = () => read("seance:name") ?? "";
export const keepName = (name) => write("seance:name", name);

/** What is known of a session from before the reload, or null: `{token, position, tail, pending}`. */
export const recall = (sessionId) => read(keyOf(sessionId));

export function forget(sessionId) {
  sessionStorage.removeItem(keyOf(sessionId));
}

/**
 * Keeps a session's memory in step: place, last messages and what is unsent are written together, so that a reload at
 * any moment finds a transcript that ends exactly where the resume begins.
 */
export class Memory {
  #sessionId;
  #look;
  #timer = null;
  #isOver = false;

  /** `look()`: the current `{token, position, tail, pending}`. */
  constructor(sessionId, look) {
    this.#sessionId = sessionId;
    this.#look = look;
    addEventListener("pagehide", () => this.save());
  }

  /** Something changed; many changes shortly after each other are written once. */
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

  /** There is nothing to come back to. */
  end() {
    this.#isOver = true;
    clearTimeout(this.#timer);
    forget(this.#sessionId);
  }
}
