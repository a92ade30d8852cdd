"""Parses metrics with the library of the Prometheus project, and prints them as JSON.

Use: metrics.py text|openmetrics <METRICS
"""
import json
import sys

from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client import parser as text

parser = {"text": text, "openmetrics": openmetrics}[sys.argv[1]]
values = {}
for family in parser.text_string_to_metric_families(sys.stdin.read()):
    name = family.name
    assert name.startswith("blockd_"), name
    assert family.documentation and family.type in ("counter", "gauge", "histogram"), family
    assert family.samples, name
    # Base units, as https://prometheus.io/docs/practices/naming has them.
    words = name.split("_")
    assert not {"ms", "us", "milliseconds", "kb", "mb", "kib", "mib"} & set(words), name
    for sample in family.samples:
        labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
        key = f"{sample.name}{{{labels}}}" if labels else sample.name
        assert key not in values, key
        values[key] = sample.value
        if family.type == "counter":
            assert sample.name.endswith("_total"), sample
json.dump(values, sys.stdout)
