"""docs/plan.schema.json is what `plan --json` prints; REWRITE=1 writes it anew."""

import json
import os
from pathlib import Path

from aks_postgres.reports.plan_view import PlanView

FILE = Path(__file__).parents[2] / "docs" / "plan.schema.json"


def test_the_schema_in_the_docs_is_the_plan_s() -> None:
    schema = PlanView.model_json_schema(mode="serialization")
    if os.environ.get("REWRITE"):
        FILE.write_text(json.dumps(schema, indent=2) + "\n")
    assert json.loads(FILE.read_text()) == schema
