# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Google's discovery documents: which requests there are, and what they and their answers may look like.

The documents are those that google-api-python-client ships. Their schemas are a dialect of JSON Schema's third draft.
Schemas are called by the API and their name, as in dns:Change; Compute Engine's may be called by their name alone.
"""

from __future__ import annotations

import base64
import binascii
import functools
import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lab.gce.errors import ApiError, invalid, required

COMPUTE, DNS = "compute", "dns"
# The document calls it required, and in the same breath says which value it has when it is not given. Debian's resource
# agent gcp-vpc-move-route, which people run against the real API, gives none.
_NOT_REQUIRED = {("compute.routes.insert", "priority")}
# gcloud sends it to every list; not every method's document names it.
_EVERYWHERE = {"returnPartialSuccess": {"type": "boolean"}}
_RANGES = {
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}


class Method(NamedTuple):
    """One method of the API, such as compute.routes.insert."""

    api: str
    id: str
    verb: str
    parameters: Mapping[str, Mapping[str, Any]]
    request: str | None
    response: str | None


class _Node:
    """A segment of the paths: what may follow it, and what is asked there."""

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.parameter: tuple[str, _Node] | None = None
        self.methods: dict[str, tuple[Method, tuple[str, ...]]] = {}


@functools.cache
def document(api: str) -> dict[str, Any]:
    """The document of an API, version 1."""
    found = importlib.util.find_spec("googleapiclient")
    if found is None or found.origin is None:
        raise RuntimeError("google-api-python-client is missing: see tests/requirements.txt")
    text = (Path(found.origin).parent / f"discovery_cache/documents/{api}.v1.json").read_text()
    return json.loads(text, object_hook=lambda each: _qualified(api, each))


def _qualified(api: str, each: dict[str, Any]) -> dict[str, Any]:
    return {**each, "$ref": f"{api}:{each['$ref']}"} if "$ref" in each else each


def methods(api: str = COMPUTE, node: Mapping[str, Any] | None = None) -> Iterator[tuple[Method, str]]:
    """Every method of an API, and its path below the API's own."""
    node = document(api) if node is None else node
    for item in node.get("methods", {}).values():
        method = Method(
            api,
            item["id"],
            item["httpMethod"],
            item.get("parameters", {}),
            item.get("request", {}).get("$ref"),
            item.get("response", {}).get("$ref"),
        )
        yield method, item.get("flatPath", item["path"]).removeprefix(f"{api}/v1/")
    for child in node.get("resources", {}).values():
        yield from methods(api, child)


@functools.cache
def _tree() -> _Node:
    root = _Node()
    for api in (COMPUTE, DNS):
        for method, path in methods(api):
            node, names = root, []
            for segment in (api, "v1", *path.replace("}:", "}/:").split("/")):
                if segment.startswith("{"):
                    name = segment.strip("{+}")
                    # It calls the same thing project and projectsId.
                    names.append(name.removesuffix("sId") if api == DNS else name)
                    if node.parameter is None:
                        node.parameter = segment, _Node()
                    node = node.parameter[1]
                else:
                    node = node.children.setdefault(segment, _Node())
            node.methods[method.verb] = method, tuple(names)
    return root


def find(verb: str, path: str) -> tuple[Method, dict[str, str]] | None:
    """The method for a request, ``path`` being such as compute/v1/projects/P, and the parameters in it."""
    if path.startswith(f"{DNS}/"):
        path = re.sub(r":(\w+)$", r"/:\1", path)  # what is done to a resource, and no part of its name
    found = _find(_tree(), verb, path.split("/"), 0, ())
    if found is None:
        return None
    (method, names), values = found
    return method, dict(zip(names, values, strict=True))


def _find(
    node: _Node, verb: str, segments: list[str], at: int, values: tuple[str, ...]
) -> tuple[tuple[Method, tuple[str, ...]], tuple[str, ...]] | None:
    if at == len(segments):
        return (node.methods[verb], values) if verb in node.methods else None
    segment = segments[at]
    found = None
    if segment in node.children:
        found = _find(node.children[segment], verb, segments, at + 1, values)
    if found is None and node.parameter is not None and segment:
        found = _find(node.parameter[1], verb, segments, at + 1, (*values, segment))
    return found


def check_request(method: Method, values: Mapping[str, str], query: Mapping[str, str], body: object) -> dict[str, Any]:
    """Refuse a request that the document does not allow; its body, without what only the API itself says."""
    for name, value in values.items():
        pattern = method.parameters.get(name, {}).get("pattern")
        if pattern and not re.fullmatch(pattern, value):
            raise invalid(name, value, f"Must be a match of regex '{pattern}'")
    known = {**document(method.api)["parameters"], **_EVERYWHERE, **method.parameters}
    for name, value in query.items():
        if name not in known or known[name].get("location") == "path":
            raise ApiError(400, "badRequest", f'Unknown name "{name}": no query parameter of {method.id} is called so.')
        for problem in _text_problems(known[name], value):
            raise invalid(name, value, problem)
    for name, spec in method.parameters.items():
        if spec.get("required") and spec["location"] == "query" and not query.get(name):
            raise ApiError(400, "required", f"Required parameter: {name}")
    if method.request is None:
        if body not in (None, {}):
            raise ApiError(400, "badRequest", f"{method.id} takes no request body.")
        return {}
    body = {} if body is None else body
    if not isinstance(body, dict):
        raise ApiError(400, "parseError", "The request body is not an object.")
    schema = _schema(method.request)
    given: dict[str, Any] = _given(schema, body, nulls=method.verb == "PATCH")
    for problem in _problems(schema, given, "resource", lenient=True):
        raise ApiError(400, "invalid", problem)
    for name, spec in schema.get("properties", {}).items():
        needed = method.id in spec.get("annotations", {}).get("required", ())
        if needed and given.get(name) in (None, "") and (method.id, name) not in _NOT_REQUIRED:
            raise required(f"resource.{name}")
    return given


def problems_of(schema: str, value: object) -> list[str]:
    """How a value differs from what the document says of a schema."""
    return list(_problems(_schema(schema), value, schema.rpartition(":")[2]))


def _given(spec: Mapping[str, Any], value: Any, nulls: bool = False) -> Any:
    """Without what only the API itself says, as the API ignores it; without nulls, unless they mean something."""
    spec = _resolve(spec)
    if isinstance(value, dict) and "properties" in spec:
        properties = spec["properties"]
        return {
            name: _given(properties.get(name, {}), item, nulls)
            for name, item in value.items()
            if (nulls or item is not None) and not properties.get(name, {}).get("readOnly")
        }
    if isinstance(value, list) and "items" in spec:
        return [_given(spec["items"], item) for item in value]  # nothing can be taken out of those
    return value


def _resolve(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    return _schema(spec["$ref"]) if "$ref" in spec else spec


def _schema(name: str) -> Mapping[str, Any]:
    api, _colon, name = name.rpartition(":")
    return document(api or COMPUTE)["schemas"][name]


def _problems(spec: Mapping[str, Any], value: object, where: str, lenient: bool = False) -> Iterator[str]:
    """``lenient``: as the API reads, which takes numbers for strings of digits and the other way round."""
    spec = _resolve(spec)
    kind = spec.get("type", "any")
    if kind == "object":
        if not isinstance(value, dict):
            yield f"Invalid value at '{where}': it is not an object."
            return
        properties = spec.get("properties", {})
        for name, item in value.items():
            if lenient and item is None and name in properties:
                continue
            if name in properties:
                yield from _problems(properties[name], item, f"{where}.{name}", lenient)
            elif "additionalProperties" in spec:
                yield from _problems(spec["additionalProperties"], item, f"{where}.{name}", lenient)
            else:
                yield f"Unknown name \"{name}\" at '{where}': there is no such field."
    elif kind == "array":
        if not isinstance(value, list):
            yield f"Invalid value at '{where}': it is not a list."
            return
        for n, item in enumerate(value):
            yield from _problems(spec["items"], item, f"{where}[{n}]", lenient)
    elif kind != "any":
        for problem in _scalar_problems(spec, value, lenient):
            yield f"Invalid value for field '{where}': '{value}'. {problem}"


def _scalar_problems(spec: Mapping[str, Any], value: object, lenient: bool) -> Iterator[str]:
    kind, form = spec["type"], spec.get("format", "")
    if kind == "boolean":
        if not isinstance(value, bool):
            yield "It is neither true nor false."
    elif kind == "number":
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            yield "It is not a number."
    elif kind == "integer" or form in ("int64", "uint64"):
        right = isinstance(value, str) if kind == "string" else isinstance(value, int)
        if isinstance(value, bool) or not (right or (lenient and isinstance(value, (int, str)))):
            yield f"It is not a number{' in a string' if kind == 'string' else ''}."
        elif not re.fullmatch("-?[0-9]+", str(value)):
            yield "It is not a whole number."
        elif form in _RANGES and not _RANGES[form][0] <= int(str(value)) <= _RANGES[form][1]:
            yield f"It is not from {_RANGES[form][0]} to {_RANGES[form][1]}."
    elif not isinstance(value, str):
        yield "It is not a string."
    elif "enum" in spec and value not in spec["enum"]:
        yield f"It is none of {', '.join(spec['enum'])}."
    elif form == "byte" and not _is_base64(value):
        yield "It is not base64."
    elif "pattern" in spec and not re.fullmatch(spec["pattern"], value):
        yield f"Must be a match of regex '{spec['pattern']}'"


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text.translate(str.maketrans("-_", "+/")) + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return False
    return True


def _text_problems(spec: Mapping[str, Any], value: str) -> Iterator[str]:
    """Of a parameter, which is text whatever it means."""
    if spec.get("type") == "boolean":
        if value.lower() not in ("true", "false"):
            yield "It is neither true nor false."
        return
    yield from _scalar_problems(spec, value, lenient=True) if spec.get("type") != "number" else ()
    if spec.get("type") == "integer" and re.fullmatch("-?[0-9]+", value):
        low, high = int(spec.get("minimum", value)), int(spec.get("maximum", value))
        if not low <= int(value) <= high:
            yield f"Must be from {low} to {high}."
