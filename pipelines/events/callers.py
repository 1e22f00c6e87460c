"""Who may call: Pub/Sub, Eventarc and Cloud Scheduler say who they are by an identity token (OIDC).

On Cloud Run the service itself has checked the token, lets in who may invoke it, and takes the signature out of the
header before we see it: so there we look at who it is for, and here we check the signature too. The marker that is
left in the signature's place can be written by anybody: `iam` holds where nobody but Cloud Run reaches the port.
"""

from __future__ import annotations

import base64
import hmac
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from headrace.artifacts.errors import HeadraceError

NONE, IAM, OIDC, TOKEN = "none", "iam", "oidc", "token"
GOOGLE_CERTS = "https://www.googleapis.com/oauth2/v1/certs"
_ISSUERS = ("accounts.google.com", "https://accounts.google.com")
_REMOVED = "SIGNATURE_REMOVED_BY_GOOGLE"  # https://cloud.google.com/run/docs/troubleshooting#signature-removed
_SHORTEST = 16  # of a token
_SKEW_S, _KEEP_S, _RETRY_S = 30, 3600.0, 60.0


class NotAllowed(HeadraceError):
    """The caller is not known, or may not call. What it sent is not repeated."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Callers:
    """Checks callers.

    Args:
        mode: `iam`, `oidc`, `token`: one secret for all, or `none`: whoever reaches the port may call.
        emails: accounts that may call.
        audience: whom their tokens have to be for.
        token: the secret, for `token`.
        certs_url: where the issuer's certificates are.
        now: seconds since 1970, for tokens without signature.

    Raises:
        HeadraceError: the mode is none of these, or lacks what it checks by.
    """

    def __init__(
        self,
        mode: str,
        emails: Sequence[str] = (),
        audience: str = "",
        token: str = "",
        certs_url: str = GOOGLE_CERTS,
        now: Callable[[], float] = time.time,
    ) -> None:
        if mode not in (NONE, IAM, OIDC, TOKEN):
            raise HeadraceError(f"HEADRACE_EVENTS_AUTH: expected iam, oidc, token or none. Received: {mode!r}")
        if mode == TOKEN and len(token) < _SHORTEST:
            raise HeadraceError(
                f"HEADRACE_EVENTS_TOKEN_FILE: expected a secret of {_SHORTEST} signs or more. Received: less"
            )
        if mode in (IAM, OIDC) and not emails:
            raise HeadraceError("HEADRACE_EVENTS_CALLERS: expected the accounts that may call. Received: none")
        if mode == OIDC and not audience:
            raise HeadraceError(
                "HEADRACE_EVENTS_AUDIENCE: expected whom tokens are for, the service's URL. Received: none"
            )
        self._mode, self._emails, self._audience = mode, frozenset(emails), audience
        self._token, self._certs_url, self._now = token, certs_url, now
        self._certificates: _Certificates | None = None

    def check(self, headers: Mapping[str, str]) -> str:
        """Returns the caller's account, empty where nobody is asked.

        Raises:
            NotAllowed: 401 without a valid token, 403 for another account, 503 where that cannot be checked now.
        """
        if self._mode == NONE:
            return ""
        said = {name.lower(): value for name, value in headers.items()}.get("authorization", "")
        scheme, _, token = said.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotAllowed("expected the header Authorization with a bearer token. Received: none", 401)
        if self._mode == TOKEN:
            if not hmac.compare_digest(token.strip().encode(), self._token.encode()):
                raise NotAllowed("expected the token of this service. Received: another one", 401)
            return ""
        claims = self._signed(token.strip()) if self._mode == OIDC else self._unsigned(token.strip())
        email = str(claims.get("email", ""))
        if claims.get("email_verified") is not True or email not in self._emails:
            raise NotAllowed("expected an account that may call. Received: another one", 403)
        return email

    def _signed(self, token: str) -> Mapping[str, Any]:
        """The claims of a token whose signature, audience, issuer and time are right."""
        from google.auth.exceptions import GoogleAuthError, TransportError
        from google.oauth2 import id_token

        if self._certificates is None:
            self._certificates = _Certificates()
        for fresh in (False, True):  # keys change: one that is not known is looked up once more
            try:
                claims: Mapping[str, Any] = id_token.verify_token(
                    token,
                    self._certificates.fetching(fresh),  # type: ignore[arg-type]  # called as a Request is
                    self._audience,
                    self._certs_url,
                    _SKEW_S,
                )
            except TransportError:
                raise NotAllowed("expected the issuer's certificates. Received: no answer", 503) from None
            except (ValueError, GoogleAuthError, KeyError, TypeError):
                continue
            if claims.get("iss") in _ISSUERS:
                return claims
            break
        raise NotAllowed("expected a valid token of Google's for this service. Received: another one", 401)

    def _unsigned(self, token: str) -> Mapping[str, Any]:
        """The claims of a token that Cloud Run has checked. One that still has a signature did not come through it."""
        try:
            _, payload, signature = token.split(".")
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            fresh = float(claims["exp"]) + _SKEW_S > self._now()
        except (ValueError, KeyError, TypeError):
            raise NotAllowed("expected a token as Cloud Run hands it on. Received: another text", 401) from None
        if signature != _REMOVED:
            expected = "a token that Cloud Run has checked; elsewhere, set HEADRACE_EVENTS_AUTH=oidc"
            raise NotAllowed(f"expected {expected}. Received: one with its signature", 401)
        if not fresh or (self._audience and claims.get("aud") != self._audience):
            raise NotAllowed("expected a token for this service that is still valid. Received: another one", 401)
        return dict(claims)


class _Certificates:
    """Fetches certificates by google-auth's transport, and keeps them for as long as they may be kept."""

    def __init__(self) -> None:
        from google.auth.transport.requests import Request

        self._request, self._lock = Request(), threading.Lock()
        self._kept: dict[str, tuple[float, Any]] = {}

    def fetching(self, fresh: bool) -> Callable[..., Any]:
        """A request that is answered from what is kept; `fresh`: only from what is younger than a minute."""

        def fetch(url: str, method: str = "GET", **others: Any) -> Any:
            with self._lock:
                at, answer = self._kept.get(url, (0.0, None))
                if answer is not None and time.monotonic() - at < (_RETRY_S if fresh else _KEEP_S):
                    return answer
                answer = self._request(url, method=method, timeout=10, **others)
                if answer.status == 200:
                    self._kept[url] = (time.monotonic(), answer)
                return answer

        return fetch
