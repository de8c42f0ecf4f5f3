// Rooms: who hears what.

import { assert, ask, collect, connected, it, needs, overEveryTransport, settled, unique, until } from "./support.mjs";

const bytes = (...list) => Buffer.from(list);

/** Three sockets, and for each the list of what it has heard of one event nobody else uses. */
async function three(clients) {
  const event = unique("event");
  const sockets = await clients.many(3);
  const heard = sockets.map((socket) => collect(socket, event));
  return { event, sockets, heard };
}

overEveryTransport("rooms", (clients) => {
  it("a socket is in the room of its own id, and in those it joined", async () => {
    const socket = await clients.open();
    assert.deepEqual(await ask(socket, "rooms"), [[socket.id]]);
    const [a, b, c] = [unique("a"), unique("b"), unique("c")];
    assert.deepEqual(await ask(socket, "join", a), []);
    await ask(socket, "join", [b, c]);
    await ask(socket, "join", a);
    assert.deepEqual(await ask(socket, "rooms"), [[socket.id, a, b, c].sort()]);
    assert.deepEqual(await ask(socket, "leave", b), []);
    await ask(socket, "leave", "never joined");
    assert.deepEqual(await ask(socket, "rooms"), [[socket.id, a, c].sort()]);
  });

  it("to a room reaches its members but not the sender", async () => {
    const { event, sockets, heard } = await three(clients);
    const room = unique("room");
    await Promise.all([ask(sockets[0], "join", room), ask(sockets[1], "join", room)]);
    sockets[0].emit("to", [room], [], event, "hello", { n: 1 }, bytes(1));
    await settled(sockets[0], ...sockets);
    assert.deepEqual(heard, [[], [["hello", { n: 1 }, bytes(1)]], []]);
  });

  it("in a room reaches the sender too", async () => {
    const { event, sockets, heard } = await three(clients);
    const room = unique("room");
    await Promise.all([ask(sockets[0], "join", room), ask(sockets[1], "join", room)]);
    sockets[0].emit("in", [room], [], event, 1);
    await settled(sockets[0], ...sockets);
    assert.deepEqual(heard, [[[1]], [[1]], []]);
  });

  it("a sender need not be in the room it sends to", async () => {
    const { event, sockets, heard } = await three(clients);
    const room = unique("room");
    await ask(sockets[1], "join", room);
    sockets[0].emit("to", [room], [], event, 1);
    await settled(sockets[0], ...sockets);
    assert.deepEqual(heard, [[], [[1]], []]);
  });

  it("several rooms are a union, and each socket hears once", async () => {
    const { event, sockets, heard } = await three(clients);
    const [a, b] = [unique("a"), unique("b")];
    await ask(sockets[0], "join", [a, b]);
    await ask(sockets[1], "join", [a, b]);
    await ask(sockets[2], "join", [b]);
    sockets[0].emit("in", [a, b], [], event, 1);
    await settled(sockets[0], ...sockets);
    assert.deepEqual(heard, [[[1]], [[1]], [[1]]]);
  });

  it("except leaves out rooms, and sockets by their id", async () => {
    const { event, sockets, heard } = await three(clients);
    const [all, quiet] = [unique("all"), unique("quiet")];
    for (const socket of sockets) await ask(socket, "join", all);
    await ask(sockets[1], "join", quiet);
    sockets[0].emit("in", [all], [quiet], event, 1);
    sockets[0].emit("in", [all], [sockets[0].id, sockets[2].id], event, 2);
    sockets[0].emit("to", [all], [quiet], event, 3);
    await settled(sockets[0], ...sockets);
    assert.deepEqual(heard, [[[1]], [[2]], [[1], [3]]]);
  });

  it("a socket's id is a room of one", async () => {
    const { event, sockets, heard } = await three(clients);
    sockets[0].emit("to", [sockets[1].id], [], event, "private");
    await settled(sockets[0], ...sockets);
    assert.deepEqual(heard, [[], [["private"]], []]);
  });

  it("a broadcast reaches all but the sender, all reaches everyone", async () => {
    const { event, sockets, heard } = await three(clients);
    sockets[0].emit("broadcast", event, 1, bytes(9));
    sockets[0].emit("all", event, 2);
    sockets[0].emit("to", [], [], event, 3);
    sockets[0].emit("in", [], [], event, 4);
    await settled(sockets[0], ...sockets);
    const others = [[1, bytes(9)], [2], [3], [4]];
    assert.deepEqual(heard, [[[2], [4]], others, others]);
  });

  it("a room nobody is in reaches nobody", async () => {
    const { event, sockets, heard } = await three(clients);
    sockets[0].emit("in", [unique("empty")], [], event, 1);
    await settled(sockets[0], ...sockets);
    assert.deepEqual(heard, [[], [], []]);
  });

  it("a socket that left a room hears it no more", async () => {
    const { event, sockets, heard } = await three(clients);
    const room = unique("room");
    for (const socket of sockets) await ask(socket, "join", room);
    sockets[0].emit("in", [room], [], event, 1);
    await settled(sockets[0], ...sockets); // what two connections send may arrive in any order
    await ask(sockets[1], "leave", room);
    sockets[0].emit("in", [room], [], event, 2);
    await settled(sockets[0], ...sockets);
    assert.deepEqual(heard, [[[1], [2]], [[1]], [[1], [2]]]);
  });

  it("a socket that disconnected is in no room", needs("fetch-sockets"), async () => {
    const { sockets } = await three(clients);
    const room = unique("room");
    for (const socket of sockets) await ask(socket, "join", room);
    const ids = async () => (await ask(sockets[0], "fetch-sockets", room))[0];
    assert.deepEqual(await ids(), sockets.map((each) => each.id).sort());
    sockets[1].disconnect();
    await until(async () => (await ids()).length === 2, "two members");
  });

  it("rooms of two namespaces with one name are two rooms", async () => {
    const event = unique("event");
    const [here, there] = await Promise.all([clients.open("/"), clients.open("/custom")]);
    const heard = [collect(here, event), collect(there, event)];
    const room = unique("room");
    await Promise.all([ask(here, "join", room), ask(there, "join", room)]);
    here.emit("in", [room], [], event, 1);
    await settled(here, here);
    await settled(there, there);
    assert.deepEqual(heard, [[[1]], []]);
  });

  it("a burst to a room arrives whole and in order at every member", async () => {
    const sockets = await clients.many(3);
    const room = unique("room");
    for (const socket of sockets) await ask(socket, "join", room);
    const heard = sockets.map((socket) => collect(socket, "burst"));
    sockets[0].emit("burst", 100, "mixed", [room]);
    await settled(sockets[0], ...sockets);
    const expected = Array.from({ length: 100 }, (_, i) =>
      i % 2 ? [i, bytes(i & 255, i >> 8), Buffer.from(`x${i}`)] : [i],
    );
    for (const list of heard) assert.deepEqual(list, expected);
  });

  it("members on every transport hear the same", async () => {
    const roads = [["polling"], ["websocket"], ["polling", "websocket"]];
    const sockets = await Promise.all(
      roads.map((transports) => connected(clients.manager({ transports }).socket("/"))),
    );
    const event = unique("event");
    const heard = sockets.map((socket) => collect(socket, event));
    const room = unique("room");
    for (const socket of sockets) await ask(socket, "join", room);
    const args = ["text é", { deep: [bytes(1, 2)] }, bytes(3)];
    sockets[0].emit("in", [room], [], event, ...args);
    sockets[1].emit("to", [room], [], event, 2);
    await settled(sockets[0], ...sockets);
    await settled(sockets[1], ...sockets);
    heard.forEach((list, i) => {
      list.sort((a, b) => a.length - b.length);
      assert.deepEqual(list, i === 1 ? [args] : [[2], args]);
    });
  });

  it("the sockets of a room join and leave another together", needs("sockets-join"), async () => {
    const { event, sockets, heard } = await three(clients);
    const [room, target] = [unique("room"), unique("target")];
    await Promise.all([ask(sockets[0], "join", room), ask(sockets[1], "join", room)]);
    await ask(sockets[2], "sockets-join", room, target);
    sockets[2].emit("in", [target], [], event, 1);
    await ask(sockets[2], "sockets-leave", room, target);
    sockets[2].emit("in", [target], [], event, 2);
    await settled(sockets[2], ...sockets);
    assert.deepEqual(heard, [[[1]], [[1]], []]);
  });

  it("the sockets of a room can be listed with rooms and data", needs("fetch-full"), async () => {
    const socket = await clients.open("/", { auth: { token: "mine" } });
    const room = unique("room");
    await ask(socket, "join", room);
    await ask(socket, "set-data", { name: "é", n: [1] });
    const [[full]] = await ask(socket, "fetch-full", room);
    assert.equal(full.id, socket.id);
    assert.deepEqual(full.rooms, [socket.id, room].sort());
    assert.deepEqual(full.data, { name: "é", n: [1] });
    assert.deepEqual(full.handshake.auth, { token: "mine" });
  });

  it("an emit to this node alone reaches its sockets", needs("local"), async () => {
    const { event, sockets, heard } = await three(clients);
    const room = unique("room");
    await ask(sockets[1], "join", room);
    sockets[0].emit("local", [room], event, 1);
    await settled(sockets[0], ...sockets);
    assert.deepEqual(heard, [[], [[1]], []]);
  });
});
