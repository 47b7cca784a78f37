"""Greets whoever is named, in the event itself or in a queue's messages."""

import os


def handler(event, context):
    names = [record["body"] for record in event.get("Records", [])] or [event["name"]]
    return [f"{os.environ['GREETING']}, {name}!" for name in names]
