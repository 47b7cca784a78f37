"""The server's own log, on stderr."""

import json
import logging
import sys
from datetime import UTC, datetime

from lamella.config.settings import Settings


def configure_log(settings: Settings) -> None:
    """Send records to stderr, in the form and from the level that the settings name."""
    handler = logging.StreamHandler(sys.stderr)
    if settings.log_format == "json":
        handler.setFormatter(_JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)


class _JsonFormatter(logging.Formatter):
    """One object for each record."""

    def format(self, record: logging.LogRecord) -> str:
        document = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in ("request_id", "function", "environment"):
            if hasattr(record, name):
                document[name] = getattr(record, name)
        if record.exc_info:
            document["traceback"] = self.formatException(record.exc_info)
        return json.dumps(document)
