"""Gets one object with boto3, as a plain script would; run by scripts/bench, and timed.

python get_object.py BUCKET KEY
"""

import sys

import boto3

body = boto3.client("s3").get_object(Bucket=sys.argv[1], Key=sys.argv[2])["Body"]
sys.stdout.buffer.write(body.read())
