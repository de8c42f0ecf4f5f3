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
export const { Socket: EngineSocket } = load("engine.io-client");
/** The parser of the npm package `socket.io-msgpack-parser`. */
export const msgpackParser = load("socket.io-msgpack-parser");
export const { WebSocket } = load("ws");
/** `io` of every generation of the client; those before 3 speak Engine.IO 3. */
export const generations = {
  2: load("socket.io-client-2"),
  3: load("socket.io-client-3").io,
  4: io,
};
/** The layer below, alone. */
export const engines = {
  3: load("engine.io-client-3"),
  4: load("engine.io-client-4").Socket ?? load("engine.io-client-4"),
  5: load("engine.io-client-5").Socket ?? load("engine.io-client-5"),
  6: load("engine.io-client-6").Socket,
};
export const socketIoServer = () => load("socket.io");
export const playwright = () => load("playwright-core");
/** The TypeScript compiler, to be run by Node. */
export const tsc = () => load.resolve("typescript/bin/tsc");
/** What AsyncAPI's own schema says against a document; `null` is nothing. */
export function asyncApiErrors(document) {
  const Ajv = load("ajv");
  // AsyncAPI's schema brings that of JSON Schema itself.
  const ajv = new Ajv({ meta: false, validateSchema: false, strict: false, validateFormats: false });
  const validate = ajv.compile(load("@asyncapi/specs/schemas/3.0.0.json"));
  return validate(document) ? null : validate.errors;
}
