"""The documentation speaks of what is there: commands, modules, functions, links, code."""

import ast
import re
from pathlib import Path

import click
import pytest

import bohb_nas
from bohb_nas.cli import cli
from bohb_nas.testing import check_file

ROOT = Path(__file__).parents[2]
PACKAGE = Path(bohb_nas.__file__).parent
PAGES = sorted(
    {*ROOT.glob("*.md"), *(page for folder in ("docs", "bench", "examples") for page in (ROOT / folder).rglob("*.md"))},
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
QUOTED = re.compile(r"`([^`\n]+)`")
DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def text(name: str) -> str:
    return (ROOT / name).read_text()


def prose(name: str) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", text(name), flags=re.MULTILINE | re.DOTALL)


def commands(group: click.Group, before: str = "bohb-nas") -> list[str]:
    return [
        name
        for word, command in sorted(group.commands.items())
        for name in (commands(command, f"{before} {word}") if isinstance(command, click.Group) else [f"{before} {word}"])
    ]


def packages() -> list[str]:
    return sorted(str(init.parent.relative_to(PACKAGE)) for init in PACKAGE.rglob("__init__.py") if init.parent != PACKAGE)


def resolves(reference: str) -> bool:
    """Whether `module.function`, or `module.Class.method`, is defined below the package; nothing is imported."""
    parts = reference.split(".")
    for n in range(len(parts), 0, -1):
        module = PACKAGE.joinpath(*parts[:n])
        path = module.with_suffix(".py") if module.with_suffix(".py").is_file() else module / "__init__.py"
        if path.is_file():
            return defined(ast.parse(path.read_text()).body, parts[n:])
    return False


def defined(body: list[ast.stmt], names: list[str]) -> bool:
    if not names:
        return True
    for statement in body:
        match statement:
            case ast.ClassDef(name=name) if name == names[0]:
                return defined(statement.body, names[1:])
            case ast.FunctionDef(name=name) if name == names[0]:
                return not names[1:]
            case ast.AnnAssign(target=ast.Name(id=name)) if name == names[0]:
                return not names[1:]
    return False


@pytest.mark.parametrize("name", commands(cli))
def test_the_readme_mentions_every_command(name: str) -> None:
    assert re.search(rf"{name}(?![\w-])", text("README.md")), f"README.md does not mention `{name}`"


def test_modules_of_the_design_exist() -> None:
    named = [word for word in QUOTED.findall(prose("docs/design.md")) if re.fullmatch(r"[\w/]+\.py", word)]
    assert len(named) > 30
    assert [word for word in named if not (PACKAGE / word).is_file()] == []


@pytest.mark.parametrize("folder", packages())
def test_the_design_names_every_package(folder: str) -> None:
    assert f"`{folder}/" in text("docs/design.md")


def test_functions_of_the_method_exist() -> None:
    named = [word for word in QUOTED.findall(prose("docs/method.md")) if DOTTED.fullmatch(word)]
    assert len(named) > 20
    assert [word for word in named if not resolves(word)] == []


@pytest.mark.parametrize("reference", ["hyperband.bracket", "samplers.tpe.Tpe.guess", "nowhere.brackets", "hyperband.brackets.size"])
def test_what_does_not_exist_does_not_resolve(reference: str) -> None:
    assert not resolves(reference)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    targets = [target for target in LINK.findall(page.read_text()) if not re.match(r"[a-z]+:|#", target)]
    assert [target for target in targets if not (page.parent / target.partition("#")[0]).exists()] == []


@pytest.mark.parametrize("block", BLOCK.findall(text("docs/adding.md")), ids=lambda block: block.splitlines()[0])
def test_code_of_adding_compiles(block: str) -> None:
    compile(block, "docs/adding.md", "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_that_is_shown_imports_nothing_private(page: Path) -> None:
    imported = [name for block in BLOCK.findall(page.read_text()) for name in re.findall(r"^ *(?:from|import) (bohb_nas\S*)", block, re.M)]
    assert [name for name in imported if "._" in name] == []


def test_the_examples_are_shown_as_they_are() -> None:
    page = text("docs/adding.md")
    for name in ("my_space.py", "my_network.py", "my_worker.py"):
        assert f"```python\n{(ROOT / 'examples' / name).read_text()}```" in page, f"docs/adding.md shows another {name}"


@pytest.mark.parametrize("name", ["my_data.py", "my_method.py"])
def test_what_is_shown_passes_its_check(name: str, tmp_path: Path) -> None:
    page = text("docs/adding.md")
    shown = BLOCK.search(page, page.index(f"As `{name}`:"))
    assert shown is not None
    (tmp_path / name).write_text(shown[1])
    assert [finding for finding in check_file(str(tmp_path / name)) if finding.problem] == []
