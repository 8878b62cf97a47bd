// The protocol's JSON: frames into envelopes and events. Checks every field for the application. Pure.

const MAX_DEPTH = 100;

/** The gateway sent a frame that breaks the protocol. */
export class MalformedFrame extends Error {}

// Readers: a value, or undefined when the field is missing, into what the application gets. They throw MalformedFrame.
const of = (isRight) => (value) => {
  if (!isRight(value)) throw new MalformedFrame("wrong data");
  return value;
};
const text = of((value) => typeof value === "string");
const bool = of((value) => typeof value === "boolean");
const whole = of(Number.isSafeInteger);
const number = of(Number.isFinite);
const object = of((value) => typeof value === "object" && value !== null && !Array.isArray(value));
const either = (reader, otherwise) => (value) => (value === undefined ? otherwise : reader(value));
const nullable = (reader) => (value) => (value === null || value === undefined ? null : reader(value));
const list = (reader) => (value) => of(Array.isArray)(value).map(reader);
const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());

/** A reader of an object with these fields; the result's names are in camel case. */
function struct(fields) {
  const readers = Object.entries(fields).map(([name, reader]) => [name, camel(name), reader]);
  return (value) => {
    object(value);
    const result = {};
    for (const [name, key, reader] of readers) result[key] = reader(value[name]);
    return result;
  };
}

const user = struct({ id: nullable(text), name: text });
const presence = { user, user_count: either(whole, 0) };
const READERS = new Map(
  Object.entries({
    welcome: struct({
      session: struct({
        id: text,
        name: either(text, ""),
        created_at: either(text, ""),
        max_users: either(whole, 0),
        presence: either(text, "full"),
        spirit: either(bool, false),
      }),
      you: user,
      users: either(list(user), []),
      user_count: either(whole, 0),
      seq: whole,
      epoch: text,
      token: text,
      resumed: either(
        struct({
          recovered: either(bool, false),
          source: either(text, "none"),
          missed: either(nullable(whole), 0),
          missed_at_least: either(whole, 0),
        }),
        { recovered: false, source: "none", missed: 0, missedAtLeast: 0 },
      ),
      heartbeat_seconds: either(number, 25),
      token_expires_in_seconds: nullable(number),
    }),
    ack: struct({ seq: whole, message_id: text, level: text }),
    error: struct({
      code: text,
      message: either(text, ""),
      retryable: either(bool, false),
      field: nullable(text),
      retry_after_ms: nullable(whole),
    }),
    reconnect: struct({ reason: either(text, ""), after_ms: either(whole, 0) }),
    pong: struct({}),
    message_received: struct({
      id: text,
      session_id: text,
      user_id: nullable(text),
      user_name: text,
      text,
      timestamp: text,
      is_spirit: either(bool, false),
    }),
    user_joined: struct(presence),
    user_left: struct({ ...presence, reason: either(text, "left") }),
    session_closed: struct({}),
    spirit_thinking: struct({}),
    user_typing: struct({ user }),
    presence_changed: struct({ user_count: whole }),
    token_expiring: struct({ in_seconds: number }),
    token_renewed: struct({ token: text, expires_in_seconds: number }),
    // This `seq` is data, not the position of the event.
    persisted: struct({ seq: whole }),
    gap: (value) => {
      const { from, to } = struct({ from: whole, to: whole })(value);
      return { first: from, last: to };
    },
  }),
);
const SEQUENCED = new Set(["message_received", "user_joined", "user_left", "session_closed"]);
const isNullish = (value) => value === undefined || value === null;

/** The objects in one frame: one, or a batch. Throws MalformedFrame. */
export function decode(payload) {
  let value;
  try {
    value = JSON.parse(text(payload));
  } catch (error) {
    throw new MalformedFrame(`a frame that is no event: ${error.message}`);
  }
  return (Array.isArray(value) ? value : [value]).map(envelope);
}

function envelope(value) {
  const { type, seq, ts, id, data = {} } = object(value);
  text(type);
  if (!isNullish(seq)) whole(seq);
  if (!isNullish(ts)) text(ts);
  return { type, seq: seq ?? null, ts: ts ?? null, id: id ?? null, data };
}

/** The event of an object, by its `type`; an unknown type becomes `unknown`. Throws MalformedFrame. */
export function content({ type, seq, ts, data }) {
  const reader = READERS.get(type);
  if (reader === undefined) {
    if (isTooDeep(data)) throw new MalformedFrame(`${type} is nested too deeply`);
    return { type: "unknown", of: type, seq, ts, data };
  }
  if (!SEQUENCED.has(type)) return { type, ...(ts === null ? {} : { ts }), ...reader(data) };
  if (seq === null) throw new MalformedFrame(`${type} without seq`);
  return { type, seq, ts: ts ?? "", ...reader(data) };
}

/** Whether data is nested too deeply for a recursive application. */
function isTooDeep(data) {
  let level = [data];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > MAX_DEPTH) return true;
    level = level.flatMap((value) => (typeof value === "object" && value !== null ? Object.values(value) : []));
  }
  return false;
}
