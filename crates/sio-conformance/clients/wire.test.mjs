// What goes over the wire, byte for byte: the behaviours the protocols' own test suites ask for,
// and the answers to requests that no client library would make.

import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { after, before, describe } from "node:test";

import { Polling, SEPARATOR, Wire, address } from "./raw.mjs";
import { Clients, assert, ask, it, needs, reasonOf, reference, until, url, within } from "./support.mjs";

const wires = [];
/** `wire`, closed at the end of the file's tests. */
const keep = async (wire) => (wires.push(await wire), wire);

const clients = new Clients("websocket", ["websocket"]);
let witness;
let limits;
before(async () => {
  witness = await clients.open();
  limits = (await Polling.open()).handshake;
});
after(() => {
  clients.close();
  for (const wire of wires) wire.close();
});

/** Nothing tells when a request that the server answers later has arrived: it is given its time. */
const arrived = () => new Promise((done) => setTimeout(done, 100));

/** Asserts that `response` is the Engine.IO error `code`. */
async function refusedWith(response, code, message, status = 400) {
  assert.equal(response.status, status);
  assert.match(response.headers.get("content-type"), /^application\/json/);
  assert.deepEqual(await response.json(), { code, message });
}

/** What the server answered instead of a WebSocket: status, headers, body. */
function refusedUpgrade(query, options = {}) {
  return within(
    new Promise(async (done, fail) => {
      const { WebSocket } = await import("./packages.mjs");
      const ws = new WebSocket(address(query).replace(/^http/, "ws"), options);
      ws.on("unexpected-response", async (_, response) => {
        let body = "";
        for await (const chunk of response) body += chunk;
        done({ status: response.statusCode, headers: response.headers, body });
      });
      ws.on("open", () => {
        ws.terminate();
        fail(new Error("the upgrade was accepted"));
      });
      ws.on("error", () => {});
    }),
    "the refusal",
  );
}

describe("the HTTP side", () => {
  it("GET /healthz is 200 ok, and a foreign path 404", async () => {
    const health = await fetch(`${url}/healthz`);
    assert.equal(health.status, 200);
    assert.equal(await health.text(), "ok");
    for (const path of ["/", "/nope", "/socket.io", "/socket.i/?EIO=4&transport=polling", "/engine.io-admin"]) {
      assert.equal((await fetch(url + path)).status, 404, path);
    }
  });

  it("a handshake tells what the session may do", async () => {
    const { handshake, response } = await Polling.open();
    assert.deepEqual(Object.keys(handshake), ["sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"]);
    assert.match(handshake.sid, /^[A-Za-z0-9_-]{20}$/);
    assert.deepEqual(handshake.upgrades, ["websocket"]);
    for (const field of ["pingInterval", "pingTimeout", "maxPayload"]) {
      assert.equal(typeof handshake[field], "number");
    }
    assert.match(response.headers.get("content-type"), /^text\/plain; ?charset=utf-8$/i);
    assert.equal(response.headers.get("cache-control"), "no-store");
  });

  it("every handshake has an id of its own", async () => {
    const sessions = await Promise.all(Array.from({ length: 20 }, () => Polling.open()));
    assert.equal(new Set(sessions.map((session) => session.sid)).size, 20);
  });

  it("the handshake, and it alone, sets the session cookie", needs("cookie"), async () => {
    const session = await Polling.open();
    assert.equal(
      session.response.headers.get("set-cookie"),
      `io=${session.sid}; Path=/; HttpOnly; SameSite=Lax`,
    );
    const post = await session.post("40");
    assert.equal(post.headers.get("set-cookie"), null);
    assert.equal((await session.get()).headers.get("set-cookie"), null);
  });

  it("answers, errors and preflights carry the headers of CORS", needs("cors"), async () => {
    const origin = { headers: { origin: "http://elsewhere.example" } };
    const good = await fetch(address({ EIO: 4, transport: "polling" }), origin);
    assert.equal(good.headers.get("access-control-allow-origin"), "*");
    const bad = await fetch(address({ EIO: 4, transport: "nope" }), origin);
    assert.equal(bad.headers.get("access-control-allow-origin"), "*");
    const preflight = await fetch(address({ EIO: 4, transport: "polling" }), {
      method: "OPTIONS",
      headers: {
        origin: "http://elsewhere.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
      },
    });
    assert.equal(preflight.status, 204);
    assert.equal(preflight.headers.get("access-control-allow-origin"), "*");
    assert.match(preflight.headers.get("access-control-allow-methods"), /POST/);
  });

  it("a transport that is unknown, or named as an object's own, is error 0", async () => {
    for (const transport of ["abc", "", "constructor", "Polling", "webtransport"]) {
      await refusedWith(await fetch(address({ EIO: 4, transport })), 0, "Transport unknown");
    }
    await refusedWith(await fetch(address({ EIO: 4 })), 0, "Transport unknown");
  });

  it("a session id that is unknown is error 1", async () => {
    for (const sid of ["abc", "AAAAAAAAAAAAAAAAAAAA", "x".repeat(2000), "é\u0000"]) {
      const there = address({ EIO: 4, transport: "polling", sid });
      await refusedWith(await fetch(there), 1, "Session ID unknown");
      await refusedWith(await fetch(there, { method: "POST", body: "40" }), 1, "Session ID unknown");
    }
  });

  it("a handshake by any method but GET is error 2", async () => {
    for (const method of ["POST", "PUT", "DELETE", "PATCH"]) {
      const response = await fetch(address({ EIO: 4, transport: "polling" }), { method });
      await refusedWith(response, 2, "Bad handshake method");
    }
  });

  it("a handshake for WebSocket that asks for no upgrade is error 3", async () => {
    await refusedWith(await fetch(address({ EIO: 4, transport: "websocket" })), 3, "Bad request");
  });

  it("a protocol version that is unknown, or missing, is error 5", async () => {
    for (const query of [{ transport: "polling" }, { EIO: 3, transport: "polling" }, { EIO: "abc", transport: "polling" }, { EIO: 5, transport: "polling" }]) {
      await refusedWith(await fetch(address(query)), 5, "Unsupported protocol version");
    }
  });

  it("a method that a session does not know does it no harm", async () => {
    const session = await Polling.join();
    for (const method of ["PUT", "DELETE"]) {
      const response = await fetch(session.url(), { method });
      assert.ok([400, 405, 500].includes(response.status), `${response.status}`);
    }
    await session.send('42["message",1]');
    assert.equal(await session.packet("42"), '42["message-back",1]');
  });

  it("a body over the limit is 413, and the session lives on", async () => {
    const session = await Polling.join();
    const { maxPayload } = session.handshake;
    const response = await session.post(`42["message","${"x".repeat(maxPayload)}"]`);
    assert.equal(response.status, 413);
    await session.send('42["message",1]');
    assert.equal(await session.packet("42"), '42["message-back",1]');
  });

  it("a body of exactly the limit passes", async () => {
    const session = await Polling.join();
    const { maxPayload } = session.handshake;
    const frame = '42["no-such-event",""]';
    await session.send(frame.replace('""', `"${"x".repeat(maxPayload - frame.length)}"`));
    await session.send('42["message",1]');
    assert.equal(await session.packet("42"), '42["message-back",1]');
  });
});

describe("polling", () => {
  it("messages go in the body of a POST and come in the body of a GET", async () => {
    const session = await Polling.join();
    const post = await session.post('42["message","é😀"]');
    assert.equal(post.status, 200);
    assert.match(post.headers.get("content-type"), /^text\/html/);
    assert.equal(await post.text(), "ok");
    const get = await session.get();
    assert.match(get.headers.get("content-type"), /^text\/plain; ?charset=utf-8$/i);
    assert.equal(get.headers.get("cache-control"), "no-store");
    assert.equal(get.headers.get("content-length"), `${Buffer.byteLength('42["message-back","é😀"]')}`);
    assert.equal(await get.text(), '42["message-back","é😀"]');
  });

  it("several packets share a body, each way", async () => {
    const session = await Polling.join();
    await session.send('42["message",1]', '42["message",2]', '42["message",3]');
    const packets = await session.poll();
    while (packets.length < 3) packets.push(...(await session.poll()));
    assert.deepEqual(packets, ['42["message-back",1]', '42["message-back",2]', '42["message-back",3]']);
  });

  it("binary packets are base64 behind a b", async () => {
    const session = await Polling.join();
    await session.send('451-["message",{"_placeholder":true,"num":0}]', "bAQIDBA==");
    assert.equal(await session.packet("451-"), '451-["message-back",{"_placeholder":true,"num":0}]');
    assert.equal(await session.packet("b"), "bAQIDBA==");
  });

  it("a GET waits until there is something to say", async () => {
    const session = await Polling.join();
    const waiting = session.poll();
    await arrived();
    await session.send('42["message","late"]');
    assert.deepEqual(await waiting, ['42["message-back","late"]']);
  });

  it("a second GET while one waits closes the session", async () => {
    const session = await Polling.join();
    const first = session.get();
    await arrived();
    const second = await session.get();
    assert.equal(second.status, 400);
    assert.equal(await (await first).text(), "1");
    assert.equal(await reasonOf(witness, session.socket), "transport error");
    await refusedWith(await session.get(), 1, "Session ID unknown");
  });

  it("a client that ends its session with 1 gets its GET answered", async () => {
    const session = await Polling.join();
    const waiting = session.poll();
    await arrived();
    await session.send("1");
    assert.deepEqual(await waiting, ["6"]);
    assert.equal(await reasonOf(witness, session.socket), "transport close");
    await refusedWith(await session.get(), 1, "Session ID unknown");
  });

  it("a packet of an unknown kind ends the session", async () => {
    for (const body of ["abc", "7", "6\u001e9", ""]) {
      const session = await Polling.join();
      await (await session.post(body)).arrayBuffer();
      assert.equal(await reasonOf(witness, session.socket), "parse error", JSON.stringify(body));
    }
  });

  it("a body of an octet stream is refused and ends the session", async () => {
    const session = await Polling.join();
    const response = await session.post(Buffer.from([4]), {
      headers: { "content-type": "application/octet-stream" },
    });
    assert.equal(response.status, 400);
    assert.equal(await reasonOf(witness, session.socket), "transport error");
  });

  it("a GET that is torn off while it waits ends the session", async () => {
    const session = await Polling.join();
    const { hostname, port, pathname, search } = new URL(session.url());
    const socket = net.connect(port, hostname);
    socket.write(`GET ${pathname}${search} HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`);
    await arrived();
    socket.end();
    assert.equal(await reasonOf(witness, session.socket), "transport error");
    socket.destroy();
  });

  it("a server that closes says so in the next answers", async () => {
    const session = await Polling.join();
    await session.send('42["disconnect-me",true]');
    // Not in the answer that carries the goodbye: the official client would then see the end of
    // the connection first, and come back although it was told not to.
    assert.deepEqual(await session.poll(), ["41"]);
    assert.equal((await session.poll()).at(-1), "1");
  });
});

describe("WebSocket", () => {
  it("a session opens with the same packet, and no upgrades", async () => {
    const wire = await keep(Wire.session());
    assert.deepEqual(Object.keys(wire.handshake), ["sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"]);
    assert.match(wire.handshake.sid, /^[A-Za-z0-9_-]{20}$/);
    assert.deepEqual(wire.handshake.upgrades, []);
  });

  it("text and binary go as they are", async () => {
    const wire = await keep(Wire.join());
    wire.send('42["message","é😀"]');
    assert.equal(await wire.packet("42"), '42["message-back","é😀"]');
    wire.send('451-["message",{"_placeholder":true,"num":0}]', Buffer.from([1, 2, 3]));
    assert.equal(await wire.packet("45"), '451-["message-back",{"_placeholder":true,"num":0}]');
    assert.deepEqual(await wire.read(), Buffer.from([1, 2, 3]));
  });

  it("a refused upgrade is a plain answer", async () => {
    const wrong = [
      [{ EIO: 4, transport: "abc" }, "Transport unknown"],
      [{ EIO: 4 }, "Transport unknown"],
      [{ EIO: 4, transport: "websocket", sid: "abc" }, "Session ID unknown"],
    ];
    // Node accepts these two and breaks the stream afterwards; we refuse them.
    if (!reference) {
      wrong.push([{ transport: "websocket" }, "Unsupported protocol version"]);
      wrong.push([{ EIO: 3, transport: "websocket" }, "Unsupported protocol version"]);
    }
    for (const [query, message] of wrong) {
      const { status, body } = await refusedUpgrade(query);
      assert.equal(status, 400, message);
      assert.ok(body.includes(message), body);
    }
  });

  it("a version of WebSocket other than 13 is told which there is", async () => {
    const request = http.get(address({ EIO: 4, transport: "websocket" }), {
      headers: {
        connection: "Upgrade",
        upgrade: "websocket",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-version": "7",
      },
    });
    const [response] = await within(once(request, "response"), "the refusal");
    // RFC 6455 §4.4 asks for 426; Node answers 400 and speaks 8 too.
    assert.equal(response.statusCode, reference ? 400 : 426);
    assert.equal(response.headers["sec-websocket-version"], reference ? "13, 8" : "13");
    response.destroy();
  });

  it("an empty packet, or one of an unknown kind, ends the session", async () => {
    for (const message of ["", "7", "abc"]) {
      const wire = await Wire.join();
      wire.send(message);
      await wire.end();
      assert.equal(await reasonOf(witness, wire.socket), "parse error", JSON.stringify(message));
    }
  });

  it("kinds that a client has no business sending are ignored", async () => {
    const wire = await keep(Wire.join());
    wire.send("6", "0", "3", "5", '42["message",1]');
    assert.equal(await wire.packet("42"), '42["message-back",1]');
  });

  it("a ping from the client, in this revision the server's, ends the session", async () => {
    const wire = await Wire.join();
    wire.send("2");
    await wire.end();
    assert.equal(await reasonOf(witness, wire.socket), "transport error");
  });

  it("a message over the limit is closed with 1009, one of the limit passes", async () => {
    const wire = await Wire.join();
    const frame = '42["no-such-event",""]';
    const { maxPayload } = wire.handshake;
    wire.send(frame.replace('""', `"${"x".repeat(maxPayload - frame.length)}"`));
    wire.send('42["message",1]');
    assert.equal(await wire.packet("42"), '42["message-back",1]');
    wire.send(frame.replace('""', `"${"x".repeat(maxPayload - frame.length + 1)}"`));
    assert.equal((await wire.end()).code, 1009);
  });

  it("a closing client is let go", async () => {
    const wire = await Wire.join();
    wire.ws.close(1000);
    await wire.end();
    assert.equal(await reasonOf(witness, wire.socket), "transport close");
  });

  it("a frame that pings is answered with its payload", async () => {
    const wire = await keep(Wire.join());
    const pong = within(once(wire.ws, "pong"), "a pong");
    wire.ws.ping("hello");
    assert.equal((await pong)[0].toString(), "hello");
  });

  it("messages may come in fragments, with control frames between", async () => {
    const wire = await keep(Wire.join());
    wire.ws.send('42["mess', { fin: false });
    wire.ws.ping();
    wire.ws.send('age","a', { fin: false });
    wire.ws.pong();
    wire.ws.send('b"]', { fin: true });
    assert.equal(await wire.packet("42"), '42["message-back","ab"]');
  });
});

describe("the heartbeat", () => {
  for (const [name, open] of [["polling", () => Polling.join()], ["websocket", () => Wire.join()]]) {
    it(`over ${name}: a ping every interval, as long as pongs come back`, async () => {
      const session = await open();
      for (let i = 0; i < 3; i++) {
        const asked = performance.now();
        if (session.poll) assert.deepEqual(await session.poll(), ["2"]);
        else assert.equal(await session.read(), "2");
        const waited = performance.now() - asked;
        if (i > 0) assert.ok(waited > limits.pingInterval - 150, `a ping after ${waited} ms`);
        assert.ok(waited < limits.pingInterval + 1000, `a ping after ${waited} ms`);
        session.send("3");
      }
      assert.deepEqual(await ask(witness, "disconnect-reason", session.socket), [null]);
      session.close?.();
    });

    it(`over ${name}: a client that does not answer is given up`, async () => {
      const session = await open();
      const began = performance.now();
      if (session.end) await session.end(10_000);
      else while (!(await session.poll().catch(() => ["1"])).includes("1"));
      const waited = performance.now() - began;
      const due = limits.pingInterval + limits.pingTimeout;
      assert.ok(waited > due - 300 && waited < due + 1500, `closed after ${waited} ms`);
      assert.equal(await reasonOf(witness, session.socket), "ping timeout");
    });
  }
});

describe("the upgrade", () => {
  /** A session that polls, and a WebSocket that has probed for it. */
  async function probed() {
    const session = await Polling.join();
    const wire = await keep(Wire.open({ EIO: 4, transport: "websocket", sid: session.sid }));
    wire.send("2probe");
    assert.equal(await wire.read(), "3probe");
    return { session, wire };
  }

  it("a waiting GET is let go, and the session goes on over the WebSocket", async () => {
    const { session, wire } = await probed();
    assert.deepEqual(await session.poll(), ["6"]);
    wire.send("5");
    wire.send('42["message",1]');
    assert.equal(await wire.packet("42"), '42["message-back",1]');
    wire.send('451-["message",{"_placeholder":true,"num":0}]', Buffer.from([9]));
    assert.equal(await wire.packet("45"), '451-["message-back",{"_placeholder":true,"num":0}]');
  });

  it("a GET that waited before the probe is let go too", async () => {
    const session = await Polling.join();
    const waiting = session.poll();
    await arrived();
    const wire = await keep(Wire.open({ EIO: 4, transport: "websocket", sid: session.sid }));
    wire.send("2probe");
    assert.equal(await wire.read(), "3probe");
    assert.deepEqual(await waiting, ["6"]);
    wire.send("5");
    wire.send('42["message",1]');
    assert.equal(await wire.packet("42"), '42["message-back",1]');
  });

  it("what was queued before the switch comes over one road or the other, once and in order", async () => {
    const { session, wire } = await probed();
    await session.send('42["message",1]', '42["message",2]');
    const early = (await session.poll()).filter((packet) => packet !== "6");
    await session.send('42["message",3]');
    wire.send("5");
    wire.send('42["message",4]');
    const late = [];
    while (early.length + late.length < 4) late.push(await wire.packet("42"));
    assert.deepEqual([...early, ...late], [1, 2, 3, 4].map((n) => `42["message-back",${n}]`));
  });

  it("what comes in one segment with the end of the probe, or right behind it, is heard", async () => {
    for (let i = 0; i < 10; i++) {
      const { session, wire } = await probed();
      assert.deepEqual(await session.poll(), ["6"]);
      wire.together("5", '42["message",1]', '451-["message",{"_placeholder":true,"num":0}]', Buffer.from([2]));
      wire.send('42["message",3]');
      assert.equal(await wire.packet("42"), '42["message-back",1]');
      assert.equal(await wire.packet("451-"), '451-["message-back",{"_placeholder":true,"num":0}]');
      assert.deepEqual(await wire.read(), Buffer.from([2]));
      assert.equal(await wire.packet("42"), '42["message-back",3]');
    }
  });

  it("what comes in one segment with the probe itself is heard", async () => {
    const session = await Polling.join();
    const wire = await keep(Wire.open({ EIO: 4, transport: "websocket", sid: session.sid }));
    wire.together("2probe", "5", '42["message",1]');
    assert.equal(await wire.packet("3probe"), "3probe");
    assert.equal(await wire.packet("42"), '42["message-back",1]');
  });

  it("after the switch, requests by polling are refused", async () => {
    const { session, wire } = await probed();
    assert.deepEqual(await session.poll(), ["6"]);
    wire.send("5", '42["message",1]');
    await wire.packet("42");
    await refusedWith(await session.get(), 3, "Bad request");
    await refusedWith(await session.post("40"), 3, "Bad request");
    wire.send('42["message",2]');
    assert.equal(await wire.packet("42"), '42["message-back",2]');
  });

  it("a second WebSocket for the session is closed, and the first lives", async () => {
    const { session, wire } = await probed();
    assert.deepEqual(await session.poll(), ["6"]);
    wire.send("5", '42["message",1]');
    await wire.packet("42");
    const second = new Wire(new wire.ws.constructor(
      address({ EIO: 4, transport: "websocket", sid: session.sid }).replace(/^http/, "ws"),
    ));
    await second.end();
    wire.send('42["message",2]');
    assert.equal(await wire.packet("42"), '42["message-back",2]');
  });

  it("a WebSocket that says something else than a probe is closed; polling goes on", async () => {
    const session = await Polling.join();
    const wire = await Wire.open({ EIO: 4, transport: "websocket", sid: session.sid });
    wire.send("4hello");
    await wire.end();
    await session.send('42["message",1]');
    assert.equal(await session.packet("42"), '42["message-back",1]');
  });

  it("a WebSocket that dies after its probe costs nothing; the next one may upgrade", async () => {
    const { session, wire } = await probed();
    await session.send('42["message",1]');
    wire.close();
    assert.equal(await session.packet("42"), '42["message-back",1]');
    // While the server has not seen the first one end, it takes no second.
    const again = await until(async () => {
      const second = await keep(Wire.open({ EIO: 4, transport: "websocket", sid: session.sid }));
      second.send("2probe");
      return (await second.read().catch(() => null)) === "3probe" && second;
    }, "another probe to be answered");
    again.send("5", '42["message",2]');
    assert.equal(await again.packet("42"), '42["message-back",2]');
  });

  it("a probe that is never followed up is closed in time; polling goes on", async () => {
    const { session, wire } = await probed();
    const ended = wire.end();
    const packets = [];
    let open = true;
    ended.finally(() => (open = false));
    while (open) {
      const polled = await session.poll();
      if (polled.includes("2")) await session.send("3");
      packets.push(...polled);
    }
    await session.send('42["message",1]');
    assert.equal(await session.packet("42"), '42["message-back",1]');
  });
});

describe("Socket.IO packets", () => {
  it("CONNECT is answered with an id", async () => {
    const wire = await keep(Wire.session());
    wire.send("40");
    const [, sid] = /^40\{"sid":"([A-Za-z0-9_-]{20})"\}$/.exec(await wire.packet("40"));
    assert.notEqual(sid, wire.handshake.sid);
    assert.equal(await wire.packet("42"), '42["auth",{}]');
  });

  it("CONNECT to another namespace names it, with or without its comma", async () => {
    const wire = await keep(Wire.session());
    wire.send("40/custom");
    assert.match(await wire.packet("40"), /^40\/custom,\{"sid":"[A-Za-z0-9_-]{20}"\}$/);
    wire.send('40/dyn-1,{"token":"x"}');
    assert.match(await wire.packet("40"), /^40\/dyn-1,\{"sid":/);
    assert.equal(await wire.packet("42"), '42/dyn-1,["auth",{"token":"x"}]');
  });

  it("CONNECT to a namespace there is not is refused in Node's words", async () => {
    const wire = await keep(Wire.session());
    wire.send("40/nope");
    assert.equal(await wire.packet("44"), '44/nope,{"message":"Invalid namespace"}');
    wire.send("40/custom?x=1,");
    assert.equal(await wire.packet("44"), '44/custom?x=1,{"message":"Invalid namespace"}');
    wire.send("40/auth,");
    assert.equal(await wire.packet("44"), '44/auth,{"message":"not authorized","data":{"code":"E_AUTH"}}');
  });

  it("a session that joins nothing is closed in time", async () => {
    const wire = await Wire.session();
    await wire.end();
  });

  it("a session that was refused, and joined nothing, is closed in time", async () => {
    const wire = await Wire.session();
    wire.send("40/nope");
    await wire.packet("44");
    await wire.end();
  });

  it("acks carry the id they answer", async () => {
    const wire = await keep(Wire.join());
    wire.send('420["message-with-ack",1,"2"]', '42456["message-with-ack"]');
    assert.equal(await wire.packet("430"), '430[1,"2"]');
    assert.equal(await wire.packet("43456"), "43456[]");
    wire.send('451-789["message-with-ack",{"a":{"_placeholder":true,"num":0}}]', Buffer.from([5]));
    assert.equal(await wire.packet("46"), '461-789[{"a":{"_placeholder":true,"num":0}}]');
    assert.deepEqual(await wire.read(), Buffer.from([5]));
  });

  it("placeholders may stand in any order", async () => {
    const wire = await keep(Wire.join());
    wire.send('452-["message",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]');
    wire.send(Buffer.from([1]), Buffer.from([2]));
    assert.match(await wire.packet("452-"), /^452-\["message-back",/);
    const text = [await wire.read(), await wire.read()];
    assert.deepEqual(text.sort(Buffer.compare), [Buffer.from([1]), Buffer.from([2])]);
  });

  it("an ack nobody waits for is ignored", async () => {
    const wire = await keep(Wire.join());
    wire.send('43999["what?"]', '42["message",1]');
    assert.equal(await wire.packet("42"), '42["message-back",1]');
  });

  it("DISCONNECT leaves one namespace; the connection stays", async () => {
    const wire = await keep(Wire.join("/custom"));
    wire.send("40");
    await wire.packet("40");
    wire.send("41/custom,");
    assert.equal(await reasonOf(witness, wire.socket), "client namespace disconnect");
    wire.send('42["message",1]');
    assert.equal(await wire.packet('42["message-back"'), '42["message-back",1]');
  });

  it("the server's disconnect of a connection says so per namespace, then closes", async () => {
    const wire = await Wire.join();
    wire.send("40/custom,");
    await wire.packet("40/custom,");
    wire.send('42["disconnect-me",true]');
    const goodbyes = [await wire.packet("41"), await wire.packet("41")];
    assert.deepEqual(goodbyes.sort(), ["41", "41/custom,"]);
    assert.equal((await wire.end()).code, 1005);
  });

  const malformed = {
    "a kind there is not": ["49"],
    "no kind at all": ["4abc"],
    "an event that is no array": ['42{"a":1}'],
    "an event without a name": ["42[]"],
    "an event whose name is an object": ['42[{"a":1}]'],
    "JSON that is cut": ['42["message"'],
    "JSON followed by more": ['42["message"]x'],
    "a reserved name": ['42["connect"]'],
    "an ack that is no array": ['430{"a":1}'],
    "a DISCONNECT with a payload": ['41{"a":1}'],
    "a CONNECT with an array": ["40/custom,[]"],
    "a CONNECT for a namespace that is joined": ["40"],
    "a CONNECT_ERROR from a client": ['44{"message":"no"}'],
    "an event for a namespace not joined": ['42/custom,["message"]'],
    "an attachment nobody announced": [Buffer.from([1])],
    "text where an attachment is due": ['451-["message",{"_placeholder":true,"num":0}]', '42["message"]'],
    "a placeholder out of range": ['451-["message",{"_placeholder":true,"num":1}]', Buffer.from([1])],
    "a placeholder with a text for number": ['451-["message",{"_placeholder":true,"num":"splice"}]', Buffer.from([1])],
    "a count of attachments that is no number": ['45x-["message"]'],
    "a binary event without a count": ['45["message"]'],
    "no attachment at all": ['450-["message"]'],
    "more attachments than are allowed": ['4511-["message"]'],
  };
  // Node lets this one pass in silence.
  if (!reference) malformed["an event without payload"] = ["42"];
  for (const [what, messages] of Object.entries(malformed)) {
    it(`${what} closes its own connection and no other`, async () => {
      const wire = await Wire.join();
      wire.send(...messages);
      await wire.end();
      assert.equal(await reasonOf(witness, wire.socket), "forced close");
      assert.deepEqual(await ask(witness, "message-with-ack", 1), [1]);
    });
  }

  it("a first packet that is no CONNECT closes the connection", async () => {
    for (const message of ['42["message",1]', "41", Buffer.from([1])]) {
      const wire = await Wire.session();
      wire.send(message);
      await wire.end();
    }
  });
});
