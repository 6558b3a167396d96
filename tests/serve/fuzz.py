"""Every route asked what its schema allows and what it does not, by Schemathesis, over a real socket.

`python -m tests.serve.fuzz 127.0.0.1:8000 100` asks each route of a running server 200 times and prints how often each
status was answered; the test asks each a few times.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)


def refused(context: Any, response: Any, case: Any) -> bool | None:
    """What breaks its schema is refused as such, or because it is too large."""
    too_large = response.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    return None if too_large else negative_data_rejection(context, response, case)


CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
    allow_header_conformance,
    refused,
]


def fuzz(address: str, examples: int) -> Iterator[tuple[str, Counter[int]]]:
    """Each operation's name, and how often it answered with each status; twice `examples` questions for each."""
    document = schemathesis.openapi.from_url(f"http://{address}/openapi.json")
    for found in document.get_all_operations():
        operation = found.ok()  # pyright: ignore[reportAttributeAccessIssue] - an invalid one is to fail here
        asks = list(operation.body) or list(operation.path_parameters)  # else there is nothing to be wrong in it
        modes = list(GenerationMode) if asks else [GenerationMode.POSITIVE]
        yield operation.label, sum((_asked(operation, mode, examples) for mode in modes), Counter())


def _asked(operation: Any, mode: GenerationMode, examples: int) -> Counter[int]:
    counted: Counter[int] = Counter()

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        counted[case.call_and_validate(checks=CHECKS).status_code] += 1

    ask()
    return counted


if __name__ == "__main__":
    where, count = sys.argv[1], int(sys.argv[2])
    for name, statuses in fuzz(where, count):
        sys.stdout.write(f"{name}: {sum(statuses.values())} asked, {dict(sorted(statuses.items()))}\n")
