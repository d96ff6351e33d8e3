"""A trainer for multi-task recommenders: sharded tables, equitable multi-task optimization, exact metrics."""

from recsys.versions import check_versions

check_versions()
