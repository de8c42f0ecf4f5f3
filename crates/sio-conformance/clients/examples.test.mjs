// The examples of sio-server, each run and used by socket.io-client as its first lines say.
//
// Environment: EXAMPLES (the folder of the built examples), CLIENTS_NPM. Set by
// `cargo xtask test --only examples`.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { asyncApiErrors, EngineSocket, installed, Manager, tsc } from "./packages.mjs";
import { freePort } from "./ports.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const run = promisify(execFile);

const running = [];
const managers = [];

afterEach(() => {
  for (const manager of managers.splice(0)) manager._close?.();
  for (const example of running.splice(0)) example.kill("SIGKILL");
});

/** Runs an example until it listens. */
async function start(name) {
  const port = await freePort();
  const env = { ...process.env, HOST: "127.0.0.1", PORT: String(port) };
  const example = spawn(path.join(process.env.EXAMPLES, name), { env });
  running.push(example);
  const said = [];
  example.stdout.on("data", (data) => said.push(data.toString()));
  example.stderr.on("data", (data) => said.push(data.toString()));
  for (let n = 0; !said.join("").includes("listening"); n += 1) {
    if (n > 500 || example.exitCode !== null) throw new Error(`${name}: ${said.join("")}`);
    await sleep(20);
  }
  return { example, said, url: `http://127.0.0.1:${port}` };
}

async function open(url, namespace = "/", auth = undefined, options = {}) {
  const manager = new Manager(url, { reconnection: false, forceNew: true, ...options });
  managers.push(manager);
  const socket = manager.socket(namespace, { auth });
  const [outcome] = await Promise.race([
    once(socket, "connect"),
    new Promise((done) => socket.once("connect_error", (error) => done([error]))),
  ]);
  if (outcome) throw outcome;
  return socket;
}

const ask = (socket, ...args) => socket.timeout(10_000).emitWithAck(...args);

/** What the TypeScript compiler refuses in a folder: "file line code", in order. */
async function refused(folder) {
  const options = JSON.parse(await readFile(path.join(folder, "../tsconfig.json"), "utf8")).compilerOptions;
  // The client's types lie where npm has put them, not beside the page.
  const paths = { "socket.io-client": [path.join(installed, "node_modules/socket.io-client")] };
  const place = await mkdtemp(path.join(tmpdir(), "tsc-"));
  const config = path.join(place, "tsconfig.json");
  const compilerOptions = { ...options, paths, skipLibCheck: true };
  await writeFile(config, JSON.stringify({ compilerOptions, include: [folder] }));
  const said = await run(process.execPath, [tsc(), "-p", config, "--pretty", "false"]).catch((error) => error);
  await rm(place, { recursive: true });
  const errors = said.stdout.matchAll(/([^/\\\n]*)\((\d+),\d+\): error (TS\d+)/g);
  return [...errors].map(([, file, line, code]) => `${file} ${line} ${code}`);
}

describe("examples", () => {
  it("ack: the server answers, asks a client, and asks a room", async () => {
    const { url } = await start("ack");
    const socket = await open(url);
    assert.equal(await ask(socket, "add", 1, 2), 3);
    socket.on("your name", (answer) => answer("Ann"));
    assert.equal(await ask(socket, "greet"), "hello, Ann");
    const silent = await open(url);
    socket.on("your vote", (answer) => answer(5));
    for (const member of [socket, silent]) await ask(member, "join", "jury");
    assert.deepEqual(await ask(socket, "vote", "jury"), { sum: 5, missing: 1 });
  });

  it("auth: a user is who they say, and others stay outside", async () => {
    const { url } = await start("auth");
    const ann = await open(url, "/", { name: "ann", password: "tea" });
    assert.equal(await ask(ann, "whoami"), "ann");
    assert.deepEqual(await ask(ann, "shutdown"), { message: "admins only" });
    const root = await open(url, "/", { name: "root", password: "secret" });
    assert.equal(await ask(root, "shutdown"), "not today");
    await assert.rejects(open(url, "/", { name: "ann", password: "milk" }), /wrong password/);
    await assert.rejects(open(url), /the auth payload cannot be read/);
  });

  it("axum: a route emits, and counts", async () => {
    const { url } = await start("axum");
    const socket = await open(url);
    assert.equal(await ask(socket, "join", "tea"), true);
    const said = once(socket, "said");
    const get = async (path) => (await fetch(url + path)).text();
    assert.equal(await get("/say/tea/hello"), "1");
    assert.deepEqual(await said, ["hello"]);
    assert.deepEqual([await get("/clients"), await get("/")], ["1", "a page"]);
  });

  it("background: a clock for all, a countdown for one", async () => {
    const { url } = await start("background");
    const [one, other] = [await open(url), await open(url)];
    await Promise.all([once(one, "tick"), once(other, "tick")]);
    const counts = [];
    one.on("count", (n) => counts.push(n));
    other.on("count", () => assert.fail("it is the other's"));
    one.emit("count down", 3);
    while (counts.at(-1) !== 0) await sleep(10);
    assert.deepEqual(counts, [2, 1, 0]);
  });

  it("binary: bytes in a struct, alone, and passed on", async () => {
    const { url } = await start("binary");
    const [one, other] = [await open(url), await open(url)];
    const file = once(other, "file");
    const content = Buffer.alloc(300_000, 7);
    assert.equal(await ask(one, "upload", { name: "seven", content }), 300_000);
    assert.deepEqual(await file, [{ name: "seven", content }]);
    assert.deepEqual(await ask(one, "reverse", Buffer.from([1, 2, 3])), Buffer.from([3, 2, 1]));
    const mirrored = once(one, "mirror");
    one.emit("mirror", 1, [Buffer.from("x")], { deep: Buffer.from("y") });
    assert.deepEqual(await mirrored, [1, [Buffer.from("x")], { deep: Buffer.from("y") }]);
  });

  it("contract: the page's types are the server's, and the compiler holds the page to them", async () => {
    const page = path.resolve(here, "../../sio-server/examples/contract/page");
    const say = async (what) => (await run(path.join(process.env.EXAMPLES, "contract"), [what])).stdout;
    assert.equal(await say("typescript"), await readFile(path.join(page, "events.d.ts"), "utf8"));

    const document = JSON.parse(await say("asyncapi"));
    assert.equal(asyncApiErrors(document), null);
    const { action, reply } = document.operations["root-receive-join"];
    const channel = "root";
    const answered = `#/channels/${channel}/messages/receive-join-ack`;
    assert.deepEqual([action, reply.messages[0].$ref], ["receive", answered]);

    // The page is sound, and in wrong.ts each line is refused that says so, with its code.
    const wrong = (await readFile(path.join(page, "wrong.ts"), "utf8")).split("\n");
    const expected = wrong.flatMap((line, at) => (line.match(/\/\/ (TS\d+)$/) ? [`${at + 1} ${RegExp.$1}`] : []));
    assert.equal(expected.length, 9);
    assert.deepEqual(await refused(page), expected.map((place) => `wrong.ts ${place}`));

    const { url } = await start("contract");
    const [one, other] = [await open(url), await open(url)];
    assert.equal(await ask(one, "join", "tea"), 1);
    const joined = once(one, "joined");
    assert.equal(await ask(other, "join", "tea"), 2);
    assert.deepEqual(await joined, ["tea", 2]);
    const heard = once(other, "message");
    one.emit("message", { room: "tea", text: "hello" });
    assert.deepEqual(await heard, [{ room: "tea", text: "hello", to: [] }]);
    const answer = await fetch(`${url}/chat.js`);
    assert.deepEqual([answer.status, answer.headers.get("content-type")], [200, "text/javascript; charset=utf-8"]);
  });

  it("dynamic: a namespace for each number, and for those who are invited", async () => {
    const { url } = await start("dynamic");
    const seven = await open(url, "/game-7");
    const joined = once(seven, "player");
    const another = await open(url, "/game-7");
    assert.deepEqual(await joined, [another.id]);
    assert.deepEqual([await ask(seven, "which"), await ask(seven, "players")], [7, 2]);
    assert.equal(await ask(await open(url, "/game-8"), "players"), 1);
    await assert.rejects(open(url, "/game-x"), /Invalid namespace/);
    assert.equal(await ask(await open(url, "/user/bob"), "whoami"), "bob");
    await assert.rejects(open(url, "/user/eve"), /not invited/);
  });

  it("engine: bare Engine.IO sends back what it is sent", async () => {
    const { url } = await start("engine");
    const socket = new EngineSocket(url);
    managers.push({ _close: () => socket.close() });
    await once(socket, "open");
    const said = once(socket, "message");
    socket.send("hello");
    assert.deepEqual((await said)[0], "hello");
  });

  it("recovery: a counter of which a broken line takes no number away", async () => {
    const { said, url } = await start("recovery");
    const socket = await open(url, "/", undefined, {
      reconnection: true, reconnectionDelay: 1500, randomizationFactor: 0, transports: ["websocket"],
    });
    const { id } = socket;
    const numbers = [];
    socket.on("number", (number, offset) => numbers.push([number, typeof offset]));
    socket.emit("count");
    while (numbers.length < 1) await sleep(20);
    socket.io.engine.transport.ws.close();
    const [reason] = await once(socket, "disconnect");
    assert.equal(reason, "transport close");
    await once(socket, "connect");
    assert.deepEqual([socket.recovered, socket.id], [true, id]);
    while (numbers.length < 4) await sleep(20);
    const first = numbers[0][0];
    assert.deepEqual(numbers, numbers.map((_, at) => [first + at, "string"]));
    assert.match(said.join(""), new RegExp(`${id} is new\n.*${id} is back`, "s"));
  });

  it("shutdown: what has begun is finished, then the server ends", async () => {
    const { example, said, url } = await start("shutdown");
    const socket = await open(url);
    socket.emit("save", "this");
    const other = await open(url);
    const gone = once(other, "disconnect");
    const ended = once(example, "exit");
    assert.equal(await ask(other, "stop"), "good night");
    assert.deepEqual((await gone)[0], "transport close");
    assert.deepEqual(await ended, [0, null]);
    assert.match(said.join(""), /saved this\nstopped/);
  });

  it("tls: polling and the WebSocket, encrypted", async () => {
    const { url } = await start("tls");
    const secure = url.replace("http:", "https:");
    for (const transport of ["polling", "websocket"]) {
      const options = { rejectUnauthorized: false, transports: [transport] };
      const socket = await open(secure, "/", undefined, options);
      assert.equal(await ask(socket, "secure?", null), true);
    }
    await assert.rejects(open(url));
  });

  it("typed: rooms, messages, and a question in between", async () => {
    const { url } = await start("typed");
    const [one, other] = [await open(url), await open(url)];
    assert.equal(await ask(one, "join", "tea"), 1);
    assert.equal(await ask(other, "join", "tea"), 2);
    one.on("ask", (question, answer) => answer(question.includes("the tea")));
    const heard = once(other, "message");
    one.emit("message", { room: "tea", text: "teh tea" });
    assert.deepEqual(await heard, [{ room: "tea", text: "the tea" }]);
  });
});
