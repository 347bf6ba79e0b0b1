"""What pyproject.toml cannot say: a wheel holds ``studies/`` as ``ablate.examples``."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["ablate", "ablate.*"]), "ablate.examples"],
    package_dir={"ablate.examples": "studies"},
)
