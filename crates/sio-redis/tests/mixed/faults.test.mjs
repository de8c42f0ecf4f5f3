// What a Redis in trouble does to three nodes of ours: nothing to what is theirs alone, nothing that is
// not counted to the rest, and nothing that stays.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createClient } from "redis";
import { cpu, freeze, kill, ledger, Node, Redis, sleep, together, until } from "./support.mjs";

/** How long Redis is stopped: half a minute if somebody has the time. */
const STOPPED = process.env.LONG ? 30_000 : 5_000;

let redis;
let nodes;
let clients;

before(async () => {
  redis = await Redis.start();
  nodes = await Promise.all([1, 2, 3].map(() => Node.start("ours", redis)));
  clients = await Promise.all(nodes.map((node) => node.client("lobby")));
  await together(nodes);
});

after(async () => {
  for (const client of clients) client.close();
  for (const node of nodes) await node.stop();
  await redis.kill();
});

/** Local work goes on: an echo, a join, the local half of a broadcast. */
const works = async () => {
  for (const [at, node] of nodes.entries()) {
    const started = Date.now();
    const room = `room-${Math.random()}`;
    await clients[at].emitWithAck("join", room);
    const marker = -1 - Math.random();
    await node.do("emit", { to: [room], event: "news", args: [at, marker] });
    await until(() => clients[at].heard.some(([, number]) => number === marker), "the local half", 3000);
    const { missingNodes } = await node.do("fetch", { to: ["lobby"] });
    assert.ok(missingNodes > 0, "who is missing is said");
    assert.ok(Date.now() - started < 3000, "and all of it at once, not after the five seconds of an answer");
  }
};

test("without trouble nothing is lost", async () => {
  const { remote, sent } = await ledger(nodes, clients, () => sleep(1500));
  assert.ok(sent[0] > 10);
  assert.equal(remote, 0);
});

test("three nodes answer as one: fetch, calls, rooms", async () => {
  const { sockets, missingNodes } = await nodes[0].do("fetch", { to: ["lobby"] });
  assert.equal(sockets.length, 3);
  assert.equal(missingNodes, 0);
  const { answers } = await nodes[1].do("call", { to: ["lobby"], event: "ask", args: [1], timeout: 3000 });
  assert.equal(answers.length, 3);
});

test("fault 1: Redis is killed and comes back", async () => {
  await ledger(nodes, clients, async () => {
    await redis.kill();
    await until(async () => !(await nodes[0].do("status")).up, "it is seen", 3000);
    const before = nodes.map(cpu);
    await sleep(3000);
    nodes.forEach((node, at) => assert.ok(cpu(node) - before[at] < 600, "no spinning"));
    await works();
    await redis.start();
    const started = Date.now();
    await together(nodes);
    assert.ok(Date.now() - started < 4000, "back soon");
  });
  const { remote } = await ledger(nodes, clients, () => sleep(1000));
  assert.equal(remote, 0, "afterwards nothing is lost");
  for (const node of nodes) {
    const { events } = await node.do("events");
    const broker = events.filter((event) => ["down", "gap", "up"].includes(event));
    assert.deepEqual(broker.slice(-3), ["down", "gap", "up"], "the application is told");
    assert.ok(events.includes("lost"), "also of what it said in vain");
  }
});

test("fault 2: Redis is stopped, its connections open", async () => {
  await ledger(nodes, clients, async () => {
    redis.child.kill("SIGSTOP");
    const started = Date.now();
    await until(async () => !(await nodes[0].do("status")).up, "it is seen", 5000);
    assert.ok(Date.now() - started < 4000);
    await until(async () => (await Promise.all(nodes.map((node) => node.do("status")))).every(({ up }) => !up), "by all", 5000);
    const before = nodes.map(cpu);
    await sleep(STOPPED);
    nodes.forEach((node, at) => assert.ok(cpu(node) - before[at] < STOPPED / 5, "no spinning"));
    await works();
    redis.child.kill("SIGCONT");
    await together(nodes);
  });
  const { remote } = await ledger(nodes, clients, () => sleep(1000));
  assert.equal(remote, 0, "afterwards nothing is lost");
});

test("fault 3: Redis refuses everything", async () => {
  const admin = createClient({ url: redis.url });
  admin.on("error", () => {});
  await admin.connect();
  await ledger(nodes, clients, async () => {
    await admin.sendCommand(["CONFIG", "SET", "requirepass", "secret"]);
    await admin.sendCommand(["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    await admin.sendCommand(["CLIENT", "KILL", "TYPE", "pubsub"]);
    await until(async () => !(await nodes[0].do("status")).up, "it is seen", 3000);
    const before = nodes.map(cpu);
    await sleep(2000);
    nodes.forEach((node, at) => assert.ok(cpu(node) - before[at] < 400, "no spinning"));
    await works();
    await admin.sendCommand(["CONFIG", "SET", "requirepass", ""]);
    await together(nodes);
  });
  await admin.sendCommand(["CONFIG", "SET", "maxmemory", "1mb"]);
  const full = await ledger(nodes, clients, () => sleep(1000));
  assert.equal(full.remote, 0, "a full memory does not keep messages back");
  await admin.sendCommand(["CONFIG", "SET", "maxmemory", "0"]);
  await admin.disconnect();
});

test("what a node publishes is rejected, on a connection that stays", async () => {
  const admin = createClient({ url: redis.url });
  admin.on("error", () => {});
  await admin.connect();
  const { lost } = await nodes[0].do("status");
  await ledger(nodes, clients, async () => {
    await admin.sendCommand(["ACL", "SETUSER", "default", "-publish"]);
    await until(async () => (await Promise.all(nodes.map((node) => node.do("status")))).every(({ up }) => !up), "it is seen", 3000);
    const before = nodes.map(cpu);
    await sleep(2000);
    nodes.forEach((node, at) => assert.ok(cpu(node) - before[at] < 400, "no spinning"));
    await works();
    await admin.sendCommand(["ACL", "SETUSER", "default", "+publish"]);
    const started = Date.now();
    await together(nodes);
    assert.ok(Date.now() - started < 10_000, "back soon");
  });
  assert.ok((await nodes[0].do("status")).lost > lost, "what was said in vain is counted");
  const { remote } = await ledger(nodes, clients, () => sleep(1000));
  assert.equal(remote, 0, "afterwards nothing is lost");
  await admin.disconnect();
});

test("a subscriber that Redis cuts off in the middle of a message comes back", async () => {
  const admin = createClient({ url: redis.url });
  admin.on("error", () => {});
  await admin.connect();
  await admin.sendCommand(["CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 1mb 1"]);
  const [one] = nodes;
  one.child.kill("SIGSTOP");
  const noise = Buffer.alloc(1 << 20, 0x61);
  for (let n = 0; n < 12; n += 1) await admin.publish("socket.io#/#", noise);
  await sleep(500);
  one.child.kill("SIGCONT");
  await admin.sendCommand(["CONFIG", "SET", "client-output-buffer-limit", "pubsub 32mb 8mb 60"]);
  await together(nodes);
  const { remote } = await ledger(nodes, clients, () => sleep(1000));
  assert.equal(remote, 0);
  await admin.disconnect();
});

test("fault 16: a node is killed, and is missed by nobody for long", async () => {
  const extra = await Node.start("ours", redis);
  nodes.push(extra);
  await together(nodes);
  nodes.pop();
  await kill(extra.child);
  extra.control.close();
  const started = Date.now();
  const { sockets, missingNodes } = await nodes[0].do("fetch", { to: ["lobby"] });
  assert.equal(sockets.length, 3);
  assert.equal(missingNodes, 0, "Redis does not count it any more");
  assert.ok(Date.now() - started < 3000, "nobody waits for it");
  await until(async () => (await nodes[0].do("status")).peers.length === 2, "its lease ends", 12_000);
  const { remote } = await ledger(nodes, clients, () => sleep(1000));
  assert.equal(remote, 0);
});

test("a node that is stopped is named, and what came in time is there", async () => {
  await freeze(nodes[2].child);
  const { sockets, missingNodes } = await nodes[0].do("fetch", { to: ["lobby"] });
  nodes[2].child.kill("SIGCONT");
  assert.equal(sockets.length, 2);
  assert.equal(missingNodes, 1);
  await together(nodes);
});

test("fault 3: Redis is back, and loads its data yet", async () => {
  const slowly = await redis.fill();
  await ledger(nodes, clients, async () => {
    await redis.kill();
    await redis.start(...slowly);
    assert.ok(redis.isLoading(), "or this says nothing");
    await until(async () => (await Promise.all(nodes.map((node) => node.do("status")))).every(({ up }) => !up), "it is seen", 3000);
    const before = nodes.map(cpu);
    await sleep(1000);
    nodes.forEach((node, at) => assert.ok(cpu(node) - before[at] < 200, "no spinning"));
    await works();
    assert.ok(redis.isLoading(), "all of that while it loads");
    await redis.load();
    const started = Date.now();
    await together(nodes);
    assert.ok(Date.now() - started < 10_000, "back soon");
  });
  const { remote } = await ledger(nodes, clients, () => sleep(1000));
  assert.equal(remote, 0, "afterwards nothing is lost");
});
