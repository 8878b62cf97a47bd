// The state of the connection, in the header: words for screen readers, a countdown for sighted users.

import { one } from "./dom.js";

const LOOK_MS = 250;
const NEWS_MS = 4000;

export class Status {
  #place = one("#state");
  #words = one("#state [role=status]");
  #countdown = one("#state .countdown");
  #timer = null;

  #say(kind, words, countdown = "") {
    clearInterval(this.#timer);
    this.#place.dataset.kind = kind;
    if (this.#words.textContent !== words) this.#words.textContent = words;
    this.#countdown.textContent = countdown;
  }

  connecting() {
    this.#say("waiting", "Connecting…");
  }

  connected() {
    this.#say("good", "Connected");
  }

  /** Connected again; after a moment the usual words return. */
  back(news) {
    this.#say("good", news);
    this.#timer = setTimeout(() => this.connected(), NEWS_MS);
  }

  /** Show why the connection is lost, and in how many milliseconds the next attempt follows. */
  lost(why, retryMs) {
    const at = performance.now() + retryMs;
    this.#say("waiting", why);
    const look = () => {
      const seconds = Math.ceil((at - performance.now()) / 1000);
      this.#countdown.textContent = seconds > 0 ? ` · reconnecting in ${seconds} s` : " · reconnecting…";
      if (seconds <= 0) clearInterval(this.#timer);
    };
    this.#timer = setInterval(look, LOOK_MS);
    look();
  }

  /** The network seems to be away, which is being checked. */
  doubted(why) {
    this.#say("waiting", why, " · checking…");
  }

  /** Another reason why there is no connection; the countdown goes on. */
  because(why) {
    this.#words.textContent = why;
  }

  leaving() {
    this.#say("waiting", "Leaving…");
  }

  over(why) {
    this.#say("bad", why);
  }
}
