"""The page on study files: every key, what may stand under it, and its default."""

from __future__ import annotations

import inspect
from importlib import resources

from ablate.beta_tables import KINDS, LONGEST, SHORTEST
from ablate.cli.reference.markdown import code, from_docstring, head, meanings, table
from ablate.core.command.spec import template as template_module
from ablate.core.command.spec.sources import KINDS as KINDS_OF_SOURCE
from ablate.core.command.spec.template import RESERVED
from ablate.core.shared.registry import BUILT_IN
from ablate.interface import DEFAULT_CORE
from ablate.search import NEEDED_PACKAGES, PRUNERS, SAMPLERS, Search
from ablate.study.reading import declared_metrics, metrics, ranges, search_sections, sections
from ablate.study.reading.command_sections import COMMAND_KEYS
from ablate.study.reading.designs import READERS
from ablate.study.reading.drafts import MOST_ARMS, TOP_LEVEL
from ablate.study.reading.overrides import CREATED
from ablate.study.spec import BUDGET_UNITS
from ablate.study.verdict_method import CHOICES, FUTILITY

_INTRO = """
A study file is YAML in UTF-8. Every key is checked before anything starts; all problems are reported in one pass, each
with file, line and column. `ablate init STUDY.yaml` writes a [commented template](#template).

The keys of designs (`leave-one-out` and so on) may be written with underscores.
A key given twice is an error.
"""
_TOP = {
    "question": ("text", "The question in a sentence. It heads the report."),
    "core": (
        f"name (`{DEFAULT_CORE}`)",
        f"The training code: {', '.join(map(code, BUILT_IN))}, or your own: `train.py:function` or `module:Class`. "
        "A study with `command` need not name it.",
    ),
    "data": ("name", "The data set; the same as the factor `data` of the baseline. Only if the core has this factor."),
    "schedules": ("mapping", "Noise schedules of your own, by name: see [schedules](#schedules)."),
    "baseline": ("mapping, required", "The levels that the arms are compared with. `{}` takes the core's defaults."),
    "blocks": (
        "mapping",
        "Data sets, tasks or other conditions: `{data: [mnist, svhn]}`, or `{NAME: {factor: level, ...}}`. Every arm "
        "runs in each of them: see [blocks](#blocks).",
    ),
    "blocks-are": (
        "`fixed` or `random` (`fixed`)",
        "What the verdict over all blocks is about: exactly these, or others like them too.",
    ),
    "search": ("mapping", "A search for good levels, run first: see [search and tune](#search-and-tune)."),
    "tune": ("mapping", "A search of its own for every arm: see [search and tune](#search-and-tune)."),
    "seeds": (
        f"number ({sections.DEFAULT_LOOKS[0]}), list or mapping",
        f"Seeds per arm, 1 to {sections.MOST_SEEDS}. `[3, 4]` are the seeds 3 and 4, when other machines measure the "
        "rest: see [results of several machines](../how-to/life.md#results-of-several-machines). With `{looks: "
        "[3, 4, 6, 8, 10, 12]}`, verdicts may be taken after each of these numbers of seeds: see [seeds](#seeds).",
    ),
    "metrics": ("list or mapping", "What is measured: see [metrics](#metrics)."),
    "alpha": (
        f"number ({sections.DEFAULT_ALPHA})",
        "Chance of any wrong *better* or *worse* in the whole study, above 0 and at most 0.5.",
    ),
    "report": ("mapping", "How verdicts are taken: see [report](#report)."),
    "budget": ("`{unit: amount}`", f"The run stops when this is spent. Units: {', '.join(map(code, BUDGET_UNITS))}."),
}
_METRIC = {
    "primary": "`true` for the one metric that decides the verdicts. Needed when a mapping has several metrics.",
    "margin": "Smallest difference that matters: `0.1` in the metric's unit, `2%` of the baseline, or `null`. Without "
    "a margin no arm can be *equivalent*.",
    "direction": "`max` or `min`, if the core's own direction is not what you want.",
    "scale": "`identity`, or `log` for values whose ratios matter (times, distances).",
}
_COMMAND = {
    "command": (
        "text or list, required",
        "The command line. A text is split into words as a shell does, a list is taken as it is; no shell runs. "
        "Words have [placeholders](#placeholders).",
    ),
    "factors": (
        "`{factor: default}`, required",
        "The settings of the script. A default's type is the factor's; every factor but a truth value may be `null`.",
    ),
    "env": ("`{VARIABLE: value}`", "Environment variables, with placeholders. `null` takes a variable away."),
    "version": ("text", "Change it when the script gives other numbers: results of another version are not mixed."),
    "directory": ("folder", "Where the command runs, relative to the study file (default: the study file's folder)."),
    "resume": (
        "words, or `{file, add}`",
        "Words that are added when the file in `{folder}` that they name is there. With `{file: PATH, add: WORDS}` "
        "they need not name it.",
    ),
    "progress": (
        "pattern, or `{from, done, total}`",
        "A regular expression whose groups are units done and, if known, in total (or groups named so); or a "
        "JSON-lines file, with the pointers or numbers `done` and `total`. Without it, output is a sign of life.",
    ),
    "warm": (
        "module, or a list",
        "Modules that are imported once per slot; each trial of a Python script then starts in a fork of that process. "
        "See [warm starts](../tutorials/commands.md#warm-starts).",
    ),
    "pictures": (
        "path, glob, or a list",
        "Pictures in `{folder}` that the report shows, such as `{folder}/samples-*.png`: the first eight by name, at "
        "most 256 pixels wide and high. One that is not there or cannot be read is noted.",
    ),
    "diverged": ("pattern, exit code, or a list", "Signs in a line of the output, or exit codes, of divergence."),
    "out_of_memory": ("the same", "Signs of lacking memory, beside those of torch, JAX, CUDA and Python."),
    "failed": ("the same", "Signs of failure in the output of a command that ends with exit code 0."),
}
_COMMAND_METRIC = {
    "from": "Where the number is found: see [sources](#sources). Needed.",
    "unit": "The unit, as tables show it. `s` makes it a time: then one trial runs per device.",
}
_SOURCE = {
    "json": ("`json:FILE#POINTER`", "A JSON file; the pointer leads to the number: `test/accuracy`, `epochs/-1/loss`."),
    "jsonl": ("`jsonl:FILE#POINTER`", "The last line of a JSON-lines file that has it."),
    "csv": ("`csv:FILE#COLUMN`", "The last row of a table that has it; commas, semicolons or tabs."),
    "tensorboard": ("`tensorboard:FOLDER#TAG`", "The last step of a scalar in TensorBoard's event files."),
    "stdout": (
        "`stdout:PATTERN`",
        "The last match of a regular expression in a line of the output; its group, or the one called `value`.",
    ),
}
_RESERVED = {
    "seed": "The trial's seed.",
    "index": "Which of the study's seeds it is, from 0.",
    "folder": "A folder of the trial's own, which is there and survives retries.",
    "arm": "The arm's name.",
    "study": "The study's name.",
}
_REPORT = {
    "test": "`paired` t-test over shared seeds; `welch` t-test for unshared seeds; `permutation`: exact sign flips; "
    "`skewed`: for arms with skewed noise that the baseline does not have.",
    "noise": "`own`: each arm's own variance; `pooled`: variances shrunk towards each other over the arms.",
    "correct": "Correction for several arms: `holm` (family-wise error), `bh` (false discovery rate), or `none`.",
    "equivalence": "The same for the word *equivalent*. Default: as `correct`.",
}
_SEEDS = {
    "looks": ("list of numbers, required", "Numbers of seeds per arm after which verdicts may be taken, increasing."),
    "boundaries": (
        "`spending`",
        "How the looks share the error rate: `spending`, most of it for the last look, by the joint distribution of "
        "the looks; `split`: parts that add up.",
    ),
    "futility": (
        f"number ({FUTILITY:g})",
        "An arm gets no more seeds when its chance to be decided by the last look is below this; `0`: never. The error "
        "rate does not count on it.",
    ),
}
_SEARCH = {
    "factors": ("mapping, required", "Where to look, by factor: see [ranges](#ranges)."),
    "sampler": (f"name (`{Search.sampler}`)", f"What suggests candidates: {', '.join(map(code, SAMPLERS))}."),
    "trials": (f"number ({Search.trials})", f"Candidates, 1 to {search_sections.MOST_TRIALS:,}."),
    "pruner": (f"name (`{Search.pruner}`)", f"What stops candidates that cannot win: {', '.join(map(code, PRUNERS))}."),
    "seeds": (f"number ({Search.seeds})", f"Seeds per candidate, 1 to {search_sections.MOST_SEEDS}."),
    "metrics": ("one or two names", "What the search optimises; the primary metric comes first. `search` only."),
    "confirm": (
        "`true` or `false`",
        "Whether the best candidate is run on the study's own seeds. Default `true` with one metric. `search` only.",
    ),
}
_RANGE = {
    "from": "Lowest level, included.",
    "to": "Highest level, included.",
    "log": "`true` searches on the logarithmic scale.",
    "step": "Distance between levels; not together with `log`.",
    "levels": "A list of levels instead of `from` and `to`; or just the list instead of the mapping.",
    "when": "`{other factor: level}`: search this factor only where another one, listed before it, has this level.",
}
_SCHEDULE = {
    "betas": "The betas of steps 1 to T: a list of numbers, a file, or `module:function`.",
    "alpha_bars": "The alpha-bars of steps 1 to T instead.",
    "steps": "T, for a function: it is called with this number and returns as many numbers.",
}


def page() -> str:
    """Return docs/reference/study-file.md."""
    parts = [
        head("Study files", _INTRO),
        _section(
            "Keys",
            "The designs (`vary` to `path`) have [examples](../how-to/designs.md).",
            table(("key", "value (default)", "meaning"), _top_rows()),
        ),
        _section(
            "metrics",
            "A list of names takes the core's suggested margins, and its first metric is primary. "
            "A mapping gives each metric these keys. Without the section, a study has every metric for which the core "
            "suggests a margin.",
            table(("key", "meaning"), meanings(metrics.KEYS, _METRIC)) + _declared(),
        ),
        *_command_sections(),
        _section(
            "report",
            "The first word of each row is the default. Write it before the run: the report says when the choice was "
            "made later. See [Statistics](../explanation/statistics.md#choosing-the-test-before-the-run).",
            table(("key", "words", "meaning"), _report_rows()),
        ),
        _section(
            "seeds",
            "A number is one look; a mapping declares several, with these keys. `ablate run --until decided` follows "
            "them. See [Statistics](../explanation/statistics.md#several-looks).",
            table(("key", "value (default)", "meaning"), _seed_rows()),
        ),
        _section("blocks", _BLOCKS, ""),
        _section(
            "search and tune",
            "See [Designs](../how-to/designs.md#search) for what a search does.",
            table(("key", "value (default)", "meaning"), _search_rows()) + _packages(),
        ),
        _section(
            "ranges",
            "Under `factors` of a search, each factor has a list of levels or a mapping with these keys.",
            table(("key", "meaning"), meanings(ranges.KEYS, _RANGE)),
        ),
        _section(
            "schedules",
            f"Each name has a mapping with these keys. A schedule has {SHORTEST} to {LONGEST:,} steps. The name can "
            "then be a level of `noise_schedule`. See [Science](../explanation/science.md#noise-schedules).",
            table(("key", "meaning"), meanings((*KINDS, "steps"), _SCHEDULE)),
        ),
        _section("Overrides", _OVERRIDES, ""),
        _section("Template", "`ablate init STUDY.yaml` writes this file.", f"```yaml\n{template()}```\n"),
    ]
    return "\n".join(parts)


def _declared() -> str:
    more = " and ".join(map(code, declared_metrics.MORE_KEYS))
    return (
        "\nA [function](../tutorials/own-function.md) does not say what it measures, so the study does. "
        f"Each metric then needs a `direction` and may have {more}.\n"
        "In short, `accuracy: max:0.5%` stands for `accuracy: {direction: max, margin: 0.5%}`. If all metrics are "
        "written in short, the first is primary.\n"
    )


def _command_sections() -> list[str]:
    """What is said of studies whose core is a command."""
    keys = meanings(COMMAND_KEYS, {name: meaning for name, (_, meaning) in _COMMAND.items()})
    kinds = meanings(KINDS_OF_SOURCE, {name: meaning for name, (_, meaning) in _SOURCE.items()})
    forms = [line for line in (inspect.getdoc(template_module) or "").splitlines() if line.startswith("|")]
    return [
        _section(
            "command",
            "These keys are for [commands](../tutorials/commands.md). A study with `command` has no other core. "
            "Recipes depend on the command, `env`, `version` and the factors; the other keys may change between runs.",
            table(
                ("key", "value", "meaning"),
                [(name, _COMMAND[key][0], text) for key, (name, text) in zip(COMMAND_KEYS, keys, strict=True)],
            ),
        ),
        _section("placeholders", "", from_docstring("\n".join(forms)).replace("augment|--", "augment\\|--")),
        _section(
            "",
            "`null` leaves its word out, and in `--lr {lr}` the option before it. `{{` and `}}` are braces. "
            "Every command also has:",
            table(("placeholder", "is"), [(f"`{{{name}}}`", _RESERVED[name]) for name in RESERVED]),
        ),
        _section(
            "sources",
            "Each metric of a command has these keys beside those [above](#metrics), and `direction` is needed. "
            "An entry with `x` is a learning curve instead: `{from: FILE, x: COLUMN, METRIC: COLUMN}`, from `jsonl`, "
            "`csv` or `tensorboard` (with `x: step`).",
            table(("key", "meaning"), meanings(_COMMAND_METRIC, _COMMAND_METRIC))
            + "\n"
            + table(
                ("source", "the number"),
                [(_SOURCE[key][0], text) for key, (_, text) in zip(KINDS_OF_SOURCE, kinds, strict=True)],
            ),
        ),
    ]


_BLOCKS = """
`{data: [mnist, svhn]}` has one block per level; several factors have one per combination. Where a condition is more
than one setting, blocks are named: `{small: {data: mnist, epochs: 5}, large: {data: svhn, epochs: 20}}`. What the
blocks state may stand neither in the baseline nor in an arm. Arms are called `ARM@BLOCK`; `--arms ARM` means the arm
in every block, `--arms '*@svhn'` one block. `search` and `tune` do not go together with blocks, nor do random blocks
with several looks or with another test than `paired`. See [Several data sets](../how-to/several-data-sets.md).
"""
_OVERRIDES = f"""
`--set KEY=VALUE` changes the study for one command; it may be repeated. `KEY` is a key of the study file
(`--set alpha=0.01`, nested keys with dots: `--set metrics.psnr.margin=0.2`) or else a factor of the baseline
(`--set lr=0.01`). An override can add to {", ".join(map(code, sorted(CREATED)))}; elsewhere it changes what the file
states. `--seeds N` is short for `--set seeds=N`.
""".strip()


def template() -> str:
    """Return the template that ``ablate init`` writes."""
    return resources.files("ablate.study").joinpath("template.yaml").read_text(encoding="utf-8")


def _section(title: str, text: str, body: str) -> str:
    return "\n\n".join(part.strip() for part in (f"## {title}" if title else "", text, body) if part) + "\n"


def _top_rows() -> list[tuple[str, str, str]]:
    said = dict(_TOP)
    for name, reader in READERS.items():
        first = (inspect.getdoc(reader) or "").splitlines()[0]
        said[name] = ("mapping", from_docstring(first))
    said["grid"] = (said["grid"][0], f"{said['grid'][1]} At most {MOST_ARMS:,} arms.")
    rows = meanings(TOP_LEVEL, {name: meaning for name, (_, meaning) in said.items()})
    return [(name, said[key][0], meaning) for key, (name, meaning) in zip(TOP_LEVEL, rows, strict=True)]


def _report_rows() -> list[tuple[str, str, str]]:
    rows = meanings(CHOICES, _REPORT)
    return [
        (name, ", ".join(map(code, words)), meaning)
        for words, (name, meaning) in zip(CHOICES.values(), rows, strict=True)
    ]


def _seed_rows() -> list[tuple[str, str, str]]:
    rows = meanings(sections.LOOK_KEYS, {name: meaning for name, (_, meaning) in _SEEDS.items()})
    return [(name, _SEEDS[key][0], meaning) for key, (name, meaning) in zip(sections.LOOK_KEYS, rows, strict=True)]


def _search_rows() -> list[tuple[str, str, str]]:
    keys = search_sections.KEYS["search"]
    rows = meanings(keys, {name: meaning for name, (_, meaning) in _SEARCH.items()})
    return [(name, _SEARCH[key][0], meaning) for key, (name, meaning) in zip(keys, rows, strict=True)]


def _packages() -> str:
    needed = (f"`{sampler}` needs {', '.join(map(code, names))}" for sampler, names in NEEDED_PACKAGES.items())
    return f"\nPackages: {'; '.join(needed)}.\n"
