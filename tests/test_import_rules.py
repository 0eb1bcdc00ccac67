"""Who may import whom: a module imports only from rooms above its own, wherever in the module the import stands."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "smearsynth"

ROOMS = [
    {"taxonomy", "errors", "files", "streams", "fixed_point", "processes", "compiled"},
    {"recipe"},
    {"sources"},
    {"check"},
    {"cells"},
    {"scene"},
    {"render"},
    {"shards"},
    {"dataset"},
    {"engines"},
    {"prepare", "build", "dry_run", "preview", "bench"},
    {"phantoms"},
    {"cli"},
]
"""From the top of the tree down; modules of one line are one room."""
ONLY = {"recipe": {"taxonomy", "errors"}, "shards": {"taxonomy", "errors", "files"}}
"""Rooms that know less than all that is above them."""
NEVER = {"render": {"recipe", "sources", "check"}}
LIGHT = {"shards": {"numpy", "h5py", "isal"}, "taxonomy": set(), "errors": set()}
"""What segtrain loads, and what every command loads: third-party packages that are allowed there."""

MODULES = sorted(file.relative_to(PACKAGE) for file in PACKAGE.rglob("*.py") if file != PACKAGE / "__init__.py")


def room(name: str) -> int:
    return next(i for i, names in enumerate(ROOMS) if name in names)


def imported(source: str) -> set[str]:
    """Dotted names of everything that is imported at any depth of the code."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            whole = node.module == "smearsynth"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} if whole else {str(node.module)}
        elif isinstance(node, ast.Name | ast.Attribute):
            called = node.id if isinstance(node, ast.Name) else node.attr
            assert called not in ("import_module", "__import__"), "an import that cannot be read from the code"
    return names


def forbidden(module: str, source: str) -> set[str]:
    """Rooms and packages that `source`, standing in the room `module`, imports against the rules."""
    names = imported(source)
    own = {name.split(".")[1] for name in names if name.startswith("smearsynth.")}
    others = {name.split(".")[0] for name in names} - {"smearsynth"} - sys.stdlib_module_names
    allowed = ONLY.get(module, set().union(*ROOMS[: room(module)])) - NEVER.get(module, set())
    heavy = others - LIGHT[module] if module in LIGHT else set()
    return (own - allowed - ROOMS[room(module)]) | heavy


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_imports_only_from_rooms_above_it(path: Path) -> None:
    assert forbidden(path.parts[0].removesuffix(".py"), (PACKAGE / path).read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize(
    ("module", "source", "found"),
    [
        ("render", "def f():\n    from smearsynth.recipe import load", {"recipe"}),
        ("render", "from smearsynth import cells, recipe", {"recipe"}),
        ("recipe", "import smearsynth.sources.files", {"sources"}),
        ("cells", "if x:\n    import smearsynth.scene.plan as plan", {"scene"}),
        ("shards", "from smearsynth.cells.bank import Bank\nimport cv2.typing", {"cells", "cv2"}),
        ("shards", "import os, numpy\nfrom smearsynth.shards.format import X", set()),
        ("dataset", "from smearsynth.cells.bank import Bank\nimport tqdm", set()),
    ],
)
def test_the_rules_bite(module: str, source: str, found: set[str]) -> None:
    assert forbidden(module, source) == found


def test_the_command_line_loads_only_click_and_errors_at_its_start() -> None:
    tree = ast.parse((PACKAGE / "cli.py").read_text(encoding="utf-8"))
    start = ast.unparse(ast.Module([n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)], []))
    assert {n for n in imported(start) if n.split(".")[0] not in sys.stdlib_module_names} == {
        "click",
        "smearsynth.errors",
    }
