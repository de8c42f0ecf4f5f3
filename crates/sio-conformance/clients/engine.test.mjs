// Engine.IO without Socket.IO: engine.io-client against the bare server under /engine.io/.

import { after, describe } from "node:test";

import { EngineSocket } from "./packages.mjs";
import { assert, it, reference, url, within } from "./support.mjs";

const skip = reference ? { skip: "the reference serves Socket.IO alone" } : {};
const sockets = [];
after(() => sockets.forEach((socket) => socket.close()));

/** An open client, with a queue of what it has received. */
function open(transports, options = {}) {
  const socket = new EngineSocket(url, { transports, ...options });
  sockets.push(socket);
  const messages = [];
  const waiting = [];
  socket.on("message", (message) => {
    if (waiting.length) waiting.shift()(message);
    else messages.push(message);
  });
  socket.next = () =>
    messages.length
      ? Promise.resolve(messages.shift())
      : within(new Promise((done) => waiting.push(done)), "a message");
  const opened = new Promise((done, fail) => {
    socket.on("open", () => done(socket));
    socket.on("error", fail);
  });
  return within(opened, "open");
}

for (const [name, transports] of Object.entries({
  polling: ["polling"],
  websocket: ["websocket"],
  upgrade: ["polling", "websocket"],
})) {
  describe(`engine.io-client · ${name}`, () => {
    it("text and binary come back as they were sent, in order", skip, async () => {
      const socket = await open(transports);
      const bytes = Buffer.from([0, 255, 30, 4]);
      // This client shows an empty text as undefined, so none is sent.
      const sent = ["hello", "é😀", bytes, '42["no packet"]', Buffer.alloc(5000, 7)];
      for (const message of sent) socket.send(message);
      for (const message of sent) assert.deepEqual(await socket.next(), message);
    });

    it("a thousand messages come back in order, also across the upgrade", skip, async () => {
      const socket = await open(transports);
      for (let n = 0; n < 1000; n++) socket.send(String(n));
      for (let n = 0; n < 1000; n++) assert.equal(await socket.next(), String(n));
      if (name === "upgrade" && socket.transport.name !== "websocket") {
        await within(new Promise((done) => socket.on("upgrade", done)), "the upgrade");
        socket.send("moved");
        assert.equal(await socket.next(), "moved");
      }
    });

    it("it stays open without a namespace, and closes when it wants to", skip, async () => {
      const socket = await open(transports);
      await new Promise((done) => setTimeout(done, 3500));
      socket.send("still here");
      assert.equal(await socket.next(), "still here");
      const closed = new Promise((done) => socket.on("close", done));
      socket.close();
      assert.equal(await within(closed, "close"), "forced close");
    });
  });
}
