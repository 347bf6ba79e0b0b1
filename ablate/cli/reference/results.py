"""The page on results: every file, column, outcome and stored attribute."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

from ablate.cli.reference.markdown import code, head, meanings, table
from ablate.engine.rules.transitions import RETRIES
from ablate.outcome import Outcome, OutcomeKind
from ablate.paths import ResultsPaths, StudyPaths, TrialPaths
from ablate.report.formats.csv_cells import CURVE_COLUMNS
from ablate.report.statistics.model import ARM_COLUMNS, MORE_COLUMNS
from ablate.report.text.columns import NUMBERS
from ablate.storage import candidates
from ablate.storage.views import VIEWS

_INTRO = """
What ablate writes, where, and what each column means. Everything is in `results/`, or in the folder that `--results`
names. `STUDY` is a study's name, `ARM` an arm, `SEED` a seed index.
"""
_RESULTS = {
    "database": "Optuna storage (SQLite) of all studies. `--storage URL` names another one.",
    "default_storage": "",
    "cache": "Stage cache: checkpoints and results of stages, by digest, shared by all studies. "
    "`cache/.compiled/` holds compiled networks.",
    "artifacts": "Pictures of all trials, for optuna-dashboard.",
}
_STUDY = {
    "study_file": "The study file as last run, verbatim.",
    "plan": "The resolved study: arms, settings, metrics.",
    "run_log": "Every event of every run, one line each.",
    "tracked": "Which run of a [tracker](../how-to/trackers.md) belongs to which replicate.",
    "tensorboard": "Event files of `--track tensorboard`, a folder per replicate.",
    "wandb": "Runs of `--track wandb` as wandb keeps them here.",
    "lock": "Who runs the study now.",
    "functions": "A function of a notebook or script that is the core, as workers are sent it. Read by nothing else.",
    "workers": "`slot-N.log`: what a worker printed apart from its trials. On clusters also the tickets by which "
    "workers find the engine.",
    "trials": "One folder per replicate, see below.",
    "links": "Links to folders of commands: `{folder}` of an arm such as `lr=0.1`, by a path without odd characters.",
    "set_aside": "Folders of trials without a result whose settings the study file no longer has.",
    "report_html": "The report as one page that needs no network.",
    "report_md": "The report as Markdown.",
    "report_json": "The report as data.",
    "table_tex": "The comparison table for LaTeX.",
    "trials_csv": "One row per trial.",
    "arms_csv": "One row per arm and metric.",
    "blocks_csv": "Of a study with blocks: one row per block, arm and metric.",
    "blocks_tex": "Of a study with blocks: the table of arms by blocks for LaTeX.",
    "curves_csv": "One row per point of a learning curve.",
    "figures": "Every figure as SVG and PNG, with the CSV behind it.",
}
_TRIAL = {
    "recipe": "All settings of the trial.",
    "outcome": "What the trial gave. A damaged one is kept as `outcome.damaged-1`; the next run writes it again from "
    "the storage, or runs the trial again.",
    "curve": "The learning curve.",
    "spent": "Seconds and peak memory behind the checkpoint; a trial that resumes adds to it.",
    "log": "The trial's log, and what the training code printed.",
    "files": "What a [command](../tutorials/commands.md) wrote into its `{folder}`.",
    "attempts": "Of a command: how long earlier attempts took, and whether one ended whose metrics were not found.",
    "samples": "Image grid. Task `restoration`: original, input, and what the method made of it. "
    "Task `generation`: training images, Gaussian control, and the first samples.",
}
_MORE_TRIAL = (
    ("generated.png", "Images generated from noise that all arms share (`ddpm-dip`, task `restoration`)."),
    ("training.npz", "The first images scored at each point of the curve; arrays are named by images seen."),
    ("restored.npz", "The first images of every kind, uint8 [N, 3, H, W], for the report."),
)
_TRIALS_CSV = (
    ("study, arm, seed", "What was run."),
    ("outcome", "How it ended: see [outcomes](#outcomes). `running` while it runs."),
    ("(each metric)", "Its value; [Metrics](metrics.md) lists them. Empty where there is none."),
    ("seconds", "Wall time of the trial; stages that were reused count with the seconds they once took."),
    ("device", "Where it ran: `cpu`, `cuda:0`."),
    ("recipe_digest", "SHA-256 of the recipe: the same settings and seed have the same digest everywhere."),
    ("core_version", "Version of the core that computed the trial; empty where it is not known."),
)
_ARMS_CSV = {
    "arm": "`baseline`; `factor=level` for arms of `vary`; the given name for arms of `arms`; see "
    "[Designs](../how-to/designs.md) for the others.",
    "metric": "Name of the metric.",
    "n": "Seeds measured.",
    "diverged": "Seeds diverged.",
    "mean": "Mean over the measured seeds.",
    "sd": "Standard deviation over the measured seeds.",
    "diff": "Arm minus baseline, paired by seed: in the metric's unit, or as a fraction of the baseline for metrics on "
    "the log scale.",
    "ci_low": "Lower end of the 95 % t-interval of `diff`.",
    "ci_high": "Upper end of the 95 % t-interval of `diff`.",
    "p": "Two-sided p of the declared test (by default the paired t-test).",
    "p_holm": "`p` over all looks, corrected over the study's arms (by default by Holm). Primary metric only.",
    "verdict": "`better`, `worse`, `equivalent`, `undecided` or `diverged`. Exploratory, without correction, for other "
    "metrics than the primary one.",
    "note": "What to know when reading the row.",
    "runs": "Seeds that gave a result: measured + diverged.",
    "pairs": "Seeds measured in both arm and baseline.",
    "half_width": "Half-width of the 95 % t-interval of `mean`.",
    "percent": "`diff` in per cent of the baseline's mean.",
    "holm_low": "Lower end of the interval of `diff` at the level where the correction decided this arm.",
    "holm_high": "Upper end of that interval.",
    "repeated_low": "With several looks: lower end of the interval of `diff` that holds at all looks together (95 %).",
    "repeated_high": "Upper end of that interval.",
    "improvement": "Mean paired difference on the test's scale; positive is better.",
    "sd_diff": "Standard deviation of the paired differences on the test's scale.",
    "effect": "`improvement` in units of `sd_diff`.",
    "seed_sds": "`improvement` in units of one arm's standard deviation over seeds.",
    "se": "Standard error of `improvement`, as the test sees it.",
    "df": "Degrees of freedom.",
    "p_plain": "p of the plain paired t-test, whatever test was chosen.",
    "p_equivalence": "p of the two one-sided tests for equivalence.",
    "p_equivalence_holm": "`p_equivalence` over all looks, corrected over the study's arms where the study does. "
    "Primary metric only.",
    "margin": "The margin on the test's scale.",
    "alpha": "Level that `p_holm` and `p_equivalence_holm` are compared with.",
    "more_seeds": "About how many more seeds would decide an undecided arm.",
    "stopped": "`true` for an undecided arm that the seeds up to the last look would hardly decide.",
    "chance": "Chance that an undecided arm is decided by the last look.",
    "could_show": "Smallest true difference that the last look shows with 80 % power, in the unit of `diff`.",
    "wins": "Seeds in which the arm is better.",
    "rho": "Correlation between arm and baseline over seeds.",
    "posterior_better": "With `--bayes`: chance that the true difference is an improvement of more than the margin, by "
    "these seeds and a flat prior.",
    "posterior_equivalent": "Chance that it is within the margin; empty without one.",
    "posterior_worse": "Chance that it is worse by more than the margin.",
    "exploratory": "`true` on metrics that are not primary.",
}
_CURVES_CSV = {
    "study": "Name of the study.",
    "arm": "The arm.",
    "seed": "The seed index.",
    "images": "Training images seen.",
    "metric": "The metric; `train_seconds` is the training time up to this point, even if another trial spent it.",
    "value": "Its value.",
}
_TABLE = {
    "n": "Seeds measured; `4/5` where one diverged.",
    "diff": "The primary metric's difference to the baseline with its 95 % interval.",
    "p": "p of that difference, corrected.",
    "time": "Mean time per trial, relative to the baseline.",
    "compute": "Time of all trials of the arm, reused work included, in one unit for the column.",
    "rho": "Correlation with the baseline over seeds: how much sharing seeds helped.",
    "diverged": "Runs that diverged, of all runs.",
    "wins": "Seeds in which the arm is better.",
    "mean": "The primary metric's mean with the half-width of its 95 % interval.",
    "posterior": "With `--bayes`: chances of better, equivalent and worse, in per cent.",
}
_FIGURES = (
    ("blocks", "Of a study with blocks: every arm's difference to the baseline in each block and over all."),
    ("ranks", "Mean ranks of the arms over many blocks, with Nemenyi's critical difference."),
    ("forest", "Every arm's difference to the baseline: thick 95 %, thin at the level where Holm's procedure decided, "
     "ticks for seeds, margin shaded."),
    ("schedules", "Alpha-bar and log-SNR of every different noise schedule; two names for one curve become visible."),
    ("dose-FACTOR", "The primary metric over the levels of a numeric factor."),
    ("curves, curves-seconds", "Learning curves over training images and over seconds of training, each arm with the "
     "baseline."),
    ("budgets", "The difference to the baseline at equal images and at equal seconds, with t-bands."),
    ("reached-METRIC", "Kaplan-Meier curves of the time to a declared quality, each arm with the baseline."),
    ("cost", "Quality against the time that most arms have. Rings: arms that no other is shown to dominate. Dots: the "
     "Pareto front of the means."),
    ("interactions", "Cell means of factorials and grids, two factors at a time."),
    ("stability", "Share of runs that diverged; drawn if one did."),
    ("restored, generated, training", "Images, PNG only: the same noise and seed in every arm, at the end and over "
     "training."),
)  # fmt: skip
_OUTCOMES = {
    OutcomeKind.MEASURED: ("All metrics are there.", "A result."),
    OutcomeKind.DIVERGED: ("A loss or metric became non-finite.", "A result: counted and shown, never averaged."),
    OutcomeKind.PRUNED: ("A search stopped its candidate early.", "A result: counted and shown, in no mean."),
    OutcomeKind.FAILED: ("An exception.", "The next `ablate run` tries again."),
    OutcomeKind.LOST: ("The process died without an outcome file.", "Tried again from the last checkpoint."),
    OutcomeKind.STOPPED: ("You stopped the run; a checkpoint is saved.", "The next `ablate run` resumes it."),
    OutcomeKind.OUT_OF_MEMORY: (
        "It did not fit on its slot.",
        "A batch is halved; a trial that ran next to others is tried again alone. A trial that ran out of memory alone "
        "is final; trials with the same footprint are recorded as `out_of_memory` without being run.",
    ),
}
_OUTCOME_FIELDS = {
    "kind": "How it ended: see [outcomes](#outcomes).",
    "recipe_digest": "Digest of the recipe.",
    "metrics": "Every metric by name; each is also an attribute of its own.",
    "seconds": "Wall time, with the seconds that reused stages once took.",
    "images_seen": "Training images seen.",
    "device": "Where it ran, as torch names it.",
    "device_name": "Model of the device.",
    "error": "What went wrong, in one line.",
    "traceback": "The last lines of the traceback.",
    "reused": "Stage -> seconds it took when it was computed, for stages that were reused.",
    "samples": "File name of the image grid.",
    "environment": "Versions, precision, threads, peak memory and more: see "
    "[Numerics](../explanation/numerics.md#what-an-outcome-records).",
    "notes": "What to know when reading the numbers.",
}
_RENAMED = {"kind": "outcome", "recipe_digest": "recipe"}
"""Field of an outcome -> trial attribute, where they differ."""
_ATTRIBUTES = (
    ("arm, seed", "What was run."),
    ("log", "Path of the trial's log."),
    ("commit", "Git commit of the working directory, with `-dirty` if files differ."),
    ("slot, attempt", "Where it ran, and which attempt of its replicate it was."),
    ("node, job", "On a cluster: the node, and the job (or `job.step`) as Slurm calls it."),
    ("copied_from", "The arm whose equal recipe was measured instead."),
    ("imported_from", "The archive that the trial came from."),
    ("stages", "Digests of the stages of your own core, so that `ablate cache` knows what is in use."),
    ("unset", "Numeric factors whose level is `null`: they are no params of this trial."),
)
_SEARCH_ATTRIBUTES = {
    candidates.PHASE: "`search` for candidates, `confirm` for arms of a study that searches.",
    candidates.SEARCH: "The search a candidate belongs to: `search`, or the arm that is tuned.",
    candidates.CANDIDATE: "The candidate's number.",
    candidates.LEVELS: "The levels it tries.",
}
_VIEWS = {
    "study": "Study.",
    "trial": "Number of the Optuna trial.",
    "state": "Optuna's state: RUNNING, COMPLETE, PRUNED, FAIL.",
    "arm": "The arm.",
    "seed": "The seed index.",
    "outcome": "How it ended.",
    "device": "Where it ran.",
    "value": "The primary metric.",
    "seconds": "Wall time.",
    "recipe": "Digest of the recipe.",
    "params": "The factors' levels as JSON, decoded.",
    "metrics": "All metrics as JSON.",
    "started": "UTC.",
    "finished": "UTC.",
    "error": "What went wrong.",
}
_PARAMS = {
    "study": "Study.",
    "trial": "Number of the Optuna trial.",
    "name": "The factor.",
    "value": "Its level, decoded.",
}

_STORAGE = """
Study name = stem of the study file. Params = the study's factors. One Optuna trial = one attempt at (arm, seed).
`measured` becomes COMPLETE with the primary metric as value; `pruned` becomes PRUNED without one; everything else
becomes FAIL, with the reason in the user attribute `outcome`.
The learning curve of the primary metric is stored as intermediate values, so optuna-dashboard draws it.

    optuna studies --storage sqlite:///results/ablate.db
    optuna trials  --storage sqlite:///results/ablate.db --study-name schedules
    optuna-dashboard sqlite:///results/ablate.db --artifact-dir results/artifacts   # pip install 'ablate[dashboard]'

The primary metric has its own name in Optuna: `trials_dataframe()` calls its column `value_NAME` (for example
`value_psnr`) and has none called `value`. `ablate.load(STUDY).trials` has a column per metric.

optuna-dashboard's "best trial" and "importance" look at single trials and ignore seeds. They are not ablation results.

User attributes of a study are called `ablate.*`. The resolved plan and the text of the study file are kept among
Optuna's system attributes, which its tables do not print.
"""
_HTML = """
One file that needs no network, works without JavaScript (which only sorts tables), follows the system's light or dark
scheme, prints with every fold open, and can be read by keyboard and screen reader. A Content-Security-Policy lets it
draw itself and run its one script, and load or send nothing. The same storage gives the same
bytes, except for the line with the date (`SOURCE_DATE_EPOCH` sets it). Its badge says COMPLETE, or PARTIAL with the
number of trials that are there, and STALE when the study file has changed since the run.

`ablate report --columns LIST` chooses the columns of the comparison table after arm and verdict, in report.html,
report.md, table.tex and the terminal. The terminal lists columns without room below the table. By default every format
shows what fits. A metric's name is a column too: its difference with its 95 % interval, exploratory.
"""
_JSON = """
Everything the pages say, as data: `state`, the `answer` in sentences, `comparison` (every row with every number of
arms.csv, per-seed values and differences, lints, stability; `blocks` of a study that has any), `contrasts`, `trends`,
`races` to a declared quality, `equal` budgets, the `front` of quality and time, `core_versions` (version -> arm ->
seeds of the results), `costs`, `provenance`.
[report.schema.json](report.schema.json) is its JSON Schema; a test checks real reports against it.
`schema_version` changes when a field is renamed, removed or redefined, not when one is added.
Numbers that do not exist are null; seeds are keys as text.

`ablate report A B` writes one into `<B>/against-<A>/`, with the `comparison` of B's arms against the same arms of A,
`pairs` that say what makes two arms the same, and A's own `before_rows`.
"""
_TEX = """
A booktabs table, baseline first, one change per row, grouped by factor. Its first line names the packages it needs.
It shows the primary metric and one more (the first with a declared margin). A table wider than the text is shrunk.
`--layout components` gives every boolean factor that differs between arms a column of check marks, here and in
report.md.
"""
_CENSORED = """
Times to a quality may be censored: the quality was not reached as far as was tried. Then `steps_to_quality` (or
`images_to_quality`, `seconds_to_quality`) is empty, `steps_to_quality_reached` is 0 instead of 1, and
`steps_to_quality_limit` is the last value tried, at which a survival analysis censors the trial. A note in
`outcome.json` says it in words. A mean over only the trials that reached the quality would favour arms that rarely do.
"""
_READ_BACK = """
`ablate.load("STUDY").trials` has the same as a pandas DataFrame, without a file between. `pandas.read_csv` takes names
such as `NA`, `None` and `nan` for missing values: read with `keep_default_na=False, na_values=[""]`, or an arm of that
name disappears. `ablate plan` warns of such names.
"""
_CSV = """
In every CSV file and in `ablate export`, text that begins with `=`, `+`, `-` or `@` has an apostrophe in front:
without it a spreadsheet would run an arm's name as a formula. `ablate report --csv` takes it off again. Numbers are as
they are.
"""


def page() -> str:
    """Return docs/reference/results.md."""
    column = ("column", "meaning")
    parts = [
        head("Results: files and columns", _INTRO),
        _section("Files", "", _files()),
        _section("report.html", _HTML, table(("column", "shows"), meanings(NUMBERS, _TABLE))),
        _section(
            "figures/",
            "Each as SVG, PNG and the CSV behind it; only figures that there is data for. Every interval is a "
            "95 % t-interval over seeds (binomial for shares), never a bootstrap. With more than 60 arms the forest "
            "draws those with the smallest p and says so; tables and CSV files have all.",
            table(("name", "shows"), _coded(_FIGURES)),
        ),
        _section("table.tex", _TEX, ""),
        _section("trials.csv", "One row per trial.\n" + _READ_BACK + _CENSORED, table(column, _coded(_TRIALS_CSV))),
        _section(
            "arms.csv",
            "One row per arm and metric. [Statistics](../explanation/statistics.md#for-the-statistician) has the "
            "formulas." + _CSV,
            table(column, meanings((*ARM_COLUMNS, *MORE_COLUMNS), _ARMS_CSV)),
        ),
        _section(
            "curves.csv", "One row per point of a learning curve.", table(column, meanings(CURVE_COLUMNS, _CURVES_CSV))
        ),
        _section("report.json", _JSON, ""),
        _section("Outcomes", "", _outcomes()),
        _section("The Optuna storage", _STORAGE, ""),
        "### Attributes of a trial\n\n" + _attributes(),
        _section("### Views", _SQL, ""),
        "`ablate_trials` has these columns:\n\n" + table(column, meanings(_columns("ablate_trials"), _VIEWS)),
        "`ablate_params` has these:\n\n" + table(column, meanings(_columns("ablate_params"), _PARAMS)),
    ]
    return "\n".join(parts)


_SQL = """
Two read-only views for plain SQL decode what Optuna stores as indices and JSON:

    sqlite3 results/ablate.db "select arm, seed, outcome, round(value, 2) from ablate_trials"
    sqlite3 results/ablate.db "select * from ablate_params"
"""


def _section(title: str, text: str, body: str) -> str:
    title = title if title.startswith("#") else f"## {title}"
    return "\n\n".join(part.strip("\n") for part in (title, text, body) if part) + "\n"


def _coded(rows: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Rows whose first cell lists names."""
    return [(names if names[0] == "(" else ", ".join(map(code, names.split(", "))), meaning) for names, meaning in rows]


def _files() -> str:
    rows = [
        *_paths(ResultsPaths(Path("results")), _RESULTS),
        *_paths(StudyPaths(Path("results/STUDY")), _STUDY),
        (code("results/STUDY/blocks/BLOCK/"), "Of a study with blocks: the whole report of one block."),
        *_paths(TrialPaths(Path("results/STUDY/trials/ARM-sSEED")), _TRIAL),
        *((code(f"results/STUDY/trials/ARM-sSEED/{name}"), meaning) for name, meaning in _MORE_TRIAL),
    ]
    unsafe = (
        "In a folder's name, characters of an arm's name that are unsafe become `_`, and a short digest of the name is "
        "added.\n"
    )
    return f"{table(('file or folder', 'what it is'), rows)}\n{unsafe}"


def _paths(paths: ResultsPaths | StudyPaths | TrialPaths, said: dict[str, str]) -> list[tuple[str, str]]:
    names = [name for name, value in vars(type(paths)).items() if isinstance(value, property)]
    found = dict(zip(names, meanings(names, {name: said.get(name, "") for name in {*names, *said}}), strict=True))
    rows = ((getattr(paths, name), meaning) for name, (_, meaning) in found.items() if meaning)
    # Files with a suffix, folders with a slash.
    return [(code(f"{path}{'' if path.suffix or path.name.startswith('.') else '/'}"), text) for path, text in rows]


def _outcomes() -> str:
    rows = [
        (code(kind), *_OUTCOMES[kind], "-" if kind.is_result else f"{RETRIES.get(kind, 0)}") for kind in OutcomeKind
    ]
    return table(("outcome", "what happened", "what follows", "retries in one run"), rows)


_NOT_KEPT = frozenset({"non_finite"})
"""Fields of an outcome that its file does not have."""


def _attributes() -> str:
    said = meanings((one.name for one in fields(Outcome) if one.name not in _NOT_KEPT), _OUTCOME_FIELDS)
    outcome = [(_RENAMED.get(name.strip("`"), name.strip("`")), meaning) for name, meaning in said]
    return table(("attribute", "meaning"), _coded([*_ATTRIBUTES, *outcome, *_SEARCH_ATTRIBUTES.items()]))


def _columns(view: str) -> list[str]:
    """The columns of a view: what its definition calls ``AS name`` outside of every bracket, before any UNION."""
    depth, outside = 0, []
    for piece in re.split(r"([()])", VIEWS[view].partition("SELECT")[2].partition("\nUNION ALL")[0]):
        depth += {"(": 1, ")": -1}.get(piece, 0)
        if depth == 0:
            outside.append(piece)
    # CASE ... END AS value: the branches name nothing.
    return re.findall(r"\bAS (\w+)(?=,|\n)", "".join(outside))
