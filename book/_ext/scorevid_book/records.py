"""What was measured in this very build, and what became of the claims and of the paper's statements.

``scorevid.companion.claims.check`` writes a record of each claim while the notebooks run, into the folder that
SCOREVID_CLAIMS names, an absolute path. With the folder named, a claim without record is a warning; without it, it is
merely not measured. A statement of the paper *holds* where all of its claims speak for it, *fails* where all speak against
it, *holds in part* where some speak for it, and is *undecided* else; where no claim decides it, it is *not tested*, and
the reason is given. ``claims.json`` and ``statements.json``, in ``_build`` and beside the pages, hold all of it for machines.
"""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path

import yaml
from sphinx.application import Sphinx
from sphinx.util import logging

from scorevid.companion import records as companion
from scorevid.companion.records import FOLDER_VARIABLE

UNMEASURED = "not measured in this build"
KINDS = ("abstract", "mechanism", "break condition", "trade-off", "limit")  #: of statements

logger = logging.getLogger(__name__)


def warn(message: str, location) -> None:
    logger.warning(message, location=location, type="scorevid", subtype="claims")


def files(app: Sphinx) -> tuple[Path, Path]:
    """The ledger of claims and the statements of the paper."""
    return tuple(Path(app.srcdir) / app.config[f"scorevid_{name}_file"] for name in ("claims", "statements"))


@functools.lru_cache(maxsize=4)
def _yaml(path: Path, changed: int) -> list[dict]:
    return yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def read_ledger(app: Sphinx) -> dict[str, dict]:
    """The claims by id, in their order."""
    path, _ = files(app)
    return {claim["id"]: claim for claim in _yaml(path, path.stat().st_mtime_ns)}


def read_records() -> dict[str, dict] | None:
    """The records by id; None if no folder is named."""
    folder = os.environ.get(FOLDER_VARIABLE)
    return {record["id"]: record for record in companion.read_records(folder)} if folder else None


def read_statements(app: Sphinx) -> list[dict]:
    """All statements, in their order. Raises ValueError for one that nothing decides and that does not say why."""
    ledger, (_, path) = read_ledger(app), files(app)
    statements = _yaml(path, path.stat().st_mtime_ns)
    for statement in statements:
        deciding, against = statement.get("claims", []), statement.get("against", [])
        if bool(deciding) == bool(statement.get("untested")):
            raise ValueError(f"the statement {statement['id']} needs either claims or a reason why it is untested")
        if statement["kind"] not in KINDS:
            raise ValueError(f"the statement {statement['id']} is of one of {KINDS}, not {statement['kind']!r}")
        if strange := [id for id in deciding if id not in ledger] + [id for id in against if id not in deciding]:
            raise ValueError(f"the statement {statement['id']} names {', '.join(strange)}, not among its claims")
    return statements


def verdict(statement: dict, records: dict[str, dict]) -> str:
    """What the verdicts of its claims make of a statement."""
    if not statement.get("claims"):
        return "not tested"
    outcomes = {id: records[id]["verdict"] if id in records else UNMEASURED for id in statement["claims"]}
    if UNMEASURED in outcomes.values():
        return UNMEASURED
    turned = {"holds": "fails", "fails": "holds"}
    outcomes |= {id: turned.get(outcomes[id], outcomes[id]) for id in statement.get("against", [])}
    if len(found := set(outcomes.values())) == 1:
        return found.pop()
    return "holds in part" if "holds" in found else "undecided"


def counted(ledger: dict[str, dict]) -> list[str]:
    """The ids of the claims that are findings: settings, identities and self-tests are checks, and stay out of the tally."""
    return [id for id, claim in ledger.items() if claim.get("kind") != "check"]


def leave(app: Sphinx, problem: Exception | None) -> None:
    """Write for machines, beside the pages, what was measured and what became of the statements."""
    records = read_records()
    if problem or records is None:
        return
    measured = [
        {**records[id], **{key: claim.get(key) for key in ("source", "claim", "kind", "chapter")}}
        for id, claim in read_ledger(app).items()
        if id in records
    ]
    became = [{**statement, "verdict": verdict(statement, records)} for statement in read_statements(app)]
    for name, content in (("claims", measured), ("statements", became)):
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        for folder in (Path(app.outdir), Path(app.outdir).parent):  # for readers of the site, and for who built it
            (folder / f"{name}.json").write_text(text, encoding="utf-8")


def connect(app: Sphinx) -> None:
    app.add_config_value("scorevid_claims_file", "book/claims.yml", "env")
    app.add_config_value("scorevid_statements_file", "book/paper.yml", "env")
    app.connect("build-finished", leave)
