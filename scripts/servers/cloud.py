#!/usr/bin/env python3
"""What a cloud has around an S3 server, in front of one that is real: a token service that looks at external ids, and instances' metadata.

    cloud.py PORT CONFIGURATION

The token service (POST /) passes on what it is asked, so that the server behind checks the signature, who may assume the role, and makes the
session; before that it refuses a wrong external id, which Ceph's policies cannot look at. The metadata service (version 2, with a token)
hands out sessions of the instance's role, made by that same token service. Below a first path element:

    /none/latest/…    an instance without a role
    /brief/latest/…   sessions that end soon after what a client should take as the end, and say so
    /early/latest/…   sessions that end within seconds, but claim an hour
"""

import http.client
import json
import sys
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import aws
import session

METADATA = "/latest/meta-data/iam/security-credentials/"
TOKEN = "token-of-the-metadata-service"
# Clients ask anew two minutes before the end: these are used for three seconds.
BRIEF, EARLY = 123, 4


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer's head and body are two packets: the second must not wait.
    disable_nagle_algorithm = True
    configuration = {}

    def answer(self, status, body=b"", kind="text/plain"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def refuse(self, code, message):
        body = f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
        self.answer(403, body.encode(), "text/xml")

    def do_POST(self):
        body = self.body()
        form = dict(urllib.parse.parse_qsl(body.decode(errors="replace")))
        needed = self.configuration["external_ids"].get(form.get("RoleArn", ""))
        if needed is not None and form.get("ExternalId") != needed:
            message = f"User is not authorized to perform: sts:AssumeRole on resource: {form.get('RoleArn')}"
            return self.refuse("AccessDenied", message)
        connection = http.client.HTTPConnection(self.configuration["gateway"], timeout=20)
        connection.putrequest("POST", self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        received = connection.getresponse()
        self.answer(received.status, received.read(), "text/xml")
        connection.close()

    def do_PUT(self):
        self.body()
        if self.path.endswith("/latest/api/token") and self.headers.get("x-aws-ec2-metadata-token-ttl-seconds"):
            return self.answer(200, TOKEN.encode())
        self.answer(400)

    def do_GET(self):
        way, found, rest = self.path.partition(METADATA)
        if not found:
            return self.answer(404)
        if self.headers.get("x-aws-ec2-metadata-token") != TOKEN:
            return self.answer(401)
        if way == "/none":
            return self.answer(404)
        if not rest:
            return self.answer(200, b"instance")
        if rest != "instance":
            return self.answer(404)
        given = self.session(way)
        names = ("AccessKeyId", "SecretAccessKey", "Token", "Expiration")
        said = {"Code": "Success", "Type": "AWS-HMAC", **dict(zip(names, given))}
        self.answer(200, json.dumps(said).encode(), "application/json")

    def session(self, way):
        configuration = self.configuration
        made = aws.session(configuration["gateway"], configuration["instance_keys"], configuration["instance_role"], "instance")
        if way == "/brief":
            return session.ending(made, configuration["session_key"], BRIEF)
        if way == "/early":
            return session.ending(made, configuration["session_key"], EARLY)[:3] + [made[3]]
        return made


if __name__ == "__main__":
    with open(sys.argv[2], encoding="utf-8") as file:
        Handler.configuration = json.load(file)
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
