"""Headrace's packages, dependencies and console script. Ranges here, exact versions in requirements.lock."""

from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent

PACKAGES = [
    "adapters",
    "benchmarks",
    "benchmarks.contenders",
    "conf",
    "features",
    "headrace",
    "headrace.airflow",
    "headrace.config",
    "headrace.doctor",
    "jobs",
    "reports",
    "sampling",
    "schemas",
    "simulation",
    "trainer",
    "trainer.encode",
    "trainer.fusion",
    "trainer.metrics",
    "trainer.models",
    "trainer.prerank",
    "trainer.report",
]

setup(
    name="headrace",
    version="0.2.0.dev0",
    description="Spark batch features and training data for recommender ranking",
    long_description=(HERE / "README.md").read_text(encoding="utf-8") if (HERE / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=PACKAGES,
    package_data={
        "conf": ["*.yaml"],
        "reports": ["templates/*", "static/*"],
        "trainer.report": ["templates/*", "static/*"],
    },
    install_requires=[
        # Spark and Delta move together: delta-spark names the Spark minor it is built for.
        # Great Expectations imports Spark Connect where it finds pyspark, and ends the process without it.
        "pyspark[connect]>=4.1.4,<4.2",
        "delta-spark>=4.4.0,<4.5,!=4.4.1",
        "deltalake>=1.6,<2",
        "pyarrow>=21,<27",
        "pandas>=2.3,<3",
        "numpy>=2.0,<3",
        "scipy>=1.14,<2",
        "pydantic>=2.10,<3",
        "pyyaml>=6.0,<7",
        "typer>=0.16,<1",
        "rich>=13.9,<16",
        "holidays>=0.80,<1",
        "great-expectations>=1.24,<1.25",
        "requests>=2.32,<3",
        "tenacity>=9,<10",
        "tzdata>=2025.1",
    ],
    extras_require={
        "train": ["torch>=2.5,<3"],
        "report": ["jinja2>=3.1,<4", "xlsxwriter>=3.2,<4"],
        "bench": ["duckdb>=1.4,<3", "polars>=1.30,<2", "psutil>=6,<8"],
        "dev": [
            "pytest>=8.3,<10",
            "pytest-xdist>=3.6,<4",
            "filelock>=3.13,<5",
            "ruff>=0.14,<1",
            "mypy>=1.15,<3",
            "types-PyYAML>=6.0",
            "psutil>=6,<8",
            "playwright>=1.55,<2",
            "axe-playwright-python>=0.1.4,<1",
            "openpyxl>=3.1,<4",
        ],
    },
    entry_points={"console_scripts": ["headrace=headrace.cli:main"]},
)
