"""What must be quick before any training: importing the package, writing the town, tokenising it once.

    python benchmarks/light_parts.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from mtl_teach.town import sentences


def seconds(work, rounds=5) -> float:
    """Median of several rounds."""
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def python(code: str):
    return lambda: subprocess.run([sys.executable, "-c", code], check=True)


def main():
    bare, ours = seconds(python("pass"), 9), seconds(python("import mtl_teach"), 9)
    print(f"import mtl_teach, over bare python           {ours - bare:.2f} s  (target <= 0.3)")
    for count in (2500, 5000, 10_000, 20_000):
        took = seconds(lambda count=count: sentences(count), 3)
        target = "  (target < 2)" if count == 10_000 else ""
        print(f"{count:6d} sentences with all gold answers     {took:.2f} s{target}")


if __name__ == "__main__":
    main()
