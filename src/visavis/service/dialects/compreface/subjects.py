"""Subjects: the people of the key's gallery."""

from __future__ import annotations

from fastapi import APIRouter, Request

from visavis.service.dialects.compreface.answers import caller
from visavis.service.routes.common import Answer, service_of

router = APIRouter(tags=["compreface"])


@router.get("/api/v1/recognition/subjects")
async def subjects(request: Request) -> Answer:
    """List the names of all people."""
    service = service_of(request)
    _, people = service.gallery(None, caller(request, "enroll"))
    found = await service.run(people.people)
    return Answer({"subjects": [person.name for person in found]})
