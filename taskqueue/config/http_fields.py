"""The types of the fields of a task's HTTP call, with the rules of http_rules.py."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from taskqueue.config.http_rules import (
    check_endpoint,
    check_header_name,
    check_header_value,
    check_headers,
    check_signing_secrets,
)

Endpoint = Annotated[str, AfterValidator(check_endpoint)]

_HeaderName = Annotated[str, AfterValidator(check_header_name)]
_HeaderValue = Annotated[str, AfterValidator(check_header_value)]
Headers = Annotated[dict[_HeaderName, _HeaderValue], AfterValidator(check_headers)]

#: one, and two while one replaces the other
SigningSecrets = Annotated[list[str], Field(min_length=1, max_length=2), AfterValidator(check_signing_secrets)]
