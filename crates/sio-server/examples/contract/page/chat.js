// @ts-check
// The page's side of the chat. It is plain JavaScript; `tsc` checks it against the server's events all
// the same, since the next lines say what the socket speaks.

/** @typedef {import("./events").ServerToClientEvents} ServerToClientEvents */
/** @typedef {import("./events").ClientToServerEvents} ClientToServerEvents */
/** @type {import("socket.io-client").Socket<ServerToClientEvents, ClientToServerEvents>} */
const socket = io();

const room = "tea";
const said = /** @type {HTMLElement} */ (document.getElementById("said"));
const text = /** @type {HTMLInputElement} */ (document.getElementById("text"));

/** @param {string} line */
function show(line) {
  said.append(Object.assign(document.createElement("li"), { textContent: line }));
}

socket.on("connect", async () => {
  const people = await socket.emitWithAck("join", room); // a number
  show(`${people} in ${room}`);
});
socket.on("joined", (name, people) => show(`${people} in ${name}`));
socket.on("message", (message) => show(message.text));

document.getElementById("say")?.addEventListener("submit", (event) => {
  event.preventDefault();
  socket.emit("message", { room, text: text.value });
  show(text.value);
  text.value = "";
});
