// A Redis of one's own, nodes on it, and clients that write down what they hear.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { createConnection, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { io as connect } from "socket.io-client";

export { sleep };

const children = new Set();
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
});

export const freePort = async () => {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
};

export const start = (program, args, env = {}) => {
  const child = spawn(program, args, {
    env: { ...process.env, ...env },
    stdio: ["ignore", process.env.VERBOSE ? "inherit" : "ignore", process.env.VERBOSE ? "inherit" : "ignore"],
  });
  children.add(child);
  child.on("exit", () => children.delete(child));
  return child;
};

export const kill = async (child, signal = "SIGKILL") => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  await once(child, "exit");
};

export class Redis {
  constructor(port) {
    this.port = port;
    this.url = `redis://127.0.0.1:${port}`;
    this.folder = mkdtempSync(join(tmpdir(), "sio-redis-"));
  }

  static async start() {
    const redis = new Redis(await freePort());
    await redis.start();
    return redis;
  }

  async start(...options) {
    const args = ["--port", `${this.port}`, "--bind", "127.0.0.1", "--save", "", "--dir", this.folder];
    this.child = start("redis-server", [...args, ...options]);
    await this.listens();
  }

  /** Starts it as a sentinel, which writes into its configuration. */
  async sentinel(conf) {
    this.child = start("redis-server", [conf, "--sentinel"]);
    await this.listens();
  }

  async listens() {
    await until(async () => {
      const socket = createConnection(this.port, "127.0.0.1");
      try {
        await once(socket, "connect");
        return true;
      } catch {
        return false;
      } finally {
        socket.destroy();
      }
    }, "redis-server listens");
  }

  async kill() {
    await kill(this.child);
  }
}

export const until = async (condition, what, milliseconds = 10_000) => {
  const deadline = Date.now() + milliseconds;
  for (;;) {
    if (await condition()) return;
    if (Date.now() > deadline) throw new Error(`never: ${what}`);
    await sleep(25);
  }
};

const HERE = new URL(".", import.meta.url).pathname;
const STARTS = {
  ours: [process.env.NODE_EXAMPLE, []],
  node: ["node", [join(HERE, "node.mjs")]],
  flask: [process.env.PYTHON ?? "python3", [join(HERE, "flask_node.py")]],
};

export class Node {
  static async start(kind, redis, env = {}) {
    const node = new Node();
    node.kind = kind;
    node.port = await freePort();
    const [program, args] = STARTS[kind];
    node.child = start(program, args, {
      REDIS_URL: redis.url,
      PYTHON_CHANNEL: "flask-socketio",
      HOST: "127.0.0.1",
      PORT: `${node.port}`,
      ...env,
    });
    node.control = await node.client();
    return node;
  }

  async client(...rooms) {
    const socket = connect(`http://127.0.0.1:${this.port}`, {
      transports: ["websocket"],
      forceNew: true,
      reconnectionDelay: 50,
      reconnectionDelayMax: 200,
    });
    socket.heard = [];
    socket.on("news", (...args) => socket.heard.push(args));
    socket.on("ask", (...args) => args.pop()({ heard: args[0] ?? null, by: this.kind }));
    await once(socket, "connect");
    for (const room of rooms) await socket.emitWithAck("join", room);
    return socket;
  }

  async do(order, rest = {}) {
    return this.control.timeout(20_000).emitWithAck("do", { order, ...rest });
  }

  async stop() {
    this.control.close();
    await kill(this.child);
  }
}

/** The emitter of examples/emitter.rs. */
export class Emitter {
  constructor(redis, env = {}) {
    this.child = spawn(process.env.EMITTER_EXAMPLE, [], {
      env: { ...process.env, REDIS_URL: redis.url, PYTHON_CHANNEL: "flask-socketio", ...env },
      stdio: ["pipe", "pipe", "inherit"],
    });
    children.add(this.child);
    this.child.on("exit", () => children.delete(this.child));
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
  }

  /** How many subscribers have heard it. */
  async do(order) {
    this.child.stdin.write(`${JSON.stringify({ order: "emit", ...order })}\n`);
    const { value } = await this.lines.next();
    if (!/^\d+$/.test(value)) throw new Error(value);
    return Number(value);
  }

  async stop() {
    await kill(this.child);
  }
}

/** A way to Redis on which one direction may be blocked: what is sent there is lost, and nothing is closed until
 * the way is free again, when connections with a hole in them are. */
export class Proxy {
  static async start(to) {
    const proxy = new Proxy();
    proxy.pairs = new Set();
    proxy.server = createServer((near) => {
      const far = createConnection(to, "127.0.0.1");
      const pair = { near, far, holed: false };
      proxy.pairs.add(pair);
      for (const [one, other, direction] of [[near, far, "there"], [far, near, "back"]]) {
        one.on("data", (data) => {
          if (proxy.blocked === direction) pair.holed = true;
          else other.write(data);
        });
        one.on("error", () => {});
        one.on("close", () => {
          other.destroy();
          proxy.pairs.delete(pair);
        });
      }
    });
    proxy.server.listen(0, "127.0.0.1");
    await once(proxy.server, "listening");
    proxy.url = `redis://127.0.0.1:${proxy.server.address().port}`;
    return proxy;
  }

  /** `there` is what goes to Redis, `back` is what comes from it. */
  block(direction) {
    this.blocked = direction;
  }

  unblock() {
    this.blocked = undefined;
    for (const { near, holed } of this.pairs) if (holed) near.destroy();
  }

  stop() {
    this.server.close();
    for (const { near } of this.pairs) near.destroy();
  }
}
