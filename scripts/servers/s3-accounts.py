#!/usr/bin/env python3
"""Buckets, roles and sessions on the S3 server that scripts/servers/s3 has started, and the files that tell tests of them.

    s3-accounts.py STATE STORES

STATE/accounts.json holds the addresses and keys; STATE/cloud.json is written for cloud.py.
"""

import json
import os
import sys

import aws
import session

EVERYTHING = [{"Effect": "Allow", "Action": ["s3:*", "sts:AssumeRole"], "Resource": "arn:aws:s3:::*"}]


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def make_role(host, keys, name, trusted):
    """A role that those trusted may assume."""
    trust = policy({"Effect": "Allow", "Principal": {"AWS": trusted}, "Action": ["sts:AssumeRole"]})
    answer = aws.action(host, keys, "iam", Action="CreateRole", RoleName=name, Path="/", AssumeRolePolicyDocument=trust)
    aws.action(host, keys, "iam", Action="PutRolePolicy", RoleName=name, PolicyName="all", PolicyDocument=policy(*EVERYTHING))
    return aws.element(answer, "Arn")


def write(path, lines):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.writelines(f"{key} = {value}\n" for key, value in lines.items())
    os.rename(path + ".new", path)


def main(state, stores):
    with open(f"{state}/accounts.json", encoding="utf-8") as file:
        accounts = json.load(file)
    host, cloud = accounts["gateway"], "http://" + accounts["cloud"]
    keys = [accounts["access_key"], accounts["secret_key"]]
    for bucket in ("starsnap-test", "bucket_s3", "bucket_gcs"):
        status, answer = aws.request(host, keys, "PUT", "/" + bucket)
        if status != 200:
            raise SystemExit(f"making the bucket {bucket} was answered {status}: {answer.decode(errors='replace')}")
    user = "arn:aws:iam:::user/tests"
    instance = make_role(host, keys, "instance", [user])
    role = make_role(host, keys, "backup", [user, "arn:aws:iam:::role/instance"])
    with open(f"{state}/cloud.json", "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        configuration = {
            "gateway": host,
            "external_ids": {role: accounts["external_id"]},
            "instance_keys": keys,
            "instance_role": instance,
            "session_key": accounts["session_key"],
        }
        json.dump(configuration, file)

    place = {"aws.s3.endpoint": "http://" + host, "aws.s3.region": "us-east-1", "aws.s3.enable_path_style_access": "true"}
    static = {"aws.s3.access_key": keys[0], "aws.s3.secret_key": keys[1]}
    assumed = {
        "aws.s3.iam_role_arn": role,
        "aws.s3.external_id": accounts["external_id"],
        "aws.s3.sts_endpoint": cloud,
    }
    hadoop = {
        "fs.s3a.endpoint": host,
        "fs.s3a.endpoint.region": "us-east-1",
        "fs.s3a.path.style.access": "true",
        "fs.s3a.connection.ssl.enabled": "false",
        "fs.s3a.access.key": keys[0],
        "fs.s3a.secret.key": keys[1],
    }
    at = {"location": "s3a://starsnap-test/suite"}
    by_profile = {"aws.s3.use_instance_profile": "true"}

    def metadata(way):
        return {"env.AWS_EC2_METADATA_SERVICE_ENDPOINT": cloud + way}

    write(f"{stores}/s3.properties", {**at, **place, **static})
    write(f"{stores}/s3-hadoop.properties", {**at, **hadoop})
    write(f"{stores}/s3-role.properties", {**at, **place, **static, **assumed})
    write(f"{stores}/s3-instance.properties", {**at, **place, **by_profile, **metadata("")})
    # Not to be used like the others: each has its own trouble, which is its name.
    ended = session.ending(aws.session(host, keys, role, "ended"), accounts["session_key"], -3600)
    token = {"aws.s3.access_key": ended[0], "aws.s3.secret_key": ended[1], "aws.s3.session_token": ended[2]}
    special = f"{stores}/special"
    write(f"{special}/s3-ended-session.properties", {**at, **place, **token})
    for name in ("none", "brief", "early"):
        write(f"{special}/s3-instance-{name}.properties", {**at, **place, **by_profile, **metadata("/" + name)})


if __name__ == "__main__":
    main(*sys.argv[1:])
