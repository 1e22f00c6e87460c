"""What a request is refused with: the codes of google.rpc.Code, as Google's and Kubeflow's APIs write them in JSON."""

from __future__ import annotations

from typing import Any

# google.rpc.Code -> its number, and the HTTP status that it is sent with (google/rpc/code.proto)
CODES = {
    "CANCELLED": (1, 499),
    "UNKNOWN": (2, 500),
    "INVALID_ARGUMENT": (3, 400),
    "DEADLINE_EXCEEDED": (4, 504),
    "NOT_FOUND": (5, 404),
    "ALREADY_EXISTS": (6, 409),
    "PERMISSION_DENIED": (7, 403),
    "RESOURCE_EXHAUSTED": (8, 429),
    "FAILED_PRECONDITION": (9, 400),
    "ABORTED": (10, 409),
    "OUT_OF_RANGE": (11, 400),
    "UNIMPLEMENTED": (12, 501),
    "INTERNAL": (13, 500),
    "UNAVAILABLE": (14, 503),
    "UNAUTHENTICATED": (16, 401),
}


class Refusal(Exception):
    """A request that is not done, and nothing was changed.

    Attributes:
        code: a name of google.rpc.Code.
        message: for the client.
        status: of HTTP; what goes with the code where none is given.
    """

    def __init__(self, code: str, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.code, self.message = code, message
        self.status = status or CODES[code][1]


def google_body(refusal: Refusal) -> dict[str, Any]:
    """As Google's APIs write it."""
    return {"error": {"code": refusal.status, "message": refusal.message, "status": refusal.code}}


def kfp_body(refusal: Refusal) -> dict[str, Any]:
    """As the API server of Kubeflow Pipelines writes it."""
    number = CODES[refusal.code][0]
    return {"error": refusal.message, "code": number, "message": refusal.message, "details": []}
