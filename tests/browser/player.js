// Plays scripts of the scripted gateway with the browser client, and tells what came of them in the scripts' words.
async ({ run, parallel, deadlineMs }) => {
  const { Client, ...errors } = await import("/client/index.js");
  const ERRORS = [
    [errors.EndedError, "ended"],
    [errors.InvalidMessageError, "invalid"],
    [errors.NotStoredError, "not_stored"],
    [errors.CommandError, "refused"],
    [errors.UnconfirmedError, "unconfirmed"],
  ];
  const WORDS = {
    connected: () => ({ connected: true }),
    recovered: ({ source }) => ({ recovered: source }),
    not_recovered: ({ previous }) => ({ not_recovered: [previous.epoch, previous.seq] }),
    disconnected: ({ code, willRetry }) => ({ disconnected: code, retry: willRetry }),
    error_received: ({ code }) => ({ error: code }),
    message_received: ({ seq, text }) => ({ message: text, seq }),
    user_joined: ({ user }) => ({ joined: user.name }),
    user_left: ({ user }) => ({ left: user.name }),
    user_typing: ({ user }) => ({ typing: user.name }),
    session_closed: ({ seq }) => ({ closed: seq }),
    spirit_thinking: () => ({ thinking: true }),
    presence_changed: ({ userCount }) => ({ count: userCount }),
    persisted: ({ seq }) => ({ persisted: seq }),
    gap: ({ first, last }) => ({ gap: [first, last] }),
    token_expiring: ({ inSeconds }) => ({ token_expiring: inSeconds }),
    token_renewed: ({ token }) => ({ token_renewed: token }),
    unknown: ({ of }) => ({ unknown: of }),
  };

  /** What the application gives as tokens, one after the other. */
  function provider(tokens) {
    const left = [...tokens];
    return async () => {
      const token = left.shift();
      if (token?.fails) throw new Error(token.fails);
      return token;
    };
  }

  async function outcome({ client: { name, join_timeout_ms, wants_batches, tokens }, do: actions, expect }, id) {
    const policy = { backoffBaseMs: 10, backoffCapMs: 20, limitedMs: 0, joinTimeoutMs: join_timeout_ms ?? 10_000 };
    const getToken = tokens === undefined ? undefined : provider(tokens);
    const client = new Client(location.origin, id, { name, policy, getToken, wantsBatches: wants_batches ?? false });
    const events = [];
    const came = new EventTarget();
    const until = (isTrue) =>
      new Promise((resolve) => {
        const look = () => isTrue() && resolve();
        came.addEventListener("event", look);
        look();
      });
    let isOver = false;
    const reading = (async () => {
      try {
        for await (const event of client) {
          events.push(WORDS[event.type](event));
          came.dispatchEvent(new Event("event"));
        }
        return null;
      } catch (error) {
        return error.code ?? String(error);
      } finally {
        isOver = true;
        came.dispatchEvent(new Event("event"));
      }
    })();
    await client.connect().catch((error) => error instanceof errors.EndedError || Promise.reject(error));
    const has = (wanted) => events.some((event) => contains(event, wanted));
    const sends = [];
    for (const { send, until: wanted, ...options } of actions) {
      if (wanted) await until(() => has(wanted) || isOver);
      else sends.push(client.send(send, options).then(({ seq }) => ({ ack: seq }), named));
    }
    const sent = await Promise.all(sends);
    if (expect.ends === null) {
      await until(() => events.length >= expect.events.length || isOver);
      await client.leave();
    }
    return { events, sends: sent, ends: await reading };
  }

  const named = (error) => ({ error: ERRORS.find(([Kind]) => error instanceof Kind)?.[1] ?? String(error) });
  const contains = (event, wanted) =>
    Object.entries(wanted).every(([key, value]) => JSON.stringify(event[key]) === JSON.stringify(value));
  const late = () =>
    new Promise((_, reject) => setTimeout(() => reject(new Error("the deadline has passed")), deadlineMs));

  const scripts = await (await fetch("/scripts")).json();
  const waiting = [...scripts];
  const results = {};
  async function work() {
    for (let script = waiting.shift(); script; script = waiting.shift()) {
      const id = `${script.name}~${run}`;
      let result;
      try {
        result = await Promise.race([outcome(script, id), late()]);
      } catch (error) {
        result = String(error);
      }
      const { problems } = await (await fetch(`/runs/${id}`)).json();
      results[script.name] = { outcome: result, problems };
    }
  }
  await Promise.all(Array.from({ length: parallel }, work));
  return results;
}
