#!/usr/bin/env python3
"""Google Cloud Storage's interoperability with S3, as strict as it is, in front of an S3 server.

    gcs-proxy.py PORT CONFIGURATION

Requests pass unchanged, so that the server behind checks the signature; those that Google's store would refuse are refused here, as it
refuses them. What it knows is an enumeration: all else is refused.
"""

import hashlib
import http.client
import json
import re
import ssl
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Headers that the documentation of the XML API names, by S3's names and its own.
KNOWN = {
    "x-amz-acl", "x-amz-api-version", "x-amz-content-sha256", "x-amz-copy-source", "x-amz-copy-source-if-match",
    "x-amz-copy-source-if-modified-since", "x-amz-copy-source-if-none-match", "x-amz-copy-source-if-unmodified-since", "x-amz-date",
    "x-amz-decoded-content-length", "x-amz-metadata-directive", "x-amz-security-token", "x-amz-storage-class", "x-amz-user-agent",
}  # fmt: skip
# Of lists, and of uploads in parts.
LISTING = {"list-type", "prefix", "delimiter", "max-keys", "continuation-token", "start-after", "encoding-type", "fetch-owner", "marker"}
OBJECT = {"uploads", "uploadId", "partNumber", "response-content-disposition", "response-content-type", "x-id"}
UPLOADS = {"uploads", "prefix", "delimiter", "max-uploads", "key-marker", "upload-id-marker", "encoding-type"}
CONDITIONS = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")


class Refused(Exception):
    def __init__(self, status, code, message, details=""):
        super().__init__(message)
        self.status, self.code, self.message, self.details = status, code, message, details


def not_implemented(details):
    return Refused(501, "NotImplemented", "A header or query you provided requested a function that is not implemented.", details)


def check(method, path, query, headers, body):
    """What Google's store refuses, after the order in which it matters to a client."""
    names = {name.lower() for name in headers.keys()}
    pairs = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
    bucket, _, key = path.lstrip("/").partition("/")
    authorization = headers.get("authorization", "")
    if not authorization:
        raise Refused(403, "AccessDenied", "Access denied.", "Anonymous caller does not have storage access.")
    signed = re.search(r"SignedHeaders=([^,\s]+)", authorization)
    if not authorization.startswith("AWS4-HMAC-SHA256 ") or not signed:
        raise Refused(400, "InvalidSecurity", "The provided security credentials are not valid.")
    signed = signed.group(1).split(";")
    # Its front changes this header before the signature is looked at.
    if "accept-encoding" in signed:
        raise Refused(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")
    for name in sorted(names):
        if name.startswith("x-goog-"):
            raise Refused(400, "ExcessHeaderValues", "Multiple HTTP header values where one was expected.", "x-amz- with x-goog- headers")
        if name.startswith("x-amz-") and name not in KNOWN and not name.startswith("x-amz-meta-"):
            raise Refused(400, "InvalidArgument", "Invalid argument.", f"{name} is not known")
    digest = headers.get("x-amz-content-sha256", "")
    if digest.startswith("STREAMING-") or "aws-chunked" in headers.get("content-encoding", "") or "x-amz-trailer" in names:
        raise not_implemented("chunks with signatures or trailers")
    if re.fullmatch("[0-9a-f]{64}", digest):
        if hashlib.sha256(body).hexdigest() != digest:
            raise Refused(400, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.")
    elif digest != "UNSIGNED-PAYLOAD":
        raise Refused(400, "InvalidArgument", "Invalid argument.", "x-amz-content-sha256")
    if method not in ("GET", "HEAD") and any(name in names for name in CONDITIONS):
        raise Refused(400, "InvalidArgument", "Invalid argument.", "conditions by ETag or time hold for reads only")
    if not bucket:
        raise not_implemented("services beside storage, such as a token service")
    if not key:
        check_bucket(method, pairs)
    else:
        check_object(method, pairs, names, headers)


def check_bucket(method, pairs):
    if method == "POST":
        raise not_implemented("POST ?delete is not implemented for objects." if "delete" in pairs else "POST")
    if method not in ("GET", "HEAD"):
        raise Refused(403, "AccessDenied", "Access denied.", "the key may not make or change buckets")
    known = UPLOADS if "uploads" in pairs else LISTING
    if unknown := sorted(set(pairs) - known):
        raise Refused(400, "InvalidArgument", "Invalid argument.", f"unrecognized option: {unknown[0]}")
    version = pairs.get("list-type", "1")
    if version not in ("1", "2") or (version == "2" and "marker" in pairs):
        raise Refused(400, "InvalidArgument", "Invalid argument.", "unrecognized option: marker")
    if not re.fullmatch("[0-9]{1,4}", most := pairs.get("max-keys", "1000")) or not 1 <= int(most) <= 1000:
        raise Refused(400, "InvalidArgument", "Invalid argument.", "max-keys")


def check_object(method, pairs, names, headers):
    if unknown := sorted(set(pairs) - OBJECT):
        raise not_implemented(f"{method} ?{unknown[0]} is not implemented for objects.")
    if method == "POST" and not {"uploads", "uploadId"} & set(pairs):
        raise not_implemented("POST")
    part = "partNumber" in pairs
    if part and "x-amz-copy-source" in names:
        raise not_implemented("a part that is copied")
    if part and not (re.fullmatch("[0-9]{1,5}", pairs["partNumber"]) and 1 <= int(pairs["partNumber"]) <= 10000):
        raise Refused(400, "InvalidArgument", "Invalid argument.", "partNumber")
    if method == "PUT" and "content-length" not in names and "transfer-encoding" not in names:
        raise Refused(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
    if "," in headers.get("range", ""):
        raise not_implemented("several ranges")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    behind = ""
    kept = threading.local()

    def connection_behind(self, fresh):
        if fresh or not hasattr(self.kept, "connection"):
            self.kept.connection = http.client.HTTPConnection(self.behind, timeout=60)
        return self.kept.connection

    def handle_one(self):
        target = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(target.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            if "chunked" in self.headers.get("Transfer-Encoding", ""):
                self.close_connection = True
                raise not_implemented("chunked transfer in this proxy")
            check(self.command, path, target.query, self.headers, body)
            status, headers, received = self.passed_on(body)
        except Refused as refused:
            details = f"<Details>{refused.details}</Details>" if refused.details else ""
            received = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{refused.code}</Code><Message>{refused.message}</Message>{details}</Error>"
            status, headers, received = refused.status, [("Content-Type", "application/xml; charset=UTF-8")], received.encode()
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in headers) and status != 204:
            self.send_header("Content-Length", str(len(received)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(received)
        self.wfile.flush()

    def passed_on(self, body):
        for fresh in (False, True):
            connection = self.connection_behind(fresh)
            try:
                connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    if name.lower() != "connection":
                        connection.putheader(name, value)
                connection.endheaders(body or None)
                answer = connection.getresponse()
                received = answer.read()
                if b"<Code>InvalidAccessKeyId</Code>" in received:
                    raise Refused(403, "InvalidSecurity", "The provided security credentials are not valid.")
                # A connection's own headers end here, and what only this gateway says.
                dropped = ("connection", "transfer-encoding", "x-amz-request-id", "x-rgw-object-type")
                headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in dropped]
                return answer.status, headers, received
            except (http.client.HTTPException, OSError):
                connection.close()
                if fresh:
                    raise Refused(503, "ServiceUnavailable", "Service unavailable.") from None
        raise AssertionError

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_one

    def log_request(self, code="-", size="-"):
        pass


def main(port, path):
    with open(path, encoding="utf-8") as file:
        configuration = json.load(file)
    Handler.behind = configuration["gateway"]
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
    server.request_queue_size = 128
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(configuration["certificate"], configuration["key"])
    # The handshake belongs to the connection's own thread.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
