#!/usr/bin/env python3
"""A network between clients and a server on this machine: what passes takes time, and a connection carries only so much.

    scripts/servers/distance.py PORT HOST:PORT --round-trip MILLISECONDS [--rate MIB]

Listens on 127.0.0.1:PORT and passes each connection on. All that goes either way comes half a round trip later, opening a connection takes one,
and a connection carries at most so many MiB a second each way, as a connection over a long line does. Bytes pass by splice(2), so that this costs
the processors little.
"""

import argparse
import fcntl
import os
import queue
import select
import socket
import threading
import time

PIECE = 256 << 10
# What a direction of a connection holds on the way, so that a fast sender is slowed down as by a window of TCP.
F_SETPIPE_SZ, HELD = 1031, 1 << 20


def carry(source, target, first, delay, rate):
    """Passes on all that comes, in order, each piece `delay` seconds after it came and not before `first`."""
    out, into = os.pipe()
    fcntl.fcntl(into, F_SETPIPE_SZ, HELD)
    pieces = queue.SimpleQueue()

    def send():
        free = first
        while (piece := pieces.get()) is not None:
            due, left = piece
            wait = max(due, free) - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            free = max(time.monotonic() - 0.01, free, due) + left / rate
            try:
                while left > 0:
                    left -= os.splice(out, target.fileno(), left)
            except OSError:
                break
        for one, how in ((target, socket.SHUT_WR), (source, socket.SHUT_RD)):
            try:
                one.shutdown(how)
            except OSError:
                pass
        os.close(out)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    waits = [waiting(into, select.POLLOUT), waiting(source, select.POLLIN)]
    try:
        while (count := taken(source, into, waits)) > 0:
            pieces.put((time.monotonic() + delay, count))
    except OSError:
        pass
    pieces.put(None)
    sender.join()
    os.close(into)


def waiting(what, until):
    poll = select.poll()
    poll.register(what, until)
    return poll


def taken(source, into, waits):
    """Moves what comes next from a socket into a pipe, and returns its bytes. A splice that waits for bytes would hold the pipe, from which others
    are sent meanwhile: it must not wait."""
    while True:
        for wait in waits:
            wait.poll()
        try:
            return os.splice(source.fileno(), into, PIECE, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            pass


def serve(client, target, delay, rate):
    try:
        server = socket.create_connection(target)
    except OSError:
        client.close()
        return
    for one in (client, server):
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # The client is told at once that it is connected; of the server's answer it hears a round trip later.
    first = time.monotonic() + 3 * delay
    ways = [threading.Thread(target=carry, args=way, daemon=True) for way in ((client, server, first, delay, rate), (server, client, first, delay, rate))]
    for way in ways:
        way.start()
    for way in ways:
        way.join()
    client.close()
    server.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("target")
    parser.add_argument("--round-trip", type=float, required=True, metavar="MILLISECONDS")
    parser.add_argument("--rate", type=float, default=float("inf"), metavar="MIB", help="MiB a second of each connection, each way")
    args = parser.parse_args()
    host, _, port = args.target.rpartition(":")
    listener = socket.create_server(("127.0.0.1", args.port), backlog=256)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve, args=(client, (host, int(port)), args.round_trip / 2000, args.rate * (1 << 20)), daemon=True).start()


if __name__ == "__main__":
    main()
