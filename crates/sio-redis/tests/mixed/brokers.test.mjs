// Redis in its other shapes: a Redis Cluster, a master that sentinels name, TLS.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import adapters from "@socket.io/redis-adapter";
import { createCluster } from "redis";
import { Server } from "socket.io";
import { cli, freePort, kill, Node, Redis, RedisCluster, sleep, together, until } from "./support.mjs";

/** Both hear each other, find each other's sockets, and nobody is waited for in vain. */
const talk = async ([one, two], clients, word) => {
  for (const client of clients) client.heard.length = 0;
  await one.do("emit", { to: ["lobby"], event: "news", args: [word, 1] });
  await two.do("emit", { to: ["lobby"], event: "news", args: [word, 2] });
  for (const client of clients) {
    await until(() => client.heard.length === 2, `${word}: all is heard`);
    assert.deepEqual(client.heard.map(([, number]) => number).sort(), [1, 2]);
  }
  const started = Date.now();
  const { sockets, missingNodes } = await one.do("fetch", { to: ["lobby"] });
  assert.equal(sockets.length, clients.length);
  assert.equal(missingNodes, 0);
  assert.ok(Date.now() - started < 3000);
};

test("a Redis Cluster: nodes on different servers hear each other, and survive the end of one", async () => {
  const cluster = await RedisCluster.start();
  const { servers, hosts } = cluster;
  // Each begins with another server of the cluster.
  const nodes = await Promise.all([0, 1].map((first) => Node.start("ours", { url: cluster.url(first) })));
  const clients = await Promise.all(nodes.map((node) => node.client("lobby")));
  await together(nodes);
  await talk(nodes, clients, "on a cluster");

  // Node's adapter on the same cluster counts us, and we count it.
  const publisher = createCluster({ rootNodes: hosts.map((host) => ({ url: `redis://${host}` })) });
  const subscriber = publisher.duplicate();
  for (const client of [publisher, subscriber]) {
    client.on("error", () => {});
    await client.connect();
  }
  const io = new Server({ adapter: adapters.createAdapter(publisher, subscriber) });
  await until(async () => (await io.fetchSockets().catch(() => [])).length === 4, "Node finds the sockets of both");
  io.to("lobby").emit("news", "from Node", 3);
  for (const client of clients) await until(() => client.heard.length === 3, "Node is heard");
  await publisher.disconnect();
  await subscriber.disconnect();

  await servers[0].kill();
  await together(nodes, 20_000);
  await until(() => servers.slice(1).every(({ port }) => /[ ,]fail[ ,]/.test(cli("-p", `${port}`, "cluster", "nodes"))), "the others see it", 20_000);
  await talk(nodes, clients, "one server less");
  for (const client of clients) client.close();
  for (const node of nodes) await node.stop();
  for (const redis of servers) await redis.kill();
});

test("sentinels: when the master is killed, the nodes go to the new one", async () => {
  const master = await Redis.start();
  const replica = new Redis(await freePort());
  await replica.start("--replicaof", "127.0.0.1", `${master.port}`);
  const sentinel = new Redis(await freePort());
  const conf = join(sentinel.folder, "sentinel.conf");
  writeFileSync(
    conf,
    `port ${sentinel.port}
bind 127.0.0.1
sentinel monitor mymaster 127.0.0.1 ${master.port} 1
sentinel down-after-milliseconds mymaster 1000
sentinel failover-timeout mymaster 5000
`,
  );
  await sentinel.sentinel(conf);
  await until(() => cli("-p", `${sentinel.port}`, "sentinel", "replicas", "mymaster").includes(`${replica.port}`), "the sentinel knows the replica", 20_000);

  // The first of the sentinels is not there: the next one is asked.
  const url = `redis+sentinel://127.0.0.1:${await freePort()},127.0.0.1:${sentinel.port}/0/mymaster`;
  const nodes = await Promise.all([1, 2].map(() => Node.start("ours", { url })));
  const clients = await Promise.all(nodes.map((node) => node.client("lobby")));
  await together(nodes);
  await talk(nodes, clients, "with the first master");
  await master.kill();
  await until(async () => !(await nodes[0].do("status")).up, "it is seen", 5000);
  await together(nodes, 30_000);
  assert.match(cli("-p", `${replica.port}`, "role"), /^master/);
  await talk(nodes, clients, "with the second");
  for (const client of clients) client.close();
  for (const node of nodes) await node.stop();
  for (const redis of [sentinel, replica]) await redis.kill();
});

test("TLS: a server of one's own authority is trusted, another is not", async () => {
  const redis = new Redis(await freePort());
  const file = (name) => join(redis.folder, name);
  const openssl = (...args) => execFileSync("openssl", args, { stdio: "ignore" });
  for (const name of ["ca", "stranger"]) {
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", `/CN=${name}`, "-keyout", file(`${name}.key`), "-out", file(`${name}.crt`));
  }
  openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost", "-keyout", file("redis.key"), "-out", file("redis.csr"));
  writeFileSync(file("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
  openssl("x509", "-req", "-in", file("redis.csr"), "-CA", file("ca.crt"), "-CAkey", file("ca.key"), "-CAcreateserial", "-days", "1", "-extfile", file("names"), "-out", file("redis.crt"));
  await redis.start("--port", "0", "--tls-port", `${redis.port}`, "--tls-cert-file", file("redis.crt"), "--tls-key-file", file("redis.key"), "--tls-ca-cert-file", file("ca.crt"), "--tls-auth-clients", "no");

  const url = `rediss://localhost:${redis.port}`;
  const nodes = await Promise.all([1, 2].map(() => Node.start("ours", { url }, { REDIS_CA: file("ca.crt") })));
  const clients = await Promise.all(nodes.map((node) => node.client("lobby")));
  await together(nodes);
  await talk(nodes, clients, "by TLS");
  const wary = await Node.start("ours", { url }, { REDIS_CA: file("stranger.crt") });
  await sleep(500);
  assert.equal((await wary.do("status")).up, false);
  for (const client of clients) client.close();
  for (const node of [...nodes, wary]) await node.stop();
  await kill(redis.child);
});
