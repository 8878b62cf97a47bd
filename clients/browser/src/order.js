// Keeps the order of a session's events: drops repeated events, finds gaps, knows where to resume. Pure.

const REMEMBERED_IDS = 2048;

/** Where an event stands relative to the last one. */
export const Place = Object.freeze({ NEXT: "next", KNOWN: "known", BEYOND_A_HOLE: "beyond a hole" });

/** Follows one session over connections and epochs; `position` is the last event received, null before any. */
export class Order {
  position;
  // How many more events may skip a seq: a replay from history has messages only.
  #maySkip = 0;
  // Message id → the epoch in which it came.
  #ids = new Map();

  constructor(position = null) {
    this.position = position;
  }

  /**
   * A connection begins; returns whether all missed events follow, without a gap.
   *
   * A gateway that says `recovered` but starts at another position than the requested one has not recovered.
   */
  welcomed({ epoch, seq, resumed }) {
    const isSame = this.position !== null && this.position.epoch === epoch && this.position.seq === seq;
    const hasRecovered = resumed.recovered && isSame;
    // The first live event may skip a seq too: the last event before it need not have been a message.
    this.#maySkip = hasRecovered && resumed.source === "history" ? (resumed.missed ?? Infinity) + 1 : 0;
    this.position = { epoch, seq };
    return hasRecovered;
  }

  /** Where this event stands; the next event in order advances the position. */
  place(seq) {
    if (seq <= this.position.seq) return Place.KNOWN;
    if (seq !== this.position.seq + 1 && this.#maySkip === 0) return Place.BEYOND_A_HOLE;
    this.#maySkip = Math.max(this.#maySkip - 1, 0);
    this.position = { epoch: this.position.epoch, seq };
    return Place.NEXT;
  }

  /** The gateway can't deliver these events; the position moves past them. */
  skipped(first, last) {
    if (last <= this.position.seq) return Place.KNOWN;
    if (first > this.position.seq + 1 && this.#maySkip === 0) return Place.BEYOND_A_HOLE;
    this.position = { epoch: this.position.epoch, seq: last };
    return Place.NEXT;
  }

  /**
   * Whether this message is new: no earlier epoch had it under another seq. Remembers the newest 2048.
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
