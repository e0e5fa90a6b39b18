"""Rules of the repository that no linter knows."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from vae_pipeline.records import LINE_OF, MEDIA, Dataset

PROJECT = Path(__file__).resolve().parent.parent
PACKAGE = PROJECT / "vae_pipeline"
MODULES = sorted(PACKAGE.rglob("*.py"))
PICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def name_of(module: Path) -> str:
    return module.relative_to(PROJECT).as_posix()


def imports_of(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_annotations_are_evaluated(module: Path) -> None:
    """Dagster and pydantic read annotations at run time; as strings they fail."""
    assert "__future__" not in set(imports_of(module))


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_nothing_is_pickled(module: Path) -> None:
    assert not PICKLERS & {name.split(".")[0] for name in imports_of(module)}
    assert not re.search(r"allow_pickle\s*=\s*True|weights_only\s*=\s*False", module.read_text(encoding="utf-8"))


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_modules_say_what_they_are_for(module: Path) -> None:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    assert not tree.body or ast.get_docstring(tree)


@pytest.mark.parametrize(
    "room", sorted(path.parent for path in PACKAGE.glob("*/__init__.py")), ids=lambda room: room.name
)
def test_rooms_have_a_readme(room: Path) -> None:
    assert (room / "README.md").is_file()


def stated() -> list[Requirement]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [item for extra in project["optional-dependencies"].values() for item in extra]
    found = [Requirement(item) for item in project["dependencies"] + extras]
    return [requirement for requirement in found if requirement.name != project["name"]]  # extras that hold extras


def pinned() -> dict[str, str]:
    lines = (PROJECT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9._]+", line)] == []
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


@pytest.mark.parametrize("requirement", stated(), ids=lambda requirement: requirement.name)
def test_every_dependency_is_bounded_and_pinned(requirement: Requirement) -> None:
    """Without a floor and a ceiling a resolver may go back years without a word."""
    operators = {specifier.operator for specifier in requirement.specifier}
    assert "<" in operators
    assert ">=" in operators or requirement.name == "typer"  # a ceiling on what dagster-dg-cli brings
    assert requirement.specifier.contains(pinned()[canonicalize_name(requirement.name)])


def test_pins_bring_no_cuda() -> None:
    bindings = {"nvidia-ml-py"}  # of BentoML: asks the driver, holds nothing of CUDA
    assert {name for name in pinned() if name.startswith(("nvidia", "triton", "cuda"))} <= bindings


def test_make_names_its_targets() -> None:
    text = (PROJECT / "Makefile").read_text(encoding="utf-8")
    phony = set(re.findall(r"^\.PHONY: (.*)$", text, flags=re.MULTILINE)[0].split())
    assert set(re.findall(r"^([a-z-]+):.* ## \S", text, flags=re.MULTILINE)) == phony


def test_every_field_of_a_dataset_is_documented() -> None:
    page = (PROJECT / "docs" / "datasets.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`(\w+)`", page[page.index("## All fields") :]))
    set_by_the_catalogue = {"name", "base"}
    assert {*Dataset.model_fields, *MEDIA, *LINE_OF.values()} - set_by_the_catalogue <= told


LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")


@pytest.mark.parametrize(
    "page", sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"), *PACKAGE.rglob("*.md")]), ids=name_of
)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
