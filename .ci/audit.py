"""Looks up the pinned packages in the Python Package Index's advisories: `python .ci/audit.py requirements/base.txt`

Ends with 1 when a package has a known fault. Where no source of advisories answers, or none knows the packages, it says
so and ends with 0: a machine without a way out must be able to check everything else.
"""

from __future__ import annotations

import json
import subprocess
import sys

LONGEST_SECONDS = 60


def main(requirements: str) -> int:
    command = [sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip", "--timeout", "10", "-f", "json"]
    try:
        ended = subprocess.run([*command, "-r", requirements], capture_output=True, text=True, timeout=LONGEST_SECONDS)
        packages = json.loads(ended.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        packages = []
    known = [package for package in packages if "vulns" in package]
    if not known:
        print(f"NOT AUDITED: no source of advisories answers for the packages of {requirements}.")
        return 0
    faults = [
        f"{package['name']} {package['version']}: {fault['id']}, fixed in {', '.join(fault['fix_versions']) or 'none'}"
        for package in known
        for fault in package["vulns"]
    ]
    print("\n".join(faults) or f"{len(known)} of {len(packages)} packages are known, none with a known fault.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
