"""The table of modules in docs/architecture.md is the plan of the house; here the code is held to it."""

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "minivid"
COLUMNS = ("minivid/", "may import", "what it is")


@dataclass(frozen=True)
class Row:
    """One line of the table: a module, or a folder with its submodules."""

    path: str  # "pipeline.py", "world/", "world/scene.py"; "experiments/*" for all of a folder
    allowed: frozenset[str]  # names of the modules it may import
    purpose: str

    @property
    def module(self) -> str:
        """What an import calls it: "pipeline", and "world" for everything in world/."""
        return module_of(self.path)


def module_of(path: str) -> str:
    return path.split("/")[0].removesuffix(".py")


def read_table(page: str) -> list[Row]:
    """The rows of the fenced block whose first line names the three columns.

    Raises ValueError where there is no such block, or a row that cannot be read.
    """
    lines = page.splitlines()
    heads = [i for i, line in enumerate(lines) if tuple(columns(line)) == COLUMNS]
    if len(heads) != 1:
        raise ValueError(f"expected one table headed {COLUMNS}, found {len(heads)}")
    body = lines[heads[0] + 1 :]
    body = body[: body.index("```")]
    starts = [lines[heads[0]].index(name) for name in COLUMNS]

    rows: list[tuple[str, str, str]] = []
    folder = ""
    for line in body:
        if any(line[start - 1] != " " for start in starts[1:]):
            raise ValueError(f"a cell runs into the next column: {line!r}")
        name, allowed = line[: starts[1]].rstrip(), line[starts[1] : starts[2]].strip()
        indent = len(name) - len(name.lstrip())
        if indent == 2:
            folder = name.strip() if name.endswith("/") else ""
            rows.append((name.strip(), allowed, line[starts[2] :].strip()))
        elif indent == 4 and folder:
            rows.append((folder + name.strip(), allowed, line[starts[2] :].strip()))
        else:
            raise ValueError(f"neither a module nor a folder's submodule: {line!r}")
    modules = [module_of(path) for path, _, _ in rows]
    table: list[Row] = []
    for i, (path, cell, purpose) in enumerate(rows):
        own = allowed_modules(cell, above=modules[:i], everything=modules)
        if "/" in path.rstrip("/"):  # a folder's submodule may import more than the folder
            own |= next(row.allowed for row in table if row.path == path.split("/")[0] + "/")
        table.append(Row(path, own, purpose))
    return table


def columns(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def allowed_modules(cell: str, above: list[str], everything: list[str]) -> frozenset[str]:
    """Read one "may import" cell. Raises ValueError for a module that has no row."""
    phrases = {"": [], "–": [], "the above": above}
    names = phrases[cell] if cell in phrases else [name.strip() for name in cell.split(",")]
    unknown = set(names) - set(everything)
    if unknown:
        raise ValueError(f"the table allows {sorted(unknown)}, which have no row")
    return frozenset(names)


def imported_modules(source: str, path: str) -> set[str]:
    """Names of the minivid modules that the file at `path` (inside minivid/) imports anywhere.

    A bare `import minivid` counts as "minivid", which no row allows: say what you need.
    """
    package = ("minivid", *Path(path).parts[:-1])
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*base, node.module) if node.module else base)
            inside = base == "minivid"  # `from minivid import unet`: the names are the modules
            found += [f"{base}.{alias.name}" for alias in node.names] if inside else [base]
    parts = [name.split(".") for name in found]
    return {name[1] if len(name) > 1 else name[0] for name in parts if name[0] == "minivid"}


def problems(table: list[Row], package: Path) -> list[str]:
    """Where the package and the table disagree, one sentence each."""
    rows = {row.path: row for row in table}
    files = {path.relative_to(package).as_posix(): path for path in package.rglob("*.py")}
    found = [
        f"{row.path} stands in the table and does not exist"
        for row in table
        if not (package / row.path.removesuffix("*")).exists()
    ]
    for name, path in sorted(files.items()):
        if name == "__init__.py":
            continue
        own = name.removesuffix("__init__.py")  # world/__init__.py is the row "world/"
        row = rows.get(own) or rows.get(f"{Path(name).parent.as_posix()}/*")
        if row is None:
            found.append(f"{name} has no row in the table")
            continue
        forbidden = imported_modules(path.read_text(encoding="utf-8"), name) - row.allowed
        found += [f"{name} imports {other}" for other in sorted(forbidden - {row.module})]
    return found


def circles(package: Path) -> list[str]:
    """Rooms, or modules of one room, that import each other in a circle, one sentence each."""
    arrows: dict[str, set[str]] = {}
    for path in package.rglob("*.py"):
        name = path.relative_to(package).as_posix()
        if path.name != "__init__.py":
            source = path.read_text(encoding="utf-8")
            arrows.setdefault(module_of(name), set()).update(imported_modules(source, name))
            arrows[module_of(name)].discard(module_of(name))
    found, done = [], set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        if module in trail:
            found.append(" -> ".join((*trail[trail.index(module) :], module)))
        elif module not in done:
            for other in sorted(arrows.get(module, ())):
                visit(other, (*trail, module))
            done.add(module)

    for module in sorted(arrows):
        visit(module, ())
    return found


def test_every_module_stands_in_the_table_and_imports_only_what_it_may():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert problems(read_table(page), PACKAGE) == []


def test_no_rooms_import_one_another_in_a_circle():
    assert circles(PACKAGE) == []


def test_the_package_reexports_nothing():
    """`diffusion.sample` shows where it lives; `minivid.sample` would not."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef)  # a function: __getattr__
    found = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, kinds)]
    assert found == ["from minivid import processors"]  # which must come before torch


# The checks above, seen to bite: on a made-up house, sound at first.

TABLE = """
```
minivid/        may import     what it is
  world/        –              a simulator
    scene.py                   what happens
  layers.py     –              what networks share
  unet.py       layers         a network
  generator.py  the above      joins them
  show/         –              looks at what it made
    figures.py                 pictures
    panel.py    generator      a panel
  recipes/      the above      trains them
    *                          found by name
  tools.py      –              the last row
```
"""
SOUND = {
    "__init__.py": "",
    "world/__init__.py": "from minivid.world import scene",
    "world/scene.py": "from . import other\nimport math",
    "layers.py": "import torch",
    "unet.py": "from minivid.layers import attention",
    "generator.py": "from minivid import layers, unet\nfrom minivid.world.scene import Scene",
    "show/__init__.py": "from minivid.show import figures",
    "show/figures.py": "import math",
    "show/panel.py": "from minivid import generator\nfrom minivid.show import figures",
    "recipes/video.py": "from minivid import generator, world",
    "tools.py": "from torch import nn",
}


def made_up(folder: Path, **changes: str | None) -> Path:
    """Write the sound house with some files' text replaced, or left out where None."""
    names = {name.replace("/", "__").replace(".py", ""): name for name in SOUND}
    files = SOUND | {names.get(key, f"{key}.py"): text for key, text in changes.items()}
    for name, text in files.items():
        if text is not None:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_a_sound_house_has_no_problems(tmp_path):
    assert problems(read_table(TABLE), made_up(tmp_path)) == []


@pytest.mark.parametrize(
    ("module", "line", "forbidden"),
    [
        ("unet", "import minivid.world", "world"),
        ("unet", "import minivid.world.scene as scene", "world"),
        ("unet", "from minivid import layers, world", "world"),
        ("unet", "from minivid.world.scene import Scene", "world"),
        ("unet", "from .world import scene", "world"),
        ("unet", "from . import world", "world"),
        ("unet", "def later():\n    from minivid import world", "world"),
        ("unet", "import minivid", "minivid"),
        ("world__scene", "from ..layers import norm", "layers"),
        ("world__scene", "from .. import layers", "layers"),
        ("world____init__", "from minivid import layers", "layers"),
        ("generator", "from minivid import tools", "tools"),  # below it, so not "the above"
        ("show__figures", "from minivid import generator", "generator"),  # only the panel may
        ("recipes__video", "from minivid import tools", "tools"),
    ],
)
def test_a_forbidden_import_is_caught(tmp_path, module, line, forbidden):
    path = module.replace("__", "/", 1)
    house = made_up(tmp_path, **{module: line})
    assert problems(read_table(TABLE), house) == [f"{path}.py imports {forbidden}"]


def test_a_module_without_a_row_is_caught(tmp_path):
    house = made_up(tmp_path, stray="import math")
    assert problems(read_table(TABLE), house) == ["stray.py has no row in the table"]


def test_a_circle_is_caught(tmp_path):
    assert circles(made_up(tmp_path)) == []
    house = made_up(tmp_path, layers="from minivid import generator")
    assert circles(house) == ["generator -> layers -> generator"]


def test_a_submodule_without_a_row_is_caught(tmp_path):
    house = made_up(tmp_path)
    (house / "world" / "weather.py").write_text("", encoding="utf-8")
    assert problems(read_table(TABLE), house) == ["world/weather.py has no row in the table"]


def test_a_row_without_a_file_is_caught(tmp_path):
    house = made_up(tmp_path, tools=None)
    expected = ["tools.py stands in the table and does not exist"]
    assert problems(read_table(TABLE), house) == expected


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("may import", "imports", "expected one table"),
        ("unet.py       layers ", "unet.py       sayers ", "sayers"),
        ("  unet.py   ", "   unet.py  ", "neither a module"),
        ("    scene.py                 ", "    a_long_way_to_say_scene.py", "runs into"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(before, after, message):
    assert before in TABLE
    with pytest.raises(ValueError, match=message):
        read_table(TABLE.replace(before, after))
