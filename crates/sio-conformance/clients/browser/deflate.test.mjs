// permessage-deflate with a real Chromium: the official client, in a page, against the conformance server.
//
// Environment: SIO_URL, PMD (as the server has it), CHROMIUM, CLIENTS_NPM. Set by
// `cargo xtask test --only browser`.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, it } from "node:test";

import { playwright } from "../packages.mjs";

const url = process.env.SIO_URL;
const profile = mkdtempSync(path.join(tmpdir(), "deflate-profile-"));
let browser;

before(async () => {
  browser = await playwright().chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
  });
  browser.setDefaultTimeout(10_000);
});

after(async () => {
  await browser?.close();
  rmSync(profile, { recursive: true, force: true });
});

for (const transports of [["websocket"], ["polling", "websocket"]]) {
  it(`Chromium compresses, and reads what is compressed: ${transports.join(" then ")}`, async () => {
    const page = await browser.newPage();
    const network = await page.context().newCDPSession(page);
    await network.send("Network.enable");
    const answers = [];
    network.on("Network.webSocketHandshakeResponseReceived", ({ response }) => answers.push(response.headersText));
    await page.goto(`${url}/healthz`);
    await page.addScriptTag({ url: `${url}/socket.io/socket.io.js` });
    const results = await page.evaluate(async (transports) => {
      const socket = window.io({ transports, forceNew: true });
      await new Promise((done, fail) => {
        socket.on("connect", done);
        socket.on("connect_error", fail);
      });
      const { engine } = socket.io;
      if (engine.transport.name !== "websocket") await new Promise((done) => engine.once("upgrade", done));
      const results = [];
      for (let i = 0; i < 20; i++) {
        const text = `${i} again and again `.repeat(i * 150);
        const bytes = new Uint8Array(i * 1000).fill(i);
        const [said, back] = await new Promise((done, fail) => {
          const answered = (error, ...args) => (error ? fail(error) : done(args));
          socket.timeout(5000).emit("message-with-ack", text, bytes, answered);
        });
        results.push(said === text && new Uint8Array(back).every((byte) => byte === i) && back.byteLength === i * 1000);
      }
      socket.disconnect();
      return results;
    }, transports);
    assert.deepEqual(results, Array(20).fill(true));
    assert.match(answers.join("\n"), /Sec-WebSocket-Extensions: permessage-deflate/i);
    await page.close();
  });
}
