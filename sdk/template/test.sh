#!/bin/sh
# Builds the function and compares what it answers: sh test.sh
set -eu
cd "$(dirname "$0")"
nexus build --if-changed

expect() { # expect ANSWER DATA
    answer=$(printf %s "$2" | nexus run build/welcome.wasm)
    [ "$answer" = "$1" ] || { echo "not ok: $2 gave $answer, not $1"; exit 1; }
    echo "ok: $2"
}

expect 'Processed: {"user_id": "u42"}' '{"user_id": "u42"}'
expect 'Processed: ' ''
