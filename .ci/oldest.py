"""Print pip constraints that pin what pyproject.toml allows to the oldest versions: each `>=X` becomes `==X`.

    python .ci/oldest.py test parquet >oldest.txt
    pip install -c oldest.txt '.[test,parquet]'

The arguments are extras. Where several parts ask for one package, the highest of their floors counts, as it does for
pip. What these packages need in turn is pip's to choose. A requirement without a floor is an error.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version


def floors(requirements: list[str]) -> dict[str, Version]:
    """Return the oldest version of each package that satisfies all of the requirements."""
    oldest: dict[str, Version] = {}
    for text in requirements:
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        versions = [Version(part.version) for part in requirement.specifier if part.operator == ">="]
        if not versions:
            raise SystemExit(f"pyproject.toml: {text!r} has no floor; write it as >=X.")
        oldest[name] = max(*versions, oldest.get(name, versions[0]))
    return oldest


def main(extras: list[str]) -> None:
    """Print a constraint for each package of the project and of these extras."""
    path = Path(__file__).resolve().parents[1] / "pyproject.toml"
    project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    requirements = [*project["dependencies"]]
    for extra in extras:
        requirements += project["optional-dependencies"][extra]
    for name, version in sorted(floors(requirements).items()):
        sys.stdout.write(f"{name}=={version}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
