"""Records what python-socketio and Flask-SocketIO put on Redis into python.json, and the same messages as
releases before 5.14 wrote them, by pickle, into pickle.json. Run by record.sh."""

import json
import os
import pickle
import threading
import time

import flask
import flask_socketio
import redis
import socketio

url = os.environ["REDIS_URL"]
here = os.path.dirname(os.path.abspath(__file__))
seen = []
tap = redis.Redis.from_url(url).pubsub()
tap.psubscribe("*socketio")


def listen():
    for message in tap.listen():
        if message["type"] == "pmessage":
            seen.append((message["channel"].decode(), message["data"]))


threading.Thread(target=listen, daemon=True).start()

app = flask.Flask(__name__)
server = flask_socketio.SocketIO(app, message_queue=url, async_mode="threading")


@server.on("connect")
def on_connect():
    flask_socketio.join_room("lobby")


port = int(os.environ.get("PORT", "7392"))
threading.Thread(
    target=lambda: server.run(app, host="127.0.0.1", port=port, allow_unsafe_werkzeug=True), daemon=True
).start()
time.sleep(1)
client = socketio.Client()
client.on("ask", lambda *args: {"heard": list(args)})
client.on("ask-two", lambda *args: ("one", 2))
client.on("ask-nothing", lambda *args: None)
client.connect(f"http://127.0.0.1:{port}")
time.sleep(0.5)
sid = client.get_sid()

outside = flask_socketio.SocketIO(message_queue=url)
other = socketio.Server(client_manager=socketio.RedisManager(url, channel="flask-socketio"), async_mode="threading")
plain = socketio.RedisManager(url, write_only=True)
other.emit("warm up")
time.sleep(0.5)

vectors = []


def step(what, run):
    seen.clear()
    run()
    time.sleep(0.3)
    for channel, body in seen:
        vectors.append({"what": what, "channel": channel, "body": body.hex()})


step("emit to everyone", lambda: outside.emit("news", {"data": "foo"}))
step("emit several arguments", lambda: outside.emit("news", (1, "two", [3, None], 4.5)))
step("emit one list", lambda: outside.emit("news", [1, 2]))
step("emit nothing", lambda: outside.emit("news"))
step("emit to a room in a namespace", lambda: outside.emit("news", "héllo", to="lobby", namespace="/chat"))
step("emit to rooms", lambda: plain.emit("news", 1, room=["a", "b"], skip_sid=["x", "y"]))
step("emit except one", lambda: plain.emit("news", 1, skip_sid="x"))
step("emit bytes", lambda: plain.emit("bin", {"a": b"\x01\x02", "b": [b"\x03"]}))
step("emit bytes among several", lambda: plain.emit("bin", (b"\x01\x02", "x", b"\x03")))
step("emit a great number", lambda: plain.emit("news", 2**70))
step("emit with callback", lambda: other.emit("ask", 7, to=sid, callback=lambda *args: None))
step("emit with callback of two", lambda: other.emit("ask-two", 7, to=sid, callback=lambda *args: None))
step("emit with callback of nothing", lambda: other.emit("ask-nothing", 7, to=sid, callback=lambda *args: None))
step("enter room", lambda: other.enter_room("sid-elsewhere", "r1"))
step("leave room", lambda: other.leave_room("sid-elsewhere", "r1", namespace="/chat"))
step("close room", lambda: plain.close_room("r1"))
step("disconnect", lambda: other.disconnect("sid-elsewhere"))


def write(name, vectors):
    lines = ",\n".join("  " + json.dumps(vector) for vector in vectors)
    with open(os.path.join(here, name), "w", encoding="utf-8") as file:
        file.write("[\n" + lines + "\n]\n")


write("python.json", vectors)
pickles = []
for protocol in range(0, pickle.HIGHEST_PROTOCOL + 1):
    for vector in vectors:
        message = json.loads(bytes.fromhex(vector["body"]))
        if message["method"] == "emit":
            if message["binary"]:
                continue  # before 5.14 bytes were pickled as they are
            arguments = message["data"]
            message["data"] = arguments[0] if len(arguments) == 1 else tuple(arguments)
        pickles.append(
            {"what": vector["what"], "protocol": protocol, "body": pickle.dumps(message, protocol).hex()}
        )
    message = {"method": "emit", "host_id": "old", "event": "bin", "data": {"a": b"\x01\x02", "b": bytearray(b"\x03")}}
    if protocol >= 5:
        pickles.append({"what": "emit bytes", "protocol": protocol, "body": pickle.dumps(message, protocol).hex()})
    message["data"]["b"] = b"\x03" * 300
    if protocol >= 3:
        pickles.append({"what": "emit long bytes", "protocol": protocol, "body": pickle.dumps(message, protocol).hex()})
write("pickle.json", pickles)
os._exit(0)
