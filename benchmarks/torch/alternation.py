"""A B A B ..., as bench::alternate: neighbours form pairs, so a machine that slows down for a second slows both."""

import statistics
import time

ARM_SECONDS, LEAST_PAIRS, MOST_PAIRS, BUDGET_SECONDS = 0.5, 5, 11, 30


def arm(step):
    count, begin = 0, time.perf_counter()
    while True:
        step()
        count += 1
        passed = time.perf_counter() - begin
        if passed >= ARM_SECONDS:
            return passed / count


def alternate(first, second):
    """The median ratio of first's time over second's, its spread, and the median times."""
    firsts, seconds, begin = [], [], time.perf_counter()
    while len(firsts) < LEAST_PAIRS or (len(firsts) < MOST_PAIRS and time.perf_counter() - begin < BUDGET_SECONDS):
        firsts.append(arm(first))
        seconds.append(arm(second))
    ratios = [a / b for a, b in zip(firsts, seconds)]
    ratio = statistics.median(ratios)
    spread = statistics.median(abs(r - ratio) for r in ratios)
    return ratio, spread, statistics.median(firsts), statistics.median(seconds)
