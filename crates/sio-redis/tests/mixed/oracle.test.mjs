// Three nodes of ours with three hundred clients, and a list of who is in which room: random programs,
// and nobody can tell the nodes apart.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createClient } from "redis";
import { Node, Redis, sleep, until } from "./support.mjs";

const CLIENTS = 300;
const STEPS = 120;
let seed = Number(process.env.SEED ?? 1);
const below = (bound) => {
  // xorshift32: the same seed, the same program.
  seed ^= seed << 13;
  seed ^= seed >>> 17;
  seed ^= seed << 5;
  return (seed >>> 0) % bound;
};

let redis, nodes, clients, watcher;
let published = [];

before(async () => {
  redis = await Redis.start();
  nodes = await Promise.all([1, 2, 3].map(() => Node.start("ours", redis)));
  clients = await Promise.all(Array.from({ length: CLIENTS }, (_, n) => nodes[n % 3].client()));
  // Those that give the orders are clients like any other.
  clients.push(...nodes.map(({ control }) => control));
  for (const client of clients) client.rooms = new Set([client.id]);
  await until(async () => (await nodes[0].do("status")).peers.length === 2, "the nodes know each other");
  watcher = createClient({ url: redis.url });
  await watcher.connect();
  await watcher.pSubscribe("socket.io#*", (_, channel) => published.push(channel), true);
});

after(async () => {
  for (const client of clients) client.close();
  for (const node of nodes) await node.stop();
  await watcher.disconnect();
  await redis.kill();
});

const name = () => (below(3) === 0 ? clients[below(CLIENTS)].id : `room-${below(6)}`);
const names = (most) => Array.from({ length: below(most + 1) }, name);
const chosen = ({ to, except }) =>
  clients.filter(
    ({ rooms }) =>
      (to.length === 0 || to.some((room) => rooms.has(room))) && !except.some((room) => rooms.has(room)),
  );
/** What was said is done everywhere: a question comes behind it on the same channels. */
const settled = async (at) => {
  await nodes[at].do("fetch", { to: ["nobody"] });
  await sleep(20);
};

test("random programs on three nodes", async () => {
  for (let step = 0; step < STEPS; step += 1) {
    const at = below(3);
    const target = { to: names(2), except: names(2) };
    const reached = chosen(target);
    const rooms = [`room-${below(6)}`];
    switch (below(6)) {
      case 0:
      case 1:
        assert.equal((await nodes[at].do("join", { ...target, rooms })).settled, true);
        for (const client of reached) client.rooms.add(rooms[0]);
        break;
      case 2:
        assert.equal((await nodes[at].do("leave", { ...target, rooms })).settled, true);
        for (const client of reached) client.rooms.delete(rooms[0]);
        break;
      case 3: {
        const { sockets, missingNodes } = await nodes[at].do("fetch", target);
        assert.equal(missingNodes, 0);
        assert.deepEqual(sockets.sort(), reached.map(({ id }) => id).sort(), `step ${step}`);
        break;
      }
      case 4: {
        const { answers, missing } = await nodes[at].do("call", { ...target, event: "ask", args: [step], timeout: 5000 });
        assert.equal(missing, 0, `step ${step}`);
        assert.equal(answers.length, reached.length, `step ${step}`);
        break;
      }
      default: {
        published = [];
        await nodes[at].do("emit", { ...target, event: "news", args: [step] });
        await settled(at);
        await until(() => reached.every(({ heard }) => heard.length > 0), `step ${step} is heard`);
        for (const client of clients) {
          const expected = reached.includes(client) ? [[step]] : [];
          assert.deepEqual(client.heard, expected, `step ${step}`);
          client.heard.length = 0;
        }
        assert.ok(published.length <= 1, "one message, however many hear it");
      }
    }
  }
});

test("what is for a socket of the same node is not published", async () => {
  const [client] = clients;
  published = [];
  await nodes[0].do("emit", { to: [client.id], event: "news", args: ["here"] });
  await until(() => client.heard.length === 1, "it is heard");
  await sleep(200);
  assert.deepEqual(published, []);
});
