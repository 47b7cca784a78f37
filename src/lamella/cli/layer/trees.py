"""A layer as a tree on the terminal."""

from collections.abc import Iterator
from typing import Any

from lamella.cli import output as out
from lamella.layers.contents import EntryKind
from lamella.layers.look.overview import odd_mode
from lamella.layers.look.tree import Node


def tree_lines(node: Node, levels: int | None, *, by_size: bool, all_modes: bool) -> Iterator[str]:
    """The lines, with those that stand for what is too deep to be shown.

    Args:
        node: What is at the root.
        levels: How many are shown; `None` for all.
        by_size: The largest first.
        all_modes: Show every mode, not the unusual ones alone.
    """
    yield f"/opt/{out.printable(node.name)}".rstrip("/") + f"  {_facts(node, all_modes)}"
    # Each line that is still to come, with what stands before it and its level; no recursion, as names may be deep.
    todo = [(child, "", 1, last) for child, last in _marked(node, by_size=by_size)][::-1]
    while todo:
        child, indent, level, last = todo.pop()
        name = out.printable(child.last_part) + ("/" if child.is_directory else "")
        yield f"{indent}{'└── ' if last else '├── '}{name}  {_facts(child, all_modes)}".rstrip()
        inner = f"{indent}{'    ' if last else '│   '}"
        if child.children and levels is not None and level >= levels:
            continue
        todo.extend([(one, inner, level + 1, is_last) for one, is_last in _marked(child, by_size=by_size)][::-1])


def _marked(node: Node, *, by_size: bool) -> list[tuple[Node, bool]]:
    children = node.ordered(by_size=by_size)
    return [(child, number == len(children) - 1) for number, child in enumerate(children)]


def _facts(node: Node, all_modes: bool) -> str:
    entry, facts = node.entry, []
    if entry is not None and entry.kind is EntryKind.LINK:
        facts.append(f"-> {out.printable(entry.target)}")
    else:
        facts.append(out.size(node.size_bytes))
    if node.is_directory:
        facts.append(out.files(node.files))
    if entry is not None and (all_modes or odd_mode(entry)):
        facts.append(f"mode {entry.mode:04o}")
    return "  ".join(facts)


def tree_document(node: Node, levels: int | None, *, by_size: bool) -> dict[str, Any]:
    """The tree as JSON-ready values, as deep as is asked for."""
    document = _document(node)
    todo = [(node, document, 0)]
    while todo:
        above, place, level = todo.pop()
        if not above.is_directory or (levels is not None and level >= levels):
            continue
        place["children"] = []
        for child in above.ordered(by_size=by_size):
            inner = _document(child)
            place["children"].append(inner)
            todo.append((child, inner, level + 1))
    return document


def _document(node: Node) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": node.last_part,
        "path": f"/opt/{node.name}".rstrip("/"),
        "kind": EntryKind.DIRECTORY.value if node.is_directory or node.entry is None else node.entry.kind.value,
        "bytes": node.size_bytes,
    }
    if node.is_directory:
        document["files"] = node.files
    if node.entry is not None:
        document["mode"] = f"{node.entry.mode:04o}"
        if node.entry.target:
            document["target"] = node.entry.target
    return document
