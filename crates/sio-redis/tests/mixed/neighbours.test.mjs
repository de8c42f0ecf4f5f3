// A balancer that gives each request to the next node, whosever session it is for.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request } from "node:http";
import { after, before, test } from "node:test";
import { io as connect } from "socket.io-client";
import { Node, Redis, together, until } from "./support.mjs";

let redis, nodes, balancer, url;
const clients = [];
const refused = [];

/** Gives each request to the node whose turn it is. */
const balance = () => {
  let turn = 0;
  const ask = ({ method, url: path, headers }) => {
    const { port } = nodes[turn++ % nodes.length];
    return request({ host: "127.0.0.1", port, method, path, headers });
  };
  balancer = createServer((incoming, outgoing) => {
    const asked = ask(incoming);
    asked.on("error", () => outgoing.writeHead(502).end());
    asked.on("response", (answer) => {
      if (answer.statusCode !== 200) refused.push(answer.statusCode);
      outgoing.writeHead(answer.statusCode, answer.headers);
      answer.pipe(outgoing);
    });
    incoming.pipe(asked);
  });
  balancer.on("upgrade", (incoming, near) => {
    const asked = ask(incoming);
    near.on("error", () => asked.destroy());
    asked.on("error", () => near.destroy());
    asked.on("response", () => near.destroy());
    asked.on("upgrade", (answer, far) => {
      const fields = Object.entries(answer.headers).map(([name, value]) => `${name}: ${value}\r\n`);
      near.write(`HTTP/1.1 101 Switching Protocols\r\n${fields.join("")}\r\n`);
      far.on("error", () => near.destroy());
      near.pipe(far).pipe(near);
    });
    asked.end();
  });
  balancer.listen(0, "127.0.0.1");
  return once(balancer, "listening");
};

const client = async (options) => {
  const socket = connect(url, { forceNew: true, reconnectionDelay: 50, ...options });
  clients.push(socket);
  await once(socket, "connect");
  return socket;
};

const orders = (socket, count) =>
  Promise.all(Array.from({ length: count }, () => socket.timeout(10_000).emitWithAck("do", { order: "status" })));

before(async () => {
  redis = await Redis.start();
  const start = () => Node.start("ours", redis, { REACHED_AT: "127.0.0.1" });
  nodes = await Promise.all([start(), start(), start()]);
  await together(nodes);
  await balance();
  url = `http://127.0.0.1:${balancer.address().port}`;
});

after(async () => {
  for (const socket of clients) socket.close();
  for (const node of nodes) await node.stop();
  balancer.closeAllConnections();
  balancer.close();
  await redis.kill();
});

test("clients that only poll need no sticky balancer", async () => {
  const all = await Promise.all(Array.from({ length: 5 }, () => client({ transports: ["polling"] })));
  const ids = all.map((socket) => socket.id);
  for (const socket of all) assert.equal((await orders(socket, 20)).length, 20);
  assert.deepEqual(all.map((socket) => socket.id), ids, "nobody had to connect anew");
  assert.deepEqual(refused, []);
});

test("a client goes from polling to a WebSocket at whichever node", async () => {
  for (let round = 0; round < 4; round++) {
    const socket = await client({});
    await until(() => socket.io.engine.transport.name === "websocket", "the upgrade");
    assert.equal((await orders(socket, 5)).length, 5);
  }
  assert.deepEqual(refused, []);
});

test("who polls a node that died connects anew to those that live", async () => {
  const all = await Promise.all(Array.from({ length: 6 }, () => client({ transports: ["polling"] })));
  const [dead] = nodes.splice(0, 1);
  await dead.stop();
  for (const socket of all) {
    await until(async () => (await orders(socket, 1).catch(() => [])).length === 1, "it is served again", 40_000);
  }
});
