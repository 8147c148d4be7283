"""What pip-audit found, in lines: fails for a known weakness; what could not be looked up is said, and fails nothing.

pip-audit says "No known vulnerabilities found" of packages that its service does not know, which is no finding.

    pip-audit --format json … >report.json; python .ci/audit.py report.json
"""

import json
import sys
from pathlib import Path


def said(report: str) -> tuple[list[str], int]:
    """Lines to print, and the exit code. report: pip-audit's JSON, or whatever it wrote before it failed."""
    try:
        packages = json.loads(report)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return ["packages were not audited: the list of known weaknesses cannot be reached"], 0
    skipped = [each["name"] for each in packages if "skip_reason" in each]
    weak = [f"{each['name']} {each['version']}: {one['id']}" for each in packages for one in each.get("vulns", ())]
    lines = [f"{len(packages) - len(skipped)} of {len(packages)} packages audited, {len(weak)} known weaknesses", *weak]
    if skipped:
        few = ", ".join(skipped[:5]) + (", …" if len(skipped) > 5 else "")
        lines.append(f"not audited, for the list of known weaknesses has no answer about them here: {few}")
    return lines, 1 if weak else 0


if __name__ == "__main__":
    lines, code = said(Path(sys.argv[1]).read_text("utf-8"))
    print("\n".join(lines))
    sys.exit(code)
