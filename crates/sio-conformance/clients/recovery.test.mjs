// Connection state recovery, with the official client across connections that break: cut by a proxy, with a
// proxy that is killed, and with one that stalls until the client gives up. On a server with CSR set.

import { createServer, connect as dial } from "node:net";
import { after, describe } from "node:test";

import { Manager, msgpackParser } from "./packages.mjs";
import {
  assert, ask, collect, connected, it, next, overEveryTransport, reference, settled, unique, until, url,
} from "./support.mjs";

const server = new URL(url);

/** A proxy in front of the server, on a port of its own. */
class Proxy {
  #pairs = new Set();
  #listener;
  stalled = false;

  async listen(port = 0) {
    this.#listener = createServer({ allowHalfOpen: true }, (client) => this.#carry(client));
    await new Promise((done) => this.#listener.listen(port, "127.0.0.1", done));
    this.port = this.#listener.address().port;
    this.url = `http://127.0.0.1:${this.port}`;
    return this;
  }

  #carry(client) {
    const upstream = dial(server.port, server.hostname);
    const pair = { client, upstream, stalled: this.stalled };
    this.#pairs.add(pair);
    client.on("data", (data) => pair.stalled || upstream.write(data));
    upstream.on("data", (data) => pair.stalled || client.write(data));
    for (const [one, other] of [[client, upstream], [upstream, client]]) {
      one.on("error", () => {});
      one.on("close", () => pair.stalled || other.destroy());
    }
  }

  /** Nothing gets through any more, in either direction, and nobody is told. */
  stall() {
    this.stalled = true;
    for (const pair of this.#pairs) pair.stalled = true;
  }

  /** What is opened from now on gets through. */
  resume() {
    this.stalled = false;
  }

  /** Dies, with all it carried; comes back by `listen(port)`. */
  async kill() {
    const closed = new Promise((done) => this.#listener.close(done));
    for (const { client, upstream } of this.#pairs) client.destroy(), upstream.destroy();
    this.#pairs.clear();
    await closed;
  }

  /**
   * Cuts the connection of `socket`, does `meanwhile`, and lets it come back. A polling client whose
   * connection ends between two requests notices nothing, so it has to find nobody there.
   */
  async cut(socket, meanwhile = () => {}) {
    const gone = next(socket, "disconnect");
    await this.kill();
    await gone;
    await meanwhile();
    const back = next(socket, "connect");
    await this.listen(this.port);
    await back;
  }
}

const proxies = [];
async function proxied() {
  const proxy = await new Proxy().listen();
  proxies.push(proxy);
  return proxy;
}

const managers = [];
after(async () => {
  for (const manager of managers) manager._close();
  for (const proxy of proxies) await proxy.kill().catch(() => {});
});

/** A client behind `proxy` that comes back by itself, after `delay` milliseconds. */
async function client(proxy, list, options = {}) {
  const manager = new Manager(proxy.url, {
    transports: list, forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 100, ...options,
  });
  managers.push(manager);
  const socket = await connected(manager.socket("/"));
  if (list.length > 1 && manager.engine.transport.name !== "websocket") await next(manager.engine, "upgrade");
  return socket;
}

/** Numbers to `room` from `from` on, `count` of them. */
function numbers(sender, room, from, count) {
  for (let i = from; i < from + count; i++) sender.emit("in", [room], [], "number", i);
}

overEveryTransport("recovery", (clients) => {
  const name = clients.name;
  const witness = () => clients.open();

  it("a client whose connection breaks is the same and has missed nothing", async () => {
    const [proxy, sender, room] = [await proxied(), await witness(), unique("room")];
    const socket = await client(proxy, clients.list);
    const { id } = socket;
    const seen = collect(socket, "number");
    await ask(socket, "join", room);
    await ask(socket, "set-data", { kept: true });
    numbers(sender, room, 0, 5);
    await until(() => seen.length === 5, "the first five");
    // Some are under way when it breaks.
    numbers(sender, room, 5, 20);
    await proxy.cut(socket, async () => {
      numbers(sender, room, 25, 20);
      await ask(sender, "whoami");
      numbers(sender, room, 45, 5);
    });
    assert.equal(socket.recovered, true);
    assert.equal(socket.id, id);
    numbers(sender, room, 50, 5);
    await until(() => seen.length >= 55, "all of them");
    await settled(sender, socket);
    assert.deepEqual(seen.map(([i]) => i), Array.from({ length: 55 }, (_, i) => i));
    assert.deepEqual((await ask(socket, "rooms"))[0], [id, room].sort());
  });

  it("a client without an offset is sent all there was since it came", { skip: reference && "Node needs an offset" }, async () => {
    const proxy = await proxied();
    const socket = await client(proxy, clients.list);
    const { id } = socket;
    const seen = collect(socket, "auth");
    await ask(socket, "whoami");
    // As if the greeting, and with it its offset, had been lost on the way.
    seen.length = 0;
    socket._lastOffset = undefined;
    await proxy.cut(socket);
    assert.equal(socket.recovered, true);
    assert.equal(socket.id, id);
    // The greeting of then, and that of now.
    await until(() => seen.length === 2, "the greetings");
  });

  it("nothing comes twice, however often the connection breaks", async () => {
    const [proxy, sender, room] = [await proxied(), await witness(), unique("room")];
    const socket = await client(proxy, clients.list);
    const { id } = socket;
    const seen = collect(socket, "number");
    await ask(socket, "join", room);
    for (let round = 0; round < 5; round++) {
      numbers(sender, room, round * 10, 5);
      await proxy.cut(socket, () => numbers(sender, room, round * 10 + 5, 5));
      assert.equal(socket.recovered, true, `round ${round}`);
      assert.equal(socket.id, id);
    }
    await settled(sender, socket);
    assert.deepEqual(seen.map(([i]) => i), Array.from({ length: 50 }, (_, i) => i));
  });

  it("a proxy that is killed, and is away for a while, costs nothing but time", async () => {
    const [proxy, sender, room] = [await proxied(), await witness(), unique("room")];
    const socket = await client(proxy, clients.list);
    const seen = collect(socket, "number");
    await ask(socket, "join", room);
    numbers(sender, room, 0, 10);
    await proxy.cut(socket, async () => {
      numbers(sender, room, 10, 10);
      // The client tries in vain a few times.
      for (let tries = 0; tries < 3; tries++) await next(socket.io, "reconnect_error");
    });
    assert.equal(socket.recovered, true);
    await settled(sender, socket);
    assert.deepEqual(seen.map(([i]) => i), Array.from({ length: 20 }, (_, i) => i));
  });

  it("a client that is quicker than the server takes its own place", { skip: reference && "two sockets live" }, async () => {
    const [proxy, sender, room] = [await proxied(), await witness(), unique("room")];
    const socket = await client(proxy, clients.list);
    const { id } = socket;
    const seen = collect(socket, "number");
    await ask(socket, "join", room);
    numbers(sender, room, 0, 5);
    await until(() => seen.length === 5, "the first five");
    // The line is dead, and only the client knows.
    proxy.stall();
    numbers(sender, room, 5, 5);
    await ask(sender, "whoami");
    const back = next(socket, "connect");
    socket.io.engine.close();
    proxy.resume();
    await back;
    assert.equal(socket.recovered, true);
    assert.equal(socket.id, id);
    numbers(sender, room, 10, 5);
    await settled(sender, socket);
    assert.deepEqual(seen.map(([i]) => i), Array.from({ length: 15 }, (_, i) => i));
    assert.deepEqual((await ask(sender, "fetch-sockets", room))[0], [id]);
  });

  it("a server that stalls until the client gives up has lost nothing", async () => {
    const [proxy, sender, room] = [await proxied(), await witness(), unique("room")];
    const socket = await client(proxy, clients.list);
    const { id } = socket;
    const seen = collect(socket, "number");
    await ask(socket, "join", room);
    proxy.stall();
    numbers(sender, room, 0, 5);
    // The client hears no heartbeat, and ends the connection.
    const [reason] = await next(socket, "disconnect");
    assert.equal(reason, "ping timeout");
    proxy.resume();
    numbers(sender, room, 5, 5);
    await connected(socket);
    assert.equal(socket.recovered, true, name);
    assert.equal(socket.id, id);
    await settled(sender, socket);
    assert.deepEqual(seen.map(([i]) => i), Array.from({ length: 10 }, (_, i) => i));
  });

  it("who left, or was put out, is a new socket", { skip: reference && "Node takes it back" }, async () => {
    const proxy = await proxied();
    const socket = await client(proxy, clients.list);
    const { id } = socket;
    socket.disconnect();
    await connected(socket.connect());
    assert.equal(socket.recovered, false);
    assert.notEqual(socket.id, id);
  });

  it("a volatile event does not spoil the offset", { skip: reference && "it does in Node" }, async () => {
    const [proxy, sender, room] = [await proxied(), await witness(), unique("room")];
    const socket = await client(proxy, clients.list);
    const seen = collect(socket, "number");
    await ask(socket, "join", room);
    numbers(sender, room, 0, 3);
    await until(() => seen.length === 3, "the first three");
    const drifted = next(socket, "drift");
    const drift = setInterval(() => socket.emit("volatile", "drift", "no offset"), 20);
    await drifted;
    clearInterval(drift);
    await proxy.cut(socket, () => numbers(sender, room, 3, 3));
    assert.equal(socket.recovered, true);
    await settled(sender, socket);
    assert.deepEqual(seen.map(([i]) => i), [0, 1, 2, 3, 4, 5]);
  });

  it("a client of msgpack comes back, too", { skip: reference && "the reference speaks one parser" }, async () => {
    const [proxy, sender, room] = [await proxied(), await witness(), unique("room")];
    const socket = await client(proxy, clients.list, { parser: msgpackParser });
    const seen = collect(socket, "number");
    await ask(socket, "join", room);
    numbers(sender, room, 0, 5);
    await proxy.cut(socket, () => numbers(sender, room, 5, 5));
    assert.equal(socket.recovered, true);
    await settled(sender, socket);
    assert.deepEqual(seen.map(([i]) => i), Array.from({ length: 10 }, (_, i) => i));
  });
});

describe("recovery over one connection", () => {
  it("of several namespaces each is recovered", async () => {
    const proxy = await proxied();
    const manager = new Manager(proxy.url, { forceNew: true, reconnectionDelay: 50 });
    managers.push(manager);
    const sockets = await Promise.all(["/", "/custom"].map((nsp) => connected(manager.socket(nsp))));
    // Each is greeted, so each has an offset.
    const ids = sockets.map((socket) => socket.id);
    await Promise.all(sockets.map((socket) => ask(socket, "whoami")));
    const back = next(sockets[1], "connect");
    await proxy.cut(sockets[0]);
    await back;
    assert.deepEqual(sockets.map((socket) => socket.id), ids);
    assert.ok(sockets.every((socket) => socket.recovered));
  });
});
