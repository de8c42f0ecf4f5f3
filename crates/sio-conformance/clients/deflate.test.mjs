// permessage-deflate as the official client negotiates it. Environment: PMD, as the server has it.

import { Wire } from "./raw.mjs";
import { Clients, assert, ask, it, next, upgraded } from "./support.mjs";

const mode = process.env.PMD ?? "1";

/** The extension as it was agreed to, on the socket of `ws`. */
const agreed = (ws) => (ws.extensions ? [...ws.extensions.split(",")] : []);

const TEXT = "again and again ".repeat(3000);

for (const transports of [["websocket"], ["polling", "websocket"]]) {
  const clients = new Clients(transports.join(" then "), transports);

  it(`${transports.join(" then ")}: the client and the server agree to what both are set to`, async (t) => {
    t.after(() => clients.close());
    const socket = await clients.open();
    if (transports.length > 1) await upgraded(socket);
    const { ws } = socket.io.engine.transport;
    assert.deepEqual(agreed(ws), mode === "0" ? [] : ["permessage-deflate"]);
    const before = ws._socket.bytesRead;
    for (let i = 0; i < 5; i++) {
      assert.deepEqual(await ask(socket, "message-with-ack", TEXT, Buffer.alloc(20_000, i)), [TEXT, Buffer.alloc(20_000, i)]);
    }
    const received = ws._socket.bytesRead - before;
    if (mode === "0") assert.ok(received > 300_000, `${received} bytes`);
    else assert.ok(received < 20_000, `${received} bytes`);
  });

  it(`${transports.join(" then ")}: what the client leaves uncompressed is read, too`, async (t) => {
    t.after(() => clients.close());
    const socket = await clients.open();
    const back = next(socket, "message-back");
    socket.compress(false).emit("message", TEXT);
    assert.deepEqual(await back, [TEXT]);
  });
}

it("a client that offers nothing gets nothing", async () => {
  const wire = await Wire.open({ EIO: 4, transport: "websocket" }, { perMessageDeflate: false });
  assert.equal(wire.ws.extensions, "");
  wire.close();
});

it("windows of every size are kept to", async () => {
  if (mode === "0") return;
  for (let bits = 9; bits <= 15; bits++) {
    const wire = await Wire.session({
      perMessageDeflate: { serverMaxWindowBits: bits, clientMaxWindowBits: bits, threshold: 0 },
    });
    wire.send("40");
    await wire.packet("40");
    for (let i = 0; i < 3; i++) {
      wire.send(`42${i}["message-with-ack","${TEXT}${i}"]`);
      assert.equal(await wire.packet(`43${i}`), `43${i}["${TEXT}${i}"]`);
    }
    wire.close();
  }
});
