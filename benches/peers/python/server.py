"""The bench server on python-socketio, as an ASGI application for uvicorn. The table of handlers is in
benches/src/lib.rs."""

import socketio

sio = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*")
app = socketio.ASGIApp(sio)


@sio.event
async def connect(sid, environ):
    pass


@sio.event
async def echo(sid, payload):
    return payload


@sio.event
async def echo2(sid, payload):
    await sio.emit("echo2", payload, to=sid)


@sio.event
async def join(sid, room):
    await sio.enter_room(sid, room)
    return "ok"


@sio.event
async def bcast(sid, payload):
    await sio.emit("bcast", payload)


@sio.event
async def rcast(sid, room, payload):
    await sio.emit("rcast", payload, room=room)
