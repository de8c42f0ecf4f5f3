// How connections begin and end, with the exact reason on both sides.

import { assert, ask, collect, connected, it, needs, next, overEveryTransport, reasonOf, unique, until, upgraded } from "./support.mjs";

overEveryTransport("lifecycle", (clients) => {
  it("the client leaves", async () => {
    const [witness, socket] = await clients.many(2);
    const { id } = socket;
    const gone = next(socket, "disconnect");
    socket.disconnect();
    assert.equal((await gone)[0], "io client disconnect");
    assert.equal(await reasonOf(witness, id), "client namespace disconnect");
  });

  it("the client leaves one namespace of two", async () => {
    const witness = await clients.open();
    const manager = clients.manager();
    const [main, custom] = [manager.socket("/"), manager.socket("/custom")];
    await Promise.all([connected(main), connected(custom)]);
    const { id } = custom;
    custom.disconnect();
    assert.equal(await reasonOf(witness, id), "client namespace disconnect");
    assert.deepEqual(await ask(main, "disconnect-reason", main.id), [null]);
  });

  it("the client closes the connection", async () => {
    const [witness, socket] = await clients.many(2);
    if (clients.name === "upgrade") await upgraded(socket);
    const { id } = socket;
    const gone = next(socket, "disconnect");
    socket.io.engine.close();
    assert.equal((await gone)[0], "forced close");
    assert.equal(await reasonOf(witness, id), "transport close");
  });

  it("the server ends one namespace; the other goes on", async () => {
    const witness = await clients.open();
    const manager = clients.manager();
    const [main, custom] = [manager.socket("/"), manager.socket("/custom")];
    await Promise.all([connected(main), connected(custom)]);
    const { id } = custom;
    const gone = next(custom, "disconnect");
    custom.emit("disconnect-me", false);
    assert.equal((await gone)[0], "io server disconnect");
    assert.equal(custom.active, false);
    assert.equal(await reasonOf(witness, id), "server namespace disconnect");
    assert.deepEqual(await ask(main, "message-with-ack", 1), [1]);
  });

  it("the server ends the whole connection", async () => {
    const witness = await clients.open();
    const manager = clients.manager();
    const [main, custom] = [manager.socket("/"), manager.socket("/custom")];
    await Promise.all([connected(main), connected(custom)]);
    const ids = [main.id, custom.id];
    const gone = Promise.all([next(main, "disconnect"), next(custom, "disconnect")]);
    const closed = next(manager, "close");
    main.emit("disconnect-me", true);
    for (const [reason] of await gone) assert.equal(reason, "io server disconnect");
    await closed;
    for (const id of ids) {
      assert.equal(await reasonOf(witness, id), "server namespace disconnect");
    }
  });

  it("what was sent before the server's disconnect arrives before it", async () => {
    const socket = await clients.open();
    const heard = collect(socket, "burst");
    const gone = next(socket, "disconnect");
    socket.emit("burst", 20, "mixed");
    socket.emit("disconnect-me", true);
    await gone;
    assert.deepEqual(heard.map(([i]) => i), Array.from({ length: 20 }, (_, i) => i));
  });

  it("a room is disconnected, and nobody else", needs("disconnect-room"), async () => {
    const [witness, ...members] = await clients.many(3);
    const room = unique("room");
    for (const member of members) await ask(member, "join", room);
    const ids = members.map((member) => member.id);
    const gone = Promise.all(members.map((member) => next(member, "disconnect")));
    await ask(witness, "disconnect-room", room, true);
    for (const [reason] of await gone) assert.equal(reason, "io server disconnect");
    for (const id of ids) assert.equal(await reasonOf(witness, id), "server namespace disconnect");
    assert.deepEqual(await ask(witness, "message-with-ack", 1), [1]);
  });

  // Over polling alone there is nothing to tear but a request: see wire.test.mjs.
  if (clients.name !== "polling") {
    it("a client that vanishes is noticed at once", async () => {
      const [witness, socket] = await clients.many(2);
      await upgraded(socket);
      const { id } = socket;
      socket.io.engine.transport.ws.terminate();
      assert.equal(await reasonOf(witness, id), "transport close");
    });
  }

  it("a client that comes back by itself is a new socket", async () => {
    const socket = await clients.open("/", { reconnection: true, reconnectionDelay: 10 });
    const old = socket.id;
    const [gone, back] = [next(socket, "disconnect"), next(socket, "connect")];
    socket.io.engine.transport.onError("the network is gone");
    await gone;
    await back;
    assert.notEqual(socket.id, old);
    assert.deepEqual(await ask(socket, "whoami"), [socket.id]);
    assert.deepEqual(await ask(socket, "rooms"), [[socket.id]]);
  });

  it("a connection without traffic is kept alive by the heartbeat", async () => {
    const socket = await clients.open();
    let pings = 0;
    socket.io.on("ping", () => (pings += 1));
    await until(() => pings === 3, "three pings");
    assert.equal(socket.connected, true);
    assert.deepEqual(await ask(socket, "message-with-ack", 1), [1]);
  });

  it("sockets are counted while they are there", async () => {
    const nsp = `/dyn-${process.pid}${clients.list.length}${clients.name.length}`;
    const sockets = await clients.many(5, nsp);
    assert.deepEqual(await ask(sockets[0], "count"), [5]);
    for (const socket of sockets.slice(1)) socket.disconnect();
    await until(async () => (await ask(sockets[0], "count"))[0] === 1, "one left");
  });

  it("many clients at once: all connect, all hear one broadcast, all are let go", async () => {
    const nsp = `/dyn-${process.pid}${clients.name.length}99`;
    const n = clients.name === "websocket" ? 100 : 40;
    const sockets = await clients.many(n, nsp);
    assert.equal(new Set(sockets.map((socket) => socket.id)).size, n);
    const event = unique("event");
    const heard = Promise.all(sockets.map((socket) => next(socket, event)));
    sockets[0].emit("all", event, "everyone", Buffer.from([1, 2, 3]));
    for (const args of await heard) assert.deepEqual(args, ["everyone", Buffer.from([1, 2, 3])]);
    const answers = await Promise.all(
      sockets.map((socket, i) => ask(socket, "message-with-ack", i)),
    );
    answers.forEach((answer, i) => assert.deepEqual(answer, [i]));
    for (const socket of sockets.slice(1)) socket.disconnect();
    await until(async () => (await ask(sockets[0], "count"))[0] === 1, "one left");
  });
});
