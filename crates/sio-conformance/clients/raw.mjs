// The protocol by hand: requests and frames without a client library between.

import { once } from "node:events";

import { WebSocket } from "./packages.mjs";
import { assert, url, within } from "./support.mjs";

export const SEPARATOR = "\u001e";

/** The address of the Engine.IO endpoint with `query`, an object or a text. */
export function address(query = {}, base = url) {
  return `${base}/socket.io/?${new URLSearchParams(query)}`;
}

/** A session over long polling. */
export class Polling {
  static async open() {
    const response = await fetch(address({ EIO: 4, transport: "polling" }));
    assert.equal(response.status, 200);
    const body = await response.text();
    assert.equal(body[0], "0");
    return new Polling(JSON.parse(body.slice(1)), response);
  }

  /** Opened, and in `nsp`; `auth` is the CONNECT packet's payload. */
  static async join(nsp = "/", auth = undefined) {
    const session = await Polling.open();
    await session.send(connect(nsp, auth));
    const name = nsp === "/" ? "" : `${nsp},`;
    const sid = /^40.*?\{"sid":"([^"]+)"\}/.exec(await session.packet(`40${name}`))[1];
    await session.packet(`42${name}["auth"`);
    return Object.assign(session, { socket: sid });
  }

  constructor(handshake, response) {
    this.handshake = handshake;
    this.response = response;
    this.sid = handshake.sid;
    this.received = [];
  }

  url(extra = {}) {
    return address({ EIO: 4, transport: "polling", sid: this.sid, ...extra });
  }

  /** The raw answer to one GET. */
  get(options) {
    return fetch(this.url(), options);
  }

  /** The raw answer to one POST. */
  post(body, options = {}) {
    return fetch(this.url(), { method: "POST", body, ...options });
  }

  async send(...packets) {
    const response = await this.post(packets.join(SEPARATOR));
    assert.equal(response.status, 200);
    assert.equal(await response.text(), "ok");
  }

  /** The packets of one GET. */
  async poll() {
    const response = await this.get();
    assert.equal(response.status, 200);
    return (await response.text()).split(SEPARATOR);
  }

  /** Polls, answering pings, until a packet that begins with `prefix` has come; gives that packet. */
  packet(prefix) {
    const read = async () => {
      for (;;) {
        const at = this.received.findIndex((packet) => packet.startsWith(prefix));
        if (at >= 0) return this.received.splice(0, at + 1)[at];
        const packets = await this.poll();
        if (packets.includes("2")) await this.send("3");
        this.received.push(...packets.filter((packet) => packet !== "2"));
      }
    };
    return within(read(), `a packet ${prefix}`);
  }
}

/** A WebSocket that keeps what it has received: text as text, binary as buffers. */
export class Wire {
  static async open(query = {}, options = {}) {
    const wire = new Wire(new WebSocket(`${address(query).replace(/^http/, "ws")}`, options));
    await within(once(wire.ws, "open"), "the WebSocket to open");
    return wire;
  }

  /** A session over WebSocket alone, its open packet read. */
  static async session(options) {
    const wire = await Wire.open({ EIO: 4, transport: "websocket" }, options);
    wire.handshake = JSON.parse((await wire.read()).slice(1));
    return wire;
  }

  /** A session that has joined `nsp`. */
  static async join(nsp = "/", auth = undefined) {
    const wire = await Wire.session();
    wire.send(connect(nsp, auth));
    const name = nsp === "/" ? "" : `${nsp},`;
    wire.socket = JSON.parse((await wire.packet(`40${name}`)).slice(2 + name.length)).sid;
    await wire.packet(`42${name}["auth"`);
    return wire;
  }

  constructor(ws) {
    this.ws = ws;
    this.received = [];
    this.waiting = [];
    this.closed = new Promise((done) => ws.on("close", (code, reason) => done({ code, reason: `${reason}` })));
    ws.on("error", () => {});
    ws.on("message", (data, binary) => {
      const message = binary ? data : data.toString();
      const reader = this.waiting.shift();
      if (reader) reader(message);
      else this.received.push(message);
    });
  }

  send(...messages) {
    for (const message of messages) this.ws.send(message);
  }

  /** Sends messages in one write. */
  together(...messages) {
    this.ws._socket.cork();
    this.send(...messages);
    this.ws._socket.uncork();
  }

  /** The next message. */
  read() {
    if (this.received.length) return Promise.resolve(this.received.shift());
    return within(
      Promise.race([
        new Promise((done) => this.waiting.push(done)),
        this.closed.then(({ code }) => Promise.reject(new Error(`closed with ${code}`))),
      ]),
      "a message",
    );
  }

  /** The next text message that begins with `prefix`; pings are answered on the way. */
  packet(prefix) {
    const read = async () => {
      for (;;) {
        const message = await this.read();
        if (typeof message !== "string") continue;
        if (message.startsWith(prefix)) return message;
        if (message === "2") this.send("3");
      }
    };
    return within(read(), `a packet ${prefix}`);
  }

  /** Waits for the other side to close; gives code and reason. */
  end(limit) {
    return within(this.closed, "the server to close", limit);
  }

  close() {
    this.ws.terminate();
  }
}

function connect(nsp, auth) {
  return `40${nsp === "/" ? "" : `${nsp},`}${auth ? JSON.stringify(auth) : ""}`;
}
