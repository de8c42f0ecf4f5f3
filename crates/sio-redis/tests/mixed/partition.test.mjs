// Fault 5: what goes between one node and Redis is lost in one direction, then in the other, while the
// connections stay open.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Node, Proxy, Redis, sleep, until } from "./support.mjs";

let redis, proxy, nodes, clients;

before(async () => {
  redis = await Redis.start();
  proxy = await Proxy.start(redis.port);
  nodes = await Promise.all([redis, redis, proxy].map((way) => Node.start("ours", way)));
  clients = await Promise.all(nodes.map((node) => node.client("lobby")));
  await whole();
});

after(async () => {
  for (const client of clients) client.close();
  for (const node of nodes) await node.stop();
  proxy.stop();
  await redis.kill();
});

const whole = (milliseconds) =>
  until(async () => {
    const states = await Promise.all(nodes.map((node) => node.do("status")));
    return states.every(({ up, peers }) => up && peers.length === 2);
  }, "the cluster is whole", milliseconds);

/** Numbered packets of each node, from before the fault until after it; who has heard what. */
const ledger = async (during) => {
  for (const client of clients) client.heard.length = 0;
  let over = false;
  const sent = nodes.map(() => 0);
  const emitting = nodes.map(async (node, at) => {
    while (!over) {
      const started = Date.now();
      await node.do("emit", { to: ["lobby"], event: "news", args: [at, sent[at]] });
      assert.ok(Date.now() - started < 1000, "an emit takes no time");
      sent[at] += 1;
      await sleep(20);
    }
  });
  await during();
  over = true;
  await Promise.all(emitting);
  await sleep(1000);
  const lost = clients.map((client, here) =>
    sent.map((count, from) => {
      const numbers = client.heard.filter(([at]) => at === from).map(([, number]) => number);
      assert.deepEqual(numbers, [...new Set(numbers)].sort((a, b) => a - b), "nothing twice, nothing out of order");
      if (here === from) assert.equal(numbers.length, count, "what is local is heard, all of it");
      return count - numbers.length;
    }),
  );
  return { sent, lost };
};

for (const [name, direction] of [
  ["what the node says to Redis does not arrive", "there"],
  ["what Redis says to the node does not arrive", "back"],
]) {
  test(`fault 5: ${name}`, async () => {
    const { sent, lost } = await ledger(async () => {
      await sleep(500);
      proxy.block(direction);
      await until(async () => !(await nodes[2].do("status")).up, "the node sees it", 5000);
      await sleep(2000);
      const { sockets, missingNodes } = await nodes[2].do("fetch", { to: ["lobby"] });
      assert.equal(sockets.length, 1);
      assert.ok(missingNodes > 0, "who is missing is said");
      proxy.unblock();
      await whole(10_000);
    });
    assert.ok(sent.every((count) => count > 20));
    assert.deepEqual([lost[0][1], lost[1][0]], [0, 0], "the others lose nothing of each other");
    const { events } = await nodes[2].do("events");
    assert.deepEqual(events.filter((event) => ["down", "gap", "up"].includes(event)).slice(-3), ["down", "gap", "up"]);
    const after = await ledger(() => sleep(1000));
    assert.deepEqual(after.lost.flat(), Array(9).fill(0), "afterwards nothing is lost");
  });
}
