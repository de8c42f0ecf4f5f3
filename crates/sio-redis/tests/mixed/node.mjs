// A Socket.IO server for Node with one of its adapters for Redis that does what its clients order, as
// examples/node.rs does.
import { createServer } from "node:http";
import adapters from "@socket.io/redis-adapter";
import streams from "@socket.io/redis-streams-adapter";
import { createClient, createCluster } from "redis";
import { Server } from "socket.io";

/** A Redis Cluster is named as for a node of ours. */
const broker = (url) => {
  const hosts = /^redis\+cluster:\/\/(.*)$/.exec(url)?.[1].split(",");
  return hosts ? createCluster({ rootNodes: hosts.map((host) => ({ url: `redis://${host}` })) }) : createClient({ url });
};
const publisher = broker(process.env.REDIS_URL);
const subscriber = publisher.duplicate();
for (const client of [publisher, subscriber]) {
  client.on("error", () => {});
  await client.connect();
}
const adapter = {
  classic: () => adapters.createAdapter(publisher, subscriber),
  sharded: () => adapters.createShardedAdapter(publisher, subscriber),
  streams: () => streams.createAdapter(publisher),
}[process.env.ADAPTER ?? "classic"]();
const recovery = process.env.RECOVERY ? { connectionStateRecovery: { skipMiddlewares: true } } : {};
const http = createServer();
const io = new Server(http, { adapter, ...recovery });

const notes = [];
io.on("note", (...args) => notes.push(...args));
io.on("hello", (...args) => {
  const answer = args.pop();
  answer({ by: "node", heard: args });
});

const obey = async (order) => {
  let target = io.except(order.except ?? []);
  for (const room of order.to ?? []) target = target.to(room);
  if (order.local) target = target.local;
  switch (order.order) {
    case "emit":
      target.emit(order.event, ...(order.args ?? []));
      return {};
    case "call": {
      const call = (resolve) =>
        target.timeout(order.timeout).emit(order.event, ...(order.args ?? []), (error, answers) =>
          resolve({ answers, missing: error ? 1 : 0, missingNodes: 0 }),
        );
      return new Promise(call);
    }
    case "fetch": {
      const sockets = await target.fetchSockets();
      return { sockets: sockets.map((socket) => socket.id), details: sockets.map(({ id, handshake, rooms, data }) => ({ id, handshake, rooms: [...rooms], data })) };
    }
    case "join":
      target.socketsJoin(order.rooms);
      return {};
    case "leave":
      target.socketsLeave(order.rooms);
      return {};
    case "disconnect":
      target.disconnectSockets(order.close ?? false);
      return {};
    case "rooms":
      return { rooms: [...(await io.of("/").adapter.allRooms())] };
    case "notes":
      return { notes };
    case "server-side-call":
      return { answers: await io.serverSideEmitWithAck(order.event, ...(order.args ?? [])) };
    case "server-side-emit":
      io.serverSideEmit(order.event, ...(order.args ?? []));
      return {};
    default:
      return { error: `nothing is known of ${order.order}` };
  }
};

io.on("connection", (socket) => {
  socket.on("join", (room, answer) => {
    socket.join(room);
    answer(true);
  });
  socket.on("do", async (order, answer) => {
    try {
      answer(await obey(order));
    } catch (error) {
      answer({ error: error.message });
    }
  });
});
http.listen(Number(process.env.PORT), "127.0.0.1");
