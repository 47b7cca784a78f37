"""Greets whoever is named: in the event itself, in a queue's messages, or by a bucket's new files."""

import os

import boto3
from words import join


def handler(event, context):
    names = list(named_in(event))
    greetings = [join(os.environ["GREETING"], name) for name in names]
    if "Records" in event:
        sqs = boto3.client("sqs")
        for greeting in greetings:
            sqs.send_message(QueueUrl=os.environ["GREETED"], MessageBody=greeting)
    return {"greetings": greetings}


def named_in(event):
    for record in event.get("Records", []):
        yield record["s3"]["object"]["key"] if "s3" in record else record["body"]
    if "name" in event:
        yield event["name"]
