// A port for a program that is told on which to listen.

import { once } from "node:events";
import { createServer } from "node:net";

/** One that nobody listens on at the moment. */
export async function freePort() {
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address();
  listener.close();
  await once(listener, "close");
  return port;
}
