// Socket.IO with its Redis adapter: PORT and REDIS_URL in the environment. Pings are off everywhere: a run is short.
"use strict";

const { randomUUID } = require("node:crypto");
const { createServer } = require("node:http");
const { createAdapter } = require("@socket.io/redis-adapter");
const { createClient } = require("redis");
const { Server } = require("socket.io");

async function main() {
  const publisher = createClient({ url: process.env.REDIS_URL });
  const subscriber = publisher.duplicate();
  await Promise.all([publisher.connect(), subscriber.connect()]);
  const http = createServer();
  const io = new Server(http, {
    adapter: createAdapter(publisher, subscriber),
    perMessageDeflate: false,
    pingInterval: 300_000,
    serveClient: false,
    transports: ["websocket"],
  });
  io.on("connection", (socket) => {
    socket.on("join", (room, name) => {
      socket.data = { room, user: { id: randomUUID(), name } };
      socket.join(room);
      socket.emit("joined", room);
    });
    socket.on("message", (text) => {
      const { room, user } = socket.data;
      const now = new Date().toISOString();
      io.to(room).emit("message", {
        type: "message_received",
        ts: now,
        data: {
          id: randomUUID(),
          session_id: room,
          user_id: user.id,
          user_name: user.name,
          text,
          timestamp: now,
          is_spirit: false,
        },
      });
    });
  });
  http.listen(Number(process.env.PORT), "127.0.0.1");
}

main();
