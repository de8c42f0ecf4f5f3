// Fault 5: what goes between one node and Redis is lost in one direction, then in the other, while the
// connections stay open. Fault 6: the way is long, then narrow.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { cpu, ledger, Node, Proxy, Redis, sleep, together, until } from "./support.mjs";

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
      const before = cpu(nodes[2]);
      await sleep(2000);
      assert.ok(cpu(nodes[2]) - before < 400, "no spinning");
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

test("fault 6: 200 ms to Redis and 200 ms back: nothing is lost", async () => {
  proxy.delay = 200;
  const { lost } = await ledger(nodes, clients, async () => {
    await sleep(2000);
    assert.equal((await nodes[2].do("status")).up, true);
    // Asked by another client than the one that emits, whose orders are done one after the other.
    const { missingNodes } = await clients[2].emitWithAck("do", { order: "fetch", to: ["lobby"] });
    assert.equal(missingNodes, 0);
  });
  assert.deepEqual(lost.flat(), Array(9).fill(0));
  proxy.delay = 0;
});

test("fault 6: 64 kbit a second to Redis and back: what is lost is told, and nothing is doubled", async () => {
  const before = await nodes[2].do("status");
  const { lost } = await ledger(nodes, clients, async () => {
    proxy.rate = 8000;
    const used = cpu(nodes[2]);
    await sleep(5000);
    assert.ok(cpu(nodes[2]) - used < 1000, "no spinning");
    proxy.rate = Infinity;
    await until(() => proxy.isClear(), "what was on the way has come", 20_000);
    await together(nodes, 20_000);
  });
  assert.deepEqual([lost[0][1], lost[1][0]], [0, 0], "the others lose nothing of each other");
  const after = await nodes[2].do("status");
  if (lost[2][0] + lost[2][1] > 0) assert.ok(after.gaps > before.gaps, "what it has not heard is a gap");
  if (lost[0][2] + lost[1][2] > 0) assert.ok(after.lost > before.lost, "what it has said in vain is counted");
  const again = await ledger(nodes, clients, () => sleep(1000));
  assert.deepEqual(again.lost.flat(), Array(9).fill(0), "afterwards nothing is lost");
});
