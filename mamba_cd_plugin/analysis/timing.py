"""Timing several functions side by side on a machine with other work on it.

Not by torch.utils.benchmark: its Timer measures one function after the other, and calls it three times for one sample,
which for a model of ten seconds is the time of the whole measurement.
"""
import math
import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

Clock = Callable[[], float]
# 'wall' is what a user waits. 'cpu' is the processor time of all threads, which a busy machine hardly changes; threads
# that spin while they wait count as well, unless OMP_WAIT_POLICY=passive is set.
CLOCKS: dict[str, Clock] = dict(wall=time.perf_counter, cpu=time.process_time)

# One sample lasts at least this long: shorter ones measure the clock and the interpreter.
MIN_SAMPLE_S = 0.01
# In a call of this length the cost of being the first one does not show.
LONG_CALL_S = 10.


class Timing(NamedTuple):
    """Times of one function, in seconds per call.

    Attributes:
        median: median of the samples.
        low: first quartile.
        high: third quartile.
        best: shortest sample, the one that the rest of the machine disturbed least.
        samples: number of samples.
        ratio: median over the rounds of (this time / the baseline's time in the same round); None without a baseline.
    """
    median: float
    low: float
    high: float
    best: float
    samples: int
    ratio: float | None = None


def _sample(function: Callable[[], object], calls: int, clock: Clock) -> float:
    start = clock()
    for _ in range(calls):
        function()
    return (clock() - start) / calls


def alternate(functions: Mapping[str, Callable[[], object]],
              seconds: float,
              min_rounds: int = 3,
              max_rounds: int = 50,
              clock: Clock = time.perf_counter) -> dict[str, list[float]]:
    """Run the functions in turns, so that a slow moment of the machine hits all of them alike.

    The order turns round every second round. A function that needs long takes part in the first rounds only.

    Args:
        functions: functions to time, by name. Each is called once or twice beforehand, which does not count.
        seconds: approximate time for all functions together.
        min_rounds: samples that even the slowest one gets.
        max_rounds: samples that the fastest one gets at most.
        clock: one of ``CLOCKS``.

    Returns:
        Seconds per call of each function, one value a round.
    """
    share = seconds / max(1, len(functions))
    calls, rounds = {}, {}
    for name, function in functions.items():
        once = _sample(function, 1, clock)  # compiles, allocates and fills caches
        if once < LONG_CALL_S:
            once = _sample(function, 1, clock)
        calls[name] = max(1, math.ceil(MIN_SAMPLE_S / max(once, 1e-9)))
        rounds[name] = min(max_rounds, max(min_rounds, int(share / (calls[name] * once))))
    times: dict[str, list[float]] = {name: [] for name in functions}
    for index in range(max(rounds.values(), default=0)):
        names = [name for name in functions if index < rounds[name]]
        for name in names if index % 2 == 0 else reversed(names):
            times[name].append(_sample(functions[name], calls[name], clock))
    return times


def summarise_times(times: Mapping[str, list[float]], baseline: str | None = None) -> dict[str, Timing]:
    """Median and spread of each function, and how many times the baseline it needs.

    Args:
        times: seconds per call, one value a round, as ``alternate`` gives them.
        baseline: name of the function to compare with.
    """
    result = {}
    for name, values in times.items():
        low, median, high = statistics.quantiles(values, n=4, method='inclusive') if len(values) > 1 else values * 3
        ratio = None if baseline is None else statistics.median(t / b for t, b in zip(values, times[baseline]))
        result[name] = Timing(median, low, high, min(values), len(values), ratio)
    return result
