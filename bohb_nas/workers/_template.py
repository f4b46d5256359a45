"""Command templates: `python train.py --lr {lr} --seconds {budget}`, and the arguments that a trial makes of them.

Split as a shell would, then filled token by token, so a value never becomes two arguments. `{{` and `}}` are literal
braces. `{budget}`, `{seed}`, `{trial_id}` and `{workdir}` are the trial's; any other name is a hyperparameter's, and
`{config.NAME}` is one even if its name is reserved. A pair of tokens `--name {x}` is dropped while x is inactive.
"""

import os
import re
import shlex
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from ConfigSpace import ConfigurationSpace

from bohb_nas.durations import counted
from bohb_nas.errors import CommandError
from bohb_nas.records import Trial, Value
from bohb_nas.space.encoding import n_values

RESERVED = ("budget", "seed", "trial_id", "workdir")
_MOST_NAMED = 8
"""Hyperparameters in a remark."""
_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


@dataclass(frozen=True, slots=True)
class Template:
    """The tokens of a command; the first is an existing program."""

    tokens: tuple[str, ...]

    def check(self, space: ConfigurationSpace) -> None:
        """Holds the placeholders against a space.

        Raises:
            CommandError: an unknown placeholder, or one that may be inactive where its token cannot be dropped.
        """
        for i, token in enumerate(self.tokens):
            for field in _fields(token):
                name = _hyperparameter(field, space.keys())
                if name in space.conditional_hyperparameters and not self._droppable(i):
                    raise CommandError(
                        f"placeholder {{{field}}} in {token!r}: {name} may be inactive; accepted is a pair of tokens of its own, "
                        f"--option {{{field}}}, which is left out then; or read the trial from the file $BOHB_NAS_TRIAL"
                    )

    def not_passed(self, space: ConfigurationSpace) -> list[str]:
        """What of a trial no argument says, a line each: with a program that reads no file either, the search is one over noise."""
        fields = {field for token in self.tokens for field in _fields(token)}
        passed = {_hyperparameter(field, space.keys()) for field in fields}
        searched = [name for name, hyperparameter in space.items() if n_values(hyperparameter) != 1]
        untold = [name for name in searched if name not in passed]
        lines = []
        if untold:
            listed = ", ".join([*untold[:_MOST_NAMED], *(["…"] if len(untold) > _MOST_NAMED else [])])
            first = f"{{config.{untold[0]}}}" if untold[0] in RESERVED else f"{{{untold[0]}}}"
            lines.append(f"{len(untold)} of {counted(len(searched), 'hyperparameter')} ({listed}), such as {first}")
        if "budget" not in fields:
            lines.append("the budget, {budget}")
        return [f"--command does not pass {line}: add what the program does not read from the file $BOHB_NAS_TRIAL" for line in lines]

    def fill(self, trial: Trial, workdir: Path) -> list[str]:
        """Program and arguments for a trial."""
        values: dict[str, Value] = {"budget": trial.budget, "seed": trial.seed, "trial_id": trial.trial_id, "workdir": str(workdir)}

        def text(field: str) -> str:
            name = _hyperparameter(field, trial.config)
            return _text(values[field] if name is None else trial.config[name])

        dropped: set[int] = set()
        for i, token in enumerate(self.tokens):
            if self._droppable(i) and _inactive(_fields(token)[0], trial):
                dropped |= {i - 1, i}
        return [_fill(token, text) for i, token in enumerate(self.tokens) if i not in dropped]

    def _droppable(self, i: int) -> bool:
        """Whether token i is the value of a pair `--name {x}`."""
        whole = _PIECE.fullmatch(self.tokens[i])
        if i < 2 or whole is None or whole[1] is None:
            return False
        option = self.tokens[i - 1]
        return option.startswith("-") and option.strip("-") != "" and not _fields(option)


def parse(command: str | Sequence[str], *, cwd: Path) -> Template:
    """The template of a command.

    Raises:
        CommandError: nothing to run, quotes or braces that do not pair, or a program that is not there.
    """
    try:
        tokens = shlex.split(command) if isinstance(command, str) else list(command)
    except ValueError as e:
        raise CommandError(f"command {command!r}: {e}; close every quote, as for a shell") from e
    if not tokens:
        raise CommandError("the command is empty; accepted is a program with arguments, for example: python train.py --lr {lr}")
    for token in tokens:
        if "\0" in token:
            raise CommandError(f"command token {token!r} holds a NUL character, which no argument can; remove it")
        _fields(token)
    return Template((_program(tokens[0], cwd), *tokens[1:]))


def _program(token: str, cwd: Path) -> str:
    if _fields(token):
        raise CommandError(f"program {token!r}: accepted is a fixed name or path; placeholders go into its arguments")
    name = _fill(token, str)
    path = str(cwd / name) if "/" in name else shutil.which(name)
    if path is None or not os.path.isfile(path):
        raise CommandError(f"program {name!r} does not exist; give a path (relative ones start at {str(cwd)!r}), or a name found on $PATH")
    if not os.access(path, os.X_OK):
        raise CommandError(f"program {path!r} is not executable; make it so with chmod +x, or name its interpreter: python {name}")
    return path.replace("{", "{{").replace("}", "}}")


def _fields(token: str) -> list[str]:
    fields = []
    for piece in _PIECE.finditer(token):
        if piece[0] in ("{", "}") or piece[1] == "":
            raise CommandError(
                f"command token {token!r}: {piece[0]!r} is no placeholder; accepted are {{name}}, and {{{{ and }}}} for literal braces"
            )
        if piece[1] is not None:
            fields.append(piece[1])
    return fields


def _fill(token: str, text: Callable[[str], str]) -> str:
    return _PIECE.sub(lambda piece: piece[0][0] if piece[1] is None else text(piece[1]), token)


def _hyperparameter(field: str, names: Collection[str]) -> str | None:
    """The hyperparameter that a placeholder stands for; None when it is reserved.

    Raises:
        CommandError: there is none of that name.
    """
    if field in RESERVED:
        return None
    for name in (field.removeprefix("config."), field):
        if name in names:
            return name
    raise CommandError(f"unknown placeholder {{{field}}}; known are {', '.join((*RESERVED, *sorted(names)))}")


def _inactive(field: str, trial: Trial) -> bool:
    return field not in RESERVED and field not in trial.config and field.removeprefix("config.") not in trial.config


def _text(value: Value) -> str:
    """Shortest text that reads back as the value; whole floats lose their point, so that integer arguments accept them."""
    if not isinstance(value, float):
        return str(value)
    if value.is_integer():
        return str(int(value))
    text = str(value)
    return format(Decimal(text), "f") if value < 0 and "e" in text else text  # Python's argparse takes -1e-05 for an option
