import greetings  # from the layer


def handler(event, context):
    text = greetings.greet(event["name"], event.get("language", "en"))
    return {"greeting": text, "layer": greetings.__file__}
