"""Sessions that end when a test wants: the gateway's own, whose token says so inside, encrypted with a key that we have chosen."""

import base64
import datetime
import subprocess

# Ceph's, for every token.
VECTOR = b"cephsageyudagreg"


def crypted(key, bytes_, way):
    # The key is one of a test's server, made at its start: that it can be seen among the processes for a moment does no harm.
    command = ["openssl", "enc", "-aes-128-cbc", way, "-K", key.encode().hex(), "-iv", VECTOR.hex()]
    return subprocess.run(command, input=bytes_, stdout=subprocess.PIPE, check=True).stdout


def stamp(seconds):
    """The time that many seconds from now, as the token service writes it."""
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond:06}000Z"


def ending(session, key, seconds):
    """The session, but the gateway refuses it after so many seconds from now."""
    access, secret, token, expiration = session
    plain = crypted(key, base64.b64decode(token), "-d")
    if plain.count(expiration.encode()) != 1 or len(stamp(0)) != len(expiration):
        raise SystemExit("the gateway's tokens are not built as this script expects")
    changed = plain.replace(expiration.encode(), stamp(seconds).encode())
    return [access, secret, base64.b64encode(crypted(key, changed, "-e")).decode(), stamp(seconds)]
