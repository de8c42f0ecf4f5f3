// A TCP proxy in front of the server under test that treats connections as bad networks do.

import { once } from "node:events";
import net from "node:net";

/**
 * What a proxy does to the bytes of both directions.
 *
 * split: no piece is longer than so many bytes · delay: each piece waits up to so many ms, in order ·
 * strip: requests lose their Upgrade · reset: each connection breaks after about so many bytes ·
 * truncate: each connection ends in order after about so many bytes of answers
 */
export class Proxy {
  static async to(target, weather = {}) {
    const proxy = new Proxy(new URL(target), weather);
    proxy.listener.listen(0, "127.0.0.1");
    await once(proxy.listener, "listening");
    proxy.url = `http://127.0.0.1:${proxy.listener.address().port}`;
    return proxy;
  }

  constructor(target, weather) {
    this.target = target;
    this.weather = weather;
    this.connections = 0;
    this.broken = 0;
    this.open = new Set();
    this.listener = net.createServer({ noDelay: true }, (client) => this.serve(client));
  }

  /** From now on nothing bad happens to new connections, and those there are break once more. */
  calm() {
    this.weather = {};
    for (const socket of this.open) socket.destroy();
  }

  close() {
    this.listener.close();
    for (const socket of this.open) socket.destroy();
  }

  serve(client) {
    const weather = this.weather;
    const server = net.connect({ host: this.target.hostname, port: this.target.port, noDelay: true });
    this.connections += 1;
    for (const socket of [client, server]) {
      this.open.add(socket);
      socket.on("close", () => this.open.delete(socket));
      socket.on("error", () => {});
    }
    client.on("close", () => server.destroy());
    server.on("close", () => client.end());
    const patience = (bytes) => (bytes ? bytes / 2 + Math.random() * bytes : Infinity);
    let left = patience(weather.reset);
    let answers = patience(weather.truncate);
    carry(client, server, weather, (piece) => {
      left -= piece.length;
      return left < 0 ? this.break(client, server) : weather.strip ? stripped(piece) : piece;
    });
    carry(server, client, weather, (piece) => {
      left -= piece.length;
      answers -= piece.length;
      if (left < 0) return this.break(client, server);
      if (answers >= 0) return piece;
      this.broken += 1;
      client.end(piece.subarray(0, piece.length / 2));
      server.destroy();
      return null;
    });
  }

  break(client, server) {
    this.broken += 1;
    client.resetAndDestroy();
    server.resetAndDestroy();
    return null;
  }
}

/** Carries bytes from one socket to another, in order, as the weather will have it. */
function carry(from, to, { split, delay }, look) {
  let before = Promise.resolve();
  from.on("data", (data) => {
    const piece = look(data);
    if (!piece) return;
    const step = split ?? piece.length;
    for (let at = 0; at < piece.length; at += step) {
      const part = piece.subarray(at, at + step);
      before = before.then(async () => {
        if (delay) await new Promise((done) => setTimeout(done, Math.random() * delay));
        else if (split) await new Promise((done) => setImmediate(done));
        if (to.writable) to.write(part);
      });
    }
  });
  from.on("end", () => before.then(() => to.writable && to.end()));
}

/** A request without its wish to leave HTTP. */
function stripped(piece) {
  const text = piece.toString("latin1").replace(/^(Upgrade|Connection): .*\r\n/gim, "");
  return Buffer.from(text, "latin1");
}
