// One cluster of two nodes of ours, a server for Node, a Flask-SocketIO process and an emitter, on one
// Redis: each hears the others, once.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import emitters from "@socket.io/redis-emitter";
import { createClient } from "redis";
import { Emitter, freeze, Node, Redis, sleep, until } from "./support.mjs";

let redis, one, two, node, flask, emitter, rust, broker;
const clients = {};
/** The nodes that all take part in each other's questions. */
let counted;

before(async () => {
  redis = await Redis.start();
  [one, two, node, flask] = await Promise.all(
    ["ours", "ours", "node", "flask"].map((kind) => Node.start(kind, redis)),
  );
  counted = { one, two, node };
  for (const [name, at] of Object.entries({ one, two, node, flask })) {
    clients[name] = await at.client("lobby", `only-${name}`);
  }
  broker = createClient({ url: redis.url });
  await broker.connect();
  emitter = new emitters.Emitter(broker);
  rust = new Emitter(redis);
  await until(async () => (await one.do("status")).peers?.length === 1, "our nodes know each other");
});

after(async () => {
  for (const client of Object.values(clients)) client.close();
  for (const at of [one, two, node, flask]) await at?.stop();
  await rust?.stop();
  await broker?.disconnect();
  await redis?.kill();
});

const heardBy = () => Object.fromEntries(Object.entries(clients).map(([name, { heard }]) => [name, heard]));

/** Exactly those hear exactly this, and nobody hears anything more. */
const expectHeard = async (names, args) => {
  await until(() => names.every((name) => clients[name].heard.length > 0), `${names} hear ${JSON.stringify(args)}`);
  await sleep(150);
  for (const [name, heard] of Object.entries(heardBy())) {
    assert.deepEqual(heard, names.includes(name) ? [args] : [], name);
    clients[name].heard.length = 0;
  }
};

// Flask hears ours, and ours hear Flask. Node and Flask do not understand each other.
const reach = { one: ["one", "two", "node", "flask"], two: ["one", "two", "node", "flask"], node: ["one", "two", "node"], flask: ["one", "two", "flask"] };
const from = (name) => ({ one, two, node, flask })[name];

for (const name of Object.keys(reach)) {
  test(`what ${name} emits to everybody is heard once by each`, async () => {
    await from(name).do("emit", { event: "news", args: [{ from: name, list: [1, null, "héllo"] }] });
    await expectHeard(reach[name], [{ from: name, list: [1, null, "héllo"] }]);
  });

  test(`what ${name} emits to rooms, except some, is heard by the others`, async () => {
    const to = ["only-one", "only-two", "only-node", "only-flask"];
    await from(name).do("emit", { to, except: [clients.two.id], event: "news", args: [7] });
    await expectHeard(reach[name].filter((other) => other !== "two"), [7]);
  });

  test(`what ${name} emits to one room is heard there`, async () => {
    for (const other of reach[name]) {
      await from(name).do("emit", { to: [`only-${other}`], event: "news", args: [other] });
      await expectHeard([other], [other]);
    }
  });

  test(`what ${name} emits to one socket is heard there`, async () => {
    for (const other of reach[name]) {
      await from(name).do("emit", { to: [clients[other].id], event: "news", args: [other] });
      await expectHeard([other], [other]);
    }
  });

  // What Node's adapter writes of such a number is its lowest 64 bits: 0 here, and another number to everybody.
  test(`whole numbers beyond 64 bits from ${name} are such everywhere`, { skip: name === "node" }, async () => {
    for (const number of [2 ** 69, -(2 ** 69)]) {
      await from(name).do("emit", { event: "news", args: [number] });
      await expectHeard(reach[name], [number]);
    }
  });

  test(`bytes from ${name} are bytes everywhere`, async () => {
    await from(name).do("emit", { event: "news", args: [{ bytes: Buffer.from([1, 2, 255]) }] });
    await expectHeard(reach[name], [{ bytes: Buffer.from([1, 2, 255]) }]);
  });
}

test("what one of ours emits locally stays there", async () => {
  await one.do("emit", { local: true, event: "news", args: [1] });
  await expectHeard(["one"], [1]);
});

test("our nodes know how many are in a room of both, and the others hear nothing of it", async () => {
  const said = () => [node.child.said, flask.child.said];
  const before = said();
  const guests = await Promise.all([one, two, two].map((at) => at.client("census")));
  const count = async (at) => (await at.do("population", { rooms: ["census"] })).total;
  for (const at of [one, two]) await until(async () => (await count(at)) === 3, "all are counted");
  for (const guest of guests) guest.close();
  for (const at of [one, two]) await until(async () => (await count(at)) === 0, "nobody is left");
  const { here, total, uncounted } = await one.do("population");
  assert.deepEqual([here, total, uncounted], [2, 4, []]);
  await sleep(300);
  assert.deepEqual(said(), before);
});

for (const name of ["one", "two", "node"]) {
  test(`${name} asks everybody, and all answer`, async () => {
    const started = Date.now();
    const to = ["only-one", "only-two", "only-node"];
    const { answers, missing } = await counted[name].do("call", { to, event: "ask", args: [name], timeout: 4000 });
    assert.equal(missing, 0);
    assert.deepEqual(answers.map(({ by }) => by).sort(), ["node", "ours", "ours"]);
    assert.ok(answers.every(({ heard }) => heard === name));
    assert.ok(Date.now() - started < 3000, "nobody is waited for in vain");
  });

  test(`${name} asks for sockets, and finds those of all`, async () => {
    const started = Date.now();
    const { sockets, error } = await counted[name].do("fetch", { to: ["lobby"] });
    assert.equal(error, undefined);
    assert.deepEqual(sockets.sort(), ["one", "two", "node"].map((other) => clients[other].id).sort());
    assert.ok(Date.now() - started < 3000, "nobody is waited for in vain");
  });

  test(`${name} makes sockets anywhere join and leave rooms`, async () => {
    const names = ["one", "two", "node"];
    const to = names.map((other) => clients[other].id);
    await counted[name].do("join", { to, rooms: ["suite"] });
    await until(async () => (await counted[name].do("fetch", { to: ["suite"] })).sockets.length === 3, "all have joined");
    await counted[name].do("emit", { to: ["suite"], event: "news", args: ["suite"] });
    await expectHeard(names, ["suite"]);
    await counted[name].do("leave", { to: ["suite"], rooms: ["suite"] });
    await until(async () => (await counted[name].do("fetch", { to: ["suite"] })).sockets.length === 0, "all have left");
  });

  test(`${name} disconnects sockets anywhere`, async () => {
    const guests = await Promise.all([one, two, node].map((at) => at.client(`guests-${name}`)));
    const gone = guests.map((guest) => new Promise((resolve) => guest.on("disconnect", resolve)));
    await counted[name].do("disconnect", { to: [`guests-${name}`] });
    assert.deepEqual(await Promise.all(gone), Array(3).fill("io server disconnect"));
  });
}

test("joins and leaves that are awaited are done everywhere, on Node's server, too", async () => {
  for (let round = 0; round < 10; round += 1) {
    const joined = await one.do("join", { to: ["lobby"], rooms: ["hall"] });
    assert.equal(joined.settled, true);
    // Asked of its own server alone: nothing that could bring the order along.
    for (const other of [two, node]) {
      const { sockets } = await other.do("fetch", { to: ["hall"], local: true });
      assert.equal(sockets.length, 1);
    }
    assert.equal((await one.do("leave", { to: ["hall"], rooms: ["hall"] })).settled, true);
    for (const other of [two, node]) {
      assert.deepEqual((await other.do("fetch", { to: ["hall"], local: true })).sockets, []);
    }
  }
  await freeze(two.child);
  const started = Date.now();
  const order = one.do("join", { to: ["lobby"], rooms: ["hall"] });
  const { settled, missing } = await order;
  two.child.kill("SIGCONT");
  assert.equal(settled, false);
  assert.equal(missing.length, 1);
  assert.ok(Date.now() - started < 6000);
  await one.do("leave", { to: ["hall"], rooms: ["hall"] });
});

test("one of ours asks a socket of Flask, and Flask one of ours", async () => {
  const ours = await one.do("call", { to: [clients.flask.id], event: "ask", args: [1], timeout: 4000 });
  assert.deepEqual(ours.answers, [{ heard: 1, by: "flask" }]);
  const theirs = await flask.do("call", { to: [clients.two.id], event: "ask", args: [2], timeout: 4000 });
  assert.deepEqual(theirs.answers, [{ heard: 2, by: "ours" }]);
});

test("Flask makes sockets of ours join and leave rooms, closes rooms and disconnects", async () => {
  await flask.do("join", { to: [clients.one.id], rooms: ["attic"] });
  await until(async () => (await one.do("fetch", { to: ["attic"] })).sockets.length === 1, "joined");
  await flask.do("leave", { to: [clients.one.id], rooms: ["attic"] });
  await until(async () => (await one.do("fetch", { to: ["attic"] })).sockets.length === 0, "left");
  await flask.do("join", { to: [clients.one.id], rooms: ["attic"] });
  await until(async () => (await one.do("fetch", { to: ["attic"] })).sockets.length === 1, "joined");
  await flask.do("close-room", { to: ["attic"] });
  await until(async () => (await one.do("fetch", { to: ["attic"] })).sockets.length === 0, "closed");
  const guest = await two.client();
  const gone = new Promise((resolve) => guest.on("disconnect", resolve));
  await flask.do("disconnect", { to: [guest.id] });
  assert.equal(await gone, "io server disconnect");
});

test("one of ours makes a socket of Flask join a room", async () => {
  await one.do("join", { to: [clients.flask.id], rooms: ["cellar"] });
  await sleep(300);
  await two.do("emit", { to: ["cellar"], event: "news", args: ["cellar"] });
  await expectHeard(["flask"], ["cellar"]);
});

test("what Node fetches of ours has a handshake and rooms", async () => {
  const { details } = await node.do("fetch", { to: [clients.one.id] });
  assert.deepEqual(details[0].rooms.sort(), [clients.one.id, "lobby", "only-one"].sort());
  assert.equal(details[0].handshake.address, "127.0.0.1");
  assert.equal(details[0].handshake.query.EIO, "4");
});

test("Node lists the rooms of all", async () => {
  const { rooms } = await node.do("rooms");
  for (const room of ["lobby", "only-one", "only-two", "only-node", clients.one.id]) {
    assert.ok(rooms.includes(room), room);
  }
});

for (const name of ["one", "two", "node"]) {
  test(`${name} asks the other nodes themselves, and each answers`, async () => {
    const started = Date.now();
    const args = [{ list: [1, null, "héllo"] }, 2];
    const { answers, error } = await counted[name].do("server-side-call", { event: "hello", args, timeout: 4000 });
    assert.equal(error, undefined);
    const others = Object.keys(counted).filter((other) => other !== name);
    const expected = others.map((other) => ({ by: counted[other].kind, heard: args }));
    const order = (one, two) => one.by.localeCompare(two.by);
    assert.deepEqual(answers.sort(order), expected.sort(order));
    assert.ok(Date.now() - started < 3000, "nobody is waited for in vain");
  });

  test(`what ${name} tells the other nodes is heard once by each, and by no client`, async () => {
    for (let number = 0; number < 20; number += 1) {
      await counted[name].do("server-side-emit", { event: "note", args: [`${name} ${number}`] });
    }
    const expected = Array.from({ length: 20 }, (_, number) => `${name} ${number}`);
    const heard = async (other) =>
      (await counted[other].do("notes")).notes.filter((note) => note.startsWith(`${name} `));
    for (const other of Object.keys(counted).filter((other) => other !== name)) {
      await until(async () => (await heard(other)).length >= 20, `${other} hears of it`);
      assert.deepEqual(await heard(other), expected, "in order");
    }
    assert.deepEqual(await heard(name), []);
    await expectHeard([], []);
  });
}

test("Node does not wait for ours in vain if they do not handle an event, or fail in it", async () => {
  for (const event of ["unheard of", "fail"]) {
    const started = Date.now();
    // Node itself does not answer what it does not handle, so one of ours is not asked to wait for it.
    const { answers, error } = await node.do("server-side-call", { event });
    assert.equal(error, undefined);
    assert.deepEqual(answers, [null, null]);
    assert.ok(Date.now() - started < 3000);
    const ours = await one.do("server-side-call", { event, timeout: 500 });
    assert.equal(ours.declined, 1);
    assert.deepEqual(ours.answers, []);
    assert.equal(ours.missingNodes, 1, "Node, which has no name");
  }
});

test("a node that does not answer is named, and what came in time is there", async () => {
  const { name } = await two.do("status");
  await freeze(two.child);
  const { answers, missing } = await one.do("server-side-call", { event: "hello", timeout: 1000 });
  two.child.kill("SIGCONT");
  assert.deepEqual(answers.map(({ by }) => by), ["node"]);
  assert.deepEqual(missing, [name]);
});

test("the emitter's packets and orders are obeyed", async () => {
  emitter.emit("news", "from outside", Buffer.from([7]));
  await expectHeard(["one", "two", "node"], ["from outside", Buffer.from([7])]);
  emitter.to("only-one").emit("news", 1);
  await expectHeard(["one"], [1]);
  emitter.in("lobby").socketsJoin("annex");
  await until(async () => (await one.do("fetch", { to: ["annex"] })).sockets.length === 3, "joined");
  emitter.in("annex").socketsLeave("annex");
  await until(async () => (await one.do("fetch", { to: ["annex"] })).sockets.length === 0, "left");
  const guest = await two.client("visitors");
  const gone = new Promise((resolve) => guest.on("disconnect", resolve));
  emitter.in("visitors").disconnectSockets();
  assert.equal(await gone, "io server disconnect");
});

test("the emitter for Rust is heard by all: ours, Node's and Flask's", async () => {
  await rust.do({ event: "news", args: ["from Rust", { list: [1, null] }] });
  await expectHeard(["one", "two", "node", "flask"], ["from Rust", { list: [1, null] }]);
  await rust.do({ event: "news", args: ["bytes"], bytes: [1, 2, 255] });
  await expectHeard(["one", "two", "node", "flask"], ["bytes", Buffer.from([1, 2, 255])]);
  for (const name of Object.keys(clients)) {
    await rust.do({ to: [`only-${name}`], event: "news", args: [name] });
    await expectHeard([name], [name]);
  }
  await rust.do({ to: ["lobby"], except: [clients.two.id], event: "news", args: [7] });
  await expectHeard(["one", "node", "flask"], [7]);
});

test("the orders of the emitter for Rust are obeyed", async () => {
  await rust.do({ order: "join", to: ["lobby"], room: "annex" });
  await until(async () => (await one.do("fetch", { to: ["annex"] })).sockets.length === 3, "joined");
  await rust.do({ order: "leave", to: ["annex"], except: [clients.node.id], room: "annex" });
  await until(async () => (await one.do("fetch", { to: ["annex"] })).sockets.length === 1, "left");
  await rust.do({ order: "leave", to: ["annex"], room: "annex" });
  const guests = await Promise.all([one, node].map((at) => at.client("tourists")));
  const gone = guests.map((guest) => new Promise((resolve) => guest.on("disconnect", resolve)));
  await rust.do({ order: "disconnect", to: ["tourists"] });
  assert.deepEqual(await Promise.all(gone), Array(2).fill("io server disconnect"));
  await rust.do({ order: "server-side-emit", event: "note", args: ["rust"] });
  for (const other of Object.values(counted)) {
    await until(async () => (await other.do("notes")).notes.includes("rust"), "noted");
  }
  const hearers = await rust.do({ event: "nothing", namespace: "nowhere" });
  assert.equal(hearers, 3, "those who hear Python's channel, which is one for all namespaces");
});

test("sec: bytes that nobody can read are skipped by ours, and the cluster works on", async () => {
  const before = (await one.do("status")).refused;
  // Where Node's own adapter survives: the channels that are only ours to hear.
  for (const body of ["", "{", "\xc1", "[".repeat(200_000), '{"method":"emit","host_id":7}', "cos\nsystem\n."]) {
    await broker.publish("flask-socketio-x", body);
    await broker.publish("socket.io-nodes#", body);
  }
  await until(async () => (await one.do("status")).refused >= before + 6, "they are counted");
  await two.do("emit", { event: "news", args: ["still"] });
  await expectHeard(reach.two, ["still"]);
});
