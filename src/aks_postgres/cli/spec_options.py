"""The spec from a terminal: a file, options for what every environment needs, and `--set` for every field."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

import typer

from aks_postgres.cli.hints import is_about
from aks_postgres.exit_codes import CommandFailed, ExitCode

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from aks_postgres.cli.sandbox_client import RunningSandbox
    from aks_postgres.spec.environment import EnvironmentSpec

SpecFile = Annotated[
    Path | None,
    typer.Option(
        "--spec", metavar="FILE", help="Spec of the environment, YAML or JSON.", rich_help_panel="Environment"
    ),
]
Name = Annotated[
    str | None, typer.Option(help="Short name, 2 to 6 characters.", rich_help_panel="Environment")
]
Region = Annotated[
    str | None, typer.Option(help="Azure region, such as canadacentral.", rich_help_panel="Environment")
]
SubscriptionId = Annotated[
    str | None,
    typer.Option(help="Azure subscription; by default AZURE_SUBSCRIPTION_ID.", rich_help_panel="Environment"),
]
Suffix = Annotated[
    str | None,
    typer.Option(help="What resource names are computed from, 8 characters.", rich_help_panel="Environment"),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Any field, such as postgres_pool.max_count=9; repeatable. `aks-postgres fields` lists them.",
        rich_help_panel="Environment",
    ),
]
UseSandbox = Annotated[
    bool,
    typer.Option("--sandbox", help="Use the local sandbox in place of Azure.", rich_help_panel="Sandbox"),
]
State = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="The sandbox's state folder; by default aks-postgres/sandbox in ~/.local/state.",
        rich_help_panel="Sandbox",
    ),
]


def state_folder(state: Path | None) -> Path:
    """The state folder asked for, or the default one."""
    from aks_postgres.cli.sandbox_client import default_state

    return state or default_state()


def _given_spec(
    spec_file: SpecFile = None,
    name: Name = None,
    region: Region = None,
    subscription_id: SubscriptionId = None,
    suffix: Suffix = None,
    settings: Settings = None,
    sandbox: UseSandbox = False,
    state: State = None,
    *,
    plan_file: Path | None = None,
    needs_identity: bool = True,
) -> EnvironmentSpec:
    """The spec wanted; points this process at the sandbox where that was asked for."""
    from aks_postgres.cli.sandbox_client import require_local_endpoint, use_sandbox

    found, away = None, None
    try:
        if sandbox or state:
            found = use_sandbox(state_folder(state))
        else:
            require_local_endpoint()
    except CommandFailed as error:
        away = error  # what is wrong with the spec comes first: it is wrong wherever it is used
    if plan_file is not None:
        from aks_postgres.cli.plan_file import read_plan

        given = [spec_file, name, region, subscription_id, suffix, settings]
        if any(option is not None for option in given):
            raise CommandFailed(
                "--plan has the spec in it: leave --spec, --name, --region, --subscription-id, --suffix and --set out",
                ExitCode.BAD_INPUT,
            )
        spec = read_plan(plan_file).spec
        if away:
            raise away
        return spec
    spec = wanted_spec(
        spec_file,
        name=name,
        region=region,
        subscription_id=subscription_id,
        suffix=suffix,
        settings=settings,
        sandbox=found,
    )
    if needs_identity:
        require_identity(spec)
    if away:
        raise away
    return spec


def given_spec(*, is_named: bool = False, region: str | None = None, **given: Any) -> EnvironmentSpec:
    """The spec of a command whose options aren't an environment command's; points it at the sandbox, too.

    Args:
        is_named: whether the name has to be said, as for an environment that may be made.
        region: as Azure writes it, or nearly.
        given: as `_given_spec` takes them.
    """
    needs = is_named or given.get("name") is not None
    return _given_spec(**given, region=region, needs_identity=needs)


def require_identity(spec: EnvironmentSpec) -> None:
    """See that somebody said which environment it is: a default would be made, and paid for, by a slip.

    Raises:
        CommandFailed: name or region is missing.
    """
    missing = [field for field in ("name", "region") if field not in spec.model_fields_set]
    if missing:
        options = " and ".join(f"--{field}" for field in missing)
        raise CommandFailed(
            f"{' and '.join(missing)}: nothing was given; say which environment it is, with {options} or in the "
            "file of --spec",
            ExitCode.BAD_INPUT,
        )


def environment_command(app: typer.Typer) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command about one environment of a function that takes its spec.

    The command has the options that say which environment it is, and the function's other arguments as its own.
    """

    def make(function: Callable[..., None]) -> Callable[..., None]:
        shared, own = _parameters(_given_spec), _parameters(function)
        del own["spec"], shared["plan_file"], shared["needs_identity"]

        @functools.wraps(function)
        def command(**given: Any) -> None:
            which = {name: given.pop(name) for name in shared}
            is_about(*_as_options(which))
            spec = _given_spec(**which, plan_file=given.get("plan_file"))
            if given.get("plan_file"):
                is_about("--name", spec.name, "--region", spec.region, *_as_options(which))
            function(spec, **given)

        parameters = {**shared, **own}
        command.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
        command.__annotations__ = {name: parameter.annotation for name, parameter in parameters.items()}
        app.command()(command)
        return function

    return make


def _as_options(which: dict[str, Any]) -> Iterator[str]:
    """The options that say which environment it is, as they were given."""
    for name, value in which.items():
        option = {"spec_file": "--spec", "settings": "--set"}.get(name, f"--{name.replace('_', '-')}")
        if value is True:
            yield option
        elif value:
            for item in value if isinstance(value, list) else [value]:
                yield from (option, str(item))


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters, with annotations that Typer can read, as keywords."""
    # What only type checkers import is no option's type.
    hints = get_type_hints(function, localns={"EnvironmentSpec": Any}, include_extras=True)
    return {
        name: parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(function).parameters.items()
    }


class SpecField(NamedTuple):
    """A field of the spec: its path as `--set` takes it, and what pydantic knows about it."""

    path: str
    info: FieldInfo

    @property
    def holds_text(self) -> bool:
        """Whether a value is text whatever it looks like: 1.30 is a version, not the number 1.3."""
        if get_origin(self.info.annotation) in (list, dict):
            return False
        choices = get_args(self.info.annotation) or (self.info.annotation,)
        return any(choice is str or isinstance(choice, str) for choice in choices)

    @property
    def holds_texts_by_name(self) -> bool:
        """Whether it is a mapping of texts, such as tags and labels."""
        annotation = self.info.annotation
        return get_origin(annotation) is dict and get_args(annotation) == (str, str)

    @property
    def constraint(self) -> str:
        """What a value must be, in few words."""
        limits = {"ge": ">=", "le": "<=", "max_length": "at most", "min_length": "at least"}
        parts = [_type_words(self.info.annotation)]
        for limit in self.info.metadata:
            for name, words in limits.items():
                if (value := getattr(limit, name, None)) is not None:
                    parts.append(f"{words} {value}")
            if pattern := getattr(limit, "pattern", None):
                parts.append(str(pattern))
        return ", ".join(parts)

    @property
    def default(self) -> Any:
        """The value of a spec that doesn't name the field, as JSON would write it."""
        return self.info.get_default()


def _type_words(annotation: Any) -> str:
    if annotation is type(None):
        return "unset"
    arguments = get_args(annotation)
    if not arguments:
        name: str = annotation.__name__
        return {"str": "text", "int": "whole number", "bool": "true or false"}.get(name, name)
    if get_origin(annotation) is list:
        return f"list of {_type_words(arguments[0])}"
    if get_origin(annotation) is dict:
        return "mapping of texts" if arguments == (str, str) else "mapping"
    if all(isinstance(argument, str) for argument in arguments):
        return " | ".join(arguments)
    return " or ".join(_type_words(argument) for argument in arguments)


def spec_fields(model: type[BaseModel] | None = None, prefix: str = "") -> Iterator[SpecField]:
    """Every field of the spec, in the order of the run form; groups appear as their fields."""
    from pydantic import BaseModel

    from aks_postgres.spec.environment import EnvironmentSpec

    for name, info in (model or EnvironmentSpec).model_fields.items():
        kind: Any = info.annotation
        groups = [
            argument
            for argument in (kind, *get_args(kind))
            if isinstance(argument, type) and issubclass(argument, BaseModel)
        ]
        if groups and get_origin(kind) is not list:
            yield from spec_fields(groups[0], f"{prefix}{name}.")
        else:
            yield SpecField(prefix + name, info)


def wanted_spec(
    spec_file: Path | None,
    *,
    name: str | None,
    region: str | None,
    subscription_id: str | None,
    suffix: str | None,
    settings: Sequence[str] | None,
    sandbox: RunningSandbox | None = None,
) -> EnvironmentSpec:
    """The spec that a person described: the file, over it the options, over them `--set`.

    Args:
        spec_file: YAML or JSON; `-` reads standard input.
        name: option.
        region: option.
        subscription_id: option.
        suffix: option.
        settings: FIELD=VALUE pairs, in order.
        sandbox: its stand-in operator manifest is used, unless another one or a chart was asked for.

    Raises:
        SpecError: with all problems at once.
        CommandFailed: a file or a setting that can't be read.
    """
    from aks_postgres.spec.problems import spec_from
    from aks_postgres.yaml_files import read_yaml

    given: Any = {} if spec_file is None else read_yaml(spec_file, field="--spec")
    if not isinstance(given, dict):
        return spec_from(given)
    if spec_file is not None and not given:
        raise CommandFailed(
            f"{spec_file} is empty; `aks-postgres init` writes a spec to begin with", ExitCode.BAD_INPUT
        )
    options = {"name": name, "region": region, "subscription_id": subscription_id, "suffix": suffix}
    given |= {field: value for field, value in options.items() if value is not None}
    for setting in settings or ():
        _set(given, setting)
    if sandbox is not None:
        _use_stand_ins(given, sandbox)
    return spec_from(given)


def with_stand_ins(spec: EnvironmentSpec, sandbox: RunningSandbox) -> EnvironmentSpec:
    """The spec with the sandbox's stand-in operator manifest, unless it asks for another one or a chart."""
    from aks_postgres.spec.problems import spec_from

    given = spec.model_dump(mode="json", exclude_unset=True)
    _use_stand_ins(given, sandbox)
    return spec_from(given)


def _use_stand_ins(given: dict[str, Any], sandbox: RunningSandbox) -> None:
    operator = given.setdefault("operator", {})
    if isinstance(operator, dict) and not _names_an_operator(operator):
        operator["manifest_url"] = sandbox.operator_manifest_url
        operator["manifest_sha256"] = sandbox.operator_manifest_sha256
    _use_components(given, sandbox)


def _use_components(given: dict[str, Any], sandbox: RunningSandbox) -> None:
    """Where the spec has a database, its components are the sandbox's stand-ins, unless others were asked for."""
    database = given.get("database")
    if not isinstance(database, dict):
        return
    components = database.setdefault("components", {})
    if not isinstance(components, dict):
        return
    for component in ("cert_manager", "plugin"):
        stand_in = {
            f"{component}_manifest_{part}": getattr(sandbox, f"{component}_manifest_{part}")
            for part in ("url", "sha256")
        }
        if not set(stand_in) & set(components) and all(stand_in.values()):
            components |= stand_in


def _names_an_operator(operator: dict[str, Any]) -> bool:
    return bool({"manifest_url", "manifest_sha256"} & set(operator)) or operator.get("installer") == "helm"


def _set(given: dict[str, Any], setting: str) -> None:
    from aks_postgres.yaml_files import parse_yaml

    path, equals, text = setting.partition("=")
    path = path.strip()
    if not equals or not path:
        raise CommandFailed(
            f"--set {setting}: FIELD=VALUE is expected, such as postgres_pool.max_count=9", ExitCode.BAD_INPUT
        )
    field, inside = _field_of(path)
    try:
        value = text if _is_text(field, inside, text) else parse_yaml(text)
    except ValueError as error:
        raise CommandFailed(f"--set {setting}: the value isn't YAML: {error}", ExitCode.BAD_INPUT) from None
    steps = [*(field.path if field else path).split("."), *([inside] if inside else [])]
    at = given
    for step in steps[:-1]:
        if not isinstance(at.get(step), dict):
            at[step] = {}
        at = at[step]
    at[steps[-1]] = value


def _field_of(path: str) -> tuple[SpecField | None, str]:
    """The field that a path names, and the tag or label in it, whose key may hold dots."""
    for field in spec_fields():
        if path == field.path:
            return field, ""
        if field.holds_texts_by_name and path.startswith(f"{field.path}."):
            return field, path.removeprefix(f"{field.path}.")
    return None, ""


def _is_text(field: SpecField | None, inside: str, text: str) -> bool:
    if inside:
        return True
    return field is not None and field.holds_text and text.strip() not in ("null", "~", "")
