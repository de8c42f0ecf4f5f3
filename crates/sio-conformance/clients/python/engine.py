"""The python-engineio client, blocking and asyncio, against the bare server under /engine.io/, which
sends back what it is sent. matrix.py runs these with its own."""

import asyncio
import unittest

import engineio

from support import PATIENCE, REFERENCE, URL


class EngineScenarios:
    """Every scenario, for one kind of client over one transport."""

    kind = None
    transports = None

    async def asyncSetUp(self):
        self.clients = []

    async def asyncTearDown(self):
        for client in self.clients:
            await self.run_on(client.disconnect)

    async def run_on(self, method, *args, **options):
        if self.kind == "asyncio":
            return await method(*args, **options)
        return await asyncio.to_thread(method, *args, **options)

    async def open(self):
        kind = engineio.AsyncClient if self.kind == "asyncio" else engineio.Client
        client = kind(handle_sigint=False)
        self.clients.append(client)
        loop, queue = asyncio.get_running_loop(), asyncio.Queue()

        def heard(data):
            loop.call_soon_threadsafe(queue.put_nowait, data)

        def ended(reason):
            loop.call_soon_threadsafe(queue.put_nowait, ("ended", reason))

        client.on("message", heard)
        client.on("disconnect", ended)
        await self.run_on(
            client.connect, URL, transports=self.transports, engineio_path="engine.io"
        )
        return client, queue

    async def hears(self, queue, expected):
        """Asserts that the next messages are `expected`, in order."""
        heard = [await asyncio.wait_for(queue.get(), PATIENCE) for _ in expected]
        if self.kind == "sync":
            # The blocking client starts a thread per message, so it shows them in any order.
            heard, expected = sorted(heard, key=repr), sorted(expected, key=repr)
        self.assertEqual(heard, expected)

    async def test_text_and_binary_come_back_as_they_were_sent(self):
        client, queue = await self.open()
        expected = "polling" if self.transports == ["polling"] else "websocket"
        self.assertEqual(client.transport(), expected)
        for message in ["hello", "é😀", b"\x00\xff\x1e\x04", '42["no packet"]', b"\x07" * 5000]:
            await self.run_on(client.send, message)
            await self.hears(queue, [message])

    async def test_five_hundred_messages_come_back_in_order(self):
        client, queue = await self.open()
        messages = [f"message {n}" for n in range(500)]
        for message in messages:
            await self.run_on(client.send, message)
        await self.hears(queue, messages)

    async def test_it_stays_open_through_heartbeats_and_leaves_when_it_wants_to(self):
        client, queue = await self.open()
        await asyncio.sleep(2.5)  # two intervals of the server under test
        await self.run_on(client.send, "still here")
        await self.hears(queue, ["still here"])
        await self.run_on(client.disconnect)
        await self.hears(queue, [("ended", engineio.Client.reason.CLIENT_DISCONNECT)])

    async def test_a_transport_that_is_closed_by_the_server_is_seen_to_end(self):
        client, queue = await self.open()
        # A payload that is no packet.
        packet = engineio.packet.Packet(engineio.packet.PING, "")
        await self.run_on(client._send_packet, packet)
        ended, reason = await asyncio.wait_for(queue.get(), PATIENCE)
        self.assertEqual(ended, "ended")
        errors = (engineio.Client.reason.TRANSPORT_ERROR, engineio.Client.reason.SERVER_DISCONNECT)
        self.assertIn(reason, errors)


def classes():
    """A test case for each kind and transport. The reference serves Socket.IO alone."""
    for kind in ("sync", "asyncio"):
        for name, transports in {
            "polling": ["polling"],
            "websocket": ["websocket"],
            "upgrade": None,
        }.items():
            title = f"Engine{kind.capitalize()}{name.capitalize()}"
            case = type(
                title,
                (EngineScenarios, unittest.IsolatedAsyncioTestCase),
                {"kind": kind, "transports": transports},
            )
            yield title, unittest.skipIf(REFERENCE, "the reference serves Socket.IO alone")(case)
