"""`python -m pipelines` is `recsys`."""

from pipelines.cli import main

main()
