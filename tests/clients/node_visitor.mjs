// Uses the browser client in Node as an application would, and prints what happened as one line of JSON.
// `node --experimental-websocket node_visitor.mjs CLIENT_MODULE GATEWAY_URL`
const [modulePath, url] = process.argv.slice(2);
const { Client, Rest } = await import(modulePath);

const { WebSocket, fetch } = globalThis;
for (const name of ["WebSocket", "fetch"]) delete globalThis[name];

function complaint(make) {
  try {
    make();
    return null;
  } catch (error) {
    return String(error);
  }
}

/** Send one message, as a user whose WebSocket and fetch are these. */
async function visit(name, options) {
  const session = await new Rest(url, options).createSession({ name: "From Node" });
  const client = new Client(url, session.id, { name, ...options });
  const welcome = await client.connect();
  const { seq } = await client.send("hello");
  await client.leave();
  return { name: welcome.you.name, isAfterTheJoin: seq > welcome.seq };
}

const unknown = "00000000-0000-4000-8000-000000000000";
const refused = async (options) => {
  const error = await new Client(url, unknown, { name: "Ana", ...options }).connect().catch((problem) => problem);
  return error.name;
};

const result = {
  withoutWebSocket: complaint(() => new Client(url, unknown, { name: "Ana" })),
  withoutFetch: complaint(() => new Rest(url)),
  passedIn: await visit("Ana", { WebSocket, fetch }),
  refused: await refused({ WebSocket, fetch }),
};
Object.assign(globalThis, { WebSocket, fetch });
result.global = await visit("Ben", {});
console.log(JSON.stringify(result));
