// Clients of two generations in a real Chromium, through networks that split, delay, break and strip;
// and JSONP, which only a browser can do.
//
// Environment: SERVER (the conformance server's program), CHROMIUM, CLIENTS_NPM. Set by
// `cargo xtask test --only browser`.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";

import { installed, playwright } from "../packages.mjs";
import { Proxy } from "../proxy.mjs";

// Client 2 sends credentials unless told otherwise, and no browser takes an answer for everybody then.
const plain = { forceNew: true, withCredentials: false };
const profile = mkdtempSync(path.join(tmpdir(), "weather-profile-"));
const proxies = [];
let server;
let url;
let pages;
let browser;

before(async () => {
  server = spawn(process.env.SERVER, {
    env: { ...process.env, PORT: "0", EIO3: "1", PING_TIMEOUT: "5000", CONNECT_TIMEOUT: "5000", UPGRADE_TIMEOUT: "5000" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = await once(server.stdout, "data");
  url = `http://${/listening on (\S+)/.exec(line)[1]}`;
  // The page comes from another origin than the server.
  pages = createServer((request, response) => {
    const [, name] = /^\/client-([24])\.js$/.exec(request.url) ?? [];
    if (name) {
      const module = name === "4" ? "socket.io-client" : "socket.io-client-2";
      const file = path.join(installed, "node_modules", module, "dist/socket.io.js");
      return response.setHeader("content-type", "text/javascript").end(readFileSync(file));
    }
    const generation = new URL(request.url, "http://x").searchParams.get("client");
    response.setHeader("content-type", "text/html");
    response.end(`<!doctype html><meta charset=utf-8><script src="/client-${generation}.js"></script>`);
  });
  pages.listen(0, "127.0.0.1");
  await once(pages, "listening");
  browser = await playwright().chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  browser.setDefaultTimeout(20_000);
});

after(async () => {
  await browser?.close();
  for (const proxy of proxies) proxy.close();
  pages?.close();
  server?.kill("SIGKILL");
  rmSync(profile, { recursive: true, force: true });
});

async function proxied(weather) {
  const proxy = await Proxy.to(url, weather);
  proxies.push(proxy);
  return proxy;
}

async function page(generation) {
  const page = await browser.newPage();
  page.on("pageerror", (error) => assert.fail(error.stack));
  await page.goto(`http://127.0.0.1:${pages.address().port}/?client=${generation}`);
  return page;
}

/** In the page: a socket that has connected, said a burst of `count` events, and heard them in order. */
function burst({ url, options, count }) {
  return new Promise((done, fail) => {
    const socket = globalThis.io(url, options);
    const timer = setTimeout(() => fail(new Error(`only ${next} of ${count} came`)), 15_000);
    let next = 0;
    socket.on("burst", (number, first, second) => {
      const bytes = (data) => Array.from(new Uint8Array(data));
      const good =
        number === next &&
        (number % 2 === 0 ||
          (bytes(first).join() === [number & 255, number >> 8].join() &&
            bytes(second).join() === Array.from(new TextEncoder().encode(`x${number}`)).join()));
      if (!good) return fail(new Error(`${number} came, not ${next}`));
      next += 1;
      if (next < count) return;
      socket.emit("message-with-ack", "é😀\u2028\n", (answer) => {
        clearTimeout(timer);
        const transport = socket.io.engine.transport.name;
        socket.close();
        done({ answer, transport });
      });
    });
    socket.once("connect", () => socket.emit("burst", count, "mixed"));
  });
}

for (const generation of [2, 4]) {
  describe(`socket.io-client ${generation} in Chromium`, () => {
    const weathers = {
      "a proxy that passes everything on": [{}, "websocket"],
      "a proxy that cuts into pieces of three bytes": [{ split: 3 }, undefined],
      "a proxy that delays": [{ delay: 20 }, undefined],
      "a proxy that strips Upgrade": [{ strip: true }, "polling"],
    };
    for (const [name, [weather, transport]] of Object.entries(weathers)) {
      it(`${name}: everything comes, in order, once`, async () => {
        const proxy = await proxied(weather);
        const tab = await page(generation);
        const result = await tab.evaluate(burst, { url: proxy.url, options: plain, count: 60 });
        assert.equal(result.answer, "é😀\u2028\n");
        if (transport === "polling") assert.equal(result.transport, "polling");
        await tab.close();
      });
    }

    // Over WebSocket alone: a browser repeats a GET whose connection broke before its answer came, and
    // says so to nobody, so over polling what was in that answer is lost on any server.
    for (const [name, weather] of Object.entries({
      "that resets connections": { reset: 3000 },
      "that cuts answers short": { truncate: 3000 },
    })) {
      it(`a proxy ${name}: what comes is in order, and the client comes back`, async () => {
        const proxy = await proxied(weather);
        const tab = await page(generation);
        await tab.evaluate((url) => {
          const socket = globalThis.io(url, {
            forceNew: true,
            transports: ["websocket"],
            reconnectionDelay: 20,
            reconnectionDelayMax: 50,
            timeout: 2000,
          });
          globalThis.seen = { connects: 0, wrong: [], whole: false };
          let next;
          socket.on("connect", () => {
            globalThis.seen.connects += 1;
            next = 0;
            socket.emit("burst", 400, "mixed");
          });
          socket.on("burst", (number) => {
            if (number !== next) globalThis.seen.wrong.push([number, next]);
            next = number + 1;
            globalThis.seen.whole = next === 400;
          });
        }, proxy.url);
        await tab.waitForFunction(() => globalThis.seen.connects >= 3);
        assert.ok(proxy.broken >= 2, `${proxy.broken} broke`);
        proxy.calm();
        await tab.waitForFunction(() => globalThis.seen.whole);
        assert.deepEqual((await tab.evaluate(() => globalThis.seen)).wrong, []);
        await tab.close();
      });
    }
  });
}

it("socket.io-client 2 in Chromium polls by JSONP", async () => {
  const tab = await page(2);
  const asked = [];
  tab.on("request", (request) => asked.push(request));
  const options = { ...plain, forceJSONP: true, transports: ["polling"] };
  const result = await tab.evaluate(burst, { url, options, count: 60 });
  assert.equal(result.answer, "é😀\u2028\n");
  const ours = asked.filter((request) => request.url().startsWith(url));
  assert.ok(ours.some((request) => request.resourceType() === "script" && /[?&]j=\d/.test(request.url())));
  assert.ok(ours.every((request) => request.resourceType() !== "xhr"));
  await tab.close();
});
