// The chat of `REDIS_URL=… cargo xtask demo`: people on two nodes talk as on one.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { io as connect } from "socket.io-client";
import { freePort, kill, Redis, sleep, start, until } from "./support.mjs";

let redis;
const nodes = [];
const people = [];

const startNode = async () => {
  const port = await freePort();
  const env = { REDIS_URL: redis.url, HOST: "127.0.0.1", PORT: `${port}` };
  const child = start(process.env.CHAT_EXAMPLE, [], env);
  nodes.push(child);
  return { child, port };
};

/** Somebody with a page: what a page of the chat hears and asks. */
const comeIn = async ({ port }, name) => {
  const page = connect(`http://127.0.0.1:${port}`, { auth: { name, person: name }, forceNew: true, reconnectionDelay: 50 });
  page.messages = [];
  page.on("message", (message) => page.messages.push(message));
  page.on("people", ({ room, people }) => room === "lobby" && (page.people = people.map(({ name }) => name)));
  page.on("like", (like) => (page.like = like));
  await once(page, "connect");
  page.welcome = await page.emitWithAck("join", "lobby");
  people.push(page);
  return page;
};

before(async () => {
  redis = await Redis.start();
});

after(async () => {
  for (const page of people) page.close();
  for (const child of nodes) await kill(child);
  await redis.kill();
});

test("two people on two nodes see each other, talk, and like what is said", async () => {
  const [one, two] = await Promise.all([startNode(), startNode()]);
  const ada = await comeIn(one, "Ada");
  const bob = await comeIn(two, "Bob");
  await until(() => ada.people?.length === 2 && bob.people?.length === 2, "both see both");
  assert.deepEqual(ada.people, ["Ada", "Bob"]);
  assert.ok(await ada.emitWithAck("message", { key: "1", room: "lobby", text: "hello from one" }));
  assert.ok(await bob.emitWithAck("message", { key: "1", room: "lobby", text: "hello from two" }));
  await until(() => ada.messages.length === 2 && bob.messages.length === 2, "both hear both");
  const [message] = bob.messages.filter(({ name }) => name === "Ada");
  assert.equal(message.text, "hello from one");
  bob.emit("like", { room: "lobby", id: message.id, on: true });
  await until(() => ada.like?.id === message.id, "Ada hears that Bob likes it");

  const late = await comeIn(await startNode(), "Late");
  // A node that is new asks the others; who comes in that very moment is shown it by the next message.
  await until(async () => {
    const known = await late.emitWithAck("join", "lobby");
    return known.messages.length === 2 && known.people.length === 3;
  }, "a new node knows what was said");
  const known = await late.emitWithAck("join", "lobby");
  const liked = known.messages.find(({ id }) => id === message.id);
  assert.deepEqual(liked.likes, ["Bob"]);

  await kill(nodes[1]);
  await until(() => ada.people.length === 2, "who was on a node that died is not shown any more", 20_000);
  assert.deepEqual(ada.people, ["Ada", "Late"]);
  await sleep(100);
  await late.emitWithAck("message", { key: "2", room: "lobby", text: "still here" });
  await until(() => ada.messages.some(({ text }) => text === "still here"), "and the chat goes on");
});
