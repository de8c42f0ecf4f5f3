// The npm packages of package.json, wherever xtask has installed them.
//
// They live in the target folder, outside this one, where an ordinary import would not look.
// Run by hand, set CLIENTS_NPM to the folder that holds node_modules.

import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
export const installed =
  process.env.CLIENTS_NPM ?? path.resolve(here, "../../../target/xtask/npm");
const load = createRequire(path.join(installed, "package.json"));

export const { io, Manager } = load("socket.io-client");
export const { WebSocket } = load("ws");
export const socketIoServer = () => load("socket.io");
export const playwright = () => load("playwright-core");
