"""The OpenAPI 3.1 document of a contract, made from the declarations that serve it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from pbxd.api.contract import Attachment, Context, Contract, Download, Operation, Part, needs_body
from pbxd.api.form import FORM
from pbxd.errors import Denied, HouseError, Invalid, TooLarge, Unauthorized

Document = dict[str, Any]
_Schemas = Mapping[Any, Document]  # by (model, mode)

_REFERENCE = "#/components/schemas/{model}"


def document(contract: Contract[Context]) -> Document:
    """The whole document; JSON-ready. Requests show what is accepted, answers what is sent."""
    models = sorted(set(_models(contract)), key=lambda pair: (pair[0].__name__, pair[1]))
    schemas, definitions = models_json_schema(models, ref_template=_REFERENCE)
    paths: Document = {}
    for operation in contract.operations:
        described = _operation(contract, operation, schemas)
        paths.setdefault(contract.prefix + operation.plain_path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {"title": contract.title, "version": contract.version, "description": contract.description},
        "paths": paths,
        "components": {"schemas": definitions.get("$defs", {}), "securitySchemes": contract.security},
    }


def _models(contract: Contract[Context]) -> Iterable[tuple[type[BaseModel], JsonSchemaMode]]:
    yield contract.error_model, "serialization"
    for operation in contract.operations:
        if operation.result is not None and issubclass(operation.result, BaseModel):
            yield operation.result, "serialization"
        yield from ((other, "serialization") for other in operation.others)
        for part in (Part.BODY, Part.FORM):
            if body := operation.parts.get(part):
                yield body, "validation"


def _operation(contract: Contract[Context], operation: Operation, schemas: _Schemas) -> Document:
    described: Document = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "responses": _responses(contract, operation, schemas),
        "security": [{name: []} for name in contract.security] if operation.scope else [],
    }
    if operation.description:
        described["description"] = operation.description
    if operation.scope:
        described["x-scope"] = operation.scope
    places = (Part.PATH, Part.QUERY, Part.HEADERS)
    if parameters := [one for part in places for one in _parameters(operation, part)]:
        described["parameters"] = parameters
    if body := operation.parts.get(Part.BODY):
        content = _json(schemas[body, "validation"])
        if contract.forms:
            content |= {FORM: content["application/json"]}
        described["requestBody"] = {"required": needs_body(body), "content": content}
    if form := operation.parts.get(Part.FORM):
        content = {"multipart/form-data": {"schema": schemas[form, "validation"]}}
        described["requestBody"] = {"required": True, "content": content}
    if operation.body_type:
        described["requestBody"] = {"required": True, "content": _octets(operation.body_type)}
    return described


def _parameters(operation: Operation, part: Part) -> Iterable[Document]:
    model = operation.parts.get(part)
    if model is None:
        return
    schema = model.model_json_schema(mode="validation")
    definitions = schema.get("$defs", {})
    for name, described in schema.get("properties", {}).items():
        yield {
            "name": name,
            "in": "header" if part is Part.HEADERS else part.value,
            "required": part is Part.PATH or name in schema.get("required", ()),
            "description": described.pop("description", ""),
            "schema": _inlined(described, definitions),
        }


def _inlined(schema: Any, definitions: Document) -> Any:
    """The schema of a parameter with its references resolved: parameters have no definitions of their own."""
    if isinstance(schema, list):
        return [_inlined(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if reference := schema.get("$ref"):
        return _inlined(definitions[reference.rpartition("/")[2]], definitions)
    return {key: _inlined(value, definitions) for key, value in schema.items()}


def _responses(contract: Contract[Context], operation: Operation, schemas: _Schemas) -> Document:
    success: Document = {"description": HTTPStatus(operation.status).phrase}
    if operation.result in (Attachment, Download):
        success["content"] = _octets(operation.media)
    elif operation.answer_type:
        success["content"] = {operation.answer_type: {"schema": {}}}
    elif operation.result and issubclass(operation.result, BaseModel):
        success["content"] = _json(schemas[operation.result, "serialization"])
    responses = {str(operation.status): success}
    failure = _json(schemas[contract.error_model, "serialization"])
    for error in _errors(operation, contract.invalid):
        phrase = f"{HTTPStatus(error.http_status).phrase} (`{error.code}`)"
        responses[str(error.http_status)] = {"description": phrase, "content": failure}
    for other, status in operation.others.items():
        described = schemas[other, "serialization"]
        said = responses.get(str(status))
        if said is not None:
            described = {"anyOf": [described, said["content"]["application/json"]["schema"]]}
        phrase = said["description"] if said else HTTPStatus(status).phrase
        responses[str(status)] = {"description": phrase, "content": _json(described)}
    responses["default"] = {"description": "Any other error, in the same shape", "content": failure}
    return responses


def _errors(operation: Operation, invalid: type[HouseError]) -> list[type[HouseError]]:
    errors = list(operation.errors)
    if operation.scope:
        errors += [Unauthorized, Denied]
    if operation.parts:
        errors += [Invalid, invalid]
    if Part.BODY in operation.parts or Part.FORM in operation.parts:
        errors.append(TooLarge)
    return sorted(set(errors), key=lambda error: error.http_status)


def _octets(media_type: str) -> Document:
    return {media_type: {"schema": {"type": "string", "format": "binary"}}}


def _json(schema: Document) -> Document:
    return {"application/json": {"schema": schema}}
