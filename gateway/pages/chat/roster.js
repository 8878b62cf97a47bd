// The users, the free seats, and the host's buttons.

import { make, one, written } from "./dom.js";
import * as words from "./words.js";

const HUES = 8;
const SHOWN_FREE = 4;
const SHOWN_USERS = 200;
const initials = new Intl.Segmenter();

/** One of a few colours, the same for a name on every page. */
export function hueOf(name) {
  let sum = 0;
  for (const letter of name.toLowerCase()) sum = (sum * 31 + letter.codePointAt(0)) % 9973;
  return sum % HUES;
}

/** A round picture with the first letter of the name. */
export function avatar(name) {
  const [first] = initials.segment(name.trim());
  const letter = (first?.segment ?? "?").toUpperCase();
  return make("span", { className: `avatar hue-${hueOf(name)}`, textContent: letter, ariaHidden: "true" });
}

export class Roster {
  #users = new Map();
  #count = 0;
  #session = null;
  #you = null;
  #remove;

  /** `remove(user)` is the action of the host's buttons; null when this user is not the host. */
  constructor(remove) {
    this.#remove = remove;
    one("#host").hidden = remove === null;
  }

  /** Replace the whole list, from a welcome. */
  welcomed({ session, you, users, userCount }) {
    this.#session = session;
    this.#you = you;
    this.#users = new Map(users.map((user) => [user.id, user]));
    this.#count = userCount;
    this.#draw();
  }

  joined({ user, userCount }) {
    this.#users.set(user.id, user);
    this.counted(userCount);
  }

  left({ user, userCount }) {
    this.#users.delete(user.id);
    this.counted(userCount);
  }

  counted(userCount) {
    this.#count = userCount;
    this.#draw();
  }

  #draw() {
    const { maxUsers, presence } = this.#session;
    const isFull = presence === "full";
    one("#count").textContent = this.#count.toLocaleString("en");
    one("#people").setAttribute("aria-label", `People: ${this.#count}`);
    one("#seats").textContent = words.seats(this.#count, maxUsers);
    const free = isFull ? Math.max(0, maxUsers - this.#count) : 0;
    const rows = [...this.#users.values()].slice(0, SHOWN_USERS).map((user) => this.#row(user));
    for (let seat = 0; seat < Math.min(free, SHOWN_FREE); seat += 1) rows.push(freeSeat());
    if (free > SHOWN_FREE) rows.push(make("li", { className: "more", textContent: `and ${free - SHOWN_FREE} more` }));
    const focused = document.activeElement?.dataset.user;
    one("#users").replaceChildren(...rows);
    if (focused) one("#users").querySelector(`[data-user="${CSS.escape(focused)}"]`)?.focus();
  }

  #row(user) {
    const isYou = user.id === this.#you.id;
    const row = make("li", {}, avatar(user.name), written(user.name, "name"));
    if (isYou) row.append(make("span", { className: "tag", textContent: "you" }));
    else if (this.#remove !== null) row.append(this.#button(user));
    return row;
  }

  #button(user) {
    const attributes = { "aria-label": `Remove ${user.name}` };
    const button = make("button", { type: "button", textContent: "Remove", className: "quiet", attributes });
    button.dataset.user = user.id;
    button.addEventListener("click", () => this.#remove(user));
    return button;
  }
}

const freeSeat = () =>
  make("li", { className: "free" }, make("span", { className: "avatar", ariaHidden: "true" }), "free seat");
