// Node's newer adapters on a Redis Cluster of three masters: two nodes of ours, a server for Node and the
// emitter for Rust. Each hears the others, once; a slot that moves and a master that dies are a gap that is
// told, and nothing more.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Emitter, ledger, Node, RedisCluster, sleep, together, until } from "./support.mjs";

// Each has a cluster of its own, and they have nothing to do with one another.
const both = (suite) => describe("a Redis Cluster", { concurrency: true }, () => ["sharded", "streams"].forEach(suite));

both((adapter) => {
  describe(`${adapter} on a Redis Cluster`, { concurrency: 1 }, () => {
    const names = ["one", "two", "node"];
    /** What everything for everybody is on. */
    const key = adapter === "sharded" ? "socket.io#/#" : "socket.io";
    const env = { ADAPTER: adapter, PYTHON_CHANNEL: "python" };
    let cluster, rust;
    let nodes = {};
    const clients = {};

    before(async () => {
      cluster = await RedisCluster.start();
      const started = names.map((name, at) => Node.start(name === "node" ? "node" : "ours", { url: cluster.url(at) }, env));
      nodes = Object.fromEntries((await Promise.all(started)).map((node, at) => [names[at], node]));
      for (const name of names) clients[name] = await nodes[name].client("lobby", `only-${name}`);
      rust = new Emitter({ url: cluster.url() }, env);
      await together([nodes.one, nodes.two]);
      // A subscription to a room that is new takes its time in Node's adapter.
      await sleep(300);
    });

    after(async () => {
      for (const client of Object.values(clients)) client.close();
      for (const node of Object.values(nodes)) await node.stop();
      await rust.stop();
      await cluster.stop();
    });

    const expectHeard = async (whom, args) => {
      await until(() => whom.every((name) => clients[name].heard.length > 0), `${whom} hear ${JSON.stringify(args)}`);
      await sleep(100);
      for (const name of names) {
        assert.deepEqual(clients[name].heard, whom.includes(name) ? [args] : [], name);
        clients[name].heard.length = 0;
      }
    };

    const ours = () => [nodes.one, nodes.two];
    const back = () => together(ours(), 20_000);
    const all = () => ledger(ours(), [clients.one, clients.two], () => sleep(1000));

    for (const name of names) {
      test(`what ${name} says is heard once by each it is for, and all answer`, async () => {
        const node = nodes[name];
        await node.do("emit", { event: "news", args: [name] });
        await expectHeard(names, [name]);
        for (const other of names) {
          await node.do("emit", { to: [`only-${other}`], event: "news", args: [other] });
          await expectHeard([other], [other]);
        }
        const started = Date.now();
        const { answers, missing } = await node.do("call", { to: ["lobby"], event: "ask", args: [name], timeout: 4000 });
        assert.equal(missing, 0);
        assert.deepEqual(answers.map(({ by }) => by).sort(), ["node", "ours", "ours"]);
        const { sockets, error } = await node.do("fetch", { to: ["lobby"] });
        assert.equal(error, undefined);
        assert.equal(sockets.length, 3);
        const told = await node.do("server-side-call", { event: "hello", args: [1], timeout: 4000 });
        assert.equal(told.answers.length, 2);
        assert.ok(Date.now() - started < 3000, "nobody is waited for in vain");
      });
    }

    test("joins that are awaited are done everywhere", async () => {
      const to = names.map((name) => clients[name].id);
      assert.equal((await nodes.one.do("join", { to, rooms: ["suite"] })).settled, true);
      for (const name of ["two", "node"]) {
        assert.equal((await nodes[name].do("fetch", { to: ["suite"], local: true })).sockets.length, 1);
      }
      await sleep(100);
      await nodes.two.do("emit", { to: ["suite"], event: "news", args: ["suite"] });
      await expectHeard(names, ["suite"]);
      assert.equal((await nodes.one.do("leave", { to, rooms: ["suite"] })).settled, true);
    });

    test("a room that is left and joined again quickly is heard", async () => {
      const to = [clients.one.id];
      for (let turn = 0; turn < 20; turn += 1) {
        await nodes.one.do("join", { to, rooms: ["door"] });
        await nodes.one.do("leave", { to, rooms: ["door"] });
      }
      await nodes.one.do("join", { to, rooms: ["door"] });
      await nodes.one.do("fetch", { to: ["door"] });
      for (const name of ["two", "node"]) {
        await nodes[name].do("emit", { to: ["door"], event: "news", args: [name] });
        await expectHeard(["one"], [name]);
      }
    });

    test("the emitter for Rust is heard by all, and its orders are obeyed", async () => {
      await rust.do({ event: "news", args: ["from Rust"] });
      await expectHeard(names, ["from Rust"]);
      for (const name of names) {
        await rust.do({ to: [`only-${name}`], event: "news", args: [name] });
        await expectHeard([name], [name]);
      }
      await rust.do({ order: "join", to: ["lobby"], room: "annex" });
      await until(async () => (await nodes.one.do("fetch", { to: ["annex"] })).sockets.length === 3, "joined");
      await rust.do({ order: "leave", to: ["annex"], room: "annex" });
    });

    test("a slot goes to another server while everybody talks: it is told, and all is as before", async () => {
      const { gaps } = await nodes.one.do("status");
      const { lost } = await ledger(ours(), [clients.one, clients.two], async () => {
        await sleep(300);
        await cluster.move(key);
        await sleep(500);
        await back();
      });
      if (adapter === "streams") assert.deepEqual(lost.flat(), [0, 0, 0, 0], "what is on the stream has moved with it");
      else await until(async () => (await nodes.one.do("status")).gaps > gaps, "a gap is told");
      assert.equal((await all()).remote, 0, "afterwards nothing is lost");
      await rust.do({ event: "news", args: ["after"] });
      await until(() => ["one", "two"].every((name) => clients[name].heard.length > 0), "the emitter finds its way");
    });

    test("a master dies and its replica takes over: all is as before", async () => {
      const { id, server } = cluster.owner(key);
      await cluster.replicate(id);
      await ledger(ours(), [clients.one, clients.two], async () => {
        await sleep(300);
        await server.kill();
        cluster.servers = cluster.servers.filter((other) => other !== server);
        await until(async () => !(await nodes.one.do("status")).up, "it is seen", 5000);
        await back();
      });
      assert.equal((await all()).remote, 0, "afterwards nothing is lost");
      const { sockets, missingNodes } = await nodes.one.do("fetch", { to: ["lobby"], local: false });
      assert.ok(sockets.length >= 2);
      assert.ok(missingNodes <= 1, "Node's server may take longer");
    });
  });
});
