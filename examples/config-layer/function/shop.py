import os


def handler(event, context):
    return {"database": os.environ.get("DATABASE_URL"), "level": os.environ.get("LOG_LEVEL")}
