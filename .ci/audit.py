"""Ask the advisory databases of PyPI and npm about everything that this project pins.

    tox run -e audit

Asked about are the lowest releases that users may have, the tools of CI, and the packages that
GraphiQL is built of. A database that cannot be reached from here is skipped, and said to be;
with `CI_AUDIT_REQUIRED` set that is a failure, too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PYPI: Final = "https://pypi.org/pypi/pip/json"
LOCK_FILES_OF_NPM: Final = (
    "frontend/graphiql",
    "tests/integration/node",
    "tests/integration/node_http",
    "benchmarks/servers/node",
)


def main(floors: Path) -> None:
    """Ask, and exit with 1 if anything has a known hole."""
    is_required = bool(os.environ.get("CI_AUDIT_REQUIRED"))
    results = [_python(floors)]
    results += [_npm(ROOT / folder) for folder in LOCK_FILES_OF_NPM]
    is_bad = False in results or (is_required and None in results)
    sys.exit(1 if is_bad else 0)


def _python(floors: Path) -> bool | None:
    """Return whether all is well; `None` if nobody could be asked."""
    if not _has_advisories(PYPI):
        return _skipped("PyPI's advisory database", f"no `vulnerabilities` in {PYPI}")
    files = [floors, *sorted((ROOT / ".ci" / "locks").glob("*.txt"))]
    results = [_pip_audit(each) for each in files]
    return all(results)


def _has_advisories(url: str) -> bool:
    """Return whether this is PyPI itself, and not a mirror of its files."""
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 (a constant)
            return "vulnerabilities" in json.load(answer)
    except (OSError, ValueError):
        return False


def _pip_audit(requirements: Path) -> bool:
    print(f"pip-audit: {requirements.name}", flush=True)
    command = [sys.executable, "-m", "pip_audit", "--progress-spinner", "off", "--disable-pip"]
    command += ["--no-deps", "--requirement", str(requirements)]
    return subprocess.run(command, check=False, timeout=600).returncode == 0


def _npm(folder: Path) -> bool | None:
    print(f"npm audit: {folder.relative_to(ROOT)}", flush=True)
    command = ["npm", "audit", "--json", "--package-lock-only"]
    done = subprocess.run(
        command, cwd=folder, check=False, timeout=600, capture_output=True, text=True
    )
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = {}
    if "auditReportVersion" not in answer:
        return _skipped("npm's advisory database", (done.stderr or done.stdout).strip()[:500])
    for name, advisory in answer["vulnerabilities"].items():
        print(f"  {name} {advisory['range']}: {advisory['severity']}")
    return not answer["vulnerabilities"]


def _skipped(what: str, why: str) -> None:
    print(
        f"SKIPPED: {what} cannot be reached from here: nothing was audited.\n  {why}", flush=True
    )


main(Path(sys.argv[1]))
