// A port for a program that is told on which to listen.

import { once } from "node:events";
import { createServer } from "node:net";

/** One that nobody listens on, below those that the kernel gives to whoever asks for any: between now and
 * its use no connection of anybody takes it. */
export async function freePort() {
  for (;;) {
    const listener = createServer().listen(10_000 + Math.floor(Math.random() * 22_000), "127.0.0.1");
    try {
      await once(listener, "listening");
    } catch {
      continue;
    }
    const { port } = listener.address();
    listener.close();
    await once(listener, "close");
    return port;
  }
}
