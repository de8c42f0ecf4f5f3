// Records vectors.json: what the npm packages socket.io-msgpack-parser and socket.io-parser make of the
// same packets. To record it anew: `npm install socket.io-msgpack-parser@3.0.2 socket.io-parser@4.2.7` in
// some folder, and there `node record.mjs > vectors.json`.

import { createRequire } from "node:module";
import path from "node:path";

const load = createRequire(path.join(process.cwd(), "package.json"));
const msgpack = new (load("socket.io-msgpack-parser").Encoder)();
const text = new (load("socket.io-parser").Encoder)();

const bytes = (...list) => Buffer.from(list);
const deep = (depth) => (depth === 0 ? 0 : [deep(depth - 1)]);
const event = (...data) => ({ type: 2, data, nsp: "/" });

// What JSON can say, and binary: the same packet on both ways, to the byte.
const exact = [
  { type: 0, nsp: "/" },
  { type: 0, data: { token: "secret" }, nsp: "/chat" },
  { type: 1, nsp: "/chat" },
  { type: 4, data: { message: "no", data: { code: 1 } }, nsp: "/" },
  { type: 4, data: "no", nsp: "/" },
  event("e"),
  { ...event("e", 1), id: 0 },
  { ...event("e", 1), id: 2 ** 53 - 1 },
  { type: 3, data: [], nsp: "/", id: 12 },
  { type: 3, data: [bytes(1, 2), "x"], nsp: "/a?b=c", id: 300 },
  event("constants", null, true, false),
  event("positive", 0, 127, 128, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1),
  event("negative", -1, -32, -33, -128, -129, -32768, -32769, -(2 ** 31), -(2 ** 31) - 1, -(2 ** 53) + 1),
  event("floats", 0.5, -1.5, 1e-7, 3.141592653589793, 5e-324, 2 ** 52 + 0.5),
  event("strings", "", "é😀", '"\\\n\u0000\u2028', "x".repeat(31), "x".repeat(32), "é".repeat(200)),
  event("arrays", [], [[]], Array.from({ length: 15 }, (_, i) => i), Array(16).fill([])),
  event("objects", {}, { a: {} }, { __proto__x: 1, constructor: 2, "": 3 }),
  event("large", Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, [i]]))),
  event("binary", bytes(), { a: [bytes(255)], b: bytes(...Array(300).keys()) }),
  event("deep", deep(100)),
];
exact[16].data[3] = JSON.parse('{"__proto__":{"a":1},"constructor":2,"":3}');

// What only msgpack can say: read as JSON would have said it.
const read = [
  { type: 0, data: undefined, nsp: "/" },
  { type: 1, data: undefined, nsp: "/" },
  { type: 2, data: ["e"], options: { compress: true }, id: undefined, nsp: "/" },
  event("undefined", undefined, { a: undefined, b: 1, c: [undefined] }),
  event("dates", new Date(0), new Date(-1), new Date(1234567890123), new Date(253402300800000)),
  event("none", NaN, Infinity, -Infinity, -0),
  event("typed", new Uint8Array([1, 2, 3]), new Uint8Array([4]).buffer, new Uint8Array(300)),
];

const record = (packet) => {
  const [message] = msgpack.encode(packet);
  const { options, ...rest } = packet;
  const [head, ...attachments] = text.encode({ ...rest });
  return {
    msgpack: message.toString("hex"),
    text: head,
    attachments: attachments.map((part) => Buffer.from(part.buffer ?? part, part.byteOffset, part.byteLength).toString("hex")),
  };
};

const list = (packets) => `[\n${packets.map((packet) => "    " + JSON.stringify(record(packet))).join(",\n")}\n  ]`;
console.log(`{\n  "exact": ${list(exact)},\n  "read": ${list(read)}\n}`);
