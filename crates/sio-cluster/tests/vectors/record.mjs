// Records what the published packages for Node put on Redis, message by message, into classic.json,
// emitter.json, sharded.json and streams.json. Run by record.sh, which starts a Redis of its own.
import { createServer } from "node:http";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import adapters from "@socket.io/redis-adapter";
import emitters from "@socket.io/redis-emitter";
import streams from "@socket.io/redis-streams-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";
import { io as connect } from "socket.io-client";

const url = process.env.REDIS_URL;
const log = [];
const redis = async () => {
  const client = createClient({ url });
  await client.connect();
  return client;
};
const publish = (channel, body) => log.push({ channel, body: body.toString("hex") });

// Whatever is published, by whichever command, passes through here.
const tap = (client) => {
  for (const name of ["publish", "sPublish"]) {
    const original = client[name].bind(client);
    client[name] = (channel, body) => {
      publish(channel, Buffer.from(body));
      return original(channel, body);
    };
  }
  const add = client.xAdd.bind(client);
  client.xAdd = (stream, id, fields, options) => {
    log.push({ stream, fields, options });
    return add(stream, id, fields, options);
  };
  const set = client.set.bind(client);
  client.set = (key, value, options) => {
    log.push({ key, value, options });
    return set(key, value, options);
  };
  return client;
};

const node = async (adapter, options = {}) => {
  const http = createServer();
  const io = new Server(http, { adapter, ...options });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  return { io, http, address: `http://127.0.0.1:${http.address().port}` };
};

const client = async (address, namespace = "/") => {
  const socket = connect(address + namespace, { transports: ["websocket"], forceNew: true });
  socket.on("ask", (...args) => args.pop()({ heard: args[0] }));
  socket.on("ask-bytes", (...args) => args.pop()(Buffer.from([1, 2, 3])));
  await once(socket, "connect");
  return socket;
};

const steps = async (name, makeAdapter, options) => {
  log.length = 0;
  const one = await node(await makeAdapter(), options);
  const two = await node(await makeAdapter(), options);
  for (const { io } of [one, two]) {
    io.of("/chat").on("connection", () => {});
    io.on("connection", (socket) => {
      socket.data.name = "ann";
      socket.join("lobby");
    });
    io.on("ping-servers", (...args) => args.pop()({ pong: true }));
  }
  await sleep(300);
  const ann = await client(one.address);
  const bob = await client(two.address);
  await sleep(200);
  const vectors = [];
  const step = async (what, run) => {
    log.length = 0;
    await run();
    await sleep(150);
    for (const message of log) vectors.push({ what, ...message });
  };
  const { io } = one;
  await step("emit to everyone", () => io.emit("news", 1, "two", { three: [true, null, 4.5] }));
  await step("emit to a room", () => io.to("lobby").emit("news", "héllo"));
  await step("emit to two rooms except two", () => io.to("a").to("b").except("c").except("d").emit("news"));
  await step("emit bytes", () => io.to("lobby").emit("bin", Buffer.from([1, 2]), new Uint8Array([3])));
  await step("emit odd values", () =>
    io.emit("odd", -1, -129, 40000, 3000000000, 2 ** 53, -(2 ** 40), 1e300, undefined, { gone: undefined }, "x".repeat(40)));
  await step("emit a date", () => io.emit("date", new Date(1234567890123)));
  await step("emit volatile and compressed", () => io.volatile.compress(false).emit("news"));
  await step("emit to a number", () => io.to(42).emit("news"));
  await step("emit in a namespace", () => io.of("/chat").to("lobby").emit("news"));
  await step("emit with ack", () => io.timeout(500).emitWithAck("ask", 7));
  await step("emit with ack of bytes", () => io.timeout(500).emitWithAck("ask-bytes"));
  await step("emit with ack to nobody", () => io.to("nowhere").timeout(100).emitWithAck("ask").catch(() => {}));
  await step("emit with a single ack", () => io.to(bob.id).timeout(500).emitWithAck("ask", 7).catch(() => {}));
  await step("join", () => io.to("lobby").except("x").socketsJoin(["r1", "r2"]));
  await step("leave", () => io.in("lobby").socketsLeave("r1"));
  await step("fetch", () => io.in("lobby").fetchSockets().catch(() => {}));
  if (name === "classic") {
    await step("all rooms", () => io.of("/").adapter.allRooms());
  }
  await step("server-side emit", () => io.serverSideEmit("hello", 1, { a: "b" }));
  await step("server-side emit with ack", () => io.serverSideEmitWithAck("ping-servers", 1));
  await step("disconnect", () => io.in("nowhere").disconnectSockets());
  await step("disconnect and close", () => io.in("nowhere").disconnectSockets(true));
  if (name === "streams") {
    await step("session", async () => {
      // A lost connection, not a goodbye: only then is the session kept.
      for (const [, socket] of two.io.of("/").sockets) socket.conn.transport.socket.terminate();
      bob.io.reconnection(false);
    });
  }
  ann.close();
  bob.close();
  await sleep(100);
  one.io.close();
  two.io.close();
  write(name, vectors);
};

const write = (name, vectors) => {
  const lines = vectors.map((vector) => "  " + JSON.stringify(vector));
  writeFileSync(new URL(`${name}.json`, import.meta.url), `[\n${lines.join(",\n")}\n]\n`);
};

await steps("classic", async () => adapters.createAdapter(tap(await redis()), await redis()));
await steps("sharded", async () => adapters.createShardedAdapter(tap(await redis()), await redis()));
await steps("streams", async () => streams.createAdapter(tap(await redis()), {}), {
  connectionStateRecovery: { maxDisconnectionDuration: 5000 },
});

const emitter = new emitters.Emitter(tap(await redis()));
const vectors = [];
const step = (what, run) => {
  log.length = 0;
  run();
  for (const message of log) vectors.push({ what, ...message });
};
step("emit to everyone", () => emitter.emit("news", 1));
step("emit to a room", () => emitter.to("lobby").emit("news", "hi"));
step("emit to two rooms except one", () => emitter.to(["a", "b"]).except("c").volatile.compress(true).emit("news"));
step("emit bytes in a namespace", () => emitter.of("chat").emit("bin", Buffer.from([1, 2])));
step("join", () => emitter.in("lobby").socketsJoin("r1"));
step("leave", () => emitter.in("lobby").except("x").socketsLeave(["r1", "r2"]));
step("disconnect", () => emitter.in("lobby").disconnectSockets());
step("disconnect and close", () => emitter.disconnectSockets(true));
step("server-side emit", () => emitter.serverSideEmit("hello", 1, { a: "b" }));
write("emitter", vectors);
process.exit(0);
