"""The plots, made from the files of figures."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

OURS, OTHERS, MILLION = "#0b7a75", "#9aa5b1", "#7b2d26"
Figures = dict[str, dict[str, Any]]
Bars = dict[str, list[dict[str, Any]]]


def draw(found: Figures, folder: Path) -> Iterator[Path]:
    """Draw what was measured; give each file."""
    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "speed", "font.size": 10, "svg.fonttype": "path"})
    for name, plot in (("ingest", _ingest), ("drain", _drain), ("road", _road)):
        if name in found:
            figure = plot(found[name])
            file = folder / f"speed-{name}.svg"
            figure.savefig(file, metadata={"Date": None})
            figure.savefig(file.with_suffix(".png"), dpi=110)
            plt.close(figure)
            yield file


def _ingest(data: dict[str, Any]) -> Figure:
    figure, axes = plt.subplots(figsize=(9, 5.2), layout="constrained")
    _bars(axes, data["rounds"])
    axes.set_title(f"Ingest: webhooks a second, {data['body']} bytes, one server process")
    return figure


def _drain(data: dict[str, Any]) -> Figure:
    figure, both = plt.subplots(1, 2, figsize=(12, 6), layout="constrained", sharey=True)
    names = sorted(data["nothing"], key=lambda name: _rate(data["nothing"][name]))
    _bars(both[0], data["nothing"], names)
    both[0].set_title(f"Drain: a handler that does nothing\n({data['backlog']:,} waiting; a second)")
    _bars(both[1], data["wait"], names)
    both[1].set_title(f"a handler that waits {data['waited'] * 1000:g} ms\n(a second)")
    long = {name: one["rate"] for name, one in data["million"].items() if "rate" in one}
    if long:
        at = [names.index(name) - 0.42 for name in long if name in names]
        rates = [long[name] for name in long if name in names]
        label = f"{data['million_events']:,} waiting"
        both[0].scatter(rates, at, color=MILLION, marker="D", s=28, zorder=4, label=label)
        both[0].legend(loc="lower right")
    return figure


def _road(data: dict[str, Any]) -> Figure:
    figure, axes = plt.subplots(figsize=(8.5, 5), layout="constrained")
    shares = list(data["trips"])
    rates = [data["trips"][share][0]["rate"] for share in shares]
    lines = (("handlers", "handler begins", OURS), ("answers", "answered 200", OTHERS))
    for (key, label, colour), (share, style) in ((line, one) for line in lines for one in _STYLES):
        rounds = [[trip[key][share] for trip in data["trips"][name]] for name in shares]
        middle = [statistics.median(one) for one in rounds]
        axes.plot(rates, middle, style, color=colour, marker="o", label=f"{label}, {share}")
        axes.fill_between(
            rates, [min(one) for one in rounds], [max(one) for one in rounds], color=colour, alpha=0.15
        )
    axes.set_yscale("log")
    axes.set_xticks(rates, [f"{rate:,.0f}\n{share}" for rate, share in zip(rates, shares, strict=True)])
    axes.set_xlabel(f"webhooks a second, and share of the highest sustained rate ({data['highest']:,.0f})")
    axes.set_ylabel("ms since the request was due")
    axes.yaxis.set_minor_formatter(mpl.ticker.NullFormatter())
    axes.yaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(axis="y", alpha=0.3)
    axes.set_title("Road: latency by load (medians; shaded: least to most)")
    figure.legend(loc="outside lower center", ncols=4, fontsize=9)
    return figure


_STYLES = (("p50", "-"), ("p99", "--"))


def _rate(rounds: list[dict[str, Any]]) -> float:
    return statistics.median(one["rate"] for one in rounds) if rounds else 0.0


def _bars(axes: Axes, found: Bars, names: list[str] | None = None) -> None:
    """Draw a bar for each contestant, as long as its median, with a line from the least to the most."""
    names = names or sorted(found, key=lambda name: _rate(found[name]))
    most, least = 0.0, float("inf")
    for at, name in enumerate(names):
        rates = [one["rate"] for one in found.get(name, [])]
        if not rates:
            continue
        middle, most, least = statistics.median(rates), max(most, *rates), min(least, *rates)
        axes.barh(at, middle, color=OURS if name.startswith("ours") else OTHERS, height=0.7, zorder=2)
        spread = [[middle - min(rates)], [max(rates) - middle]]
        axes.errorbar(middle, at, xerr=spread, color="black", capsize=3, linewidth=1, zorder=3)
        axes.annotate(
            f"{middle:,.0f}",
            (max(rates), at),
            xytext=(9, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    axes.set_yticks(range(len(names)), names)
    axes.set_xscale("log")
    if most:
        axes.set_xlim(max(least / 2, 1), most * 4)
    axes.xaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())
    axes.grid(axis="x", alpha=0.3, zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
