"""One face for the two clients of python-socketio, so that every scenario is written once.

The asyncio client is awaited; the blocking one runs each call in a thread of its own.
Environment: SIO_URL, the server under test; SIO_REFERENCE=1 when that is Node's own.
"""

import asyncio
import itertools
import json
import os
import pathlib
import urllib.parse

import engineio.payload
import socketio

# Out of the box this client refuses an answer of more than 16 packets; its documentation says so.
engineio.payload.Payload.max_decode_packets = 1000

URL = os.environ.get("SIO_URL", "http://127.0.0.1:3000")
REFERENCE = os.environ.get("SIO_REFERENCE") == "1"

#: Features the server under test does not have yet; the same list the Node side reads.
MISSING = [] if REFERENCE else json.loads(
    (pathlib.Path(__file__).parent.parent / "missing.json").read_text()
)

#: The longest any single wait may take, in seconds.
PATIENCE = 10

_counter = itertools.count()


def unique(name):
    """A name no other test uses."""
    return f"{name}-py-{os.getpid()}-{next(_counter)}"


class Client:
    """A client of either kind, with every event it has heard in a queue per event."""

    def __init__(self, kind, transports, serializer="default", url=URL, reconnection=False):
        self.kind = kind
        self.url = url
        self.transports = transports
        self.loop = asyncio.get_running_loop()
        self.queues = {}
        self.answers = {}
        options = {
            "handle_sigint": False,
            "reconnection": reconnection,
            "reconnection_delay": 0.05,
            "serializer": serializer,
        }
        make = socketio.AsyncClient if kind == "asyncio" else socketio.Client
        self.inner = make(**options)

    async def _run(self, method, *args, **options):
        if self.kind == "asyncio":
            return await method(*args, **options)
        return await asyncio.to_thread(method, *args, **options)

    async def connect(self, *namespaces, auth=None):
        namespaces = list(namespaces or ["/"])
        for namespace in namespaces:
            self._listen(namespace)
        await self._run(
            self.inner.connect,
            self.url,
            auth=auth,
            transports=self.transports,
            namespaces=namespaces,
            wait_timeout=PATIENCE,
        )
        return self

    def _listen(self, namespace):
        def heard(event, *args):
            self.loop.call_soon_threadsafe(self._queue(event, namespace).put_nowait, args)
            return self.answers.get(event, lambda *_: None)(*args)

        def ended(reason):
            self.loop.call_soon_threadsafe(
                self._queue("disconnect", namespace).put_nowait, reason
            )

        def refused(data=None):
            self.loop.call_soon_threadsafe(
                self._queue("connect_error", namespace).put_nowait, data
            )

        self.inner.on("*", heard, namespace=namespace)
        self.inner.on("disconnect", ended, namespace=namespace)
        self.inner.on("connect_error", refused, namespace=namespace)

    def _queue(self, event, namespace):
        return self.queues.setdefault((namespace, event), asyncio.Queue())

    async def emit(self, event, *args, namespace="/"):
        await self._run(self.inner.emit, event, args, namespace=namespace)

    async def call(self, event, *args, namespace="/"):
        """The answer: None, the one value, or a tuple of several."""
        return await self._run(
            self.inner.call, event, args, namespace=namespace, timeout=PATIENCE
        )

    async def next(self, event, namespace="/"):
        """The arguments of the next `event`."""
        return await asyncio.wait_for(self._queue(event, namespace).get(), PATIENCE)

    async def heard(self, event, namespace="/"):
        """All of `event` so far: what this client's own emits caused has arrived."""
        mark = unique("mark")
        await self.emit("in", [self.id(namespace)], [], mark, namespace=namespace)
        await self.next(mark, namespace)
        queue = self._queue(event, namespace)
        return [queue.get_nowait() for _ in range(queue.qsize())]

    def answer(self, event, function):
        """What this client answers when the server asks `event`."""
        self.answers[event] = function

    def id(self, namespace="/"):
        return self.inner.get_sid(namespace)

    def transport(self):
        return self.inner.transport()

    async def disconnect(self):
        await self._run(self.inner.disconnect)

    async def close(self):
        await self._run(self.inner.shutdown)


class Proxy:
    """Stands in front of the server, and cuts what it carries when told to."""

    @classmethod
    async def listen(cls):
        self = cls()
        self.writers = set()
        self.server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def _carry(self, reader, writer):
        target = urllib.parse.urlsplit(URL)
        try:
            upstream, back = await asyncio.open_connection(target.hostname, target.port)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, back}
        self.writers |= pair
        await asyncio.gather(self._pipe(reader, back), self._pipe(upstream, writer))
        self.writers -= pair
        for one in pair:
            one.transport.abort()

    async def _pipe(self, reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.transport.abort()

    async def cut(self, meanwhile):
        """Dies with all it carries, and is back after `meanwhile`."""
        self.server.close()
        for writer in list(self.writers):
            writer.transport.abort()
        await meanwhile()
        self.server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)

    async def close(self):
        self.server.close()
        for writer in list(self.writers):
            writer.transport.abort()


async def until(probe, what):
    """The first value of `probe` that is not None."""
    async def look():
        while (value := await probe()) is None:
            await asyncio.sleep(0.01)
        return value

    try:
        return await asyncio.wait_for(look(), PATIENCE)
    except asyncio.TimeoutError:
        raise AssertionError(f"timed out waiting for {what}") from None
