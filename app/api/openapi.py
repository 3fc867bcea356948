"""What `/openapi.json` says of each call: its answers and its errors, each with an example."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.api import examples, models
from app.api.accept import FORMATS
from app.api.errors import BodyTooLarge, ForbiddenHost, InternalError, UnsupportedMediaType
from app.api.problems import problem_json
from app.errors import (
    ForbiddenOrigin,
    InvalidRequest,
    InvalidSessionId,
    NoCapacity,
    RelinkError,
    StoreUnavailable,
    Unauthorized,
)

_REF = "#/components/schemas/{model}"

ANY = (Unauthorized, ForbiddenHost, InvalidRequest, StoreUnavailable, InternalError)
"""Errors that every call may meet."""

SESSION = (*ANY, InvalidSessionId)
"""Those of calls about a session."""

VERB = (*SESSION, ForbiddenOrigin, BodyTooLarge, UnsupportedMediaType)
"""Those of calls that change one."""

STARTING = (*VERB, NoCapacity)
"""Those of calls that may start one."""

Answers = dict[int | str, dict[str, Any]]


def answers(
    description: str, model: type[BaseModel], example: object, errors: tuple[type[RelinkError], ...], status: int = 200
) -> Answers:
    """The `responses` of a route: one success and its errors."""
    content = {"application/json": {"schema": _ref(model), "example": example}}
    return {status: {"description": description, "content": content}} | problems(errors)


def qr_answers(errors: tuple[type[RelinkError], ...]) -> Answers:
    """The `responses` of a route that gives a QR code in any format."""
    content: dict[str, Any] = {media_type: {"schema": {"type": "string"}} for media_type in FORMATS.values()}
    content["image/png"] = {"schema": {"type": "string", "format": "binary"}}
    content["application/json"] = {"schema": _ref(models.Qr), "example": examples.QR}
    headers = {
        name: {"description": text, "schema": {"type": "string"}}
        for name, text in (
            ("Relink-Session", "The session."),
            ("Relink-Qr-Id", "The code's id; another code has another one."),
            ("Relink-Qr-Expires-At", "When the code expires, RFC 3339."),
        )
    }
    return {200: {"description": "The QR code on offer.", "content": content, "headers": headers}} | problems(errors)


def body(**fields: Mapping[str, object]) -> dict[str, Any]:
    """`openapi_extra` for an optional JSON body with these fields."""
    schema = {"type": "object", "additionalProperties": False, "properties": fields}
    example = {name: field["example"] for name, field in fields.items()}
    return {"requestBody": {"required": False, "content": {"application/json": {"schema": schema, "example": example}}}}


def query(name: str, description: str, schema: Mapping[str, object]) -> dict[str, Any]:
    """`openapi_extra` for one query parameter that the endpoint reads by itself."""
    return {
        "parameters": [
            {"in": "query", "name": name, "required": False, "description": description, "schema": dict(schema)}
        ]
    }


def path(name: str, description: str) -> dict[str, Any]:
    """`openapi_extra` for one parameter in the path that the endpoint reads by itself."""
    return {
        "parameters": [
            {"in": "path", "name": name, "required": True, "description": description, "schema": {"type": "string"}}
        ]
    }


def install(app: FastAPI) -> None:
    """Make `app` describe itself with the shapes of `app.api.models`."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                tags=app.openapi_tags,
            )
            _, schemas = models_json_schema([(model, "serialization") for model in models.ALL], ref_template=_REF)
            components = document.setdefault("components", {})
            components["schemas"] = schemas["$defs"]
            components["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            }
            document["security"] = [{}, {"bearer": []}, {"header": []}]
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}


def problems(errors: tuple[type[RelinkError], ...]) -> Answers:
    by_status: defaultdict[int, list[type[RelinkError]]] = defaultdict(list)
    for error in errors:
        by_status[error.status].append(error)
    return {status: _problem(kinds) for status, kinds in sorted(by_status.items())}


def _problem(kinds: list[type[RelinkError]]) -> dict[str, Any]:
    shown = {kind.code: {"value": problem_json(examples.error(kind), "/sessions/default")} for kind in kinds}
    content = {"application/problem+json": {"schema": _ref(models.Problem), "examples": shown}}
    return {"description": " / ".join(kind.title for kind in kinds), "content": content}
