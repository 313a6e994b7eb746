"""Requests and errors of Amazon Rekognition: JSON of protocol ``x-amz-json-1.1``.

Names, limits and error types are those of the public service model (``rekognition/2016-06-27``).
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta
from starlette.responses import Response

from visavis.service.problems import ProblemError
from visavis.service.uploads import Photo

MEDIA_TYPE: Final = "application/x-amz-json-1.1"
PHOTO_BYTES: Final = 5_242_880
_MOST_COMMAS: Final = 20_000
"""Commas in a body: a list of face ids has 4095, base64 has none."""

NO_FACE: Final = "There are no faces in the image. Should be at least 1."

# Error types by the reason of a problem; others are wrong parameters, or the service's own fault.
_KINDS: Final = {
    "no-face": "InvalidParameterException",
    "image-too-large": "ImageTooLargeException",
    "not-an-image": "InvalidImageFormatException",
    "image-truncated": "InvalidImageFormatException",
    "image-unsupported": "InvalidImageFormatException",
    "missing-extra": "InvalidImageFormatException",
    "busy": "ThrottlingException",
    "gallery-busy": "ThrottlingException",
    "rate-limit": "ThrottlingException",
    "forbidden": "AccessDeniedException",
    "forbidden-host": "AccessDeniedException",
    "forbidden-origin": "AccessDeniedException",
    "unknown-gallery": "ResourceNotFoundException",
    "gallery-exists": "ResourceAlreadyExistsException",
    "too-many-galleries": "ServiceQuotaExceededException",
    "body-too-large": "RequestEntityTooLargeException",
    "method-not-allowed": "UnknownOperationException",
    "request-timeout": "RequestTimeoutException",
    "too-slow": "ServiceUnavailableException",
}
_STATUS: Final = {
    "RequestEntityTooLargeException": 413,
    "RequestTimeoutException": 408,
    "InternalServerError": 500,
    "ServiceUnavailableException": 503,
}
"""HTTP status of an error type; 400 for all others."""

Percent = Annotated[float, Meta(ge=0, le=100)]
CollectionId = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\A[a-zA-Z0-9_.\-]+\Z")]
ExternalImageId = Annotated[
    str, Meta(min_length=1, max_length=255, pattern=r"\A[a-zA-Z0-9_.\-:]+\Z")
]
UserId = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"\A[a-zA-Z0-9_.\-:]+\Z")]
FaceId = Annotated[
    str,
    Meta(pattern=r"\A[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z"),
]
UserFaceIds = Annotated[list[FaceId], Meta(min_length=1, max_length=100)]
ClientToken = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"\A[a-zA-Z0-9-_]+\Z")]
NextToken = Annotated[str, Meta(max_length=255)]
PageSize = Annotated[int, Meta(ge=0, le=4096)]
MaxMatches = Annotated[int, Meta(ge=1, le=4096)]
MaxUsers = Annotated[int, Meta(ge=1, le=500)]
QualityFilter = Literal["NONE", "AUTO", "LOW", "MEDIUM", "HIGH"]
Attribute = Literal[
    "DEFAULT", "ALL", "AGE_RANGE", "BEARD", "EMOTIONS", "EYE_DIRECTION", "EYEGLASSES", "EYES_OPEN",
    "GENDER", "MOUTH_OPEN", "MUSTACHE", "FACE_OCCLUDED", "SMILE", "SUNGLASSES",
]  # fmt: skip

R = TypeVar("R", bound="Request")


class Request(msgspec.Struct, rename="pascal", kw_only=True):
    """The members of a request; others are ignored, as by AWS."""


class Image(Request):
    """A photo: its bytes (base64 on the wire). visavis reads no S3 objects."""

    data: bytes | None = msgspec.field(default=None, name="Bytes")
    s3_object: dict[str, Any] | None = None

    def photo(self, name: str) -> Photo:
        """Returns the photo; ``name`` is its name in messages."""
        if self.data is None and self.s3_object is not None:
            raise aws(
                "InvalidS3ObjectException",
                f"{name}: visavis reads no S3 objects. Send the photo in Bytes.",
            )
        if not self.data or self.s3_object is not None:
            raise invalid(f"{name} must have Bytes, and nothing else.")
        if len(self.data) > PHOTO_BYTES:
            raise aws(
                "ImageTooLargeException",
                f"{name} has {len(self.data):,} bytes, more than {PHOTO_BYTES:,}.",
            )
        return Photo.of(self.data, name)


class InCollection(Request, kw_only=True):
    """A request that names a collection, and nothing else."""

    collection_id: CollectionId


class CompareFaces(Request):  # the service model describes each
    source_image: Image
    target_image: Image
    similarity_threshold: Percent | None = None
    quality_filter: QualityFilter = "NONE"


class DetectFaces(Request):
    image: Image
    attributes: list[Attribute] = []


class ListCollections(Request):
    next_token: NextToken | None = None
    max_results: PageSize | None = None


class IndexFaces(InCollection, kw_only=True):
    image: Image
    external_image_id: ExternalImageId | None = None
    detection_attributes: list[Attribute] = []
    max_faces: Annotated[int, Meta(ge=1)] | None = None
    quality_filter: QualityFilter = "AUTO"


class ListFaces(InCollection, kw_only=True):
    next_token: NextToken | None = None
    max_results: PageSize | None = None
    user_id: UserId | None = None
    face_ids: Annotated[list[FaceId], Meta(min_length=1, max_length=4096)] | None = None


class DeleteFaces(InCollection):
    face_ids: Annotated[list[FaceId], Meta(min_length=1, max_length=4096)]


class SearchFaces(InCollection):
    face_id: FaceId
    max_faces: MaxMatches | None = None
    face_match_threshold: Percent | None = None


class SearchFacesByImage(InCollection):
    image: Image
    max_faces: MaxMatches | None = None
    face_match_threshold: Percent | None = None
    quality_filter: QualityFilter = "NONE"


class OfUser(InCollection):
    user_id: UserId
    client_request_token: ClientToken | None = None


class AssociateFaces(OfUser, kw_only=True):
    face_ids: UserFaceIds
    user_match_threshold: Percent | None = None


class DisassociateFaces(OfUser, kw_only=True):
    face_ids: UserFaceIds


class ListUsers(InCollection):
    next_token: NextToken | None = None
    max_results: MaxUsers | None = None


class SearchUsers(InCollection):
    user_id: UserId | None = None
    face_id: FaceId | None = None
    user_match_threshold: Percent | None = None
    max_users: MaxUsers | None = None


class SearchUsersByImage(InCollection):
    image: Image
    user_match_threshold: Percent | None = None
    max_users: MaxUsers | None = None
    quality_filter: QualityFilter = "NONE"


def decode(body: bytes, kind: type[R]) -> R:
    """Decodes the body of a request.

    Raises:
        ProblemError: no JSON object, or a member that breaks a rule.
    """
    if body.count(b",") > _MOST_COMMAS:
        raise aws("SerializationException", "The body has very many values.")
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise invalid(f"Request has invalid parameters: {error}") from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise aws("SerializationException", f"The body is no JSON: {error}") from error


def aws(kind: str, message: str) -> ProblemError:
    """Returns an error of one of AWS's types."""
    return ProblemError(_STATUS.get(kind, 400), kind, message, "", aws=kind)


def invalid(message: str) -> ProblemError:
    """Returns the error for a wrong parameter."""
    return aws("InvalidParameterException", message)


def refuse(problem: ProblemError, request_id: str) -> Response:
    """Returns the response to a refused request, as clients of AWS parse it."""
    fault = "InternalServerError" if problem.status >= 500 else "InvalidParameterException"
    kind = problem.more.get("aws") or _KINDS.get(problem.reason, fault)
    message = f"{problem.got}; {problem.remedy}" if problem.remedy else problem.got
    if problem.reason == "no-face":
        message = f"{NO_FACE} ({message})"
    return response(
        {"__type": kind, "Code": kind, "Logref": request_id, "Message": message},
        request_id,
        status=_STATUS.get(kind, 400),
    )


def response(answer: dict[str, Any], request_id: str, *, status: int = 200) -> Response:
    """Returns an answer with the headers that clients of AWS expect."""
    return Response(
        msgspec.json.encode(answer), status_code=status, media_type=MEDIA_TYPE,
        headers={"x-amzn-RequestId": request_id},
    )  # fmt: skip
