"""All places of the source at which the process may be killed, found by reading it."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]


def collected() -> dict[str, str]:
    """Return the module of each `reach("...")`, by the name of the place."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "engine").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if _is_reach(node):
                assert isinstance(node, ast.Call)
                found[_literal(node, path)] = str(path.relative_to(ROOT))
    return found


def _is_reach(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    match node.func:
        case ast.Name(id="reach") | ast.Attribute(attr="reach"):
            return True
        case _:
            return False


def _literal(node: ast.Call, path: Path) -> str:
    match node.args:
        case [ast.Constant(value=str(place))]:
            return place
        case _:
            raise AssertionError(f"{path}:{node.lineno}: a place is named by a literal")
