// The bench server on Node: socket.io over ws. PORT says where. The table of handlers is in
// benches/src/lib.rs.
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, { perMessageDeflate: false }); // off by default, said aloud
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
http.listen({ port: Number(process.env.PORT), host: "127.0.0.1", backlog: 4096 });
