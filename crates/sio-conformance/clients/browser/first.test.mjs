// The program on the first page of the documentation, which is an example of its own: two people open the
// page in a real Chromium, and talk.
//
// Environment: FIRST (the program, run with PORT), CHROMIUM, SIO_CLIENT_DIR (what the page fetches from the
// network comes from there), CLIENTS_NPM. Set by `cargo xtask test --only browser`.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, it } from "node:test";

import { playwright } from "../packages.mjs";
import { freePort } from "../ports.mjs";

const profile = mkdtempSync(path.join(tmpdir(), "first-profile-"));
let server;
let browser;
let url;

before(async () => {
  const env = { ...process.env, PORT: String(await freePort()) };
  server = spawn(process.env.FIRST, { env, stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  for await (const chunk of server.stdout) {
    said += chunk;
    if (said.includes("\n")) break;
  }
  url = /listening on (\S+)/.exec(said)[1];
  browser = await playwright().chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
  });
  browser.setDefaultTimeout(10_000);
  const client = path.join(process.env.SIO_CLIENT_DIR, "socket.io.min.js");
  await browser.route("https://cdn.socket.io/*/socket.io.min.js", (route) => route.fulfill({ path: client }));
});

after(async () => {
  await browser?.close();
  server?.kill("SIGKILL");
  rmSync(profile, { recursive: true, force: true });
});

it("what is said in one window is read in the other, once", async () => {
  const [ann, bob] = await Promise.all([browser.newPage(), browser.newPage()]);
  for (const page of [ann, bob]) {
    page.on("pageerror", (error) => assert.fail(error.stack));
    await page.goto(url);
    await page.waitForFunction("socket.connected");
  }
  for (const [index, [from, text]] of [[ann, "hello"], [bob, "hello, you"]].entries()) {
    await from.fill("#text", text);
    await from.press("#text", "Enter");
    for (const page of [ann, bob]) await page.waitForFunction(`said.childElementCount === ${index + 1}`);
  }
  for (const page of [ann, bob]) {
    assert.deepEqual(await page.locator("#said li").allTextContents(), ["hello", "hello, you"]);
  }
});
