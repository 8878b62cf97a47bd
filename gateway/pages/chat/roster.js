// The users, the free seats, and the host's buttons.

import { make, one, written } from "./dom.js";
import * as memory from "./memory.js";
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
  #isLinked = false;

  /** `remove(user)` is the action of the host's buttons; null when this user is not the host. */
  constructor(remove) {
    this.#remove = remove;
    one("#host").hidden = remove === null;
    one("#host span").hidden = memory.isLasting();
    this.linked(false);
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

  /** The host can act while there is a connection. */
  linked(isLinked) {
    this.#isLinked = isLinked;
    one("#close").disabled = !isLinked;
    for (const button of one("#users").querySelectorAll("button")) button.disabled = !isLinked;
  }

  /** The user is not in the session any more: the list says who was, and offers nothing. */
  over() {
    this.#remove = null;
    one("#host").hidden = true;
    one("#roster h2").textContent = "When you were here";
    if (this.#session !== null) this.#draw();
    one("#seats").textContent = "";
    for (const seat of one("#users").querySelectorAll(".free, .more")) seat.remove();
  }

  #draw() {
    const { maxUsers, presence } = this.#session;
    const isFull = presence === "full";
    one("#count").textContent = this.#count.toLocaleString("en");
    one("#people").setAttribute("aria-label", `People: ${this.#count}`);
    one("#seats").textContent = words.seats(this.#count, maxUsers);
    const free = isFull ? Math.max(0, maxUsers - this.#count) : 0;
    const rows = [...this.#users.values()].slice(0, SHOWN_USERS).map((user) => this.#row(user));
    const unseen = isFull ? this.#count - rows.length : 0;
    if (unseen > 0) rows.push(more(`and ${unseen.toLocaleString("en")} more`));
    // One more seat takes no more room than the words for it.
    const shownFree = free <= SHOWN_FREE + 1 ? free : SHOWN_FREE;
    for (let seat = 0; seat < shownFree; seat += 1) rows.push(freeSeat());
    if (free > shownFree) rows.push(more(`and ${(free - shownFree).toLocaleString("en")} more free seats`));
    const focused = document.activeElement?.dataset.user;
    one("#users").replaceChildren(...rows);
    if (focused) one("#users").querySelector(`[data-user="${CSS.escape(focused)}"]`)?.focus();
  }

  #row(user) {
    const isYou = user.id === this.#you.id;
    const name = written(user.name, "name");
    // The whole name, when the list shows a part.
    name.title = user.name;
    const row = make("li", {}, avatar(user.name), name);
    if (isYou) row.append(make("span", { className: "tag", textContent: "you" }));
    else if (this.#remove !== null) row.append(this.#button(user));
    return row;
  }

  #button(user) {
    const attributes = { "aria-label": `Remove ${user.name}` };
    const properties = { type: "button", textContent: "Remove", className: "quiet", disabled: !this.#isLinked };
    const button = make("button", { ...properties, attributes });
    button.dataset.user = user.id;
    button.addEventListener("click", () => this.#remove(user));
    return button;
  }
}

const more = (textContent) => make("li", { className: "more", textContent });

const freeSeat = () =>
  make("li", { className: "free" }, make("span", { className: "avatar", ariaHidden: "true" }), "free seat");
