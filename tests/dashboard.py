#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Checks of the Grafana dashboard and the alert rules, for tests/t/78-dashboards.t.

dashboard.py names METRICS DASHBOARD RULES    print what an expression names and METRICS, a page of the daemon, lacks
dashboard.py layout DASHBOARD                 print what is wrong with panels and variables
dashboard.py rules DASHBOARD                  print the expressions as recording rules, for promtool
"""
import json
import re
import sys

BUILT_IN = {"__rate_interval", "__interval"}
METRIC = re.compile(r"\b((?:dmacast|process|up)(?:_\w+)?)\b(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|=)\s*"([^"]*)"')


def panels(dashboard):
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def dashboard_expressions(dashboard):
    found = [target["expr"] for panel in panels(dashboard) for target in panel["targets"]]
    found += [item["expr"] for item in dashboard["annotations"]["list"]]
    found += [item["definition"] for item in dashboard["templating"]["list"] if item["type"] == "query"]
    return found


def rule_expressions(path):
    """Return the expressions of a rules file, of which "expr:" begins each; promtool checks the rest of the file."""
    found, block = [], None
    for line in open(path, encoding="utf-8"):
        inside = block is not None and re.match(r" {10}\S", line)
        if inside:
            block.append(line.strip())
            continue
        if block:
            found.append(" ".join(block))
        block = None
        begin = re.match(r" +expr: (.*)", line)
        if begin and begin.group(1) == ">-":
            block = []
        elif begin:
            found.append(begin.group(1))
    return found


def samples(path):
    """Return a dictionary: by metric, the values of each label."""
    known = {"up": {}}
    for line in open(path, encoding="utf-8"):
        match = re.match(r"(\w+)(?:\{([^}]*)\})? ", line)
        if not match or line.startswith("#"):
            continue
        labels = known.setdefault(match.group(1), {})
        for label, _, value in MATCHER.findall(match.group(2) or ""):
            labels.setdefault(label, set()).add(value)
    return known


def missing(known, expression):
    """Yield what the expression names and the page lacks. Labels that Prometheus adds have any value."""
    for name, matchers in METRIC.findall(re.sub(r"\b(by|on|without|ignoring) \([^)]*\)", "", expression)):
        if name not in known:
            yield name
            continue
        for label, operator, value in MATCHER.findall(matchers):
            if label in ("job", "instance", "stream"):
                continue
            for word in value.split("|") if operator == "=~" else [value]:
                if word not in known[name].get(label, set()):
                    yield f'{name}{{{label}="{word}"}}'


def names(metrics, dashboard, rules):
    known = samples(metrics)
    expressions = dashboard_expressions(json.load(open(dashboard, encoding="utf-8"))) + rule_expressions(rules)
    for expression in expressions:
        for name in missing(known, expression):
            print(name)
    print(len(expressions), "expressions", file=sys.stderr)


def overlap(a, b):
    return a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"] and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]


def layout(path):
    dashboard = json.load(open(path, encoding="utf-8"))
    variables = {item["name"] for item in dashboard["templating"]["list"]} | BUILT_IN
    every = dashboard["panels"]
    ids = [panel["id"] for panel in every]
    if len(ids) != len(set(ids)):
        print("two panels with the same id")
    for text in dashboard_expressions(dashboard) + [json.dumps(panel.get("datasource", "")) for panel in every]:
        for name in re.findall(r"\$\{?(\w+)", text):
            if name not in variables:
                print("unknown variable:", name)
    for i, panel in enumerate(every):
        place = panel["gridPos"]
        if place["x"] + place["w"] > 24:
            print("too wide:", panel["title"])
        for other in every[i + 1 :]:
            if overlap(place, other["gridPos"]):
                print("overlap:", panel["title"], "and", other["title"])
    for panel in panels(dashboard):
        if not panel["description"] or not panel["title"] or not panel["targets"]:
            print("without title, description or expression:", panel)
        if panel["datasource"]["uid"] != "${datasource}":
            print("a fixed data source:", panel["title"])
    if not {"datasource", "instance", "stream"} <= variables:
        print("no variable for the data source, instances or streams")


def rules(path):
    dashboard = json.load(open(path, encoding="utf-8"))
    print("groups:\n- name: dashboard\n  rules:")
    expressions = [target["expr"] for panel in panels(dashboard) for target in panel["targets"]]
    expressions += [item["expr"] for item in dashboard["annotations"]["list"]]
    for number, expression in enumerate(expressions):
        for name in BUILT_IN:
            expression = expression.replace("$" + name, "1m")
        print(f"  - record: dashboard:expression:{number}\n    expr: {json.dumps(expression)}")


if __name__ == "__main__":
    {"names": names, "layout": layout, "rules": rules}[sys.argv[1]](*sys.argv[2:])
