"""Method and path of a request -> operation and the labels of its URI template."""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote

from lamella.awsapi.spec import ServiceSpec


@dataclass(frozen=True, slots=True)
class Match:
    """An operation and its URI labels, percent-decoded."""

    operation: str
    labels: dict[str, str]


@dataclass(slots=True)
class _Route:
    operation: str
    labels: tuple[tuple[int, str], ...]  # position among the segments, name
    query: tuple[tuple[str, str], ...]  # pairs the query string must contain


@dataclass(slots=True)
class _Node:
    children: "dict[str, _Node]" = field(default_factory=dict)
    label: "_Node | None" = None
    routes: dict[str, list[_Route]] = field(default_factory=dict)  # by method; most specific first


class Router:
    """Finds the operation of a request by walking a tree of path segments.

    A trailing slash is of no consequence (older SDKs send `POST /2015-03-31/functions/`); an empty segment elsewhere
    matches nothing, so `//2015-03-31/...` is an unknown path as on AWS.
    """

    def __init__(self, spec: ServiceSpec) -> None:
        self._root: Final = _Node()
        for name, operation in spec.operations.items():
            self._add(name, operation.http["method"], operation.http["requestUri"])

    def match(self, method: str, path: str, query: str) -> Match | None:
        """The operation that `method`, `path` (still percent-encoded) and `query` name, or None."""
        segments = path.split("/")
        node = self._find(segments)
        if node is None:
            return None
        routes = node.routes.get(method)
        if routes is None:
            return None
        for route in routes:
            if route.query and not _contains(query, route.query):
                continue
            labels = {}
            for position, name in route.labels:
                value = segments[position]
                labels[name] = unquote(value) if "%" in value else value
            return Match(route.operation, labels)
        return None

    def knows(self, path: str) -> bool:
        """Whether some operation, whatever its method, has this path."""
        node = self._find(path.split("/"))
        return node is not None and bool(node.routes)

    def _find(self, segments: list[str]) -> _Node | None:
        if segments[0]:  # the path does not begin with a slash
            return None
        if len(segments) > 2 and not segments[-1]:
            segments.pop()
        node = self._root
        for segment in segments[1:]:
            child = node.children.get(segment)
            if child is None:
                if node.label is None or not segment:
                    return None
                child = node.label
            node = child
        return node

    def _add(self, operation: str, method: str, template: str) -> None:
        path, _, query = template.partition("?")
        labels = []
        node = self._root
        for position, segment in enumerate(path.rstrip("/").split("/")):
            if position == 0:
                continue
            if segment.startswith("{"):
                name = segment[1:-1]
                if name.endswith("+"):
                    raise NotImplementedError(f"{operation}: greedy label in {template}")
                labels.append((position, name))
                node.label = node.label or _Node()
                node = node.label
            else:
                node = node.children.setdefault(segment, _Node())
        routes = node.routes.setdefault(method, [])
        routes.append(_Route(operation, tuple(labels), tuple(parse_qsl(query, keep_blank_values=True))))
        routes.sort(key=lambda route: -len(route.query))


def _contains(query: str, pairs: tuple[tuple[str, str], ...]) -> bool:
    given = parse_qsl(query, keep_blank_values=True)
    return all(pair in given for pair in pairs)
