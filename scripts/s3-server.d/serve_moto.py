"""Serves moto's S3, IAM and STS by HTTP and by HTTPS; started by scripts/s3-server.

moto_server has one port. This has two with the same data, and a bucket before anybody comes.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from threading import Thread

import boto3
from moto import settings
from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server, make_ssl_devcert

# boto3 shall take nothing from the caller's own configuration.
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "any",
    "AWS_SECRET_ACCESS_KEY": "any",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
}
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


def serve(folder: Path, port: int, tls_port: int) -> None:
    """Start both servers in threads."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application = DomainDispatcherApplication(create_backend_app)
    certificate = make_ssl_devcert(str(folder / "tls"), host="localhost")
    for number, context in ((port, None), (tls_port, certificate)):
        server = make_server(
            "127.0.0.1",
            number,
            application,
            threaded=True,
            request_handler=MotoRequestHandler,
            ssl_context=context,
        )
        Thread(target=server.serve_forever).start()


def make_users(endpoint: str) -> dict[str, str]:
    """Make one who may do everything and one who may do nothing; return their keys."""
    iam = boto3.client("iam", endpoint_url=endpoint)
    keys = {}
    for user in ("admin", "reader"):
        iam.create_user(UserName=user)
        keys[user] = iam.create_access_key(UserName=user)["AccessKey"]
    iam.put_user_policy(UserName="admin", PolicyName="everything", PolicyDocument=json.dumps(EVERYTHING))
    return {
        "AWS_ACCESS_KEY_ID": keys["admin"]["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": keys["admin"]["SecretAccessKey"],
        "READER_ACCESS_KEY": keys["reader"]["AccessKeyId"],
        "READER_SECRET_KEY": keys["reader"]["SecretAccessKey"],
    }


def main() -> None:
    """Serve; the file ``ready`` says when, and who the users are."""
    folder, port, tls_port, bucket, mode = sys.argv[1:]
    os.environ.clear()
    os.environ.update(ENVIRONMENT)
    endpoint = f"http://127.0.0.1:{port}"
    serve(Path(folder), int(port), int(tls_port))
    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket=bucket)
    variables = {}
    if mode == "enforce":
        variables = make_users(endpoint)
        settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
    unfinished = Path(folder, "starting")
    unfinished.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    unfinished.rename(Path(folder, "ready"))


if __name__ == "__main__":
    main()
