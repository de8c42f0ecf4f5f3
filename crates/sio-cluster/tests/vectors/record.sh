#!/bin/sh
# Records the vectors anew: what the published packages for Node and Python put on a Redis of its own.
# Wants redis-server, node with npm, and python3 with venv. The ids in the messages differ each time.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'redis-cli -p 7391 shutdown nosave 2>/dev/null || true; rm -rf "$work" node_modules package-lock.json' EXIT
redis-server --port 7391 --bind 127.0.0.1 --save '' --dir "$work" --daemonize yes >"$work/log"
npm install --no-audit --no-fund --silent
python3 -m venv "$work/python"
"$work/python/bin/pip" --quiet install -r requirements.txt
REDIS_URL=redis://127.0.0.1:7391 node record.mjs
REDIS_URL=redis://127.0.0.1:7391 "$work/python/bin/python" record.py
