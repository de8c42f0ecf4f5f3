// What every test of the matrix shares: where the server is, how to open a client, how to wait.
//
// Environment: SIO_URL (the server under test), SIO_REFERENCE=1 when that is the Node reference,
// SIO_PARSER=msgpack for clients with
// that parser, SIO_TRANSPORT to run one of the roads of `transports` alone, CLIENTS_NPM (see packages.mjs).

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { after, describe, it } from "node:test";

import { Manager, msgpackParser } from "./packages.mjs";

export const url = process.env.SIO_URL ?? "http://127.0.0.1:3000";

/** Whether Node's own server is under test: where ours differs on purpose, both answers are named. */
export const reference = process.env.SIO_REFERENCE === "1";

/** Whether clients speak msgpack. */
export const msgpack = process.env.SIO_PARSER === "msgpack";

/** Features the server under test does not have yet; tests that name one of them are skipped. */
const missing = new Set(
  reference ? [] : JSON.parse(readFileSync(new URL("./missing.json", import.meta.url))),
);

/** Options of a test that needs `features`: skipped, with the reason, while one is missing. */
export function needs(...features) {
  const lacking = features.filter((feature) => missing.has(feature));
  return lacking.length ? { skip: `the server lacks: ${lacking.join(", ")}` } : {};
}

const transports = {
  polling: ["polling"],
  websocket: ["websocket"],
  upgrade: ["polling", "websocket"],
};

/** The longest any single wait may take, in milliseconds. */
const PATIENCE = 10_000;

/** Runs `body` once for each way to reach the server; `body` gets a `Clients` to open sockets with. */
export function overEveryTransport(title, body) {
  for (const [name, list] of Object.entries(transports)) {
    if (process.env.SIO_TRANSPORT && process.env.SIO_TRANSPORT !== name) continue;
    describe(`${title} · ${name}`, () => {
      const clients = new Clients(name, list);
      after(() => clients.close());
      body(clients);
    });
  }
}

/** Opens clients over one transport, and closes them all at the end. */
export class Clients {
  constructor(name, list) {
    this.name = name;
    this.list = list;
    this.managers = [];
  }

  /** A connection of its own that carries no namespace yet. */
  manager(options = {}) {
    const manager = new Manager(url, {
      transports: this.list,
      reconnection: false,
      forceNew: true,
      ...(msgpack && { parser: msgpackParser }),
      ...options,
    });
    this.managers.push(manager);
    return manager;
  }

  /** A connected socket of `nsp` on a connection of its own. */
  async open(nsp = "/", options = {}) {
    const { auth, ...rest } = options;
    return connected(this.manager(rest).socket(nsp, { auth }));
  }

  /** `n` sockets, opened at once. */
  many(n, nsp = "/") {
    return Promise.all(Array.from({ length: n }, () => this.open(nsp)));
  }

  close() {
    for (const manager of this.managers) manager._close();
  }
}

/** Waits until `socket` is connected; rejects with the error the server refused it with. */
export async function connected(socket) {
  if (!socket.connected) {
    await within(
      new Promise((done, refused) => {
        socket.once("connect", done);
        socket.once("connect_error", refused);
      }),
      "connect",
    );
  }
  return socket;
}

/** Waits until the connection of `socket` has left polling for good. */
export async function upgraded(socket) {
  const { engine } = socket.io;
  if (engine.transport.name !== "websocket") await within(once(engine, "upgrade"), "upgrade");
  return socket;
}

/** The arguments of the next `event` of `emitter`. */
export function next(emitter, event) {
  return within(new Promise((done) => emitter.once(event, (...args) => done(args))), event);
}

/** Every `event` of `socket` from now on: a list that grows. */
export function collect(socket, event) {
  const seen = [];
  socket.on(event, (...args) => seen.push(args));
  return seen;
}

/** The answer to `event`, as a list of arguments. */
export function ask(socket, event, ...args) {
  return within(
    new Promise((done) => socket.emit(event, ...args, (...answer) => done(answer))),
    `the answer to ${event}`,
  );
}

/**
 * Waits until all that `from` has had sent so far has reached each of `sockets`: a last event takes
 * the same way, and order is kept. What has not come by then is not coming.
 */
export async function settled(from, ...sockets) {
  const mark = unique("mark");
  const all = Promise.all(sockets.map((socket) => next(socket, mark)));
  from.emit("in", sockets.map((socket) => socket.id), [], mark);
  await all;
}

/** The reason the server gives for the end of socket `id`, asked through `witness`. */
export function reasonOf(witness, id) {
  return until(async () => (await ask(witness, "disconnect-reason", id))[0], "a reason");
}

/** The first value of `probe` that is neither null nor false. */
export async function until(probe, what) {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const value = await probe();
    if (value !== null && value !== false) return value;
    if (Date.now() > deadline) throw new Error(`timed out waiting for ${what}`);
    await new Promise((done) => setTimeout(done, 10));
  }
}

/** `promise`, or an error that says what was being waited for. */
export function within(promise, what, limit = PATIENCE) {
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`timed out waiting for ${what}`)), limit);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

let counter = 0;
/** A name no other test uses. */
export const unique = (name) => `${name}-${process.pid}-${++counter}`;

export { assert, it };
