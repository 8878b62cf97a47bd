// The input of messages: Enter sends, Shift+Enter begins a line; tells the others that this user is typing.

import { lengthOf, trimmed } from "./client/index.js";

import { one } from "./dom.js";

const MAX_LENGTH = 500;
const WARN_AT = 80;

export class Composer {
  #form = one("#composer");
  #text = one("#text");
  #left = one("#left");

  /** `send(text)` sends a message, `typing()` tells the others that this user is typing. */
  constructor(send, typing) {
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      const length = lengthOf(this.#text.value);
      if (length > 0 && length <= MAX_LENGTH && !this.#text.disabled) {
        send(trimmed(this.#text.value));
        this.#text.value = "";
      }
      this.#changed();
      this.focus();
    });
    this.#text.addEventListener("keydown", (event) => {
      // While an input method composes a word, Enter belongs to the input method.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#form.requestSubmit();
    });
    this.#text.addEventListener("input", () => {
      this.#changed();
      // The client tells the others at most every 2 s.
      if (this.#text.value !== "") typing();
    });
    this.#changed();
  }

  focus() {
    this.#text.focus();
  }

  /** Nothing can be sent any more; returns the text that was not sent, empty when there is none. */
  end() {
    this.#form.hidden = true;
    this.#text.disabled = true;
    return trimmed(this.#text.value);
  }

  #changed() {
    const left = MAX_LENGTH - lengthOf(this.#text.value);
    this.#left.textContent = left < 0 ? `${-left} too many` : left <= WARN_AT ? `${left} left` : "";
    this.#left.classList.toggle("bad", left < 0);
    this.#text.setAttribute("aria-invalid", String(left < 0));
    // The field grows with its text; CSS limits the height.
    this.#text.style.height = "auto";
    this.#text.style.height = `${this.#text.scrollHeight + 2}px`;
  }
}
