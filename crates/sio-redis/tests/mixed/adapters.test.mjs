// Node's newer adapters: two nodes of ours and a server for Node on one Redis, by channels of shards and
// by a stream. Each hears the others, once.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { createClient } from "redis";
import { Emitter, Node, Redis, sleep, until } from "./support.mjs";

for (const adapter of ["sharded", "streams"]) {
  describe(adapter, () => {
    const names = ["one", "two", "node"];
    let redis, broker;
    let nodes = {};
    const clients = {};

    before(async () => {
      redis = await Redis.start();
      const started = names.map((name) =>
        Node.start(name === "node" ? "node" : "ours", redis, { ADAPTER: adapter, PYTHON_CHANNEL: "python" }),
      );
      nodes = Object.fromEntries((await Promise.all(started)).map((node, at) => [names[at], node]));
      for (const name of names) clients[name] = await nodes[name].client("lobby", `only-${name}`);
      broker = createClient({ url: redis.url });
      await broker.connect();
      await until(async () => (await nodes.one.do("status")).peers?.length === 1, "our nodes know each other");
      // A subscription to a room that is new takes its time in Node's adapter.
      await sleep(300);
    });

    after(async () => {
      for (const client of Object.values(clients)) client.close();
      for (const node of Object.values(nodes)) await node.stop();
      await broker?.disconnect();
      await redis?.kill();
    });

    /** Exactly those hear exactly this, and nobody hears anything more. */
    const expectHeard = async (whom, args) => {
      await until(() => whom.every((name) => clients[name].heard.length > 0), `${whom} hear ${JSON.stringify(args)}`);
      await sleep(100);
      for (const name of names) {
        assert.deepEqual(clients[name].heard, whom.includes(name) ? [args] : [], name);
        clients[name].heard.length = 0;
      }
    };

    for (const name of names) {
      test(`what ${name} emits is heard once by each it is for`, async () => {
        const node = nodes[name];
        await node.do("emit", { event: "news", args: [{ from: name, list: [1, null, "héllo"] }] });
        await expectHeard(names, [{ from: name, list: [1, null, "héllo"] }]);
        await node.do("emit", { event: "news", args: [{ bytes: Buffer.from([1, 2, 255]) }] });
        await expectHeard(names, [{ bytes: Buffer.from([1, 2, 255]) }]);
        for (const number of [2 ** 69, -(2 ** 69)]) {
          await node.do("emit", { event: "news", args: [number] });
          await expectHeard(names, [number]);
        }
        const to = names.map((other) => `only-${other}`);
        await node.do("emit", { to, except: [clients.two.id], event: "news", args: [7] });
        await expectHeard(["one", "node"], [7]);
        for (const other of names) {
          await node.do("emit", { to: [`only-${other}`], event: "news", args: [other] });
          await expectHeard([other], [other]);
          await node.do("emit", { to: [clients[other].id], event: "news", args: [other] });
          await expectHeard([other], [other]);
        }
        await node.do("emit", { local: true, event: "news", args: [1] });
        await expectHeard([name], [1]);
      });

      test(`${name} asks everybody, and all answer`, async () => {
        const started = Date.now();
        const to = names.map((other) => `only-${other}`);
        const { answers, missing } = await nodes[name].do("call", { to, event: "ask", args: [name], timeout: 4000 });
        assert.equal(missing, 0);
        assert.deepEqual(answers.map(({ by }) => by).sort(), ["node", "ours", "ours"]);
        assert.ok(answers.every(({ heard }) => heard === name));
        const { sockets, error } = await nodes[name].do("fetch", { to: ["lobby"] });
        assert.equal(error, undefined);
        assert.deepEqual(sockets.sort(), names.map((other) => clients[other].id).sort());
        assert.ok(Date.now() - started < 3000, "nobody is waited for in vain");
      });

      test(`${name} makes sockets anywhere join and leave rooms, and disconnects them`, async () => {
        const to = names.map((other) => clients[other].id);
        const members = async () => (await nodes[name].do("fetch", { to: ["suite"] })).sockets.length;
        await nodes[name].do("join", { to, rooms: ["suite"] });
        await until(async () => (await members()) === 3, "all have joined");
        await sleep(100);
        await nodes[name].do("emit", { to: ["suite"], event: "news", args: ["suite"] });
        await expectHeard(names, ["suite"]);
        await nodes[name].do("leave", { to, rooms: ["suite"] });
        await until(async () => (await members()) === 0, "all have left");
        const guests = await Promise.all(names.map((at) => nodes[at].client(`guests-${name}`)));
        const gone = guests.map((guest) => new Promise((resolve) => guest.on("disconnect", resolve)));
        await nodes[name].do("disconnect", { to: [`guests-${name}`] });
        assert.deepEqual(await Promise.all(gone), Array(3).fill("io server disconnect"));
      });
    }

    test("our nodes know how many are in a room of both, and Node hears nothing of it", async () => {
      const before = nodes.node.child.said;
      const guests = await Promise.all([nodes.one, nodes.two, nodes.two].map((at) => at.client("census")));
      const count = async (name) => (await nodes[name].do("population", { rooms: ["census"] })).total;
      for (const name of ["one", "two"]) await until(async () => (await count(name)) === 3, "all are counted");
      for (const guest of guests) guest.close();
      for (const name of ["one", "two"]) await until(async () => (await count(name)) === 0, "nobody is left");
      assert.equal(nodes.node.child.said, before);
    });

    for (const name of names) {
      test(`${name} asks the other nodes themselves, and each answers`, async () => {
        const started = Date.now();
        const args = [{ list: [1, null, "héllo"] }, 2];
        const { answers, error } = await nodes[name].do("server-side-call", { event: "hello", args, timeout: 4000 });
        assert.equal(error, undefined);
        const others = names.filter((other) => other !== name);
        const order = (one, two) => one.by.localeCompare(two.by);
        const expected = others.map((other) => ({ by: nodes[other].kind, heard: args }));
        assert.deepEqual(answers.sort(order), expected.sort(order));
        assert.ok(Date.now() - started < 3000, "nobody is waited for in vain");
      });

      test(`what ${name} tells the other nodes is heard once by each, and by no client`, async () => {
        const notes = Array.from({ length: 20 }, (_, number) => `${name} ${number}`);
        for (const note of notes) await nodes[name].do("server-side-emit", { event: "note", args: [note] });
        const heard = async (other) =>
          (await nodes[other].do("notes")).notes.filter((note) => note.startsWith(`${name} `));
        for (const other of names.filter((other) => other !== name)) {
          await until(async () => (await heard(other)).length >= 20, `${other} hears of it`);
          assert.deepEqual(await heard(other), notes, "in order");
        }
        assert.deepEqual(await heard(name), []);
        await expectHeard([], []);
      });
    }

    test("Node does not wait for ours in vain if they do not handle an event, or fail in it", async () => {
      for (const event of ["unheard of", "fail"]) {
        const started = Date.now();
        const { answers, error } = await nodes.node.do("server-side-call", { event });
        assert.equal(error, undefined);
        assert.deepEqual(answers, [null, null]);
        assert.ok(Date.now() - started < 3000);
      }
    });

    // Node has no emitter for these two.
    test("the emitter for Rust is heard by all, and its orders are obeyed", async () => {
      const rust = new Emitter(redis, { ADAPTER: adapter, PYTHON_CHANNEL: "python" });
      await rust.do({ event: "news", args: ["from Rust", { list: [1, null] }] });
      await expectHeard(names, ["from Rust", { list: [1, null] }]);
      await rust.do({ event: "news", args: ["bytes"], bytes: [1, 2, 255] });
      await expectHeard(names, ["bytes", Buffer.from([1, 2, 255])]);
      for (const name of names) {
        await rust.do({ to: [`only-${name}`], event: "news", args: [name] });
        await expectHeard([name], [name]);
      }
      await rust.do({ to: ["lobby"], except: [clients.two.id], event: "news", args: [7] });
      await expectHeard(["one", "node"], [7]);
      await rust.do({ order: "join", to: ["lobby"], room: "annex" });
      const members = async () => (await nodes.one.do("fetch", { to: ["annex"] })).sockets.length;
      await until(async () => (await members()) === 3, "joined");
      await rust.do({ order: "leave", to: ["annex"], except: [clients.node.id], room: "annex" });
      await until(async () => (await members()) === 1, "left");
      await rust.do({ order: "leave", to: ["annex"], room: "annex" });
      const guests = await Promise.all(["one", "node"].map((name) => nodes[name].client("tourists")));
      const gone = guests.map((guest) => new Promise((resolve) => guest.on("disconnect", resolve)));
      await rust.do({ order: "disconnect", to: ["tourists"] });
      assert.deepEqual(await Promise.all(gone), Array(2).fill("io server disconnect"));
      await rust.do({ order: "server-side-emit", event: "note", args: ["rust"] });
      for (const name of names) {
        await until(async () => (await nodes[name].do("notes")).notes.includes("rust"), "noted");
      }
      await rust.stop();
    });

    test("a room of ours that is left and joined again quickly is heard", async () => {
      const to = [clients.one.id];
      for (let turn = 0; turn < 20; turn += 1) {
        await nodes.one.do("join", { to, rooms: ["door"] });
        await nodes.one.do("leave", { to, rooms: ["door"] });
      }
      await nodes.one.do("join", { to, rooms: ["door"] });
      // What was told before is done by now: answers come on the same connection.
      await nodes.one.do("fetch", { to: ["door"] });
      for (const name of ["two", "node"]) {
        await nodes[name].do("emit", { to: ["door"], event: "news", args: [name] });
        await expectHeard(["one"], [name]);
      }
    });

    test("sec: what nobody can read is skipped by ours once, counted, and what follows is heard", async () => {
      const before = (await nodes.one.do("status")).refused;
      // Where Node's own adapter survives, that is what is told here. Else it is deaf ever after.
      const deep = "[".repeat(200_000);
      if (adapter === "streams") {
        for (const fields of [
          { nsp: "/", type: "3", uid: "x", data: deep },
          { nsp: "/", type: "99", uid: "x", data: "{}" },
          { nsp: "/", type: "three", uid: "x" },
        ]) {
          await broker.xAdd("socket.io", "*", fields);
        }
      } else {
        for (const body of [Buffer.from([0xc1]), "{", "{}"]) await broker.sPublish("socket.io#/#only-one#", body);
      }
      await until(async () => (await nodes.one.do("status")).refused >= before + 3, "they are counted");
      assert.equal((await nodes.one.do("status")).refused, before + 3);
      await nodes.two.do("emit", { to: ["only-one"], event: "news", args: ["still"] });
      await expectHeard(["one"], ["still"]);
    });
  });
}
