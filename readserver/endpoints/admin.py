"""`GET /admin/audit-logs`: one organization's history, for whoever holds a token of a member."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from core.errors import UnauthenticatedError
from core.settings import Secret
from readserver import audit_filters, auth, queries
from readserver.audit_log import AuditLog


def routes(log: AuditLog) -> list[BaseRoute]:
    async def audit_logs(request: Request) -> Response:
        token = _token(request)
        filters = audit_filters.parse(queries.parse(request.scope["query_string"]))
        page = await log.page(token, filters)
        return Response(
            page, media_type="application/json", headers={"cache-control": "private, no-store"}
        )

    return [Route("/admin/audit-logs", audit_logs)]


def _token(request: Request) -> Secret:
    values = request.headers.getlist("authorization")
    if len(values) != 1:
        raise UnauthenticatedError(
            "there is no admin token", hint="send `Authorization: Bearer TOKEN`, once"
        )
    return Secret(auth.bearer(values[0].encode("latin-1")))
