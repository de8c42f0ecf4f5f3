// Acknowledgements both ways.

import { assert, ask, next, overEveryTransport, it, needs, unique, until } from "./support.mjs";

const bytes = (...list) => Buffer.from(list);

overEveryTransport("acks", (clients) => {
  it("the server answers with the arguments it was given", async () => {
    const socket = await clients.open();
    assert.deepEqual(await ask(socket, "message-with-ack"), []);
    assert.deepEqual(await ask(socket, "message-with-ack", "one"), ["one"]);
    const several = [1, "two", { three: [null, true] }, ""];
    assert.deepEqual(await ask(socket, "message-with-ack", ...several), several);
  });

  it("the server's answer may carry attachments", async () => {
    const socket = await clients.open();
    const args = [bytes(1, 2), { nested: [bytes(3), { deeper: bytes() }] }, "text", bytes(4)];
    assert.deepEqual(await ask(socket, "message-with-ack", ...args), args);
  });

  it("emitWithAck resolves with the answer", async () => {
    const socket = await clients.open();
    assert.equal(await socket.emitWithAck("whoami"), socket.id);
    assert.equal(await socket.timeout(3000).emitWithAck("message-with-ack", "x"), "x");
  });

  it("many questions at once each get their own answer", async () => {
    const socket = await clients.open();
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, i) => ask(socket, "message-with-ack", i, bytes(i))),
    );
    answers.forEach((answer, i) => assert.deepEqual(answer, [i, bytes(i)]));
  });

  it("a question the server does not know times out", async () => {
    const socket = await clients.open();
    await assert.rejects(socket.timeout(200).emitWithAck("no-such-event"), /timed out/);
  });

  it("the client answers the server's question", async () => {
    const socket = await clients.open();
    const event = unique("ask");
    socket.on(event, (a, b, answer) => answer(b, a, { sum: a + b }));
    const answered = next(socket, "client-answered");
    socket.emit("ask-client", event, 1, 2);
    assert.deepEqual(await answered, [2, 1, { sum: 3 }]);
  });

  it("questions and answers of the client may carry attachments, or nothing", async () => {
    const socket = await clients.open();
    const event = unique("ask");
    socket.on(event, (file, deep, answer) => answer(deep.file, { list: [file] }, "text"));
    let answered = next(socket, "client-answered");
    socket.emit("ask-client", event, bytes(1), { file: bytes(2) });
    assert.deepEqual(await answered, [bytes(2), { list: [bytes(1)] }, "text"]);

    const empty = unique("ask");
    socket.on(empty, (answer) => answer());
    answered = next(socket, "client-answered");
    socket.emit("ask-client", empty);
    assert.deepEqual(await answered, []);
  });

  it("a question the client does not answer times out, and a late answer is ignored", async () => {
    const socket = await clients.open();
    const event = unique("ask");
    let late;
    socket.on(event, (answer) => (late = answer));
    await Promise.all([next(socket, "client-timeout"), socket.emit("ask-client", event)]);
    socket.once("client-answered", () => assert.fail("too late to count"));
    late("too late");
    assert.deepEqual(await ask(socket, "message-with-ack", "still here"), ["still here"]);
  });

  it("the server goes on with other events while it waits for an answer", async () => {
    const socket = await clients.open();
    const event = unique("ask");
    let answer;
    socket.on(event, (reply) => (answer = reply));
    socket.emit("ask-client", event);
    await until(() => answer !== undefined, "the question");
    const done = next(socket, "client-answered");
    answer("after all");
    assert.deepEqual(await done, ["after all"]);
  });

  it("a room is asked, and every member's answer comes back", needs("ask-room"), async () => {
    const [asker, ...members] = await clients.many(3);
    const room = unique("room");
    const event = unique("ask");
    for (const [i, member] of members.entries()) {
      member.on(event, (value, answer) => answer(value + i));
      await ask(member, "join", room);
    }
    const answered = next(asker, "room-answered");
    asker.emit("ask-room", [room], event, 10);
    const [timedOut, answers] = await answered;
    assert.equal(timedOut, false);
    assert.deepEqual(answers.sort(), [10, 11]);
  });

  it("a room where one member is silent gives the answers there are", needs("ask-room"), async () => {
    const [asker, loud, silent] = await clients.many(3);
    const room = unique("room");
    const event = unique("ask");
    loud.on(event, (answer) => answer("here"));
    await Promise.all([ask(loud, "join", room), ask(silent, "join", room)]);
    const answered = next(asker, "room-answered");
    asker.emit("ask-room", [room], event);
    assert.deepEqual(await answered, [true, ["here"]]);
  });

  it("an empty room answers at once with nothing", needs("ask-room"), async () => {
    const asker = await clients.open();
    const answered = next(asker, "room-answered");
    asker.emit("ask-room", [unique("empty")], "anything");
    assert.deepEqual(await answered, [false, []]);
  });
});
