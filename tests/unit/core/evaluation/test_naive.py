"""The engine against an evaluator that shares nothing with it."""

import ast
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from core.evaluation.engine import Engine
from tests.support import naive_evaluator
from tests.support.rulesets import EXPIRIES, contexts, environments

MOMENTS = [moment for moment in EXPIRIES if moment is not None]


@settings(max_examples=80)
@given(environments(), st.lists(contexts(), min_size=3, max_size=3), st.sampled_from(MOMENTS))
def test_two_evaluators_agree(environment: Any, asked: list[Any], moment: datetime) -> None:
    flags, segments = environment
    documents = {flag.key: asdict(flag) for flag in flags}
    engine = Engine(flags, segments, at=moment)
    for context in asked:
        for flag in flags:
            wanted = naive_evaluator.evaluate(documents, segments, flag.key, context, moment)
            result = engine.evaluate(flag.key, context)
            assert result is not None
            found = asdict(result)
            assert found.pop("value") == flag.variants[wanted.variant]
            assert found == {"key": flag.key, **asdict(wanted)}


def test_they_share_no_code() -> None:
    tree = ast.parse(Path(naive_evaluator.__file__).read_text())
    imported = {
        alias.name if isinstance(node, ast.Import) else node.module or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert not [name for name in imported if name.startswith(("core", "readserver", "flagctl"))]
