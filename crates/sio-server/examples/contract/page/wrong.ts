// What the compiler refuses. Each line that ends in a code gives that error and no other line does.
import { io, type Socket } from "socket.io-client";
import type { ClientToServerEvents, ServerToClientEvents } from "./events";

const socket: Socket<ServerToClientEvents, ClientToServerEvents> = io();

socket.emit("message", { room: "tea", text: "hello" });
socket.emit("message", { room: "tea" }); // TS2345
socket.emit("message", "hello"); // TS2345
socket.emit("massage", { room: "tea", text: "hello" }); // TS2345
socket.emit("joined", "tea", 2); // TS2345
socket.on("message", (message) => message.txt); // TS2551
socket.on("joined", (room, people) => room + people.toFixed() + people.length); // TS2339
const people: string = await socket.emitWithAck("join", "tea"); // TS2322
await socket.emitWithAck("join", 7); // TS2345
await socket.emitWithAck("message", { room: "tea", text: "hello" }); // TS2554
