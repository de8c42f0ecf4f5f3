// Fault 5: what goes between one node and Redis is lost in one direction, then in the other, while the
// connections stay open.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ledger, Node, Proxy, Redis, sleep, together, until } from "./support.mjs";

let redis, proxy, nodes, clients;

before(async () => {
  redis = await Redis.start();
  proxy = await Proxy.start(redis.port);
  nodes = await Promise.all([redis, redis, proxy].map((way) => Node.start("ours", way)));
  clients = await Promise.all(nodes.map((node) => node.client("lobby")));
  await together(nodes);
});

after(async () => {
  for (const client of clients) client.close();
  for (const node of nodes) await node.stop();
  proxy.stop();
  await redis.kill();
});

for (const [name, direction] of [
  ["what the node says to Redis does not arrive", "there"],
  ["what Redis says to the node does not arrive", "back"],
]) {
  test(`fault 5: ${name}`, async () => {
    const { sent, lost } = await ledger(nodes, clients, async () => {
      await sleep(500);
      proxy.block(direction);
      await until(async () => !(await nodes[2].do("status")).up, "the node sees it", 5000);
      await sleep(2000);
      const { sockets, missingNodes } = await nodes[2].do("fetch", { to: ["lobby"] });
      assert.equal(sockets.length, 1);
      assert.ok(missingNodes > 0, "who is missing is said");
      proxy.unblock();
      await together(nodes, 10_000);
    });
    assert.ok(sent.every((count) => count > 20));
    assert.deepEqual([lost[0][1], lost[1][0]], [0, 0], "the others lose nothing of each other");
    const { events } = await nodes[2].do("events");
    assert.deepEqual(events.filter((event) => ["down", "gap", "up"].includes(event)).slice(-3), ["down", "gap", "up"]);
    const after = await ledger(nodes, clients, () => sleep(1000));
    assert.deepEqual(after.lost.flat(), Array(9).fill(0), "afterwards nothing is lost");
  });
}
