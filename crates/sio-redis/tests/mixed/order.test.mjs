// One order for clients of all nodes, and emits that wait for the broker or are refused: with Redis, and while
// it is away.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Node, Redis, sleep, together, until } from "./support.mjs";

for (const adapter of ["classic", "sharded", "streams"]) {
  describe(adapter, () => {
    let redis, nodes, clients;

    before(async () => {
      redis = await Redis.start();
      const env = { ADAPTER: adapter, STRICT_ORDER: "1", RECOVERY: adapter === "streams" ? "1" : "" };
      if (!env.RECOVERY) delete env.RECOVERY;
      nodes = await Promise.all([1, 2, 3].map(() => Node.start("ours", redis, env)));
      clients = await Promise.all(nodes.map((node) => node.client("lobby")));
      await together(nodes);
    });

    after(async () => {
      for (const client of clients) client.close();
      for (const node of nodes) await node.stop();
      await redis.kill();
    });

    const heard = (client) => client.heard.map((args) => args.slice(0, 2).join(" "));

    test("clients of all nodes hear what all emit in one order", async () => {
      const emitting = nodes.map(async (node, from) => {
        for (let number = 0; number < 100; number += 1) {
          const to = number % 3 ? ["lobby"] : [];
          await node.do("emit", { to, event: "news", args: [from, number] });
        }
      });
      await Promise.all(emitting);
      await until(() => clients.every((client) => client.heard.length === 300), "all is heard");
      const order = heard(clients[0]);
      for (const client of clients) {
        assert.deepEqual(heard(client), order, "one order");
        client.heard.length = 0;
      }
      // They were at it at the same time, or this says nothing.
      assert.ok(order.lastIndexOf("0 99") > order.indexOf("1 0") && order.indexOf("0 0") < order.indexOf("1 99"));
    });

    test("what is said before somebody leaves is heard before", async () => {
      const [one] = nodes;
      await one.do("emit", { to: ["lobby"], event: "news", args: [1, "before"] });
      const { settled } = await one.do("leave", { to: ["lobby"], rooms: ["lobby"] });
      assert.equal(settled, true);
      await one.do("emit", { to: ["lobby"], event: "news", args: [1, "after"] });
      await one.do("join", { to: clients.map(({ id }) => id), rooms: ["lobby"] });
      await one.do("emit", { to: ["lobby"], event: "news", args: [1, "again"] });
      await until(() => clients.every((client) => client.heard.length === 2), "all is heard");
      for (const client of clients) {
        assert.deepEqual(heard(client), ["1 before", "1 again"]);
        client.heard.length = 0;
      }
    });

    test("while Redis is away who waits is sent when it is back, who does not is refused, and order holds", async () => {
      await redis.kill();
      await until(async () => !(await nodes[0].do("status")).up, "it is seen", 5000);
      await nodes[0].do("emit", { local: true, event: "news", args: [0, "local"] });
      await until(() => clients[0].heard.length === 1, "what is local is heard");
      // As long as messages are kept, there is room; a stream's are kept for two minutes.
      if (adapter !== "streams") {
        await sleep(2100);
        const { refused } = await nodes[0].do("emit-within", { event: "news", args: [0, "never"], timeout: 0 });
        assert.match(refused, /no room/);
        const { refused: late } = await nodes[0].do("emit-within", { event: "news", args: [0, "never"], timeout: 300 });
        assert.match(late, /no room/);
      }
      const waiting = nodes.map((node, from) => node.do("emit-within", { event: "news", args: [from, "waited"], timeout: 15_000 }));
      await sleep(300);
      assert.equal(clients[0].heard.length, 1, "nobody hears it before all can");
      await redis.start();
      for (const sent of await Promise.all(waiting)) assert.deepEqual(sent, { sent: true });
      await together(nodes, 15_000);
      // Who was back first was perhaps not heard by the others yet: publish and subscribe keeps nothing.
      if (adapter === "streams") {
        await until(() => clients.every((client) => client.heard.filter(([, word]) => word === "waited").length === 3), "all is heard");
      }
      await nodes[1].do("emit", { event: "news", args: [1, "last"] });
      await until(() => clients.every((client) => heard(client).at(-1) === "1 last"), "all goes on");
      const [first, second] = [heard(clients[1]), heard(clients[2])];
      const common = (words, others) => words.filter((word) => others.includes(word));
      assert.deepEqual(common(first, second), common(second, first), "one order");
      assert.ok(clients.every((client) => !heard(client).includes("0 never")));
    });
  });
}

test("a full backlog: who does not wait hears so, who waits is refused in time, local clients hear all, and it ends", async () => {
  const redis = await Redis.start();
  const nodes = await Promise.all([1, 2].map(() => Node.start("ours", redis, { BACKLOG: "20000", ADAPTER: "streams", PYTHON_CHANNEL: undefined })));
  const clients = await Promise.all(nodes.map((node) => node.client()));
  await together(nodes);
  redis.child.kill("SIGSTOP");
  await until(async () => !(await nodes[0].do("status")).up, "it is seen", 6000);
  const text = "x".repeat(1000);
  let accepted = 0;
  while ((await nodes[0].do("emit", { event: "news", args: [accepted, text] })).heard) accepted += 1;
  assert.ok(accepted > 5 && accepted < 20, `${accepted} fit`);
  await nodes[0].do("emit", { event: "news", args: ["not heard there", text] });
  const started = Date.now();
  const { refused } = await nodes[0].do("emit-within", { event: "news", args: ["nowhere", text], timeout: 500 });
  assert.match(refused, /no room/);
  assert.ok(Date.now() - started < 4000, "in time, and long before there was room");
  // What nodes say to one another alone may be among it.
  assert.ok((await nodes[0].do("status")).lost >= 2);
  const waiting = nodes[0].do("emit-within", { event: "news", args: ["waited", text], timeout: 20_000 });
  redis.child.kill("SIGCONT");
  assert.deepEqual(await waiting, { sent: true });
  await together(nodes, 15_000);
  const words = (client) => client.heard.map(([word]) => word);
  const numbers = Array.from({ length: accepted }, (_, number) => number);
  await until(() => words(clients[1]).includes("waited"), "it is heard");
  assert.deepEqual(words(clients[1]), [...numbers, "waited"]);
  assert.deepEqual(words(clients[0]), [...numbers, accepted, "not heard there", "waited"]);
  for (const client of clients) client.close();
  for (const node of nodes) await node.stop();
  await redis.kill();
});
