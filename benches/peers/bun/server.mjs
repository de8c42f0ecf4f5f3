// The bench server on Bun, whose WebSockets are uWebSockets: socket.io over @socket.io/bun-engine. PORT
// says where. The table of handlers is in benches/src/lib.rs.
import { Server as Engine } from "@socket.io/bun-engine";
import { Server } from "socket.io";

const io = new Server();
const engine = new Engine({ path: "/socket.io/" });
io.bind(engine);
io.on("connection", (socket) => {
  socket.on("echo", (payload, ack) => ack(payload));
  socket.on("echo2", (payload) => socket.emit("echo2", payload));
  socket.on("join", (room, ack) => {
    socket.join(room);
    ack("ok");
  });
  socket.on("bcast", (payload) => io.emit("bcast", payload));
  socket.on("rcast", (room, payload) => io.to(room).emit("rcast", payload));
});
Bun.serve({ port: Number(process.env.PORT), hostname: "127.0.0.1", ...engine.handler() });
