// The chat example in two pages of a real Chromium, as two people would use it.
//
// Environment: CHAT (the example's program, run with PORT), CHROMIUM, SHOTS (a folder for
// screenshots), CLIENTS_NPM. Set by `cargo xtask test --only browser`.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, it } from "node:test";

import { playwright } from "../packages.mjs";
import { freePort } from "../ports.mjs";

const shots = process.env.SHOTS ?? path.join(tmpdir(), "shots");
const profile = mkdtempSync(path.join(tmpdir(), "chat-profile-"));
const port = await freePort();
let server;
let browser;
let ada;
let bob;

before(async () => {
  mkdirSync(shots, { recursive: true });
  server = await start();
  browser = await playwright().chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    viewport: { width: 1100, height: 760 },
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  browser.setDefaultTimeout(10_000);
});

after(async () => {
  await browser?.close();
  server?.kill("SIGKILL");
  rmSync(profile, { recursive: true, force: true });
});

/** Starts the chat, and waits until it listens. */
async function start() {
  const [program, ...args] = process.env.CHAT.split(" ");
  const child = spawn(program, args, { env: { ...process.env, PORT: port, SIO_DEBUG: "1" }, stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  for await (const chunk of child.stdout) {
    said += chunk;
    if (said.includes("listening")) break;
  }
  assert.match(said, /listening/, "the chat did not start");
  return child;
}

/** A page of somebody who has just come in; what goes wrong on the page fails the test. */
async function comeIn(name) {
  const page = await browser.newPage();
  page.on("pageerror", (error) => assert.fail(`${name}'s page: ${error.stack}`));
  await page.goto(`http://127.0.0.1:${port}/`);
  await page.fill("#name", name);
  await page.click("#hello button");
  await live(page);
  return page;
}

/** The connection of `page` is up. */
const live = (page) => page.locator('#state[data-state="live"]').waitFor();

async function say(page, text) {
  await page.fill("#text", text);
  await page.press("#text", "Enter");
}

/** The message with `text`, not one that only waits to be taken. */
const message = (page, text) => page.locator(".message:not(.waiting)", { hasText: text });

/** The people `page` sees in the room, by name. */
const people = (page) => page.locator("#people li > span:last-child").allTextContents();

async function until(probe, expected, what) {
  const deadline = Date.now() + 10_000;
  let last;
  do {
    last = await probe();
    try {
      assert.deepEqual(last, expected);
      return;
    } catch {
      await new Promise((done) => setTimeout(done, 50));
    }
  } while (Date.now() < deadline);
  assert.deepEqual(last, expected, what);
}

const shoot = (page, name) => page.screenshot({ path: path.join(shots, `${name}.png`) });

it("a page asks for a name before anything else", async () => {
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${port}/`);
  await page.locator("#hello[open]").waitFor();
  await shoot(page, "1-welcome");
  await page.close();
});

it("two people see each other", async () => {
  ada = await comeIn("Ada");
  bob = await comeIn("Bob");
  await until(() => people(ada), ["Ada", "Bob"]);
  await until(() => people(bob), ["Ada", "Bob"]);
  const { width, height } = await ada.locator("main").boundingBox();
  assert.ok(width > 800 && height > 700, `the room has ${width} by ${height} of 1100 by 760 pixels`);
});

it("a message arrives at once on the other page", async () => {
  await say(ada, "Hello Bob, is anybody else here?");
  await message(bob, "Hello Bob").waitFor();
  assert.equal(await message(bob, "Hello Bob").locator(".name").innerText().then((text) => text.split(",")[0]), "Ada");
  await say(bob, "Just us. é 😀 <b>not bold</b>");
  await message(ada, "<b>not bold</b>").waitFor();
});

it("a like arrives, and can be taken back", async () => {
  const heart = message(ada, "not bold").locator(".like");
  const seen = message(bob, "not bold").locator(".like");
  await heart.click();
  await until(() => seen.innerText().then((text) => text.trim()), "1");
  await seen.click();
  await until(() => heart.innerText().then((text) => text.trim()), "2");
  await heart.click();
  await until(() => seen.innerText().then((text) => text.trim()), "1");
});

it("the other page shows who is typing", async () => {
  await bob.locator("#text").pressSequentially("I am wri", { delay: 30 });
  await ada.getByText("Bob is typing").waitFor();
  await shoot(ada, "2-lobby");
});

it("rooms are opened, joined, counted and left", async () => {
  await ada.fill("#room-name", "rust");
  await ada.press("#room-name", "Enter");
  await until(() => ada.locator("#room-title").innerText(), "rust");
  await bob.locator("#rooms button", { hasText: "rust" }).click();
  await until(() => people(ada), ["Ada", "Bob"]);
  await say(ada, "only in this room");
  await message(bob, "only in this room").waitFor();

  await bob.locator("#rooms button", { hasText: "lobby" }).click();
  assert.equal(await message(bob, "only in this room").count(), 0);
  await say(ada, "Bob is looking elsewhere");
  await until(() => bob.locator("#rooms .unread").innerText(), "1");
  await shoot(bob, "3-unread");

  await bob.locator("#rooms button", { hasText: "rust" }).click();
  await message(bob, "looking elsewhere").waitFor();
  await bob.click("#leave");
  await until(() => people(ada), ["Ada"]);
});

it("the chat survives the server's death by itself", async () => {
  await bob.locator("#rooms button", { hasText: "rust" }).click();
  await until(() => people(ada), ["Ada", "Bob"]);
  await say(ada, "before the restart");
  await message(bob, "before the restart").waitFor();

  server.kill("SIGKILL");
  await once(server, "exit");
  for (const page of [ada, bob]) await page.locator('#state:not([data-state="live"])').waitFor();
  await say(ada, "said while the server was away");
  await ada.locator(".message.waiting").waitFor();
  await shoot(ada, "4-reconnecting");

  server = await start();
  for (const page of [ada, bob]) await live(page);
  await message(bob, "said while the server was away").waitFor();
  await until(() => ada.locator(".message.waiting").count(), 0);
  assert.equal(await message(ada, "said while the server was away").count(), 1);
  assert.equal(await message(bob, "said while the server was away").count(), 1);
  assert.equal(await message(bob, "before the restart").count(), 1);
  await until(() => people(ada).then((list) => list.sort()), ["Ada", "Bob"]);

  await say(bob, "and on we go");
  await message(ada, "and on we go").waitFor();
  await message(ada, "and on we go").locator(".like").click();
  await until(() => message(bob, "and on we go").locator(".like").innerText().then((text) => text.trim()), "1");
  await shoot(bob, "5-recovered");
});

it("somebody who closes the page has left", async () => {
  await bob.close();
  await until(() => people(ada), ["Ada"]);
});

it("a phone shows the room, and the rest at a touch", async () => {
  const eve = await comeIn("Eve");
  await eve.setViewportSize({ width: 375, height: 700 });
  await ada.locator("#rooms button", { hasText: "lobby" }).click();
  await say(ada, "Hi Eve! This one is long enough to take more than a single line on a phone.");
  await message(eve, "Hi Eve").waitFor();
  await say(eve, "Hello from a phone");
  await message(ada, "from a phone").waitFor();
  await shoot(eve, "6-phone");
  const width = await eve.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= 375, `the page is ${width} pixels wide`);

  await eve.click("#menu");
  await eve.locator("#people").getByText("Ada").waitFor();
  await eve.waitForTimeout(300);
  await shoot(eve, "7-phone-side");
  await eve.emulateMedia({ colorScheme: "dark" });
  await eve.mouse.click(360, 400);
  await eve.waitForTimeout(300);
  await shoot(eve, "8-phone-dark");
});

it("what a handler fails at is in the console, with the client as it is served", async () => {
  for (const transport of ["websocket", "polling"]) {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${port}/`);
    const [shown] = await Promise.all([
      page.waitForEvent("console", (line) => line.type() === "error" && line.text().includes("the handler of")),
      page.evaluate((transport) => {
        const auth = { name: "Developer", person: "developer" };
        const socket = window.io({ auth, forceNew: true, transports: [transport] });
        socket.emit("message", 7);
        socket.off();
      }, transport),
    ]);
    assert.match(shown.text(), /^the handler of "message" failed: the payload is not what the handler takes: /);
    await page.close();
  }
});
