"""Renders the chart with Helm and hands out its objects as Python values.

Python's standard library reads no YAML, so Helm does that too: the documents go back through a scratch chart whose only template is
`fromYaml | toJson`.
"""

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

CHART = Path(__file__).resolve().parent.parent
HELM = os.environ.get("HELM", "helm")


class Refused(Exception):
    """Helm ended with an error; the text is what the user would read."""


def helm(*args):
    """Runs Helm and returns what it printed."""
    run = subprocess.run([HELM, *map(str, args)], capture_output=True, text=True, timeout=60, check=False)
    if run.returncode != 0:
        raise Refused(run.stderr.strip())
    return run.stdout


def from_yaml(documents):
    """The values of YAML texts, as Helm reads them."""
    with tempfile.TemporaryDirectory() as scratch:
        chart = Path(scratch)
        (chart / "templates").mkdir()
        (chart / "docs").mkdir()
        (chart / "Chart.yaml").write_text("{apiVersion: v2, name: scratch, version: 0.0.0}")
        # One JSON object is valid YAML, so that Helm accepts its own output.
        (chart / "templates" / "json.yaml").write_text(
            '{{- $all := dict }}{{- range $path, $_ := .Files.Glob "docs/*" }}'
            "{{- $_ := set $all (base $path) ($.Files.Get $path | fromYaml) }}{{- end }}{{ $all | toJson }}"
        )
        for number, text in enumerate(documents):
            (chart / "docs" / f"{number:04}").write_text(text)
        printed = helm("template", "scratch", chart)
    values = json.loads(printed[printed.index("{"):])
    return [values[name] for name in sorted(values)]


def render(release="accord", namespace="accord-system", values=None, args=()):
    """The objects of the chart: (kind, name, namespace) -> object."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(values or {}, file)
        file.flush()
        text = helm("template", release, CHART, "-n", namespace, "-f", file.name, *args)
    documents = [d for d in re.split(r"^---$", text, flags=re.M) if re.search(r"^\w", d, flags=re.M)]
    objects = {}
    for value in from_yaml(documents):
        metadata = value["metadata"]
        key = (value["kind"], metadata["name"], metadata.get("namespace"))
        assert key not in objects, f"rendered twice: {key}"
        objects[key] = value
    return objects


def of_kind(objects, kind):
    """The objects of a kind."""
    return [value for key, value in objects.items() if key[0] == kind]


def only(objects, kind):
    """The one object of a kind."""
    found = of_kind(objects, kind)
    assert len(found) == 1, f"{len(found)} objects of kind {kind}, wanted one"
    return found[0]
