"""The backend of the example: takes batches of telemetry and prints a line for each record.

A function as well, so that the example needs no network: an extension reaches Lambda's API from every sandbox.
"""


def collect(event, context):
    for record in event["records"]:
        if record["type"] == "function":
            print("line:", record["record"].rstrip("\n"))
        elif record["type"] == "platform.report":
            report = record["record"]
            print("report:", report["requestId"], report["metrics"]["billedDurationMs"], "ms")
    return {"taken": len(event["records"])}
