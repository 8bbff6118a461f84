# For the scripts beside it, which source it: servers in the background, with their state in a directory.

die() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

# Python with all of its library; a package of Debian's has a part of it only.
needs_python() {
    scripts/needs python3:python3 || return 1
    python3 -c 'import http.server, ssl, urllib.request' 2>/dev/null || scripts/needs python3-with-its-library:python3
}

# A random text of COUNT hexadecimal digits.
random() {
    head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n' | head -c "$1"
}

# COUNT free ports of 127.0.0.1, one per line, all different.
free_ports() {
    python3 - "$1" <<'PYTHON'
import socket, sys
open_ones = [socket.socket() for _ in range(int(sys.argv[1]))]
for one in open_ones:
    one.bind(("127.0.0.1", 0))
    print(one.getsockname()[1])
PYTHON
}

# background STATE NAME PROGRAM…: runs it in a session of its own; STATE/NAME.pid and STATE/NAME.log tell of it.
background() {
    local state=$1 name=$2
    shift 2
    setsid "$@" >"$state/$name.log" 2>&1 </dev/null &
    echo $! >"$state/$name.pid"
    disown
}

running() {
    [ -f "$1/$2.pid" ] && kill -0 "$(cat "$1/$2.pid")" 2>/dev/null
}

# wait_for SECONDS STATE NAME COMMAND…: until the command succeeds; ends, with the log's last lines, when the server did or time is up.
wait_for() {
    local seconds=$1 state=$2 name=$3 end
    end=$((SECONDS + seconds))
    shift 3
    until "$@" >/dev/null 2>&1; do
        if ! running "$state" "$name"; then
            tail -n 30 "$state/$name.log" >&2
            die "$name ended before it was ready; its log is above"
        fi
        if [ "$SECONDS" -ge "$end" ]; then
            tail -n 30 "$state/$name.log" >&2
            die "$name was not ready within $seconds s; its log is above"
        fi
        sleep 0.2
    done
}

# stop_all STATE: ends what `background` started there, within ten seconds.
stop_all() {
    local file pid
    for file in "$1"/*.pid; do
        [ -f "$file" ] || continue
        pid=$(cat "$file")
        kill "$pid" 2>/dev/null
        for _ in $(seq 50); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.2
        done
        kill -9 "$pid" 2>/dev/null
        rm -f "$file"
    done
    return 0
}

# store FILE KEY VALUE…: writes a store's properties, complete or not at all, for the owner alone.
store() {
    local file=$1
    shift
    mkdir -p "$(dirname "$file")"
    (
        umask 077
        while [ $# -gt 0 ]; do
            printf '%s = %s\n' "$1" "$2"
            shift 2
        done >"$file.new"
    )
    mv "$file.new" "$file"
}
