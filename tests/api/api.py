"""A client of the API for the tests: bearer token, counted SQL, uploads."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from accounts.services import token_issue

_numbers = itertools.count(1)


def fresh_key() -> str:
    """An idempotency key nobody used before."""
    return f"test-key-{next(_numbers)}"


@dataclass
class Answer:
    """One answer: HTTP status, the JSON object, and the number of SQL statements it took."""

    status: int
    body: dict[str, Any]
    queries: int

    @property
    def data(self) -> Any:
        assert "errors" not in self.body, self.body
        return self.body["data"]

    @property
    def codes(self) -> list[str]:
        return [error["extensions"]["code"] for error in self.body.get("errors", [])]


@dataclass
class Api:
    """The API as one user, by bearer token or session. spent: (label, SQL statements) of every call."""

    user: User
    session: bool = False
    spent: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.session:
            self.http = Client()
            self.http.force_login(self.user)
        else:
            _, secret = token_issue(user=self.user, name="test")
            self.http = Client(headers={"Authorization": f"Bearer {secret}"}, enforce_csrf_checks=True)

    def ask(self, query: str, **variables: Any) -> Answer:
        """POST a query."""
        body = json.dumps({"query": query, "variables": variables})
        with CaptureQueriesContext(connection) as captured:
            response = self.http.post("/graphql/", data=body, content_type="application/json")
        answer = Answer(response.status_code, response.json(), len(captured))
        self.spent.append((" ".join(query.split())[:60], answer.queries))
        return answer

    def do(self, verb: str, answer: str, input: dict[str, Any], key: str | None = None) -> Any:
        """Run a mutation that must succeed; its payload."""
        payload = self.attempt(verb, answer, input, key)
        assert payload["userErrors"] == [], payload
        return payload

    def attempt(self, verb: str, answer: str, input: dict[str, Any], key: str | None = None) -> Any:
        """Run a mutation; its payload with userErrors."""
        return self.ask(mutation(verb, answer), input=input, key=key or fresh_key()).data[verb]

    def upload(self, content: bytes, filename: str = "tape.csv", key: str | None = None) -> tuple[int, dict[str, Any]]:
        """POST a file to /api/uploads/."""
        form = {"file": SimpleUploadedFile(filename, content), "idempotencyKey": key or fresh_key()}
        response = self.http.post("/api/uploads/", data=form)
        return response.status_code, response.json()


def mutation(verb: str, answer: str) -> str:
    """The text of a mutation of this house."""
    kind = verb[0].upper() + verb[1:] + "Input"
    return (
        f"mutation($input: {kind}!, $key: String!) {{ {verb}(input: $input, idempotencyKey: $key)"
        f" {{ {answer} userErrors {{ field code message }} }} }}"
    )


def usd(cents: int) -> dict[str, Any]:
    """A MoneyInput."""
    return {"minorUnits": str(cents), "currency": "USD"}
