// The conversation: messages and notices in the order of their seq, older ones fetched by scrolling up.

import { make, one, written } from "./dom.js";
import { avatar } from "./roster.js";

const NEAR_PIXELS = 96;
const TOGETHER_MS = 5 * 60_000;
// Items beyond this number are dropped from the top, while they are out of view; scrolling up fetches them again.
const MAX_ITEMS = 600;
const FETCHING = "Fetching earlier messages…";
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const calendar = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });

export class Transcript {
  #scroller = one("#scroller");
  #list = one("#transcript");
  #beginning = one("#beginning");
  #newer = one("#newer");
  // {seq, kind, ...}, seq rising, each with its element.
  #items = [];
  #ids = new Set();
  #older;
  #hasOlder = true;
  #isFetching = false;
  #yourId = null;
  // Whether the newest item should stay in view.
  #isFollowing = true;

  /** `older(seq)`: a page of messages before that seq, `{items, nextBefore}`. */
  constructor(older) {
    this.#older = older;
    this.#scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#newer.addEventListener("click", () => this.toEnd());
    // The keyboard of a phone, a longer composer, a turned screen: keep the newest item in view.
    new ResizeObserver(() => this.#follow()).observe(this.#scroller);
  }

  set yourId(id) {
    this.#yourId = id;
  }

  /** The part of the memory that a reload needs. */
  get tail() {
    return this.#items.map(({ element: _, ...item }) => item);
  }

  get lastSeq() {
    return this.#items.at(-1)?.seq ?? 0;
  }

  /** Add a message or a notice; false when the transcript has it already. */
  add(item) {
    const isAdded = this.#insert(item);
    if (!isAdded) return false;
    if (this.#isFollowing) {
      this.#trim();
      this.#follow();
    } else if (item.kind === "message") {
      this.#newer.hidden = false;
    }
    return true;
  }

  /** Remove the item with this seq, if there is one. */
  remove(seq) {
    const at = this.#items.findIndex((item) => item.seq === seq);
    if (at < 0) return;
    this.#items.splice(at, 1)[0].element.remove();
    this.#group(at);
  }

  /** Add several items at once, without an announcement for each. */
  fill(items) {
    this.#quietly(() => items.forEach((item) => this.#insert(item)));
    this.#follow();
    // Too few items to scroll: older ones fit too.
    if (this.#scroller.scrollHeight <= this.#scroller.clientHeight) this.fetchOlder();
  }

  /** A page of the history was read; `isBeginning`: the transcript begins with the first message now. */
  read(isBeginning) {
    if (isBeginning) this.#hasOlder = false;
    this.#beginning.textContent = isBeginning ? "This is the beginning." : "";
  }

  /** Older messages can't be fetched now; `again()` is what the button does. */
  failed(again) {
    const button = make("button", { type: "button", className: "quiet", textContent: "Try again" });
    button.addEventListener("click", () => {
      this.#beginning.textContent = FETCHING;
      again();
    });
    this.#beginning.replaceChildren("Earlier messages can't be fetched right now. ", button);
  }

  toEnd() {
    this.#isFollowing = true;
    this.#follow();
  }

  #follow() {
    if (!this.#isFollowing) return;
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#newer.hidden = true;
  }

  #insert(item) {
    let at = this.#items.length;
    while (at > 0 && this.#items[at - 1].seq > item.seq) at -= 1;
    if (at > 0 && this.#items[at - 1].seq === item.seq) return false;
    // After lost data a message may come again under another seq.
    if (item.kind === "message" && this.#ids.has(item.id)) return false;
    const added = { ...item, element: this.#draw(item) };
    if (item.kind === "message") this.#ids.add(item.id);
    this.#list.insertBefore(added.element, this.#items[at]?.element ?? null);
    this.#items.splice(at, 0, added);
    this.#group(at);
    this.#group(at + 1);
    return true;
  }

  /** Set whether a message continues the group of the one above it, and whether a new day begins. */
  #group(at) {
    const item = this.#items[at];
    if (item === undefined) return;
    const before = this.#items[at - 1];
    const isNewDay = before === undefined || dayOf(before) !== dayOf(item);
    const isSame = before?.kind === "message" && before.userId === item.userId && before.userName === item.userName;
    const isSoon = before !== undefined && Date.parse(item.timestamp) - Date.parse(before.timestamp) < TOGETHER_MS;
    item.element.classList.toggle("continued", item.kind === "message" && isSame && isSoon && !isNewDay);
    if (isNewDay) item.element.dataset.day = dayOf(item);
    else delete item.element.dataset.day;
  }

  #draw(item) {
    if (item.kind === "notice") {
      const who = item.name === null ? [] : [written(item.name), " "];
      return make("li", { className: "notice" }, make("span", {}, ...who, item.words));
    }
    const isYours = item.userId !== null && item.userId === this.#yourId;
    const kind = item.isSpirit ? "spirit" : isYours ? "yours" : "theirs";
    const picture = item.isSpirit ? make("span", { className: "avatar", textContent: "✦", ariaHidden: "true" }) : avatar(item.userName);
    const time = make("time", { dateTime: item.timestamp, textContent: clock.format(new Date(item.timestamp)) });
    const head = make("div", { className: "head" }, written(item.userName, "name"), time);
    const text = make("p", { className: "text", dir: "auto", textContent: item.text });
    const element = make("li", { className: `message ${kind}` }, picture, make("div", { className: "body" }, head, text));
    element.dataset.seq = item.seq;
    return element;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    this.#isFollowing = scrollHeight - scrollTop - clientHeight < NEAR_PIXELS;
    if (this.#isFollowing) this.#newer.hidden = true;
    if (scrollTop < NEAR_PIXELS && scrollHeight > clientHeight) this.fetchOlder();
  }

  /** Fetch a page of older messages, and keep the scroll position. */
  async fetchOlder() {
    const first = this.#items.find(({ kind }) => kind === "message") ?? this.#items[0];
    if (this.#isFetching || !this.#hasOlder || first === undefined) return;
    this.#isFetching = true;
    this.#beginning.textContent = FETCHING;
    try {
      const { items, nextBefore } = await this.#older(first.seq);
      const heightBefore = this.#scroller.scrollHeight;
      this.#quietly(() => items.forEach((item) => this.#insert(item)));
      if (this.#isFollowing) this.#follow();
      else this.#scroller.scrollTop += this.#scroller.scrollHeight - heightBefore;
      this.read(nextBefore === null);
    } catch {
      this.failed(() => this.fetchOlder());
    } finally {
      this.#isFetching = false;
    }
  }

  /** Make changes that a screen reader should not announce. */
  #quietly(work) {
    this.#scroller.setAttribute("aria-busy", "true");
    work();
    requestAnimationFrame(() => this.#scroller.removeAttribute("aria-busy"));
  }

  #trim() {
    for (const { element, id } of this.#items.splice(0, Math.max(0, this.#items.length - MAX_ITEMS))) {
      element.remove();
      this.#ids.delete(id);
      this.#hasOlder = true;
      this.#beginning.textContent = "";
    }
    this.#group(0);
  }
}

const dayOf = ({ timestamp }) => calendar.format(new Date(timestamp));
