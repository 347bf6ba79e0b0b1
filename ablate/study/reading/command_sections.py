"""The sections of a study whose core is a command: the command line, its factors, and where its numbers come from."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablate.core.command.spec.programs import require_program
from ablate.core.command.spec.python_command import NotPython, python_command
from ablate.core.command.spec.settings import refusal
from ablate.core.command.spec.sources import Source
from ablate.core.command.spec.specification import COMMAND, ENDS, Progress, Signs
from ablate.core.command.spec.template import RESERVED, Template, TemplateError
from ablate.errors import AblateError
from ablate.json_values import thaw
from ablate.paths import is_in_results
from ablate.study.json_types import ANYTHING
from ablate.study.problems import BadValueError, Mark, Problems, did_you_mean, known_words
from ablate.study.reading import values
from ablate.study.reading.yaml_tree import Items, Leaf, Node, Table

COMMAND_KEYS = (
    *(COMMAND, "factors", "env", "version", "directory", "resume", "progress", "pictures", "warm"),
    *ENDS,
)
"""Keys of a study file beside those of every study, when its core is a command."""
_SHELL = frozenset({"|", "||", "&", "&&", ";", ">", ">>", "<", "2>", "2>&1", "&>"})
_VARIABLE = re.compile(r"\$[A-Za-z_{(]")
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Word:
    """A template of a study file and where it stands."""

    template: Template
    node: Leaf


@dataclass
class CommandReader:
    """Reads the sections of a command; every section records its own problems."""

    table: Table
    folder: Path
    """The folder of the study file."""
    problems: Problems
    factors: dict[str, Any] = field(default_factory=dict)
    words: list[Word] = field(default_factory=list)
    """The command line."""
    env: dict[str, Word] = field(default_factory=dict)
    """The variables that are given a value."""
    places: list[Word] = field(default_factory=list)
    """The files that metrics and curves are read from."""

    def read(self) -> dict[str, Any] | None:
        """Return what a `CommandSpec` is made of, but for its metrics; None after recording what is wrong."""
        before = len(self.problems.errors)
        if is_in_results(self.folder.absolute()):
            self.problems.error(
                self._key(COMMAND).mark,
                "the study file lies in a results folder, and nothing there is run",
                suggestion="copy the study file to your own code, and use it there",
                note="what is there may come from somebody else",
            )
            return None
        self.factors = self._factors()
        self.words = command = self._words(self.table.get(COMMAND), COMMAND)
        env = self._env()
        self.env = {name: word for name, word in env.items() if word is not None}
        self._check_placeholders([*command, *self.env.values()])
        resume, resume_file = self._resume()
        directory = self._directory()
        found = {
            "words": tuple(word.template.source for word in command),
            "factors": self.factors,
            "env": {name: None if word is None else word.template.source for name, word in env.items()},
            "version": self._text("version"),
            "directory": directory,
            "resume": resume,
            "resume_file": resume_file,
            "progress": self._progress(),
            "warm": self._warm(command, env),
            "pictures": self._pictures(),
            "ends": {kind: signs for kind in ENDS if (signs := self._signs(kind)) is not None},
        }
        if len(self.problems.errors) > before:
            return None
        self._check_program(command, directory, env.get("PATH"))
        return found if len(self.problems.errors) == before else None

    # ------------------------------------------------------------------ factors

    def _factors(self) -> dict[str, Any]:
        """Factor -> default, whose type decides what levels are."""
        key, node = self.table.key("factors"), self.table.get("factors")
        if key is None or node is None:
            mark = self._key(COMMAND).mark
            self.problems.error(
                mark, "no factors: what can be varied?", suggestion="write 'factors: {lr: 0.001}' with the defaults"
            )
            return {}
        if not isinstance(node, Table) or not node.entries:
            self.problems.error(
                key.mark if isinstance(node, Table) or _is_null(node) else node.mark,
                "factors: expected a mapping",
                note="expected: {factor: default, ...}",
            )
            return {}
        found = {}
        for name, value in node.entries:
            if (reason := refusal(name.text)) is not None:
                self.problems.error(
                    name.mark,
                    f"{name.text!r} cannot be a factor's name: {reason}",
                    suggestion="the placeholder is called as the factor, the script's own option need not be",
                )
                continue
            try:
                found[name.text] = thaw(values.json_value(value, ANYTHING))
            except BadValueError as bad:
                self.problems.bad(value.mark, bad, subject=name.text)
        return found

    # ------------------------------------------------------------------ templates

    def _words(self, node: Node | None, key: str) -> list[Word]:
        """The words of a command line: a text split as a shell would, without one, or a list as it is."""
        if node is None or (isinstance(node, Leaf) and node.is_null):
            mark = self._key(key).mark
            self.problems.error(mark, f"{key} is empty", suggestion=f"write {key}: python train.py --lr {{lr}}")
            return []
        if isinstance(node, Table):
            self.problems.error(node.mark, f"{key}: expected a text or a list of words, got a mapping")
            return []
        if isinstance(node, Items):
            leaves = [item for item in node.items if isinstance(item, Leaf)]
            for item in node.items:
                if not isinstance(item, Leaf):
                    self.problems.error(item.mark, f"{key}: expected a word, got {values.describe(item)}")
            return [word for leaf in leaves if (word := self._template(leaf, leaf.text)) is not None]
        try:
            texts = shlex.split(node.text)
        except ValueError as error:
            self.problems.error(node.mark, f"{key} cannot be split into words: {error}", suggestion="close the quotes")
            return []
        self._warn_of_shell(node, texts)
        return [word for text in texts if (word := self._template(node, text)) is not None]

    def _template(self, node: Leaf, text: str) -> Word | None:
        try:
            return Word(Template.parse(text), node)
        except TemplateError as error:
            self._wrong(node, error)
            return None

    def _warn_of_shell(self, node: Leaf, texts: Sequence[str]) -> None:
        """Say where a shell seems to be expected."""
        if found := [text for text in texts if text in _SHELL]:
            self.problems.error(
                piece_mark(node, found[0]),
                f"{found[0]!r} needs a shell, and a command runs without one",
                suggestion="write ['bash', '-c', 'the whole line'], or a script",
            )
        elif variables := [text for text in texts if _VARIABLE.match(text)]:
            self.problems.warn(
                piece_mark(node, variables[0]),
                f"{variables[0]!r} is handed on as it is: without a shell no variable is put in its place",
                suggestion="write ['bash', '-c', 'the whole line'], or set it under 'env'",
            )

    def _check_placeholders(self, words: Sequence[Word]) -> None:
        """Placeholders without a factor, or of the wrong kind; factors and seeds without a placeholder."""
        for word in words:
            self.check(word)
        used = {name for word in words for name in word.template.names}
        factors = self.table.get("factors")
        for name in self.factors:
            key = factors.key(name) if isinstance(factors, Table) else None
            if name not in used and key is not None:
                self.problems.warn(
                    key.mark,
                    f"factor {name!r} has no placeholder in the command: it changes nothing",
                    suggestion=f"write {{{name}}} where the command takes it",
                )
        if words and not used & {"seed", "index"}:
            self.problems.warn(
                self._key(COMMAND).mark,
                "the command has no {seed}: unless the script reads ABLATE_SEED, every seed gives the same numbers",
                suggestion="write --seed {seed}, or as the script takes it",
            )

    def check(self, word: Word) -> None:
        """Record placeholders that nothing can be put in place of."""
        known = (*self.factors, *RESERVED)
        for one in word.template.placeholders:
            mark = piece_mark(word.node, str(one))
            if one.name not in known:
                near = did_you_mean(one.name, known)
                self.problems.error(
                    mark,
                    f"no factor for the placeholder {{{one.name}}}",
                    suggestion=near or f"add '{one.name}: DEFAULT' under 'factors'",
                    note=known_words(known),
                )
            elif one.name in self.factors and (reason := one.refusal(self.factors[one.name])) is not None:
                self.problems.error(mark, reason)
            elif one.name in RESERVED and (one.each or one.text is not None):
                self.problems.error(mark, f"{one}: {one.name} is one value", suggestion=f"write {{{one.name}}}")

    # ------------------------------------------------------------------ the other sections

    def _env(self) -> dict[str, Word | None]:
        node = self.table.get("env")
        if node is None:
            return {}
        if not isinstance(node, Table):
            self.problems.error(node.mark, "env: expected a mapping", note="expected: {VARIABLE: value, ...}")
            return {}
        found: dict[str, Word | None] = {}
        for key, value in node.entries:
            if _ENV_NAME.fullmatch(key.text) is None or key.text.startswith("ABLATE_"):
                reason = "is set by ablate" if key.text.startswith("ABLATE_") else "is no variable's name"
                self.problems.error(key.mark, f"env: {key.text!r} {reason}")
            elif not isinstance(value, Leaf):
                self.problems.error(value.mark, f"env {key.text}: expected one value, got {values.describe(value)}")
            elif value.is_null:
                found[key.text] = None
            elif (word := self._template(value, value.text)) is not None:
                found[key.text] = word
        return found

    def _text(self, name: str) -> str:
        node = self.table.get(name)
        if node is None:
            return ""
        try:
            return values.text(node).strip()
        except BadValueError as bad:
            self.problems.bad(node.mark, bad, subject=name)
            return ""

    def _directory(self) -> str:
        found, node = self._text("directory"), self.table.get("directory")
        if node is not None and found and not (self.folder / found).is_dir():
            self.problems.error(
                node.mark, f"there is no folder {found!r}", note=f"it is looked for in {self.folder.absolute()}"
            )
        return found

    def _resume(self) -> tuple[tuple[str, ...], str]:
        """The words that are added where a file is there, and that file."""
        node = self.table.get("resume")
        if node is None:
            return (), ""
        if isinstance(node, Table):
            return self._resume_stated(node)
        words = self._words(node, "resume")
        for word in words:
            self.check(word)
            if (at := word.template.source.find("{folder}")) >= 0:
                return tuple(one.template.source for one in words), word.template.source[at:]
        if words:
            self.problems.error(
                node.mark,
                "resume names no file in {folder} to resume from",
                suggestion="write resume: --resume {folder}/last.ckpt",
                note="where the argument names no file: {file: '{folder}/last.ckpt', add: --resume}",
            )
        return (), ""

    def _resume_stated(self, node: Table) -> tuple[tuple[str, ...], str]:
        self._only(node, "resume", ("file", "add"))
        file, add = node.get("file"), node.get("add")
        if not isinstance(file, Leaf) or add is None:
            self.problems.error(node.mark, "resume: expected file and add", note="expected: {file: PATH, add: WORDS}")
            return (), ""
        words, path = self._words(add, "resume"), self._template(file, file.text)
        for word in (*words, *([path] if path is not None else [])):
            self.check(word)
        return tuple(word.template.source for word in words), file.text

    def _progress(self) -> Progress | None:
        node = self.table.get("progress")
        if node is None:
            return None
        stated: Mapping[str, Node] = {"from": node}
        if isinstance(node, Table):
            self._only(node, "progress", ("from", "done", "total"))
            stated = {key.text: value for key, value in node.entries}
        texts = {name: value for name, value in stated.items() if isinstance(value, Leaf) and not value.is_null}
        place = texts.get("from")
        if place is None or len(texts) < len(stated):
            self.problems.error(
                node.mark,
                "progress: expected a pattern or a JSON-lines file",
                suggestion="write progress: 'epoch (\\d+)/(\\d+)'",
                note="or {from: 'jsonl:{folder}/log.jsonl', done: step, total: 1000}",
            )
            return None
        text = place.text if re.match(r"(jsonl|stdout):", place.text) else f"stdout:{place.text}"
        source = self.source(place, text, ("jsonl", "stdout"))
        if source is None:
            return None
        if source.kind == "stdout" and not source.pattern.groups:
            self.problems.error(
                place.mark, "progress: which part is the number?", suggestion="write (\\d+) for what is done"
            )
            return None
        total = texts.get("total")
        if total is not None and (word := self._template(total, total.text)) is not None:
            self.check(word)
        done = texts["done"].text if "done" in texts else source.key or "done"
        return Progress(source, done, "" if total is None else total.text)

    def _warm(self, command: Sequence[Word], env: Mapping[str, Word | None]) -> tuple[str, ...]:
        """Modules that are imported before the script is started."""
        node = self.table.get("warm")
        if node is None or _is_null(node):
            return ()
        names = []
        for item in node.items if isinstance(node, Items) else (node,):
            if not isinstance(item, Leaf) or _MODULE.fullmatch(item.text) is None:
                self.problems.error(item.mark, "warm: expected a module's name", suggestion="write warm: [torch]")
            else:
                names.append(item.text)
        texts = [word.template.source for word in command]
        try:
            if texts and not command[0].template.placeholders:
                python_command(texts)
        except NotPython as error:
            self.problems.error(
                node.mark,
                f"warm: {error}",
                suggestion="leave warm out",
                note="only 'python script.py ...' and 'python -m module ...' can be started warm",
            )
        for word in env.values():
            if word is not None and {"seed", "index", "folder", "arm"} & {*word.template.names}:
                self.problems.warn(
                    word.node.mark,
                    "warm has no effect: this variable is another in every trial, and modules may read it",
                    suggestion="let the script read ABLATE_SEED, ABLATE_FOLDER or ABLATE_ARM",
                )
        return tuple(names)

    def _pictures(self) -> tuple[str, ...]:
        """Files in the trial's folder that the report shows."""
        node, found = self.table.get("pictures"), []
        for item in node.items if isinstance(node, Items) else () if node is None else (node,):
            if not isinstance(item, Leaf) or item.is_null:
                self.problems.error(item.mark, "pictures: expected a path in {folder}, or a list of such")
            elif not item.text.startswith("{folder}/") or ".." in Path(item.text).parts:
                self.problems.error(
                    item.mark,
                    f"pictures: {item.text!r} is not in {{folder}}",
                    suggestion="write pictures: '{folder}/*.png'",
                )
            elif (word := self._template(item, item.text)) is not None:
                self.check(word)
                found.append(item.text)
        return tuple(found)

    def _signs(self, kind: str) -> Signs | None:
        """Exit codes and patterns by which a kind of end is known."""
        node = self.table.get(kind)
        if node is None:
            return None
        codes: list[int] = []
        patterns: list[str] = []
        for item in node.items if isinstance(node, Items) else (node,):
            if not isinstance(item, Leaf) or item.is_null:
                self.problems.error(item.mark, f"{kind}: expected a pattern or an exit code")
            elif item.plain and re.fullmatch(r"-?\d+", item.text):
                codes.append(self._code(kind, item))
            elif self.source(item, f"stdout:{item.text}", ("stdout",)) is not None:
                patterns.append(item.text)
        return Signs(tuple(codes), tuple(patterns))

    def _code(self, kind: str, item: Leaf) -> int:
        code = int(item.text)
        if not 1 <= code <= 255:
            self.problems.error(
                item.mark, f"{kind}: an exit code is a number from 1 to 255", suggestion="quote it for a pattern"
            )
        return code

    def source(self, node: Leaf, text: str, kinds: tuple[str, ...]) -> Source | None:
        """Read a source; None after recording what is wrong with it."""
        try:
            found = Source.parse(text, kinds)
        except TemplateError as error:
            self._wrong(node, error)
            return None
        if found.kind != "stdout":
            self.check(Word(found.path, node))
        return found

    def _check_program(self, command: Sequence[Word], directory: str, path: Word | None) -> None:
        """Say where a command that no factor changes is not there."""
        plain = [word for word in command[:2] if not word.template.placeholders]
        if not command or not plain or plain[0] is not command[0]:
            return
        stated = {} if path is None or path.template.placeholders else {"PATH": path.template.fill({}) or ""}
        found = {**os.environ, **stated}
        try:
            require_program([word.template.fill({}) or "" for word in plain], self.folder / directory, found)
        except AblateError as error:
            wrong = next((word for word in plain if repr(word.template.source) in error.message), plain[0])
            mark = piece_mark(wrong.node, wrong.template.source)
            self.problems.error(mark, error.message, suggestion=error.hint)

    def _only(self, node: Table, what: str, known: Sequence[str]) -> None:
        for key, _ in node.entries:
            if key.text not in known:
                self.problems.unknown(key.mark, f"key of {what!r}", key.text, known)

    def _key(self, name: str) -> Leaf:
        return self.table.key(name) or Leaf(name, plain=True, mark=self.table.mark)

    def _wrong(self, node: Leaf, error: TemplateError) -> None:
        self.problems.error(piece_mark(node, error.piece), error.message, suggestion=error.suggestion)


def piece_mark(node: Leaf, piece: str) -> Mark:
    """The place of a part of a text: in its first line, or in one of those that follow, where it can be found."""
    mark = node.mark
    first = piece.splitlines()[0] if piece.splitlines() else piece
    for number in range(mark.line, mark.line + node.text.count("\n") + 3):
        at = mark.source.line(number).find(first, mark.column - 1 if number == mark.line else 0)
        if first and at >= 0:
            return Mark(mark.source, number, at + 1, len(first))
    return mark


def _is_null(node: Node) -> bool:
    return isinstance(node, Leaf) and node.is_null
