// The events that wait for an iteration.

import { OverflowError } from "./errors.js";

/** An async iterator with a bound: after `limit` waiting events the iteration gets an OverflowError. */
export class Inbox {
  #limit;
  #events = [];
  #waiting = [];
  #isClosed = false;
  #error = null;
  #dropped;

  /** `dropped()` is called when the iteration has ended early. */
  constructor(limit, dropped) {
    this.#limit = limit;
    this.#dropped = dropped;
  }

  put(event) {
    if (this.#isClosed) return;
    if (this.#waiting.length > 0) this.#waiting.shift().resolve({ value: event, done: false });
    else if (this.#events.length < this.#limit) this.#events.push(event);
    else this.close(new OverflowError(`more than ${this.#limit} events wait to be read`));
  }

  /** No event follows: the application takes the remaining events, then gets `error`, or the iteration ends. */
  close(error) {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#error = error;
    this.#dropped(this);
    for (const { resolve, reject } of this.#waiting.splice(0)) this.#end(resolve, reject);
  }

  next() {
    return new Promise((resolve, reject) => {
      if (this.#events.length > 0) resolve({ value: this.#events.shift(), done: false });
      else if (this.#isClosed) this.#end(resolve, reject);
      else this.#waiting.push({ resolve, reject });
    });
  }

  return() {
    this.#events.length = 0;
    this.close(null);
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  #end(resolve, reject) {
    const error = this.#error;
    this.#error = null;
    if (error) reject(error);
    else resolve({ value: undefined, done: true });
  }
}
