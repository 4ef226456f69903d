"""Write docs/commands.md, the reference of the command line, from the argparse parsers (`make docs`)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from dragoman.cli import parser

PAGE = Path(__file__).resolve().parent / "commands.md"
INTRODUCTION = """\
# Command reference

This page is generated from the command line's own help. Run `make docs` after changing an option.

Every command accepts `-h`, which prints its help. Results go to standard output, progress and errors to standard error.

| exit status | meaning |
|---|---|
| 0 | success |
| 1 | `verify` found a difference |
| 2 | a mistake in the input, reported in one line |
| 130 | interrupted by Ctrl-C |

"""


def page() -> str:
    """Return the whole page as Markdown."""
    commands = [*commands_of(parser(), [])]
    index = "".join(f"- [`{command.prog}`](#{anchor(command)})\n" for command, _ in commands)
    return INTRODUCTION + index + "".join(section(command, aliases) for command, aliases in commands)


def commands_of(
    parser: argparse.ArgumentParser, aliases: Sequence[str]
) -> Iterator[tuple[argparse.ArgumentParser, Sequence[str]]]:
    """Yield the parsers of all commands that can be run, depth first, each with its other names."""
    groups = [*groups_of(parser)]
    if not groups:
        yield parser, aliases
    for group in groups:
        for command in dict.fromkeys(group.choices.values()):
            _, *others = (name for name, other in group.choices.items() if other is command)
            yield from commands_of(command, others)


def groups_of(parser: argparse.ArgumentParser) -> Iterator[argparse._SubParsersAction[argparse.ArgumentParser]]:
    """Yield a parser's groups of subcommands."""
    for action in parser._actions:  # argparse has no public way to list what a parser accepts
        if isinstance(action, argparse._SubParsersAction):
            yield action


def anchor(command: argparse.ArgumentParser) -> str:
    """Return the link target of a command's heading."""
    return command.prog.replace(" ", "-")


def section(command: argparse.ArgumentParser, aliases: Sequence[str]) -> str:
    """Return the heading, description, usage and arguments of one command."""
    actions = [
        action
        for action in command._actions
        if not isinstance(action, argparse._HelpAction) and action.help != argparse.SUPPRESS
    ]
    required = [action for action in actions if action.required and action.option_strings]
    positional = [action for action in actions if not action.option_strings]
    words = [command.prog, *map(spelling, positional), *map(spelling, required)]
    if len(positional) + len(required) < len(actions):
        words.append("[OPTIONS]")
    lines = [f"\n## {command.prog}\n", f"{command.description}\n"]
    lines += [f"Other name: {', '.join(f'`{name}`' for name in aliases)}.\n"] if aliases else []
    lines += ["```text", " ".join(words), "```\n"]
    if actions:
        lines += ["| argument | meaning |", "|---|---|"]
        lines += [f"| {names(action)} | {meaning(action, command.prog)} |" for action in positional + required]
        rest = [action for action in actions if action.option_strings and not action.required]
        lines += [f"| {names(action)} | {meaning(action, command.prog)} |" for action in rest]
    return "\n".join(lines) + "\n"


def value_name(action: argparse.Action) -> str:
    """Return the placeholder of an argument's value."""
    if action.choices is not None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    if isinstance(action.metavar, tuple):
        return " ".join(action.metavar)
    return action.metavar or (action.dest.upper() if action.option_strings else action.dest)


def spelling(action: argparse.Action) -> str:
    """Return an argument as it is typed in a usage line."""
    value = "" if action.nargs == 0 else value_name(action)
    value = {"+": f"{value} [{value} ...]", "*": f"[{value} ...]", "?": f"[{value}]"}.get(str(action.nargs), value)
    return " ".join(filter(None, (action.option_strings[-1] if action.option_strings else "", value)))


def names(action: argparse.Action) -> str:
    """Return the first cell of an argument's row: its names and its value."""
    if not action.option_strings:
        return f"`{value_name(action)}`"
    spelled = spelling(action)
    return ", ".join(f"`{name}`" for name in (*action.option_strings[:-1], spelled)).replace("|", "\\|")


def meaning(action: argparse.Action, program: str) -> str:
    """Return the second cell of an argument's row: its help, whether it is required, and its default."""
    text = (action.help or "") % {**vars(action), "prog": program}
    notes = []
    if action.required and action.option_strings:
        notes.append("required")
    if action.default not in (None, False, argparse.SUPPRESS, []) and "default" not in text:
        notes.append(f"default: `{action.default}`")
    text = "; ".join(filter(None, (text, *notes)))
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
