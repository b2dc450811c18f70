"""The commands about the spec itself: what its fields are, and a file to begin with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from aks_postgres.cli.spec_options import SpecField, spec_fields
from aks_postgres.commands import pasted
from aks_postgres.exit_codes import CommandFailed, ExitCode

app = typer.Typer()


@app.command()
def fields(
    containing: Annotated[
        str | None, typer.Argument(metavar="WORD", help="Only fields with this in their name or meaning.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """List the fields of the spec by group, with default, what is allowed and what each means.

    Examples: aks-postgres fields, aks-postgres fields postgres_pool, aks-postgres fields zone
    """
    found = [field for field in spec_fields() if _holds(field, containing)]
    if not found:
        raise CommandFailed(
            f"no field of the spec has {containing!r} in its name or meaning; `aks-postgres fields` lists all",
            ExitCode.BAD_INPUT,
        )
    if as_json:
        print(json.dumps([_entry(field) for field in found], indent=2))
        return
    group = None
    for field in found:
        if (now := field.path.rpartition(".")[0]) != group:
            print(f"# {now or 'environment'}" if group is None else f"\n# {now or 'environment'}")
            group = now
        entry = _entry(field)
        default = entry["default"]
        print(f"{field.path} = {json.dumps(default) if default is not None else 'unset'}")
        print(f"    {entry['description']}")
        print(f"    Allowed: {entry['allowed']}")


def _holds(field: SpecField, word: str | None) -> bool:
    text = f"{field.path} {field.info.description or ''}".casefold()
    return word is None or word.casefold() in text


def _entry(field: SpecField) -> dict[str, Any]:
    from pydantic import TypeAdapter

    return {
        "field": field.path,
        "default": TypeAdapter(Any).dump_python(field.default, mode="json"),
        "allowed": field.constraint,
        "description": field.info.description or "",
    }


@app.command()
def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.")] = Path(
        "environment.yaml"
    ),
    name: Annotated[str, typer.Option(help="Short name, 2 to 6 characters.")] = "cnpg",
    region: Annotated[str, typer.Option(help="Azure region.")] = "canadacentral",
) -> None:
    """Write a spec with every field, its default and its meaning as comments; a file that is there stays.

    Example: aks-postgres init environment.yaml --name shop --region westeurope
    """
    from aks_postgres.spec.problems import spec_from

    spec_from({"name": name, "region": region})
    text = "\n".join(spec_lines(name, region)) + "\n"
    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(text)
    except FileExistsError:
        raise CommandFailed(f"{file} is there already; nothing was written", ExitCode.BAD_INPUT) from None
    except OSError as error:
        raise CommandFailed(f"{file} can't be written: {error.strerror}", ExitCode.BAD_INPUT) from None
    print(f"{file}: take the # off what you want to change, then: {pasted('plan', '--spec', str(file))}")


def spec_lines(name: str, region: str) -> Iterator[str]:
    """A spec in YAML: name and region, and every other field commented out with its default."""
    import textwrap

    group = ""
    for field in spec_fields():
        above, _, leaf = field.path.rpartition(".")
        if above != group:
            yield from _group_lines(group, above)
            group = above
        indent = "# " + "  " * len(above.split(".") if above else ())
        for line in textwrap.wrap(field.info.description or "", 96):
            yield f"{indent}# {line}"
        if field.path in ("name", "region"):
            yield f"{leaf}: {name if leaf == 'name' else region}"
        else:
            yield f"{indent}{leaf}: {json.dumps(_entry(field)['default'])}"


def _group_lines(before: str, above: str) -> Iterator[str]:
    """The headings of a group, and of the groups around it that begin with it."""
    have, parts = before.split("."), above.split(".") if above else []
    yield ""
    for depth, part in enumerate(parts):
        if have[: depth + 1] != parts[: depth + 1]:
            yield f"# {'  ' * depth}{part}:"
