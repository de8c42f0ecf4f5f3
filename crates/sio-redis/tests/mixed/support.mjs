// A Redis of one's own, nodes on it, and clients that write down what they hear.
import assert from "node:assert/strict";
import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync } from "node:fs";
import { createConnection, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { io as connect } from "socket.io-client";

export { sleep };

const children = new Set();
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
});

/** A port that nobody listens on, below those that the kernel gives to whoever asks for any: between now
 * and its use no connection of anybody takes it. */
export const freePort = async () => {
  for (;;) {
    const server = createServer().listen(10_000 + Math.floor(Math.random() * 22_000), "127.0.0.1");
    try {
      await once(server, "listening");
    } catch {
      continue;
    }
    const { port } = server.address();
    server.close();
    await once(server, "close");
    return port;
  }
};

export const start = (program, args, env = {}) => {
  const child = spawn(program, args, {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.add(child);
  child.said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (data) => {
      child.said += data;
      if (process.env.VERBOSE) process.stderr.write(data);
    });
  }
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

  /** Has it load its data when it starts the next time, and answer `LOADING` meanwhile: until `load`, or for
   * longer than anything here takes. */
  async fill() {
    cli("-p", `${this.port}`, "eval", "for i = 1, 2000 do redis.call('set', 'fill:' .. i, i) end", "0");
    cli("-p", `${this.port}`, "save");
    if (cli("-p", `${this.port}`, "config", "get", "appendonly").includes("yes")) {
      cli("-p", `${this.port}`, "bgrewriteaof");
      await until(() => /aof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0/.test(cli("-p", `${this.port}`, "info", "persistence")), "it is written");
    }
    return ["--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024"];
  }

  /** Has it load the rest at once. */
  async load() {
    cli("-p", `${this.port}`, "config", "set", "key-load-delay", "0");
    await until(() => !this.isLoading(), "it has loaded");
  }

  isLoading() {
    return cli("-p", `${this.port}`, "ping").includes("LOADING");
  }

  async kill() {
    await kill(this.child);
  }
}

export const cli = (...args) => execFileSync("redis-cli", args, { encoding: "utf8" });

/** Three masters of a Redis Cluster, each with a third of the slots. */
export class RedisCluster {
  static async start() {
    const cluster = new RedisCluster();
    cluster.servers = await Promise.all([1, 2, 3].map(() => RedisCluster.server()));
    cluster.hosts = cluster.servers.map(({ port }) => `127.0.0.1:${port}`);
    cli("--cluster", "create", ...cluster.hosts, "--cluster-yes");
    await cluster.agrees();
    return cluster;
  }

  static async server() {
    let port;
    // By 10,000 above it there is one for the cluster's bus.
    do port = await freePort();
    while (port + 10_000 >= 32_768);
    const redis = new Redis(port);
    await redis.start("--cluster-enabled", "yes", "--cluster-node-timeout", "2000");
    return redis;
  }

  /** All servers know of each other, and who has what. */
  async agrees() {
    const known = `cluster_known_nodes:${this.servers.length}`;
    const agrees = ({ port }) => {
      const info = cli("-p", `${port}`, "cluster", "info");
      return info.includes("cluster_state:ok") && info.includes(known);
    };
    await until(() => this.servers.every(agrees), "the cluster is there");
  }

  url(first = 0) {
    return `redis+cluster://${[...this.hosts.slice(first), ...this.hosts.slice(0, first)].join(",")}`;
  }

  /** The server that has a key, and the key's slot. */
  owner(key) {
    const [{ port }] = this.servers;
    const slot = Number(cli("-p", `${port}`, "cluster", "keyslot", key));
    for (const line of cli("-p", `${port}`, "cluster", "nodes").split("\n")) {
      const [id, address, , , , , , , ...ranges] = line.split(" ");
      const has = ranges.some((range) => {
        const [first, last = first] = range.split("-").map(Number);
        return first <= slot && slot <= last;
      });
      const server = this.servers.find(({ port }) => address?.startsWith(`127.0.0.1:${port}@`));
      if (has && server) return { id, server, slot };
    }
    throw new Error(`nobody has ${key}`);
  }

  /** A server more that copies what a master has. */
  async replicate(id) {
    const replica = await RedisCluster.server();
    cli("--cluster", "add-node", `127.0.0.1:${replica.port}`, this.hosts[0], "--cluster-slave", "--cluster-master-id", id);
    this.servers.push(replica);
    await this.agrees();
    await until(() => cli("-p", `${replica.port}`, "info", "replication").includes("master_link_status:up"), "it has a copy");
    return replica;
  }

  /** Gives the slot of a key to another master, and keeps nobody waiting who is watched meanwhile. */
  async move(key) {
    const { id, server, slot } = this.owner(key);
    const { port } = this.servers[0];
    const masters = cli("-p", `${port}`, "cluster", "nodes").split("\n").filter((line) => / (myself,)?master /.test(line));
    const [to, address] = masters.find((line) => !line.startsWith(id)).split(" ");
    const target = address.split("@")[0].split(":")[1];
    const at = async (port, ...args) => (await promisify(execFile)("redis-cli", ["-p", `${port}`, ...args])).stdout;
    await at(target, "cluster", "setslot", `${slot}`, "importing", id);
    await at(server.port, "cluster", "setslot", `${slot}`, "migrating", to);
    const keys = (await at(server.port, "cluster", "getkeysinslot", `${slot}`, "100")).split("\n").filter(Boolean);
    for (const key of keys) await at(server.port, "migrate", "127.0.0.1", target, key, "0", "5000");
    for (const port of [target, server.port]) await at(port, "cluster", "setslot", `${slot}`, "node", to);
  }

  async stop() {
    for (const redis of this.servers) await redis.kill();
  }
}

/** All nodes are there, and know each other. */
export const together = (nodes, milliseconds) =>
  until(async () => {
    const states = await Promise.all(nodes.map((node) => node.do("status")));
    return states.every(({ up, peers }) => up && peers.length === nodes.length - 1);
  }, "the nodes know each other", milliseconds);

/** Stops a process, and waits until it has stopped: a busy machine takes its time, and other threads go on. */
export const freeze = async (child) => {
  child.kill("SIGSTOP");
  await until(() => readFileSync(`/proc/${child.pid}/stat`, "utf8").split(") ")[1].startsWith("T"), "it has stopped");
};

/** Milliseconds of processor time that a node has used. */
export const cpu = (node) => {
  const fields = readFileSync(`/proc/${node.child.pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
};

/** Numbered packets of each node for the lobby, as long as `during` takes and it takes to hear the last of
 * them. Says how many each has sent, and how many of which node each client has not heard: never one of its
 * own, and nothing is heard twice or out of order. Packets with negative numbers are not in it. */
export const ledger = async (nodes, clients, during) => {
  for (const client of clients) client.heard.length = 0;
  let over = false;
  const sent = nodes.map(() => 0);
  const emitting = nodes.map(async (node, at) => {
    while (!over) {
      const started = Date.now();
      await node.do("emit", { to: ["lobby"], event: "news", args: [at, sent[at]] });
      assert.ok(Date.now() - started < 3000, "an emit waits for nothing");
      sent[at] += 1;
      await sleep(20);
    }
  });
  try {
    await during();
  } finally {
    over = true;
  }
  await Promise.all(emitting);
  await settled(nodes, clients);
  const lost = clients.map((client, here) =>
    sent.map((count, from) => {
      const numbers = client.heard.filter(([at, number]) => at === from && number >= 0).map(([, number]) => number);
      assert.deepEqual(numbers, [...new Set(numbers)].sort((a, b) => a - b), "nothing twice, nothing out of order");
      if (here === from) assert.equal(numbers.length, count, "what is local is heard, all of it");
      return count - numbers.length;
    }),
  );
  return { sent, lost, remote: lost.flat().reduce((sum, count) => sum + count) };
};

/** Everybody has heard a last word of everybody: what was said before it has come, or never will. */
const settled = async (nodes, clients) => {
  for (let word = -1_000_000; ; word -= 1) {
    await Promise.all(nodes.map((node, at) => node.do("emit", { to: ["lobby"], event: "news", args: [at, word] })));
    const heard = (client) => nodes.every((_, at) => client.heard.some(([from, number]) => from === at && number === word));
    try {
      return await until(() => clients.every(heard), "everybody has heard the last word", 3000);
    } catch (error) {
      // It may have been lost, too.
      if (word < -1_000_010) throw error;
    }
  }
};

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

/** A way to Redis that may be long, narrow or cut, and on which one direction may be blocked: what is sent there is
 * lost, and nothing is closed until the way is free again, when connections with a hole in them are. */
export class Proxy {
  static async start(to) {
    const proxy = new Proxy();
    // Milliseconds each way, and bytes a second.
    proxy.delay = 0;
    proxy.rate = Infinity;
    proxy.pairs = new Set();
    proxy.server = createServer((near) => {
      if (proxy.isCut) return near.destroy();
      const far = createConnection(to, "127.0.0.1");
      const pair = { near, far, holed: false, free: 0 };
      proxy.pairs.add(pair);
      for (const [one, other, direction] of [[near, far, "there"], [far, near, "back"]]) {
        let free = 0;
        one.on("data", (data) => {
          if (proxy.blocked === direction) {
            pair.holed = true;
            return;
          }
          const now = Date.now();
          const at = Math.max(free, now + proxy.delay);
          free = at + (data.length / proxy.rate) * 1000;
          pair.free = Math.max(pair.free, free);
          if (at <= now) other.write(data);
          else setTimeout(() => other.write(data), at - now);
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

  /** Nothing is on the way any more that was to take its time. */
  isClear() {
    return [...this.pairs].every(({ free }) => free <= Date.now());
  }

  /** Ends what is connected, and whoever connects. */
  cut() {
    this.isCut = true;
    for (const { near } of this.pairs) near.destroy();
  }

  mend() {
    this.isCut = false;
  }

  stop() {
    this.server.close();
    for (const { near } of this.pairs) near.destroy();
  }
}
