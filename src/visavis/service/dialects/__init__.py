"""Dialects: wire formats of other services, whose clients then work with this one.

A dialect is a module of this package with a ``DIALECT``. Its routes call the same use cases as
``/v1``; limits, keys, queue and logs are the service's. Errors have the dialect's own shape.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter
from starlette.responses import Response
from starlette.types import Scope

from visavis.errors import OptionError
from visavis.service import problems
from visavis.service.problems import ProblemError

DIALECTS: Final = {
    "compreface": "CompreFace 1.2",
    "deepstack": "DeepStack and CodeProject.AI",
    "immich": "Immich's machine learning",
    "rekognition": "Amazon Rekognition",
}
"""Modules of this package, and the service whose clients each is for."""

_OPENAPI: Final = "/openapi.json"
"""Marks remedies that point to the document which leaves the routes of dialects out."""

Refuse = Callable[[ProblemError, str], Response]
"""Makes the response to a refused request, of the problem and the request's id."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """A dialect.

    Attributes:
        router: its routes; with one tag, its name. They are left out of the OpenAPI document.
        owns: whether a method and path are this dialect's, whatever is asked there.
        refuse: makes the response to a refused request.
    """

    router: APIRouter
    owns: Callable[[str, str], bool]
    refuse: Refuse


def load(names: Sequence[str]) -> tuple[Dialect, ...]:
    """Returns dialects by name, of ``DIALECTS``.

    Raises:
        OptionError: an unknown name.
    """
    for name in names:
        if name not in DIALECTS:
            raise OptionError(f"dialect {name!r}", f"choose one of {', '.join(DIALECTS)}")
    return tuple(
        importlib.import_module(f"{__name__}.{name}").DIALECT for name in dict.fromkeys(names)
    )


def responder(spoken: Sequence[Dialect]) -> problems.Respond:
    """Returns what answers a refused request: in the shape of its dialect, or as a problem."""

    def respond(scope: Scope, problem: ProblemError, request_id: str) -> Response:
        for one in spoken:
            if one.owns(scope["method"], scope["path"]):
                if _OPENAPI in problem.remedy:
                    problem.remedy = f"see docs/switching/{one.router.tags[0]}.md"
                return one.refuse(problem, request_id)
        return problems.response(problem, request_id)

    return respond
