// HTTP/2 as Node's own client speaks it, without TLS: polling, the upgrade and WebSockets are streams of one
// connection (RFC 8441). Only on our own listener, where it is switched on for this.

import { once } from "node:events";
import http2 from "node:http2";
import { after, before, describe } from "node:test";

import { assert, it, url, within } from "./support.mjs";

const skip = process.env.HTTP2 === "1" ? {} : { skip: "HTTP/2 is off here" };

let session;
before(async () => {
  if (skip.skip) return;
  session = http2.connect(url);
  await within(once(session, "remoteSettings"), "the server's settings");
});
after(() => session?.close());

const SEPARATOR = "\u001e";

/** One request: its status, headers and body. */
async function ask(query, body, extra = {}) {
  const stream = session.request({
    ":path": `/socket.io/?EIO=4&${query}`,
    ":method": body === undefined ? "GET" : "POST",
    ...extra,
  });
  stream.setEncoding("utf8");
  if (body === undefined) stream.end();
  else stream.end(body);
  const [headers] = await within(once(stream, "response"), "an answer");
  let text = "";
  for await (const chunk of stream) text += chunk;
  return { status: headers[":status"], headers, text };
}

/** A session over polling that is in `/`. */
async function join() {
  const { status, text } = await ask("transport=polling");
  assert.equal(status, 200);
  const { sid } = JSON.parse(text.slice(1));
  const polling = {
    query: `transport=polling&sid=${sid}`,
    sid,
    received: [],
    send: async (...packets) =>
      assert.equal((await ask(polling.query, packets.join(SEPARATOR))).text, "ok"),
    /** Polls, answering pings, until a packet that begins with `prefix` has come. */
    packet: async (prefix) => {
      for (;;) {
        const at = polling.received.findIndex((packet) => packet.startsWith(prefix));
        if (at >= 0) return polling.received.splice(0, at + 1)[at];
        const packets = (await ask(polling.query)).text.split(SEPARATOR);
        if (packets.includes("2")) await polling.send("3");
        polling.received.push(...packets);
      }
    },
  };
  await polling.send("40");
  await polling.packet("40");
  await polling.packet('42["auth"');
  return polling;
}

/** A WebSocket as a stream: frames by hand, with a mask of zeros. */
async function websocket(query) {
  const stream = session.request({
    ":method": "CONNECT",
    ":protocol": "websocket",
    ":scheme": "http",
    ":path": `/socket.io/?EIO=4&transport=websocket${query}`,
    ":authority": new URL(url).host,
    "sec-websocket-version": "13",
  });
  const [headers] = await within(once(stream, "response"), "an answer");
  let unread = Buffer.alloc(0);
  const send = (opcode, payload) => {
    const data = Buffer.from(payload);
    const head = [0x80 | opcode];
    if (data.length < 126) head.push(0x80 | data.length);
    else head.push(0x80 | 126, data.length >> 8, data.length & 255);
    stream.write(Buffer.concat([Buffer.from([...head, 0, 0, 0, 0]), data]));
  };
  return {
    status: headers[":status"],
    stream,
    text: (text) => send(1, text),
    binary: (data) => send(2, data),
    close: () => send(8, Buffer.from([3, 232])),
    /** The payload of the next frame: a text, or bytes. */
    next: () =>
      within(
        (async () => {
          for (;;) {
            if (unread.length >= 2) {
              const long = unread[1] === 126;
              const start = long ? 4 : 2;
              if (unread.length >= start) {
                const end = start + (long ? unread.readUInt16BE(2) : unread[1]);
                if (unread.length >= end) {
                  const [opcode, payload] = [unread[0] & 15, unread.subarray(start, end)];
                  unread = unread.subarray(end);
                  return opcode === 1 ? payload.toString() : payload;
                }
              }
            }
            const chunk = stream.read();
            if (chunk) unread = Buffer.concat([unread, chunk]);
            else await once(stream, "readable");
          }
        })(),
        "a frame",
      ),
  };
}

describe("HTTP/2", () => {
  it("polling goes both ways, requests side by side on one connection", skip, async () => {
    const polling = await Promise.all(Array.from({ length: 20 }, join));
    assert.equal(new Set(polling.map(({ sid }) => sid)).size, 20);
    await Promise.all(
      polling.map(async (one, n) => {
        const answer = one.packet("42");
        await one.send(`42["message","é${n}"]`);
        assert.equal(await answer, `42["message-back","é${n}"]`);
      }),
    );
    await Promise.all(polling.map((one) => one.send("1")));
  });

  it("errors are those of HTTP/1.1, and the connection goes on", skip, async () => {
    const { status, headers, text } = await ask("transport=nope");
    assert.equal(status, 400);
    assert.match(headers["content-type"], /^application\/json/);
    assert.deepEqual(JSON.parse(text), { code: 0, message: "Transport unknown" });
    const unknown = await ask("transport=polling&sid=AAAAAAAAAAAAAAAAAAAA", "40");
    assert.deepEqual(JSON.parse(unknown.text), { code: 1, message: "Session ID unknown" });
    const { maxPayload } = JSON.parse((await ask("transport=polling")).text.slice(1));
    const polling = await join();
    assert.equal((await ask(polling.query, "4".repeat(maxPayload + 1))).status, 413);
    await polling.send("1");
  });

  it("a WebSocket is a stream, by extended CONNECT", skip, async () => {
    assert.equal(session.remoteSettings.enableConnectProtocol, true);
    const ws = await websocket("");
    assert.equal(ws.status, 200);
    assert.match(await ws.next(), /^0\{"sid":"[A-Za-z0-9_-]{20}","upgrades":\[\]/);
    ws.text("40");
    assert.match(await ws.next(), /^40\{"sid":/);
    assert.equal(await ws.next(), '42["auth",{}]');
    ws.text('42["message",1]');
    let packet;
    while ((packet = await ws.next()) === "2") ws.text("3");
    assert.equal(packet, '42["message-back",1]');
    ws.text('451-["message",{"_placeholder":true,"num":0}]');
    ws.binary([1, 2, 3]);
    while ((packet = await ws.next()) === "2") ws.text("3");
    assert.equal(packet, '451-["message-back",{"_placeholder":true,"num":0}]');
    assert.deepEqual(await ws.next(), Buffer.from([1, 2, 3]));
    ws.close();
    while ((packet = await ws.next()) === "2");
    assert.deepEqual(packet, Buffer.from([3, 232]));
    ws.stream.close();
  });

  it("a session moves from polling to a WebSocket of the same connection", skip, async () => {
    const polling = await join();
    const ws = await websocket(`&sid=${polling.sid}`);
    assert.equal(ws.status, 200);
    ws.text("2probe");
    assert.equal(await ws.next(), "3probe");
    assert.equal((await ask(polling.query)).text, "6");
    ws.text("5");
    ws.text('42["message",2]');
    let packet;
    while ((packet = await ws.next()) === "2") ws.text("3");
    assert.equal(packet, '42["message-back",2]');
    ws.close();
    ws.stream.close();
  });

  it("a CONNECT for anything else is refused", skip, async () => {
    const stream = session.request({
      ":method": "CONNECT",
      ":protocol": "carrier-pigeon",
      ":scheme": "http",
      ":path": "/socket.io/?EIO=4&transport=websocket",
      ":authority": new URL(url).host,
      "sec-websocket-version": "13",
    });
    const [headers] = await within(once(stream, "response"), "an answer");
    assert.ok(headers[":status"] >= 400, `${headers[":status"]}`);
    stream.close();
  });
});
