#!/usr/bin/env python3
"""That the proxy of scripts/servers/gcs refuses what Google's store refuses, and lets pass what it takes.

    gcs-check.py HOST:PORT AUTHORITY ACCOUNTS
"""

import json
import ssl
import sys

import aws

DELETE = b"<Delete><Object><Key>check</Key></Object></Delete>"
# Method, query, headers, body, on the bucket or an object; and the code of the refusal.
REFUSED = [
    ("POST", "", "delete", {}, DELETE, "NotImplemented"),
    ("PUT", "check", "", {"x-amz-checksum-crc32": "AAAAAA=="}, b"x", "InvalidArgument"),
    ("PUT", "check", "", {"x-amz-sdk-checksum-algorithm": "CRC32"}, b"x", "InvalidArgument"),
    ("PUT", "check", "", {"x-amz-trailer": "x-amz-checksum-crc32"}, b"x", "InvalidArgument"),
    ("PUT", "check", "", {"content-encoding": "aws-chunked"}, b"x", "NotImplemented"),
    ("PUT", "check", "", {"if-none-match": "*"}, b"x", "InvalidArgument"),
    ("PUT", "check", "partNumber=1&uploadId=u", {"x-amz-copy-source": "/starsnap-test/check"}, b"", "NotImplemented"),
    ("PUT", "check", "tagging", {}, b"x", "NotImplemented"),
    ("GET", "", "versions", {}, b"", "InvalidArgument"),
    ("GET", "", "list-type=2&max-keys=1001", {}, b"", "InvalidArgument"),
]


def main(host, authority, path):
    with open(path, encoding="utf-8") as file:
        accounts = json.load(file)
    keys = [accounts["access_key"], accounts["secret_key"]]
    tls = ssl.create_default_context(cafile=authority)

    def ask(method, key, query, headers, body, given=keys):
        return aws.request(host, given, method, f"/starsnap-test/{key}", query, body, headers=headers, tls=tls)

    for method, key, query, headers, body, code in REFUSED:
        status, answer = ask(method, key, query, headers, body)
        if status < 400 or f"<Code>{code}</Code>" not in answer.decode():
            raise SystemExit(f"{method} /{key}?{query} {headers} should be refused with {code}, but: {status} {answer.decode()}")
    for method, query, body in (("PUT", "", b"x"), ("GET", "", b""), ("DELETE", "", b"")):
        status, answer = ask(method, "check", query, {}, body)
        if status >= 300:
            raise SystemExit(f"{method} should be taken, but: {status} {answer.decode()}")
    status, answer = ask("GET", "", "list-type=2&prefix=none", {}, b"", [keys[0], "wrong"])
    if b"<Code>SignatureDoesNotMatch</Code>" not in answer:
        raise SystemExit(f"a wrong key should be refused, but: {status} {answer.decode()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
