"""The rules of deploy/alerts.yml that compare one series with a number, held against a read server.

What Prometheus adds is `for`, how long that has to last; and rates, which take a history.
"""

import operator
import re
from pathlib import Path
from typing import Any, Final

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.readers import Reader

_RULES: Final = Path(__file__).parents[2] / "deploy" / "alerts.yml"
_COMPARISON: Final = re.compile(r"(\w+) (==|>) ([\d.]+)")
_OPERATORS: Final = {"==": operator.eq, ">": operator.gt}


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load(_RULES.read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def firing(reader: Reader) -> set[str]:
    """The names of those whose expression is true of what the server exposes now."""
    text = reader.get("/metrics", admin=True).body.decode()
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    found = set()
    for rule in rules():
        if not (comparison := _COMPARISON.fullmatch(rule["expr"])):
            continue
        name, sign, bound = comparison.groups()
        holds = _OPERATORS[sign]
        if any(s.name == name and holds(s.value, float(bound)) for s in samples):
            found.add(rule["alert"])
    return found
