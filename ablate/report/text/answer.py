"""The answer of one report: the verdicts in sentences, with everything the material knows beside them."""

from __future__ import annotations

from ablate.report.data.material import Material
from ablate.report.statistics.confirmation import is_confirmation
from ablate.report.text.convergence_sentences import equal_sentences, race_sentences
from ablate.report.text.family_sentences import effect_sentences
from ablate.report.text.verdict_sentences import Answer, Price, answer, answer_lines
from ablate.study.spec import Study


def answer_of(material: Material, *, command: str | None = None) -> Answer:
    """Return the first screen of the report of `material`; `command` where it is not to be the scrubbed one."""
    study, comparison = material.study, material.comparison
    findings = [
        *_confirmed(study),
        *effect_sentences(material.families, comparison.primary, material.trends),
        *equal_sentences(material.equal, comparison.primary),
        *race_sentences(material.races),
    ]
    return answer(
        study,
        comparison,
        {arm.name: material.ratio(arm.name) for arm in study.arms},
        command=command or material.command,
        price=price_of(material),
        findings=findings if comparison.problem is None else (),
    )


def _confirmed(study: Study) -> list[str]:
    if not is_confirmation(study):
        return []
    return [
        "This arm was chosen on other seeds. Here it had one test on fresh seeds, so neither its difference nor its p "
        "needs a correction for the choice."
    ]


def price_of(material: Material) -> Price:
    """Return what another seed of each arm costs, as measured."""
    devices = {row.device for row in material.rows if row.outcome is not None and row.device}
    seconds = {arm: cost.seconds for arm, cost in material.costs.items()}
    return Price(seconds, gpu=bool(devices) and all(device.startswith("cuda") for device in devices))


def lines_of_answer(material: Material, *, command: str | None = None) -> list[str]:
    """Return the answer as plain lines, each command on a line of its own."""
    return answer_lines(answer_of(material, command=command))
