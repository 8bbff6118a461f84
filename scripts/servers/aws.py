"""Requests signed as AWS does it (version 4), with the standard library alone."""

import datetime
import hashlib
import hmac
import http.client
import re
import urllib.parse


def quoted(text):
    return urllib.parse.quote(text, safe="-_.~")


def canonical_query(query):
    pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
    return "&".join(f"{quoted(name)}={quoted(value)}" for name, value in sorted(pairs))


def signature(secret, scope, time, method, path, query, headers, signed, digest):
    """The signature over `signed`, names of `headers`, whose names are in lower case. `scope` is date/region/service/aws4_request."""
    lines = "".join(f"{name}:{' '.join(headers.get(name, '').split())}\n" for name in signed)
    canonical = "\n".join([method, path, canonical_query(query), lines, ";".join(signed), digest])
    to_sign = "\n".join(["AWS4-HMAC-SHA256", time, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()


def signed_headers(keys, service, method, path, query, headers, digest):
    """`headers` with those that authenticate. `keys` are access key, secret key and, for a session, its token."""
    time = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    headers = {name.lower(): value for name, value in headers.items()}
    headers.update({"x-amz-date": time, "x-amz-content-sha256": digest})
    if len(keys) > 2:
        headers["x-amz-security-token"] = keys[2]
    names = sorted(name for name in headers if name in ("host", "content-type", "range") or name.startswith("x-amz-"))
    scope = f"{time[:8]}/us-east-1/{service}/aws4_request"
    found = signature(keys[1], scope, time, method, path, query, headers, names, digest)
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys[0]}/{scope}, SignedHeaders={';'.join(names)}, Signature={found}"
    )
    return headers


def request(host, keys, method, path="/", query="", body=b"", service="s3", headers=None, tls=None):
    """Status and body of one request, on a connection of its own; `tls` is an SSLContext."""
    digest = hashlib.sha256(body).hexdigest()
    headers = signed_headers(keys, service, method, path, query, {"host": host, **(headers or {})}, digest)
    plain = http.client.HTTPConnection(host, timeout=20)
    connection = http.client.HTTPSConnection(host, timeout=20, context=tls) if tls else plain
    connection.request(method, path + ("?" + canonical_query(query) if query else ""), body, headers)
    answer = connection.getresponse()
    received = answer.read()
    connection.close()
    return answer.status, received


def action(host, keys, service, **form):
    """An action of the token service or of the management of identities; its answer. Fails when it is refused."""
    form = {"Version": "2011-06-15" if service == "sts" else "2010-05-08", **form}
    body = urllib.parse.urlencode(form, quote_via=urllib.parse.quote).encode()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    status, received = request(host, keys, "POST", body=body, service=service, headers=headers)
    if status != 200:
        raise SystemExit(f"{form['Action']} was answered {status}: {received.decode(errors='replace')}")
    return received.decode()


def element(document, name):
    found = re.search(f"<{name}>(.*?)</{name}>", document, re.S)
    return found.group(1) if found else ""


def session(host, keys, role, name, external_id=""):
    """A session of the role: access key, secret key, token, and when it expires."""
    form = {"Action": "AssumeRole", "RoleArn": role, "RoleSessionName": name, "DurationSeconds": "3600"}
    if external_id:
        form["ExternalId"] = external_id
    answer = action(host, keys, "sts", **form)
    return [element(answer, part) for part in ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")]
