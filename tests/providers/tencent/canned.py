"""A service that answers what it is told, for answers that no cloud should give."""

from __future__ import annotations

import json
from contextlib import contextmanager

from e2e.clouds.service import Answer, Service
from tests.providers.tencent.workbench import SECRET_ID, SECRET_KEY, TOKEN

from havip_providers.tencent.client import Client, Timing
from havip_providers.tencent.config import Connection, SecretKey

JSON = {"Content-Type": "application/json"}


def success(**body):
    return Answer(200, json.dumps({"Response": {**body, "RequestId": "r-1"}}).encode(), JSON)


def refusal(code, message="no", *, headers=JSON):
    body = {"Response": {"Error": {"Code": code, "Message": message}, "RequestId": "r-1"}}
    return Answer(200, json.dumps(body).encode(), headers)


class Canned:
    """Its answers in order; the last one for ever."""

    def __init__(self, answers):
        self.answers = list(answers)

    def reads(self, request):
        return True

    def answer(self, request, trouble):
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def client(*answers, timing=None):
    """The client before such a service; its `service` is the second value."""
    with Service(Canned(answers)).serving() as service:
        host = service.endpoint.removeprefix("http://")
        key = SecretKey(SECRET_ID, SECRET_KEY, TOKEN)
        one = Client(Connection("ap-guangzhou", host, True, key), timing or Timing(read=2.0, pause=lambda _: None))
        try:
            yield one, service
        finally:
            one.close()
