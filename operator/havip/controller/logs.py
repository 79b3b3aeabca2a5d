"""Log lines as JSON, one object each, with the key of what they are about. Quiet: nothing per pass, nothing per event.

`logger.info(..., extra={"object": "HAVip shop/web"})` is how a line says what it is about. Never a token or a Secret.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO


class JsonLines(logging.Formatter):
    """One JSON object per record: time, level, logger, message, and `object` and `error` where there are such."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        about = getattr(record, "object", None) or _kopf_object(record)
        if about:
            line["object"] = str(about)
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def _kopf_object(record: logging.LogRecord) -> str:
    reference = getattr(record, "k8s_ref", None)
    if not isinstance(reference, dict):
        return ""
    name = "/".join(filter(None, (reference.get("namespace"), reference.get("name"))))
    return f"{reference.get('kind', '')} {name}".strip()


def _expected(record: logging.LogRecord) -> bool:
    """kopf warns that it leaves signals alone in a thread: that is why it runs in one."""
    return not record.getMessage().startswith("OS signals are ignored")


def configure(level: str, stream: TextIO = sys.stderr) -> None:
    """For the whole process; libraries speak up from warnings on."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    handler.addFilter(_expected)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("havip").setLevel(level)
