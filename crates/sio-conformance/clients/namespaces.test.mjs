// Namespaces over one connection, and who may enter them.

import { assert, ask, collect, connected, it, needs, next, overEveryTransport, settled, unique } from "./support.mjs";

/** The error `socket` is refused with. */
async function refused(socket) {
  try {
    await connected(socket);
  } catch (error) {
    return error;
  }
  return assert.fail("should have been refused");
}

overEveryTransport("namespaces", (clients) => {
  it("two namespaces share one connection and have an id each", async () => {
    const manager = clients.manager();
    const [main, custom] = [manager.socket("/"), manager.socket("/custom")];
    await Promise.all([connected(main), connected(custom)]);
    assert.equal(main.io.engine, custom.io.engine);
    assert.notEqual(main.id, custom.id);
    assert.deepEqual(await ask(main, "whoami"), [main.id]);
    assert.deepEqual(await ask(custom, "whoami"), [custom.id]);
    for (const id of [main.id, custom.id]) {
      assert.match(id, /^[A-Za-z0-9_-]{20}$/);
      assert.notEqual(id, manager.engine.id);
    }
  });

  it("events, acks and attachments of two namespaces never cross", async () => {
    const manager = clients.manager();
    const sockets = [manager.socket("/"), manager.socket("/custom"), manager.socket("/dyn-7")];
    await Promise.all(sockets.map(connected));
    const heard = sockets.map((socket) => collect(socket, "message-back"));
    for (let i = 0; i < 20; i++) {
      sockets.forEach((socket, at) => socket.emit("message", at, i, Buffer.from([at, i])));
    }
    const answers = await Promise.all(
      sockets.map((socket, at) => ask(socket, "message-with-ack", at, Buffer.from([at]))),
    );
    answers.forEach((answer, at) => assert.deepEqual(answer, [at, Buffer.from([at])]));
    heard.forEach((list, at) => {
      assert.deepEqual(list, Array.from({ length: 20 }, (_, i) => [at, i, Buffer.from([at, i])]));
    });
  });

  it("an emit to all of one namespace is not heard in another", async () => {
    const manager = clients.manager();
    const [main, custom] = [manager.socket("/"), manager.socket("/custom")];
    await Promise.all([connected(main), connected(custom)]);
    const event = unique("event");
    const heard = [collect(main, event), collect(custom, event)];
    main.emit("all", event, "main");
    custom.emit("all", event, "custom");
    await settled(main, main);
    await settled(custom, custom);
    assert.deepEqual(heard, [[["main"]], [["custom"]]]);
  });

  it("a namespace can be left while the other goes on, and entered again", async () => {
    const manager = clients.manager();
    const [main, custom] = [manager.socket("/"), manager.socket("/custom")];
    await Promise.all([connected(main), connected(custom)]);
    const old = custom.id;
    custom.disconnect();
    assert.deepEqual(await ask(main, "message-with-ack", 1), [1]);
    custom.connect();
    await connected(custom);
    assert.notEqual(custom.id, old);
    assert.deepEqual(await ask(custom, "message-with-ack", 2), [2]);
  });

  it("a namespace may be entered without the main one", async () => {
    const socket = await clients.open("/custom");
    assert.deepEqual(await ask(socket, "message-with-ack", 1), [1]);
  });

  it("a namespace whose name fits the pattern exists", async () => {
    const socket = await clients.open("/dyn-42");
    assert.deepEqual(await ask(socket, "message-with-ack", 1), [1]);
  });

  it("any other namespace is refused by name, and the connection goes on", async () => {
    const manager = clients.manager();
    const main = await connected(manager.socket("/"));
    for (const name of ["/nope", "/dyn-", "/dyn-1x", "/custom/below", "/Custom"]) {
      const error = await refused(manager.socket(name));
      assert.equal(error.message, "Invalid namespace");
      assert.equal(error.data, undefined);
    }
    assert.deepEqual(await ask(main, "message-with-ack", 1), [1]);
  });

  it("the handshake's auth reaches the server", async () => {
    for (const auth of [{ token: "é", list: [1, { a: null }] }, {}]) {
      const socket = clients.manager().socket("/", { auth });
      assert.deepEqual(await next(socket, "auth"), [auth]);
    }
  });

  it("a client without auth has an empty one", async () => {
    const socket = clients.manager().socket("/");
    assert.deepEqual(await next(socket, "auth"), [{}]);
  });

  it("a function may give the auth when it is needed", async () => {
    const socket = clients.manager().socket("/auth", { auth: (give) => give({ token: "secret" }) });
    assert.deepEqual(await next(socket, "auth"), [{ token: "secret" }]);
  });

  it("the right token is let in", async () => {
    const socket = await clients.open("/auth", { auth: { token: "secret" } });
    assert.deepEqual(await ask(socket, "message-with-ack", 1), [1]);
  });

  it("a wrong token, or none, is refused with message and data", async () => {
    for (const auth of [{ token: "wrong" }, { token: 1 }, {}, undefined]) {
      const socket = clients.manager().socket("/auth", { auth });
      const error = await refused(socket);
      assert.equal(error.message, "not authorized");
      assert.deepEqual(error.data, { code: "E_AUTH" });
      assert.equal(socket.connected, false);
      assert.equal(socket.active, false);
    }
  });

  it("a refused client may try again over the same connection", async () => {
    const manager = clients.manager();
    const main = await connected(manager.socket("/"));
    const socket = manager.socket("/auth", { auth: { token: "wrong" } });
    await refused(socket);
    socket.auth = { token: "secret" };
    socket.connect();
    await connected(socket);
    assert.deepEqual(await ask(socket, "message-with-ack", 1), [1]);
    assert.deepEqual(await ask(main, "message-with-ack", 2), [2]);
  });

  it("a refused socket is counted nowhere and hears nothing", async () => {
    const witness = await clients.open("/auth", { auth: { token: "secret" } });
    const [before] = await ask(witness, "count");
    const stranger = clients.manager().socket("/auth", { auth: { token: "wrong" } });
    stranger.onAny(() => assert.fail("a refused socket heard an event"));
    await refused(stranger);
    witness.emit("all", unique("event"));
    await settled(witness, witness);
    assert.deepEqual(await ask(witness, "count"), [before]);
  });

  it("a slow middleware keeps one namespace waiting, not the other", async () => {
    const manager = clients.manager();
    const slow = manager.socket("/slow");
    const main = await connected(manager.socket("/"));
    assert.deepEqual(await ask(main, "message-with-ack", 1), [1]);
    assert.equal(slow.connected, false);
    await connected(slow);
    assert.deepEqual(await ask(slow, "message-with-ack", 2), [2]);
  });

  it("events sent before the namespace is entered arrive after it", async () => {
    const socket = clients.manager().socket("/slow");
    const heard = collect(socket, "message-back");
    socket.emit("message", 1);
    socket.emit("message", 2);
    await connected(socket);
    await settled(socket, socket);
    assert.deepEqual(heard, [[1], [2]]);
  });

  it("a packet middleware refuses one event and lets the others pass", needs("guarded"), async () => {
    const socket = await clients.open("/guarded");
    const told = next(socket, "refused");
    socket.emit("forbidden", 1);
    assert.deepEqual(await told, ["forbidden event"]);
    assert.deepEqual(await ask(socket, "message-with-ack", 1), [1]);
  });
});
