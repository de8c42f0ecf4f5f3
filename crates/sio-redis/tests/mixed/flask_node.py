"""A Flask-SocketIO server with a message queue that does what its clients order, as far as it can, as
examples/node.rs does."""

import os
import threading

import flask
import flask_socketio

app = flask.Flask(__name__)
server = flask_socketio.SocketIO(
    app, message_queue=os.environ["REDIS_URL"], async_mode="threading", cors_allowed_origins="*"
)


@server.on("join")
def join(room):
    flask_socketio.join_room(room)
    return True


@server.on("do")
def obey(order):
    to = order.get("to") or None
    if to and len(to) == 1:
        to = to[0]
    kind = order["order"]
    args = order.get("args", [])
    if kind == "emit":
        server.emit(order["event"], *args, to=to, skip_sid=order.get("except") or None)
        return {}
    if kind == "call":
        answered = threading.Event()
        answers = []

        def callback(*args):
            answers.extend(args)
            answered.set()

        server.emit(order["event"], *args, to=to, callback=callback)
        answered.wait(order["timeout"] / 1000)
        return {"answers": answers, "missing": 0 if answers else 1}
    if kind == "close-room":
        server.close_room(to)
        return {}
    if kind == "disconnect":
        server.server.disconnect(to)
        return {}
    if kind == "join":
        for room in order["rooms"]:
            server.server.enter_room(to, room)
        return {}
    if kind == "leave":
        for room in order["rooms"]:
            server.server.leave_room(to, room)
        return {}
    return {"error": f"nothing is known of {kind}"}


server.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), allow_unsafe_werkzeug=True)
