"""Looks at a picture. Pillow and NumPy come from the layer; nothing is bundled here."""

import base64
import io

import numpy as np
from PIL import Image

THUMBNAIL_PIXELS = 160


def handler(event, context):
    """Say what is in `image_bytes`: base64, because events are JSON, which has no bytes."""
    img = Image.open(io.BytesIO(base64.b64decode(event["image_bytes"]))).convert("RGB")
    arr = np.array(img)
    red, green, blue = (round(value) for value in arr.mean(axis=(0, 1)))
    img.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    jpeg = io.BytesIO()
    img.save(jpeg, "JPEG", quality=85)
    print(f"Looked at {arr.size} values for request {context.aws_request_id}")
    return {
        "shape": arr.shape,
        "mean_colour": f"#{red:02x}{green:02x}{blue:02x}",
        "thumbnail_shape": (img.height, img.width, 3),
        "thumbnail": base64.b64encode(jpeg.getvalue()).decode(),
    }
