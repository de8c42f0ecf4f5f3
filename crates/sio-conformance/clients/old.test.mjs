// Every generation of the official JavaScript clients, on every transport each has: socket.io-client 2
// (Engine.IO 3), 3 and 4, and engine.io-client 3 to 6 alone. Run against a server that lets Engine.IO 3 in.
//
// Environment as in support.mjs.

import { once } from "node:events";
import { after, describe } from "node:test";

import { generations, engines } from "./packages.mjs";
import { assert, it, next, unique, until, url, within } from "./support.mjs";

const roads = {
  polling: { transports: ["polling"] },
  websocket: { transports: ["websocket"] },
  upgrade: { transports: ["polling", "websocket"] },
  "polling in base64": { transports: ["polling"], forceBase64: true },
  "websocket in base64": { transports: ["websocket"], forceBase64: true },
};

/** What clients of one generation do differently, to whoever uses them. */
const dialects = {
  2: {
    // The query of a namespace is its auth, and a refusal is a bare value.
    join: (socket, nsp, auth) => socket.io.socket(nsp, { query: auth }),
    refused: "error",
    unknown: { message: "Invalid namespace" },
    unauthorized: { code: "E_AUTH" },
  },
  3: {
    join: (socket, nsp, auth) => socket.io.socket(nsp, { auth }),
    refused: "connect_error",
    unknown: "Invalid namespace",
    unauthorized: "not authorized",
  },
};
dialects[4] = dialects[3];

/** What a refusal says to its client: of an error the message. */
const said = (refusal) => (refusal instanceof Error ? refusal.message : refusal);

const open = [];
after(() => {
  // The whole connection, whatever namespaces are still joined on it.
  for (const { io } of open) (io._close ?? io.close).call(io);
});

async function connect(generation, options) {
  const socket = generations[generation](url, { forceNew: true, reconnection: false, ...options });
  open.push(socket);
  if (!socket.connected) await next(socket, "connect");
  return socket;
}

const bytes = (...values) => Buffer.from(values);
const ask = (socket, event, ...args) =>
  within(new Promise((done) => socket.emit(event, ...args, (...answer) => done(answer))), event);

for (const generation of [2, 3, 4]) {
  const dialect = dialects[generation];
  for (const [road, options] of Object.entries(roads)) {
    describe(`socket.io-client ${generation} · ${road}`, () => {
      it("text of every plane and bytes anywhere come back as they went", async () => {
        const socket = await connect(generation, options);
        const args = ["é😀\u2028\u001e", bytes(0, 1, 255), { deep: [bytes(4)] }, null, 1.5];
        const back = next(socket, "message-back");
        socket.emit("message", ...args);
        assert.deepEqual(await back, args);
        assert.deepEqual(await ask(socket, "message-with-ack", ...args), args);
      });

      it("its id is the one that the server knows", async () => {
        const socket = await connect(generation, options);
        assert.deepEqual(await ask(socket, "whoami"), [socket.id]);
        const custom = dialect.join(socket, "/custom");
        await next(custom, "connect");
        assert.deepEqual(await ask(custom, "whoami"), [custom.id]);
      });

      it("joins a namespace with what it has to say for itself, and hears why not", async () => {
        const socket = await connect(generation, options);
        const custom = dialect.join(socket, "/custom", { x: "1", y: "ä b&c=d" });
        const [auth] = await next(custom, "auth");
        assert.deepEqual(auth, { x: "1", y: "ä b&c=d" });
        const refused = async (nsp, auth) => {
          const [refusal] = await next(dialect.join(socket, nsp, auth), dialect.refused);
          return said(refusal);
        };
        assert.deepEqual(await refused("/nope"), dialect.unknown);
        assert.deepEqual(await refused("/auth", { token: "wrong" }), dialect.unauthorized);
        assert.equal(socket.connected, true);
      });

      it("leaves one namespace and stays in another", async () => {
        const socket = await connect(generation, options);
        const custom = dialect.join(socket, "/custom");
        await next(custom, "connect");
        const id = custom.id;
        custom.close();
        const reason = () => ask(socket, "disconnect-reason", id).then(([reason]) => reason);
        assert.equal(await until(reason, "a reason"), "client namespace disconnect");
      });

      it("hears that the server put it out", async () => {
        const socket = await connect(generation, options);
        const gone = next(socket, "disconnect");
        socket.emit("disconnect-me", false);
        assert.deepEqual((await gone)[0], "io server disconnect");
      });

      it("two hundred events come in order, bytes among them, also while it moves", async () => {
        const socket = await connect(generation, options);
        const seen = [];
        socket.on("burst", (...args) => seen.push(args));
        socket.emit("burst", 200, "mixed");
        await until(async () => seen.length === 200, "the burst");
        seen.forEach(([number, first, second], index) => {
          assert.equal(number, index);
          if (index % 2 === 0) return;
          assert.deepEqual(Buffer.from(first), bytes(index & 255, index >> 8));
          assert.equal(Buffer.from(second).toString(), `x${index}`);
        });
      });

      it("the heartbeat keeps a quiet connection", async () => {
        const socket = await connect(generation, options);
        await new Promise((done) => setTimeout(done, 3000)); // three intervals of the server
        assert.deepEqual(await ask(socket, "message-with-ack", "still here"), ["still here"]);
      });
    });
  }
}

it("one broadcast reaches every generation on every transport, bytes included", async () => {
  const room = unique("room");
  const sockets = [];
  for (const generation of [2, 3, 4]) {
    for (const options of Object.values(roads)) {
      const socket = await connect(generation, options);
      await ask(socket, "join", room);
      sockets.push(socket);
    }
  }
  const all = Promise.all(sockets.map((socket) => next(socket, "news")));
  sockets[0].emit("in", [room], [], "news", "😀", bytes(1, 2, 3));
  for (const [text, data] of await all) {
    assert.equal(text, "😀");
    assert.deepEqual(Buffer.from(data), bytes(1, 2, 3));
  }
});

for (const [generation, Engine] of Object.entries(engines)) {
  for (const [road, options] of Object.entries(roads)) {
    it(`engine.io-client ${generation} · ${road}: opens, moves, talks, closes`, async () => {
      const socket = new Engine(url, { path: "/socket.io/", ...options });
      const received = [];
      socket.on("message", (data) => received.push(data));
      const has = (what) => until(async () => received.some((data) => what(data)), "a message");
      await within(once(socket, "open"), "open");
      if (options.transports.length > 1) await within(once(socket, "upgrade"), "upgrade");
      // Whoever speaks Engine.IO 3 is in the namespace already.
      if (generation !== "3") socket.send("0");
      await has((data) => typeof data === "string" && data.startsWith("2[\"auth\""));
      socket.send('51-["message",{"_placeholder":true,"num":0},"é😀"]');
      socket.send(bytes(1, 2, 3));
      await has((data) => data === '51-["message-back",{"_placeholder":true,"num":0},"é😀"]');
      await has((data) => typeof data !== "string" && Buffer.from(data).equals(bytes(1, 2, 3)));
      const closed = once(socket, "close");
      socket.close();
      assert.equal((await within(closed, "close"))[0], "forced close");
    });
  }
}

