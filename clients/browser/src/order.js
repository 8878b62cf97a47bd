// Keeps the order of a session's events: drops what came before, finds holes, knows from where on to resume. Pure.

const REMEMBERED_IDS = 2048;

/** Where an event stands among those that came before. */
export const Place = Object.freeze({ NEXT: "next", KNOWN: "known", BEYOND_A_HOLE: "beyond a hole" });

/** Follows one session over connections and epochs; `position` is the last event received, null before any. */
export class Order {
  position;
  // How many more events may skip: what comes from history are messages only.
  #maySkip = 0;
  // Message id → the epoch in which it came.
  #ids = new Map();

  constructor(position = null) {
    this.position = position;
  }

  /**
   * A connection begins; returns whether everything missed follows, without a hole.
   *
   * A gateway that claims to have recovered, but stands elsewhere than where we asked it to begin, has not.
   */
  welcomed({ epoch, seq, resumed }) {
    const isSame = this.position !== null && this.position.epoch === epoch && this.position.seq === seq;
    const hasRecovered = resumed.recovered && isSame;
    // The first live event may skip too: what came last in the history need not have been a message.
    this.#maySkip = hasRecovered && resumed.source === "history" ? resumed.missed + 1 : 0;
    this.position = { epoch, seq };
    return hasRecovered;
  }

  /** Where this event stands; when it is the next one, the position moves on. */
  place(seq) {
    if (seq <= this.position.seq) return Place.KNOWN;
    if (seq !== this.position.seq + 1 && this.#maySkip === 0) return Place.BEYOND_A_HOLE;
    this.#maySkip = Math.max(this.#maySkip - 1, 0);
    this.position = { epoch: this.position.epoch, seq };
    return Place.NEXT;
  }

  /** The gateway says that these events can't be delivered; the position moves past them. */
  skipped(first, last) {
    if (last <= this.position.seq) return Place.KNOWN;
    if (first > this.position.seq + 1 && this.#maySkip === 0) return Place.BEYOND_A_HOLE;
    this.position = { epoch: this.position.epoch, seq: last };
    return Place.NEXT;
  }

  /**
   * Whether this message did not come in an earlier epoch already, under another seq. Remembers the newest 2048.
   *
   * Within an epoch `seq` alone decides; a service may give two messages the same id on purpose.
   */
  isNew(messageId) {
    const { epoch } = this.position;
    if (!this.#ids.has(messageId)) this.#ids.set(messageId, epoch);
    if (this.#ids.get(messageId) !== epoch) return false;
    if (this.#ids.size > REMEMBERED_IDS) this.#ids.delete(this.#ids.keys().next().value);
    return true;
  }
}
