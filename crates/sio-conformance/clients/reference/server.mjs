// The conformance server on Node's own Socket.IO: a development tool, never shipped.
//
// It answers what our conformance server answers (see crates/sio-conformance), so that the client
// matrix can be held against the reference first: a test that fails here is a wrong test.
//
//   PORT=3000 node reference/server.mjs

import { createServer } from "node:http";
import { msgpackParser, socketIoServer } from "../packages.mjs";

const { Server } = socketIoServer();

const env = process.env;
const number = (name, fallback) => Number(env[name] ?? fallback);
const port = number("PORT", 3000);

const http = createServer((request, response) => {
  if (request.url === "/healthz") return response.writeHead(200).end("ok");
  response.writeHead(404).end();
});

const io = new Server(http, {
  pingInterval: number("PING_INTERVAL", 1000),
  pingTimeout: number("PING_TIMEOUT", 1000),
  connectTimeout: number("CONNECT_TIMEOUT", 1000),
  upgradeTimeout: number("UPGRADE_TIMEOUT", 1000),
  maxHttpBufferSize: number("MAX_PAYLOAD", 100_000),
  perMessageDeflate: env.PMD !== "0" && {
    threshold: 0,
    serverNoContextTakeover: env.PMD !== "2",
    clientNoContextTakeover: env.PMD !== "2",
  },
  cookie: env.COOKIE !== "0",
  cors: { origin: "*" },
  ...(number("CSR", 0) && {
    connectionStateRecovery: { maxDisconnectionDuration: number("CSR", 0) },
  }),
  ...(env.PARSER === "msgpack" && { parser: msgpackParser }),
  allowEIO3: env.EIO3 === "1",
});

const reasons = new Map();
const nothing = () => {};

function serve(name) {
  io.of(name).on("connection", (socket) => {
    const nsp = socket.nsp;
    socket.emit("auth", socket.handshake.auth);
    socket.on("disconnect", (reason) => reasons.set(socket.id, reason));

    // Arguments of an unexpected type are the client's affair: the handler gives up, no more.
    const on = (event, handler) =>
      socket.on(event, async (...args) => {
        try {
          await handler(...args);
        } catch {
          // ignored, as the contract says
        }
      });

    const choose = (from, rooms, except) => {
      let target = from;
      for (const room of rooms ?? []) target = target.to(room);
      for (const room of except ?? []) target = target.except(room);
      return target;
    };

    // An event has a name, and a name is text; Node would send anything.
    const emit = (target, event, ...args) => {
      if (typeof event === "string") target.emit(event, ...args);
    };

    on("message", (...args) => socket.emit("message-back", ...args));
    on("message-with-ack", (...args) => args.pop()(...args));
    on("whoami", (ack) => ack(socket.id));
    on("join", (rooms, ack = nothing) => (socket.join(rooms), ack()));
    on("leave", (room, ack = nothing) => (socket.leave(room), ack()));
    on("rooms", (ack) => ack([...socket.rooms].sort()));
    on("to", (rooms, except, event, ...args) => {
      emit(choose(rooms.length ? socket : socket.broadcast, rooms, except), event, ...args);
    });
    on("in", (rooms, except, event, ...args) => {
      emit(choose(nsp, rooms, except), event, ...args);
    });
    on("broadcast", (event, ...args) => emit(socket.broadcast, event, ...args));
    on("all", (event, ...args) => emit(nsp, event, ...args));
    on("volatile", (event, ...args) => emit(socket.volatile, event, ...args));
    on("burst", (n, kind, rooms = []) => {
      const target = rooms.length ? nsp.to(rooms) : socket;
      for (let i = 0; i < n; i++) {
        if (kind === "mixed" && i % 2 === 1) {
          target.emit("burst", i, Buffer.from([i & 255, (i >> 8) & 255]), Buffer.from("x" + i));
        } else {
          target.emit("burst", i);
        }
      }
    });
    on("flood", (rooms, n, size, volatile) => {
      for (let i = 0; i < n; i++) {
        const target = rooms.length ? nsp.to(rooms) : nsp;
        (volatile ? target.volatile : target).emit("flood", i, "x".repeat(size));
      }
    });
    on("ask-client", async (event, ...args) => {
      if (typeof event !== "string") return;
      try {
        const answer = await new Promise((done, fail) => {
          socket.timeout(500).emit(event, ...args, (error, ...back) =>
            error ? fail(error) : done(back),
          );
        });
        socket.emit("client-answered", ...answer);
      } catch {
        socket.emit("client-timeout");
      }
    });
    on("ask-room", (rooms, event, ...args) => {
      choose(nsp, rooms).timeout(500).emit(event, ...args, (error, answers) => {
        socket.emit("room-answered", Boolean(error), answers);
      });
    });
    on("disconnect-me", (close) => socket.disconnect(close));
    on("disconnect-room", (room, close, ack = nothing) => {
      nsp.in(room).disconnectSockets(close);
      ack();
    });
    on("sockets-join", (room, target, ack = nothing) => {
      nsp.in(room).socketsJoin(target);
      ack();
    });
    on("sockets-leave", (room, target, ack = nothing) => {
      nsp.in(room).socketsLeave(target);
      ack();
    });
    on("fetch-sockets", async (room, ack) => {
      ack((await nsp.in(room).fetchSockets()).map((each) => each.id).sort());
    });
    on("disconnect-reason", (id, ack) => ack(reasons.get(id) ?? null));
    on("count", (ack) => ack(nsp.sockets.size));
    on("clients", (ack) => ack(io.engine.clientsCount));
    on("set-data", (value, ack) => ((socket.data = value), ack()));
    on("fetch-full", async (room, ack) => {
      const sockets = await nsp.in(room).fetchSockets();
      ack(
        sockets.map((each) => ({
          id: each.id,
          rooms: [...each.rooms].sort(),
          data: each.data,
          handshake: each.handshake,
        })),
      );
    });
    on("local", (rooms, event, ...args) => emit(choose(nsp.local, rooms), event, ...args));
    on("sync", (ack) => ack());
  });
}

for (const name of ["/", "/custom", /^\/dyn-[0-9]+$/, "/auth", "/slow", "/guarded"]) {
  serve(name);
}
io.of("/auth").use((socket, next) => {
  if (socket.handshake.auth.token === "secret") return next();
  next(Object.assign(new Error("not authorized"), { data: { code: "E_AUTH" } }));
});
io.of("/slow").use((socket, next) => setTimeout(next, 200));
io.of("/guarded").on("connection", (socket) => {
  socket.use(([event], next) => {
    next(event === "forbidden" ? new Error("forbidden event") : undefined);
  });
  socket.on("error", (error) => socket.emit("refused", error.message));
});

http.listen(port, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${port}`));
process.on("SIGTERM", () => io.close(() => process.exit(0)));
