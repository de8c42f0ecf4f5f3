// Events both ways: several arguments, text and binary, and their order.

import {
  assert, ask, collect, it, msgpack, needs, next, overEveryTransport, settled, unique, until, upgraded,
} from "./support.mjs";

/** Sends `args` and asserts that the very same come back. */
async function echoes(socket, ...args) {
  const back = next(socket, "message-back");
  socket.emit("message", ...args);
  assert.deepEqual(await back, args);
}

const bytes = (...list) => Buffer.from(list);

overEveryTransport("events", (clients) => {
  it("the transport is the one that was asked for", async () => {
    const socket = await clients.open();
    if (clients.name === "upgrade") await upgraded(socket);
    const expected = clients.name === "polling" ? "polling" : "websocket";
    assert.equal(socket.io.engine.transport.name, expected);
  });

  it("an event may carry no argument, one, or several of every JSON kind", async () => {
    const socket = await clients.open();
    await echoes(socket);
    await echoes(socket, "text");
    // The client's msgpack has no integral numbers above 2^64.
    const large = msgpack ? 2 ** 53 : 1e21;
    await echoes(socket, 1, "two", true, null, [3, [4]], { five: { six: [7] } }, -0.5, large, "");
    await echoes(socket, {}, [], 0, -1, 9007199254740991, 1e-7);
  });

  it("text keeps every character", async () => {
    const socket = await clients.open();
    await echoes(socket, 'quote " backslash \\ slash / newline \n tab \t null \u0000 del \u007f');
    await echoes(socket, "é ñ ß 日本語 😀 \u2028 \u2029 \u001e \ufeff");
    await echoes(socket, { "clé ☃": "value", "": "empty key" });
    await echoes(socket, '42["message"]', "451-", "b64", "2probe");
  });

  it("undefined becomes null, as in JSON", async () => {
    const socket = await clients.open();
    const back = next(socket, "message-back");
    socket.emit("message", undefined, 1);
    assert.deepEqual(await back, [null, 1]);
  });

  it("the order of an object's keys is kept", async () => {
    const socket = await clients.open();
    const back = next(socket, "message-back");
    socket.emit("message", { z: 1, a: 2, m: { y: 3, b: 4 } });
    assert.equal(JSON.stringify(await back), '[{"z":1,"a":2,"m":{"y":3,"b":4}}]');
  });

  it("an event's name may be any text", async () => {
    const socket = await clients.open();
    for (const name of ["with space", "ünï ☃ 😀", 'quo"te\\', "", "123", "5-[", "a,b"]) {
      const heard = next(socket, name);
      socket.emit("in", [socket.id], [], name, 1);
      assert.deepEqual(await heard, [1]);
    }
  });

  it("an object that only looks like a placeholder is an object", async () => {
    const socket = await clients.open();
    await echoes(socket, { _placeholder: true, num: 0 });
  });

  it("one binary argument comes back byte for byte", async () => {
    const socket = await clients.open();
    await echoes(socket, bytes(0, 1, 2, 0xff, 0x1e, 0x62));
    await echoes(socket, bytes(...Array.from({ length: 256 }, (_, i) => i)));
    await echoes(socket, Buffer.alloc(0));
  });

  it("binary arguments may be nested, several, and mixed with text", async () => {
    const socket = await clients.open();
    await echoes(socket, bytes(1), "text", bytes(2), { deep: [{ file: bytes(3) }, null, bytes(4)] });
    await echoes(socket, [[[bytes(5)]]], { a: bytes(6), b: { c: bytes(7), d: "é" } });
  });

  it("a packet may carry ten attachments", async () => {
    const socket = await clients.open();
    await echoes(socket, ...Array.from({ length: 10 }, (_, i) => bytes(i, i + 1)));
  });

  it("array buffers and typed arrays arrive as bytes", async () => {
    const socket = await clients.open();
    const back = next(socket, "message-back");
    socket.emit("message", new Uint8Array([1, 2]).buffer, new Uint16Array([0x0403]));
    assert.deepEqual(await back, [bytes(1, 2), bytes(3, 4)]);
  });

  it("payloads just under the limit pass, text and binary", async () => {
    const socket = await clients.open();
    await echoes(socket, "x".repeat(60_000));
    await echoes(socket, "é".repeat(30_000));
    await echoes(socket, Buffer.alloc(60_000, 7));
  });

  it("events arrive in the order they were sent, text and binary mixed", async () => {
    const socket = await clients.open();
    const seen = collect(socket, "message-back");
    for (let i = 0; i < 100; i++) {
      socket.emit("message", i % 3 === 0 ? bytes(i) : i % 3 === 1 ? { i, file: bytes(i) } : i);
    }
    await until(() => seen.length === 100, "100 events");
    const order = seen.map(([value]) => value.i ?? (Buffer.isBuffer(value) ? value[0] : value));
    assert.deepEqual(order, Array.from({ length: 100 }, (_, i) => i));
  });

  it("a burst keeps its order and each packet its attachments", async () => {
    const socket = await clients.open();
    const seen = collect(socket, "burst");
    socket.emit("burst", 300, "mixed");
    await until(() => seen.length === 300, "300 events");
    seen.forEach((args, i) => {
      const expected = i % 2 ? [i, bytes(i & 255, i >> 8), Buffer.from(`x${i}`)] : [i];
      assert.deepEqual(args, expected);
    });
  });

  it("a burst that begins before an upgrade loses, doubles and reorders nothing", async () => {
    const socket = await clients.open();
    const seen = collect(socket, "burst");
    const echoed = collect(socket, "message-back");
    for (let round = 0; round < 10; round++) {
      socket.emit("burst", 20, "mixed");
      socket.emit("message", round);
      await ask(socket, "whoami");
    }
    if (clients.name === "upgrade") await upgraded(socket);
    assert.deepEqual(seen.map(([i]) => i), Array.from({ length: 200 }, (_, i) => i % 20));
    assert.deepEqual(echoed.map(([i]) => i), Array.from({ length: 10 }, (_, i) => i));
  });

  it("a volatile event reaches a client that can take it", needs("volatile"), async () => {
    const socket = await clients.open();
    if (clients.name === "upgrade") await upgraded(socket);
    await settled(socket, socket);
    const name = unique("volatile");
    const heard = next(socket, name);
    const tries = setInterval(() => socket.emit("volatile", name, 1, bytes(2)), 50);
    assert.deepEqual(await heard.finally(() => clearInterval(tries)), [1, bytes(2)]);
  });

  it("volatile events may be dropped but never overtake", needs("volatile"), async () => {
    const socket = await clients.open();
    const seen = [];
    socket.on("message-back", (i) => seen.push(i));
    for (let i = 0; i < 40; i += 2) {
      socket.emit("message", i);
      socket.emit("volatile", "message-back", i + 1);
    }
    await settled(socket, socket);
    assert.deepEqual(seen, [...seen].sort((a, b) => a - b));
    assert.deepEqual(seen.filter((i) => i % 2 === 0), Array.from({ length: 20 }, (_, i) => 2 * i));
  });

  it("a volatile flood is dropped, not queued, for a client that is busy", needs("volatile", "flood"), async () => {
    const socket = await clients.open();
    const seen = collect(socket, "flood");
    const room = unique("room");
    await ask(socket, "join", room);
    socket.emit("flood", [room], 50, 10, true);
    await settled(socket, socket);
    const order = seen.map(([i]) => i);
    assert.deepEqual(order, [...new Set(order)].sort((a, b) => a - b));
  });

  it("an unknown event is ignored", async () => {
    const socket = await clients.open();
    socket.emit("no-such-event", 1, bytes(2));
    socket.emit("no-such-event", () => assert.fail("nobody answers"));
    await echoes(socket, "still here");
  });

  it("arguments of an unexpected type do no harm", async () => {
    const socket = await clients.open();
    for (const event of ["join", "leave", "to", "in", "broadcast", "all", "burst", "whoami", "rooms", "message-with-ack", "disconnect-reason", "ask-client"]) {
      socket.emit(event);
      socket.emit(event, { a: 1 }, 5, null, bytes(1));
      socket.emit(event, -1, "a", { length: -1 });
    }
    await echoes(socket, "still here");
  });
});
