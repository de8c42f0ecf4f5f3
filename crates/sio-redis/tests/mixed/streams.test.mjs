// What a stream gives beyond channels: nothing is lost while Redis is away, and a client goes on at
// another node where the last one left it, also if that one was killed under it. Every packet is numbered at
// both ends.
import assert from "node:assert/strict";
import { createServer, connect as dial } from "node:net";
import { once } from "node:events";
import { after, before, beforeEach, test } from "node:test";
import { createClient } from "redis";
import { io as connect } from "socket.io-client";
import { cpu, kill, Node, Proxy, Redis, sleep, together, until } from "./support.mjs";

/** How long Redis is stopped: half a minute if somebody has the time. */
const STOPPED = process.env.LONG ? 30_000 : 6_000;
const ENV = { ADAPTER: "streams", RECOVERY: "1", PYTHON_CHANNEL: "python" };

let redis, admin, node;
let ours = [];

/** A port behind which a client finds one node, then another. */
class Balancer {
  pairs = new Set();
  static async start(node) {
    const balancer = new Balancer();
    balancer.node = node;
    balancer.listener = createServer((client) => {
      if (!balancer.node) return client.destroy();
      const upstream = dial(balancer.node.port, "127.0.0.1");
      const pair = [client, upstream];
      balancer.pairs.add(pair);
      client.pipe(upstream).pipe(client);
      for (const [one, other] of [pair, [upstream, client]]) {
        one.on("error", () => {});
        one.on("close", () => (balancer.pairs.delete(pair), other.destroy()));
      }
    });
    balancer.listener.listen(0, "127.0.0.1");
    // What only listens keeps nobody from ending.
    balancer.listener.unref();
    await once(balancer.listener, "listening");
    balancer.url = `http://127.0.0.1:${balancer.listener.address().port}`;
    return balancer;
  }

  /** Breaks what is connected; whoever comes back finds this node, or nobody. */
  to(node) {
    this.node = node;
    for (const pair of this.pairs) for (const socket of pair) socket.destroy();
  }

  async client(...rooms) {
    const socket = connect(this.url, {
      transports: ["websocket"],
      forceNew: true,
      reconnectionDelay: 50,
      reconnectionDelayMax: 100,
    });
    socket.heard = [];
    socket.on("news", (from, number) => socket.heard.push([from, number]));
    await once(socket, "connect");
    for (const room of rooms) await socket.emitWithAck("join", room);
    return socket;
  }
}

const back = async (socket) => {
  if (!socket.connected) await once(socket, "connect");
};

/** Sends clients to another node, and waits until they are there. */
const moveAll = async (balancer, sockets, node) => {
  const gone = sockets.map((socket) => once(socket, "disconnect"));
  balancer.to(node);
  await Promise.all(gone);
  await Promise.all(sockets.map(back));
};

/** Breaks the connection of a client and waits until it is at another node; what it was called. */
const move = async (balancer, socket, node, pause = 0) => {
  const [id, gone] = [socket.id, once(socket, "disconnect")];
  if (pause) {
    balancer.to(null);
    await gone;
    await sleep(pause);
    balancer.node = node;
  } else {
    balancer.to(node);
    await gone;
  }
  await back(socket);
  return id;
};

/** Each node emits numbered packets until it is told to stop: how many. */
const emitting = (nodes, to) => {
  let over = false;
  const sent = new Map();
  const all = nodes.map(async (node, from) => {
    sent.set(from, 0);
    while (!over && !node.killed) {
      try {
        await node.do("emit", { to, event: "news", args: [from, sent.get(from)] });
      } catch {
        return;
      }
      sent.set(from, sent.get(from) + 1);
      await sleep(15);
    }
  });
  return async () => {
    over = true;
    await Promise.all(all);
    return sent;
  };
};

/** What was heard from a node: every number up to `count`, once, in order. */
const expectAll = async (socket, from, count, who) => {
  const numbers = () => socket.heard.filter(([of]) => of === from).map(([, number]) => number);
  await until(() => numbers().length >= count, `all is heard ${who}`);
  assert.deepEqual(numbers(), Array.from({ length: count }, (_, number) => number), who);
};

before(async () => {
  redis = new Redis((await Redis.start().then(async (first) => (await first.kill(), first))).port);
  await redis.start("--appendonly", "yes", "--appendfsync", "always");
  admin = createClient({ url: redis.url });
  admin.on("error", () => {});
  await admin.connect();
  ours = await Promise.all([1, 2, 3].map(() => Node.start("ours", redis, ENV)));
  node = await Node.start("node", redis, ENV);
  await together(ours, 15_000);
});

after(async () => {
  for (const one of [...ours, node]) await one?.stop();
  await admin?.disconnect();
  await redis?.kill();
});

beforeEach(() => together(ours, 15_000));

test("a client that goes from node to node is recovered, and misses nothing that any of them says", async () => {
  const balancer = await Balancer.start(ours[0]);
  const clients = await Promise.all(Array.from({ length: 5 }, () => balancer.client("roaming")));
  const stop = emitting(ours, ["roaming"]);
  for (const next of [ours[1], ours[2], ours[0], ours[0], ours[1]]) {
    await sleep(200);
    const ids = clients.map(({ id }) => id);
    await moveAll(balancer, clients, next);
    clients.forEach((client, at) => {
      assert.equal(client.recovered, true);
      assert.equal(client.id, ids[at], "it is the same socket to everybody");
    });
  }
  const sent = await stop();
  for (const client of clients) for (const [from, count] of sent) await expectAll(client, from, count, `from ${from}`);
  const { sockets } = await ours[2].do("fetch", { to: ["roaming"] });
  assert.deepEqual(sockets.sort(), clients.map(({ id }) => id).sort(), "each is there once");
  for (const client of clients) client.close();
});

test("fault 16: a node is killed under its clients: another goes on, and nothing is missing or doubled", async () => {
  const doomed = await Node.start("ours", redis, ENV);
  await together([...ours, doomed], 15_000);
  const balancer = await Balancer.start(doomed);
  const clients = await Promise.all(Array.from({ length: 10 }, () => balancer.client("orphans")));
  // One that has not heard anything yet.
  const quiet = await balancer.client("quiet");
  await sleep(100);
  const stop = emitting([...ours, doomed], ["orphans"]);
  await sleep(700);
  const ids = clients.map(({ id }) => id);
  const gone = [...clients, quiet].map((client) => once(client, "disconnect"));
  doomed.killed = true;
  await kill(doomed.child);
  doomed.control.close();
  balancer.to(ours[1]);
  await ours[0].do("emit", { to: ["quiet"], event: "news", args: ["quiet", 0] });
  await Promise.all(gone);
  await Promise.all([...clients, quiet].map(back));
  const sent = await stop();
  for (const [at, client] of clients.entries()) {
    assert.equal(client.recovered, true);
    assert.equal(client.id, ids[at]);
    for (const from of [0, 1, 2]) await expectAll(client, from, sent.get(from), `from ${from}`);
    // What the dead one said last may have died with it.
    const last = client.heard.filter(([of]) => of === 3).length;
    assert.ok(last >= sent.get(3) - 2, `${last} of ${sent.get(3)}`);
    await expectAll(client, 3, last, "of the dead");
  }
  assert.equal(quiet.recovered, true);
  await until(() => quiet.heard.length > 0, "what was said meanwhile is heard");
  assert.deepEqual(quiet.heard, [["quiet", 0]]);
  for (const client of [...clients, quiet]) client.close();
  await until(async () => (await ours[0].do("status")).peers.length === 2, "its lease ends", 12_000);
});

test("of one session there is one socket: a node lets go when its client comes to another", async () => {
  const [here, there] = [await Balancer.start(ours[0]), await Balancer.start(ours[1])];
  const first = await here.client("twins");
  await ours[2].do("emit", { to: ["twins"], event: "news", args: [0, 0] });
  await until(() => first.heard.length === 1, "it is heard");
  const twin = connect(there.url, { transports: ["websocket"], forceNew: true, autoConnect: false });
  // The same secret and the same offset, while the first is connected.
  twin._pid = first._pid;
  twin._lastOffset = first._lastOffset;
  first.io.reconnection(false);
  const gone = once(first, "disconnect");
  twin.connect();
  await Promise.all([once(twin, "connect"), gone]);
  assert.equal(twin.recovered, true);
  const { sockets } = await ours[2].do("fetch", { to: ["twins"] });
  assert.deepEqual(sockets, [twin.id]);
  twin.close();
});

test("a node that was cut off lets go of what was taken from it, when it is back", async () => {
  const way = await Proxy.start(redis.port);
  const cut = await Node.start("ours", way, ENV);
  await together([...ours, cut], 15_000);
  const [here, there] = [await Balancer.start(cut), await Balancer.start(ours[1])];
  const first = await here.client("castaways");
  await ours[2].do("emit", { to: ["castaways"], event: "news", args: [0, 0] });
  await until(() => first.heard.length === 1, "it is heard");
  way.cut();
  await until(async () => !(await cut.do("status")).up, "it is cut off");
  const twin = connect(there.url, { transports: ["websocket"], forceNew: true, autoConnect: false });
  twin._pid = first._pid;
  twin._lastOffset = first._lastOffset;
  twin.connect();
  await once(twin, "connect");
  assert.equal(twin.recovered, true);
  assert.equal(first.connected, true, "nobody could tell it");
  first.io.reconnection(false);
  const gone = once(first, "disconnect");
  way.mend();
  await Promise.all([gone, together([...ours, cut], 15_000)]);
  const { sockets } = await ours[2].do("fetch", { to: ["castaways"] });
  assert.deepEqual(sockets, [twin.id]);
  twin.close();
  cut.control.close();
  await kill(cut.child, "SIGTERM");
  way.stop();
});

test("a session that was left is nobody's", async () => {
  const [here, there] = [await Balancer.start(ours[0]), await Balancer.start(ours[1])];
  const first = await here.client("leavers");
  const { _pid: pid } = first;
  first.disconnect();
  await until(async () => (await ours[1].do("fetch", { to: ["leavers"] })).sockets.length === 0, "it has left");
  await sleep(200);
  const thief = connect(there.url, { transports: ["websocket"], forceNew: true, autoConnect: false });
  thief._pid = pid;
  thief.connect();
  await once(thief, "connect");
  assert.equal(thief.recovered, false);
  thief.close();
});

test("from a server for Node to ours and back: what Node has said last is where it goes on", async () => {
  const balancer = await Balancer.start(node);
  const client = await balancer.client("travellers");
  const say = async (number) => {
    await node.do("emit", { to: ["travellers"], event: "news", args: ["node", number] });
  };
  await say(0);
  await until(() => client.heard.length === 1, "it is heard");
  for (const [number, next] of [ours[0], ours[1], node, ours[2], node, ours[0]].entries()) {
    const [id, gone] = [client.id, once(client, "disconnect")];
    balancer.to(null);
    await gone;
    // A session is written when its client has gone, by us also before.
    await sleep(200);
    await until(() => admin.exists(`sio:session:${client._pid}`), "the session is written");
    await say(2 * number + 1);
    balancer.node = next;
    await back(client);
    assert.equal(client.recovered, true, `to ${next.kind}`);
    assert.equal(client.id, id);
    await say(2 * number + 2);
    await until(() => client.heard.length >= 2 * number + 3, "what is said now is heard");
  }
  await expectAll(client, "node", 13, "of Node");
  client.close();
});

/** Clients of each node, and what they hear of each while something happens: all of it. */
const ledger = async (during) => {
  const clients = await Promise.all(ours.map((one) => one.client("lobby")));
  const heard = clients.map((client) => {
    const heard = { heard: [] };
    client.on("news", (from, number) => heard.heard.push([from, number]));
    return heard;
  });
  const stop = emitting(ours, ["lobby"]);
  await during(clients, heard);
  const sent = await stop();
  for (const [here, client] of heard.entries()) {
    for (const [from, count] of sent) await expectAll(client, from, count, `${here} of ${from}`);
  }
  for (const client of clients) client.close();
};

/** Local work goes on: an echo, a join, the local half of a broadcast. */
const works = async (clients, heard) => {
  const started = Date.now();
  await clients[0].emitWithAck("join", "aside");
  await ours[0].do("emit", { to: ["aside"], event: "aside", args: [] });
  const before = heard[0].heard.length;
  await until(() => heard[0].heard.filter(([from]) => from === 0).length > 0 && heard[0].heard.length > before, "the local half", 3000);
  const { missingNodes } = await ours[0].do("fetch", { to: ["lobby"] });
  assert.ok(missingNodes > 0, "who is missing is said");
  assert.ok(Date.now() - started < 3000, "and all of it at once, not after the five seconds of an answer");
};

const away = () =>
  until(async () => (await Promise.all(ours.map((one) => one.do("status")))).every(({ up }) => !up), "all see it", 6000);

test("fault 1: Redis is killed and comes back with what it had: nothing is lost", async () => {
  await ledger(async (clients, heard) => {
    await sleep(300);
    await redis.kill();
    await away();
    const before = ours.map(cpu);
    await sleep(2000);
    ours.forEach((one, at) => assert.ok(cpu(one) - before[at] < 500, "no spinning"));
    await works(clients, heard);
    await redis.start("--appendonly", "yes", "--appendfsync", "always");
    await together(ours, 10_000);
  });
});

test("fault 2: Redis is stopped, its connections open: nothing is lost", async () => {
  await ledger(async (clients, heard) => {
    await sleep(300);
    redis.child.kill("SIGSTOP");
    const started = Date.now();
    await away();
    const before = ours.map(cpu);
    await works(clients, heard);
    await sleep(STOPPED - (Date.now() - started));
    const allowed = (Date.now() - started) / 5;
    ours.forEach((one, at) => assert.ok(cpu(one) - before[at] < allowed, "no spinning"));
    redis.child.kill("SIGCONT");
    const resumed = Date.now();
    await together(ours, 15_000);
    assert.ok(Date.now() - resumed < 10_000, "back soon");
  });
});

test("fault 3: Redis refuses to write, for it is full or a replica: nothing is lost", async () => {
  for (const [refuse, allow] of [
    [["CONFIG", "SET", "maxmemory", "1mb"], ["CONFIG", "SET", "maxmemory", "0"]],
    [["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"]],
  ]) {
    await ledger(async (clients, heard) => {
      await sleep(300);
      await admin.sendCommand(refuse);
      await away();
      const before = ours.map(cpu);
      await sleep(1000);
      ours.forEach((one, at) => assert.ok(cpu(one) - before[at] < 400, "no spinning"));
      await works(clients, heard);
      await admin.sendCommand(allow);
      await together(ours, 10_000);
    });
  }
});

test("fault 3: Redis is back, and loads its data yet: nothing is lost", async () => {
  const slowly = await redis.fill();
  await ledger(async (clients, heard) => {
    await sleep(300);
    await redis.kill();
    await redis.start("--appendonly", "yes", "--appendfsync", "always", ...slowly);
    await away();
    assert.ok(redis.isLoading(), "or this says nothing");
    const before = ours.map(cpu);
    await sleep(1000);
    ours.forEach((one, at) => assert.ok(cpu(one) - before[at] < 200, "no spinning"));
    await works(clients, heard);
    assert.ok(redis.isLoading(), "all of that while it loads");
    await redis.load();
    await together(ours, 10_000);
  });
});

test("fault 4: a stream is cut short under a stopped node: it is told, and nobody is recovered with a hole", async () => {
  const balancers = await Promise.all([1, 2].map(() => Balancer.start(ours[0])));
  const clients = await Promise.all(balancers.map((balancer) => balancer.client("cut")));
  await ours[1].do("emit", { to: ["cut"], event: "news", args: [1, 0] });
  await until(() => clients.every(({ heard }) => heard.length === 1), "it is heard");
  const { gaps } = await ours[0].do("status");
  for (const balancer of balancers) balancer.to(null);
  await sleep(200);
  ours[0].child.kill("SIGSTOP");
  for (let number = 1; number <= 30; number += 1) {
    await ours[1].do("emit", { to: ["cut"], event: "news", args: [1, number] });
  }
  await sleep(300);
  await admin.sendCommand(["XTRIM", "socket.io", "MAXLEN", "5"]);
  ours[0].child.kill("SIGCONT");
  await until(async () => (await ours[0].do("status")).gaps > gaps, "it is told");
  // One comes back to where it was, the other to a node that has read it all.
  balancers.forEach((balancer, at) => (balancer.node = ours[at]));
  await Promise.all(clients.map(back));
  for (const client of clients) {
    assert.equal(client.recovered, false);
    assert.equal(client.heard.length, 1, "no part of what was missed");
    client.close();
  }
});
