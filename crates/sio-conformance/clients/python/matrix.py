"""The python-socketio client, blocking and asyncio, against the server at SIO_URL; and python-engineio
(engine.py).

    python matrix.py [-v] [Class[.test]]
"""

import asyncio
import sys
import unittest

import socketio

import engine
from support import MISSING, REFERENCE, Client, Proxy, unique, until

#: What a server sees of a connection that is cut: its end, or nothing more of it.
LOST = ("transport close", "transport error", "ping timeout")


def needs(*features):
    """Skips a test, and says why, while the server lacks one of `features`."""
    lacking = [feature for feature in features if feature in MISSING]
    return unittest.skipIf(lacking, f"the server lacks: {', '.join(lacking)}")


class Scenarios:
    """Every scenario, for one kind of client over one transport."""

    kind = None
    transports = None
    serializer = "default"

    async def asyncSetUp(self):
        self.clients = []
        self.proxies = []

    async def asyncTearDown(self):
        await asyncio.gather(*(client.close() for client in self.clients))
        await asyncio.gather(*(proxy.close() for proxy in self.proxies))

    def client(self, **options):
        client = Client(self.kind, self.transports, self.serializer, **options)
        self.clients.append(client)
        return client

    async def open(self, *namespaces, auth=None):
        return await self.client().connect(*namespaces, auth=auth)

    async def many(self, n):
        return await asyncio.gather(*(self.open() for _ in range(n)))

    async def reason(self, witness, sid):
        return await until(lambda: witness.call("disconnect-reason", sid), "a reason")

    async def hears(self, client, event, expected):
        """Asserts that the next of `event` are `expected`, in order."""
        heard = [await client.next(event) for _ in expected]
        if self.kind == "sync":
            # The blocking client starts a thread per event, so it shows them in any order.
            heard, expected = sorted(heard, key=repr), sorted(expected, key=repr)
        self.assertEqual(heard, expected)

    # Events

    async def test_the_transport_is_the_one_that_was_asked_for(self):
        client = await self.open()
        expected = "polling" if self.transports == ["polling"] else "websocket"
        self.assertEqual(client.transport(), expected)

    async def test_events_carry_no_argument_one_or_several(self):
        client = await self.open()
        for args in [
            (),
            ("text é 😀 \u2028 \"\\",),
            (1, "two", True, None, [3, [4]], {"five": {"six": [7]}}, -0.5),
            ({}, [], 0, ""),
        ]:
            await client.emit("message", *args)
            self.assertEqual(await client.next("message-back"), args)

    async def test_events_carry_binary_nested_and_several(self):
        client = await self.open()
        for args in [
            (bytes(range(256)),),
            (b"",),
            (b"\x01", "text", {"deep": [{"file": b"\x02\x1e"}, None, b"\x03"]}, b"\x04"),
            tuple(bytes([i]) for i in range(10)),
        ]:
            await client.emit("message", *args)
            self.assertEqual(await client.next("message-back"), args)

    async def test_a_burst_keeps_its_order_and_each_packet_its_attachments(self):
        client = await self.open()
        await client.emit("burst", 100, "mixed")
        expected = [
            (i, bytes([i & 255, i >> 8]), f"x{i}".encode()) if i % 2 else (i,)
            for i in range(100)
        ]
        await self.hears(client, "burst", expected)

    async def test_events_arrive_in_the_order_they_were_sent(self):
        client = await self.open()
        expected = [(bytes([i]) if i % 2 else i,) for i in range(40)]
        for args in expected:
            await client.emit("message", *args)
        await self.hears(client, "message-back", expected)

    async def test_large_payloads_pass(self):
        client = await self.open()
        for value in ["x" * 60_000, b"\x07" * 60_000]:
            await client.emit("message", value)
            self.assertEqual(await client.next("message-back"), (value,))

    @needs("volatile")
    async def test_volatile_events_arrive_when_the_client_can_take_them(self):
        client = await self.open()
        heard = asyncio.create_task(client.next("maybe"))
        while not heard.done():
            await client.emit("volatile", "maybe", 1)
            await asyncio.sleep(0.05)
        self.assertEqual(await heard, (1,))

    # Acks

    async def test_the_server_answers_with_what_it_was_given(self):
        client = await self.open()
        self.assertIsNone(await client.call("message-with-ack"))
        self.assertEqual(await client.call("message-with-ack", "é"), "é")
        several = [1, {"two": [3]}, b"\x04", {"deep": [b"\x05"]}]
        self.assertEqual(list(await client.call("message-with-ack", *several)), several)
        self.assertEqual(await client.call("whoami"), client.id())

    async def test_many_questions_at_once_each_get_their_own_answer(self):
        client = await self.open()
        answers = await asyncio.gather(
            *(client.call("message-with-ack", i, bytes([i])) for i in range(30))
        )
        self.assertEqual([tuple(a) for a in answers], [(i, bytes([i])) for i in range(30)])

    async def test_the_client_answers_the_servers_question(self):
        client = await self.open()
        client.answer("sum", lambda a, b: (a + b, {"file": b"\x01"}))
        await client.emit("ask-client", "sum", 1, 2)
        self.assertEqual(await client.next("client-answered"), (3, {"file": b"\x01"}))
        client.answer("size", lambda data: len(data["file"]))
        await client.emit("ask-client", "size", {"file": b"123"})
        self.assertEqual(await client.next("client-answered"), (3,))

    # Rooms

    async def test_a_socket_is_in_the_rooms_it_joined(self):
        client = await self.open()
        a, b = unique("a"), unique("b")
        self.assertIsNone(await client.call("join", a))
        await client.call("join", [a, b])
        self.assertEqual(await client.call("rooms"), sorted([client.id(), a, b]))
        await client.call("leave", a)
        self.assertEqual(await client.call("rooms"), sorted([client.id(), b]))

    async def test_rooms_reach_whom_they_should(self):
        one, two, three = await self.many(3)
        room, quiet, event = unique("room"), unique("quiet"), unique("event")
        await one.call("join", room)
        await two.call("join", [room, quiet])
        ids = [client.id() for client in (one, two, three)]
        await one.emit("to", [room], [], event, "to")
        await one.emit("in", [room], [], event, "in", b"\x01")
        await one.emit("in", [], [quiet], event, "except a room")
        await one.emit("in", ids, [ids[2]], event, "except an id")
        await one.emit("broadcast", event, "broadcast")
        await one.emit("to", [ids[2]], [], event, "private")
        await one.emit("in", ids, [], event, "end")
        expected = [
            [("in", b"\x01"), ("except a room",), ("except an id",), ("end",)],
            [("to",), ("in", b"\x01"), ("except an id",), ("broadcast",), ("end",)],
            [("except a room",), ("broadcast",), ("private",), ("end",)],
        ]
        for client, list_ in zip((one, two, three), expected):
            await self.hears(client, event, list_)
            self.assertEqual(await client.heard(event), [])

    # Namespaces and auth

    async def test_two_namespaces_share_one_connection(self):
        client = await self.open("/", "/custom")
        self.assertNotEqual(client.id("/"), client.id("/custom"))
        for namespace in ("/", "/custom"):
            self.assertEqual(
                await client.call("whoami", namespace=namespace), client.id(namespace)
            )
            await client.emit("message", namespace, b"\x01", namespace=namespace)
        for namespace in ("/", "/custom"):
            heard = await client.next("message-back", namespace)
            self.assertEqual(heard, (namespace, b"\x01"))
            self.assertEqual(await client.heard("message-back", namespace), [])

    async def test_the_handshakes_auth_reaches_the_server(self):
        client = await self.open(auth={"token": "é", "list": [1, None]})
        self.assertEqual(await client.next("auth"), ({"token": "é", "list": [1, None]},))

    async def test_the_right_token_is_let_in(self):
        client = await self.open("/auth", auth={"token": "secret"})
        self.assertEqual(await client.call("message-with-ack", 1, namespace="/auth"), 1)

    async def test_a_wrong_token_is_refused_with_message_and_data(self):
        for auth in ({"token": "wrong"}, None):
            client = self.client()
            with self.assertRaises(socketio.exceptions.ConnectionError):
                await client.connect("/auth", auth=auth)
            self.assertEqual(
                await client.next("connect_error", "/auth"),
                {"message": "not authorized", "data": {"code": "E_AUTH"}},
            )

    async def test_an_unknown_namespace_is_refused(self):
        client = self.client()
        with self.assertRaises(socketio.exceptions.ConnectionError):
            await client.connect("/nope")
        error = await client.next("connect_error", "/nope")
        self.assertEqual(error, {"message": "Invalid namespace"})

    # Beginnings and ends

    async def test_the_client_leaves(self):
        witness, client = await self.many(2)
        sid = client.id()
        await client.disconnect()
        self.assertEqual(await client.next("disconnect"), "client disconnect")
        # This client ends the connection right behind its DISCONNECT packet, or instead of it.
        self.assertIn(
            await self.reason(witness, sid), ("client namespace disconnect", "transport close")
        )

    async def test_the_server_ends_a_namespace_and_the_other_goes_on(self):
        witness = await self.open()
        client = await self.open("/", "/custom")
        sid = client.id("/custom")
        await client.emit("disconnect-me", False, namespace="/custom")
        self.assertEqual(await client.next("disconnect", "/custom"), "server disconnect")
        self.assertEqual(await self.reason(witness, sid), "server namespace disconnect")
        self.assertEqual(await client.call("message-with-ack", 1), 1)

    async def test_the_server_ends_the_connection(self):
        witness, client = await self.many(2)
        sid = client.id()
        await client.emit("disconnect-me", True)
        # The blocking client hands each message to a thread: the close behind may overtake it.
        seen = ["server disconnect"] + ["transport error"] * (self.kind == "sync")
        self.assertIn(await client.next("disconnect"), seen)
        self.assertEqual(await self.reason(witness, sid), "server namespace disconnect")

    async def test_the_heartbeat_keeps_a_quiet_connection(self):
        client = await self.open()
        await asyncio.sleep(3)  # three intervals of the server under test
        self.assertEqual(await client.call("message-with-ack", "still here"), "still here")

    async def test_a_client_whose_connection_is_cut_comes_back_and_joins_what_it_had(self):
        proxy = await Proxy.listen()
        self.proxies.append(proxy)
        client = self.client(url=proxy.url, reconnection=True)
        await client.connect("/", "/custom")
        before = {name: client.id(name) for name in ("/", "/custom")}
        witness = await self.open()

        async def gone():
            for name in ("/", "/custom"):
                self.assertEqual(await client.next("disconnect", name), "transport error")
            self.assertIn(await self.reason(witness, before["/"]), LOST)

        await proxy.cut(gone)

        async def back():
            ids = client.inner.namespaces
            both = ids.get("/") and ids.get("/custom")
            return True if both and before["/"] not in ids.values() else None

        await until(back, "the client to be back")
        for name in ("/", "/custom"):
            self.assertNotEqual(client.id(name), before[name])
            self.assertEqual(await client.call("message-with-ack", 1, namespace=name), 1)

    async def test_twenty_clients_hear_one_broadcast(self):
        clients = await self.many(20)
        room, event = unique("room"), unique("event")
        await asyncio.gather(*(client.call("join", room) for client in clients))
        await clients[0].emit("in", [room], [], event, "all", b"\x01\x02")
        for client in clients:
            self.assertEqual(await client.next(event), ("all", b"\x01\x02"))


for kind in ("sync", "asyncio"):
    for name, transports in {
        "polling": ["polling"],
        "websocket": ["websocket"],
        "upgrade": None,
    }.items():
        title = f"{kind.capitalize()}{name.capitalize()}"
        globals()[title] = type(
            title,
            (Scenarios, unittest.IsolatedAsyncioTestCase),
            {"kind": kind, "transports": transports},
        )

# Node's server speaks one parser only.
if not REFERENCE:
    for kind in ("sync", "asyncio"):
        title = f"{kind.capitalize()}Msgpack"
        globals()[title] = type(
            title,
            (Scenarios, unittest.IsolatedAsyncioTestCase),
            {"kind": kind, "transports": ["websocket"], "serializer": "msgpack"},
        )

globals().update(engine.classes())

if __name__ == "__main__":
    sys.exit(unittest.main(argv=sys.argv))
