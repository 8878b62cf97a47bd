"""The plots of README.md and docs/performance.md, from stored outcomes: small PNG files."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

COLOURS = {
    "seance": "#6d28d9",
    "bare": "#9ca3af",
    "textbook": "#f59e0b",
    "nats": "#0ea5e9",
    "socket.io": "#10b981",
    "python-socketio": "#84cc16",
    "centrifugo": "#ef4444",
}
OTHER_COLOUR = "#4b5563"
SIZE_INCHES = (7.0, 3.4)
DOTS_PER_INCH = 110

Results = Mapping[str, Any]


def draw(results: Mapping[str, Results], folder: Path) -> list[Path]:
    """Draw a plot for each stored result; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _draw_one(folder / f"{name}.png", plot, results)
        for name, (scenarios, plot) in _PLOTS.items()
        if all(scenario in results for scenario in scenarios)
    ]


def _draw_one(path: Path, plot: Callable[[Axes, Mapping[str, Results]], None], results: Mapping[str, Results]) -> Path:
    figure, axes = plt.subplots(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    plot(axes, results)
    # No date and no version inside: the same results give the same file.
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)
    return path


def _cpu_by_load(axes: Axes, results: Mapping[str, Results]) -> None:
    loads = {
        "50 events/s": results["fan-out"]["paced"],
        "saturated": results["fan-out"]["saturated"],
        **{f"rooms, {rate}/s": found for rate, found in results["small-rooms"]["per_delivery"].items()},
    }
    names = list(dict.fromkeys(name for found in loads.values() for name in found))
    width = 0.8 / len(names)
    for turn, name in enumerate(names):
        places = [place for place, found in enumerate(loads.values()) if name in found]
        heights = [found[name]["median"] for found in loads.values() if name in found]
        offset = (turn - (len(names) - 1) / 2) * width
        axes.bar([place + offset for place in places], heights, width, label=name, color=COLOURS[name])
    axes.set_yscale("log")
    axes.set_xticks(range(len(loads)), list(loads))
    axes.set_ylabel("CPU µs per delivery")
    axes.set_title("What a delivery costs (500 sockets in one room; 200 rooms of 6)", fontsize=10)
    axes.legend(fontsize=7, ncols=2)


def _memory(axes: Axes, results: Mapping[str, Results]) -> None:
    found = results["memory"]["per_socket"]
    bars = axes.barh(list(found), [each["median"] for each in found.values()], color=[COLOURS[name] for name in found])
    axes.bar_label(bars, fmt="%.1f", padding=3)
    axes.invert_yaxis()
    axes.set_xlabel(f"KiB of resident memory for each idle socket ({results['memory']['sockets']:,} sockets)")


def _latency(axes: Axes, results: Mapping[str, Results]) -> None:
    rates = results["latency"]["messages_per_second"]
    for name, found in results["latency"]["to_the_other_gateway"].items():
        values = [each["median"] for each in found.values()]
        axes.plot(list(found), values, marker="o", label=f"{name} at {rates[name]:,.0f}/s", color=COLOURS[name])
    axes.set_yscale("log")
    axes.set_ylabel("ms from sending to receiving")
    axes.set_title("Latency to the other gateway, each at half of its saturation", fontsize=10)
    axes.legend(fontsize=8)


def _scaling(axes: Axes, results: Mapping[str, Results]) -> None:
    for name, colour in (("rooms_of_100", COLOURS["seance"]), ("rooms_of_6", OTHER_COLOUR)):
        found = results["scaling"][name]
        values = [each["median"] for each in found.values()]
        axes.plot(list(found), values, marker="o", label=name.replace("_", " "), color=colour)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("gateways")
    axes.set_ylabel("CPU µs per delivery")
    axes.set_title("The same rooms on more gateways, Redis included", fontsize=10)
    axes.legend(fontsize=8)


_PLOTS: Mapping[str, tuple[tuple[str, ...], Callable[[Axes, Mapping[str, Results]], None]]] = {
    "cpu-per-delivery": (("fan-out", "small-rooms"), _cpu_by_load),
    "memory-per-socket": (("memory",), _memory),
    "latency": (("latency",), _latency),
    "cost-by-gateways": (("scaling",), _scaling),
}
