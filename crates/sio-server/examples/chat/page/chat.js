// The page of the chat. What it knows of a room it got from the server, or keeps until the server,
// gone for a while, is back: the name, the rooms, and messages that have not been taken yet.
"use strict";

const $ = (id) => document.getElementById(id);

/** Who we are, for as long as this tab lives: likes and messages are known by it after a restart. */
const me = { name: "", person: (sessionStorage.person ||= crypto.randomUUID?.() ?? `${Math.random()}`) };

/** What we know of each room we are in: people, messages by id or key, names that are typing. */
const joined = new Map();

/** The rooms there are, with how many people are in each. */
let rooms = [];

let current = null;

const socket = io({ autoConnect: false, auth: (give) => give(me), reconnectionDelayMax: 2000 });

// The connection

socket.on("connect", async () => {
  const wanted = joined.size ? [...joined.keys()] : (stored("rooms") ?? ["lobby"]);
  for (const room of wanted) await join(room);
  if (!current) show(wanted[0] ?? null);
  for (const room of joined.values()) room.messages.forEach((message) => message.waiting && take(message));
});
socket.on("disconnect", showState);
socket.on("connect_error", (error) => {
  showState();
  // The server itself refused us, and says why; nothing else is a reason to ask for the name again.
  if (!socket.active) askName(error.message);
});
socket.io.on("reconnect_attempt", showState);
socket.io.on("open", () => socket.io.engine.on("upgrade", showState));

function showState() {
  const live = socket.connected;
  const state = $("state");
  state.dataset.state = live ? "live" : "connecting";
  state.textContent = live ? "live" : joined.size ? "reconnecting" : "connecting";
  if (live) {
    const road = document.createElement("span");
    road.className = "road";
    road.textContent = `over ${socket.io.engine.transport.name}`;
    state.append(road);
  }
}

// Rooms and people

socket.on("rooms", (list) => {
  rooms = list;
  showRooms();
});

socket.on("people", ({ room, people }) => {
  const here = joined.get(room);
  if (!here) return;
  // Just after a restart everybody seems to leave and come back: that is no news.
  if (Date.now() > here.since + 3000) {
    const change = (from, to) => from.filter((a) => !to.some((b) => a.person === b.person));
    for (const { name } of change(people, here.people)) note(room, `${name} came in`);
    for (const { name } of change(here.people, people)) note(room, `${name} left`);
  }
  here.people = people;
  if (room === current) showPeople();
});

async function join(name) {
  const answer = await socket.emitWithAck("join", name);
  if (!answer) return;
  const room = joined.get(name) ?? { messages: new Map(), typing: new Map(), unread: 0 };
  joined.set(name, room);
  room.people = answer.people;
  room.since = Date.now();
  for (const message of answer.messages) place(name, message);
  remember();
  showState();
  showRooms();
  if (name === current) showRoom();
}

async function enter(name) {
  if (!joined.has(name)) await join(name);
  if (joined.has(name)) show(name);
}

function leave(name) {
  socket.emit("leave", name);
  joined.delete(name);
  remember();
  show([...joined.keys()].at(-1) ?? null);
}

function show(name) {
  current = name;
  if (name) joined.get(name).unread = 0;
  $("app").classList.remove("open");
  $("menu").setAttribute("aria-expanded", "false");
  showRooms();
  showRoom();
}

function remember() {
  sessionStorage.rooms = JSON.stringify([...joined.keys()]);
}

// Messages and likes

socket.on("message", (message) => {
  const room = joined.get(message.room);
  if (!room) return;
  room.typing.delete(message.person);
  place(message.room, message);
  if (message.room !== current || document.hidden) {
    room.unread += 1;
    showRooms();
  }
  if (message.room === current) showRoom();
});

socket.on("like", ({ room, id, person, on }) => {
  const message = joined.get(room)?.messages.get(id);
  if (!message) return;
  message.likes = message.likes.filter((one) => one !== person);
  if (on) message.likes.push(person);
  if (room === current) showRoom();
});

socket.on("typing", ({ room, person, name }) => {
  const here = joined.get(room);
  if (!here) return;
  here.typing.set(person, { name, until: Date.now() + 2500 });
  showTyping();
  setTimeout(showTyping, 2600);
});

/** Puts a message that the server has taken into its room, in place of our own copy if it was ours. */
function place(name, message) {
  const { messages } = joined.get(name);
  messages.delete(message.key);
  messages.set(message.id, message);
}

function say(text) {
  const key = crypto.randomUUID?.() ?? `${Math.random()}`;
  const message = { key, id: key, room: current, text, ...me, likes: [], waiting: true };
  joined.get(current).messages.set(key, message);
  showRoom(true);
  if (socket.connected) take(message);
}

/** Gives one of our messages to the server; it keeps waiting here until the server has it. */
async function take({ key, room, text }) {
  await socket.timeout(5000).emitWithAck("message", { key, room, text }).catch(() => {});
}

function note(room, text) {
  const id = `note ${Math.random()}`;
  joined.get(room).messages.set(id, { id, note: text });
  if (room === current) showRoom();
}

// What is on the page

/** An element with a class and content; content from others is only ever text. */
function element(tag, className, ...content) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...content);
  return node;
}

function face({ name, person }) {
  const node = element("span", "face", [...name][0]?.toUpperCase() ?? "?");
  let hue = 7;
  for (const char of person) hue = (hue * 31 + char.codePointAt(0)) % 360;
  node.style.setProperty("--hue", hue);
  node.ariaHidden = "true";
  return node;
}

function showRooms() {
  const names = new Set([...rooms.map((room) => room.name), ...joined.keys()]);
  const list = [...names].map((name) => {
    const room = joined.get(name);
    const button = element("button", room ? "joined" : "", element("span", "title", name));
    if (name === current) {
      button.classList.add("current");
      button.ariaCurrent = "true";
    }
    const count = rooms.find((room) => room.name === name)?.people;
    if (room?.unread) button.append(element("span", "unread", room.unread));
    else if (count) button.append(element("span", "count", count));
    button.onclick = () => enter(name);
    return element("li", "", button);
  });
  $("rooms").replaceChildren(...list);
  const unread = [...joined.values()].reduce((sum, room) => sum + room.unread, 0);
  $("elsewhere").hidden = !unread;
  $("elsewhere").textContent = unread;
  document.title = unread ? `(${unread}) Chat` : "Chat";
}

function showPeople() {
  const people = joined.get(current)?.people ?? [];
  $("people").replaceChildren(
    ...people.map((one) => {
      const row = element("li", "", face(one), element("span", "", one.name));
      if (one.person === me.person) row.classList.add("me");
      return row;
    }),
  );
  $("people-count").textContent = people.length || "";
  $("room-people").textContent = people.length === 1 ? "only you, so far" : `${people.length} here`;
}

function showRoom(toTheEnd = false) {
  const room = joined.get(current);
  $("room-title").textContent = current ?? "";
  $("where").style.visibility = $("leave").style.visibility = room ? "" : "hidden";
  $("text").disabled = $("send").disabled = !room;
  $("text").placeholder = room ? `Say something in ${current}` : "Choose a room first";

  const log = $("log");
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  let before = null;
  log.replaceChildren(
    ...[...(room?.messages.values() ?? [])].map((message) => {
      const row = message.note ? element("li", "note", message.note) : bubble(message, before);
      before = message;
      return row;
    }),
  );
  if (room && !room.messages.size) {
    log.append(element("li", "note", "Nothing has been said here yet. Say hello."));
  }
  if (atEnd || toTheEnd) log.scrollTop = log.scrollHeight;
  showPeople();
  showTyping();
}

function bubble(message, before) {
  const mine = message.person === me.person;
  const row = element("li", "message");
  row.classList.toggle("mine", mine);
  row.classList.toggle("follows", before?.person === message.person);
  row.classList.toggle("waiting", Boolean(message.waiting));
  const time = message.at ? new Date(message.at).toLocaleTimeString([], { timeStyle: "short" }) : "waiting";
  row.append(face(message));
  row.append(element("span", "name", mine ? time : `${message.name}, ${time}`));
  row.append(element("div", "body", element("span", "text", message.text), heart(message)));
  return row;
}

function heart({ room, id, likes }) {
  const on = likes.includes(me.person);
  const button = element("button", "like");
  button.innerHTML =
    '<svg viewBox="0 0 20 20" aria-hidden="true"><path d="M10 17C4 12.5 2.5 10 2.5 7.3A3.8 3.8 0 0 1 10 5.6a3.8 3.8 0 0 1 7.5 1.7C17.5 10 16 12.5 10 17z"/></svg>';
  if (likes.length) button.append(element("span", "", likes.length));
  button.classList.toggle("some", likes.length > 0);
  button.classList.toggle("by-me", on);
  button.ariaLabel = `Like, ${likes.length}`;
  button.ariaPressed = `${on}`;
  button.onclick = () => socket.emit("like", { room, id, on: !on });
  return button;
}

function showTyping() {
  const now = Date.now();
  const names = [...(joined.get(current)?.typing.values() ?? [])]
    .filter(({ until }) => until > now)
    .map(({ name }) => name);
  const who = names.length > 2 ? "Several people are" : `${names.join(" and ")} ${names.length > 1 ? "are" : "is"}`;
  $("typing").textContent = names.length ? `${who} typing…` : "";
}

// What the person does

$("composer").onsubmit = (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (text && current) say(text);
  $("text").value = "";
};

let lastTyped = 0;
$("text").oninput = () => {
  if (!socket.connected || !current || Date.now() < lastTyped + 1000) return;
  lastTyped = Date.now();
  socket.volatile.emit("typing", current);
};

$("new-room").onsubmit = (event) => {
  event.preventDefault();
  const name = $("room-name").value.trim();
  $("room-name").value = "";
  if (name) enter(name);
};

$("leave").onclick = () => current && leave(current);

$("menu").onclick = () => {
  const open = $("app").classList.toggle("open");
  $("menu").setAttribute("aria-expanded", `${open}`);
};
$("shade").onclick = () => $("menu").click();

document.onvisibilitychange = () => {
  if (document.hidden || !joined.has(current)) return;
  joined.get(current).unread = 0;
  showRooms();
};

// The name

function stored(key) {
  try {
    return JSON.parse(sessionStorage[key]);
  } catch {
    return null;
  }
}

function askName(problem) {
  const hello = $("hello");
  if (problem) hello.querySelector("p").textContent = problem;
  $("name").value = me.name || localStorage.name || "";
  $("app").inert = true;
  if (!hello.open) hello.showModal();
}

$("hello").oncancel = (event) => event.preventDefault();
$("hello").onclose = () => {
  me.name = $("name").value.trim();
  if (!me.name) return askName();
  sessionStorage.name = JSON.stringify(me.name);
  localStorage.name = me.name;
  begin();
};

function begin() {
  $("app").inert = false;
  socket.connect();
  showState();
  $("text").focus();
}

showRoom();
me.name = stored("name") ?? "";
if (me.name) begin();
else askName();
