"""Microseconds of one `evaluate` of the published Python SDK: `bench.py RULES CALLS REPEATS` prints the median.

The base line of `cargo xtask bench`. RULES is a ruleset (YAML), CALLS a JSON list of calls that take turns.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

# As where OpenTelemetry is not installed.
sys.modules["opentelemetry"] = None  # type: ignore[assignment]

import logging

logging.disable(logging.CRITICAL)

from edictum import Edictum
from edictum.envelope import Principal

# Shorter than a time slice, so that a busy machine spoils few samples and not the median.
SAMPLE_SECONDS, SAMPLES_PER_REPEAT = 0.002, 20


def main(rules: str, calls: str, repeats: str) -> None:
    guard = Edictum.from_yaml(rules)
    with open(calls, encoding="utf-8") as file:
        prepared = [
            (call["tool"], call["args"], Principal(**call["principal"]), call["environment"]) for call in json.load(file)
        ]

    def once() -> None:
        for tool, args, principal, environment in prepared:
            guard.evaluate(tool, args, principal=principal, environment=environment)

    samples = []
    for _ in range(int(repeats) * SAMPLES_PER_REPEAT + 1):
        since, turns = time.perf_counter(), 0
        while time.perf_counter() - since < SAMPLE_SECONDS:
            once()
            turns += 1
        samples.append((time.perf_counter() - since) / turns / len(prepared) * 1e6)
    # The first one warms up.
    print(statistics.median(samples[1:]))


if __name__ == "__main__":
    main(*sys.argv[1:])
