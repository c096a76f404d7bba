"""Fuzz the targets, each for some seconds, and keep what reaches new code in the corpus.

    python tests/fuzz/run.py [SECONDS] [TARGET…]

Stops with the input that breaks a target, and writes that to `build/fuzz/TARGET`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOUND = HERE.parents[1] / "build" / "fuzz"
PATHS = [str(HERE.parent), str(HERE.parent / "kit")]


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one target in this process; does not return."""
    sys.path[:0] = PATHS
    import atheris  # noqa: PLC0415 (has to come before what it instruments)

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "django_settings")
    with atheris.instrument_imports(include=["channels_graphql_ws"]):
        import django  # noqa: PLC0415

        django.setup()
        from fuzz_targets import TARGETS  # noqa: PLC0415

    folder = FOUND / name
    folder.mkdir(parents=True, exist_ok=True)
    options = [
        *(f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", "-max_len=4096"),
        *(f"-artifact_prefix={folder}{os.sep}", "-verbosity=0", "-print_final_stats=1"),
    ]
    corpus = HERE / "corpus" / name
    atheris.Setup([sys.argv[0], *options, str(folder), str(corpus)], TARGETS[name])
    atheris.Fuzz()


def main() -> int:
    """Fuzz the targets one after another, each in a process of its own."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["--one"]:
        fuzz(arguments[1], int(arguments[2]))
    seconds = int(arguments[0]) if arguments else 7
    names = arguments[1:] or sorted(path.name for path in (HERE / "corpus").iterdir())
    for name in names:
        print(f"=== {name}", flush=True)
        command = [sys.executable, __file__, "--one", name, str(seconds)]
        if code := subprocess.run(command, check=False).returncode:
            print(f"{name} is broken: the input is in {FOUND / name}", flush=True)
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
