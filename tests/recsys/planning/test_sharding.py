"""What the planner may do with a table."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from recsys.config import ShardingConfig
from recsys.data.features.feature import TableSpec
from recsys.planning.sharding import _permitted


@given(st.integers(1, 3000), st.integers(1, 1000), st.sampled_from(["row_wise", "auto", "table_wise", "column_wise"]))
def test_no_rank_is_left_without_rows(rows: int, ranks: int, kind: str) -> None:
    permitted = _permitted(TableSpec("t", rows, 8), ShardingConfig(default=kind), ranks)
    if "row_wise" in permitted:
        block = -(-rows // ranks)
        assert all(min(rows, (rank + 1) * block) > rank * block for rank in range(ranks))
    if rows >= ranks and rows % ranks == 0 and kind in ("row_wise", "auto"):
        assert "row_wise" in permitted
    if kind == "column_wise":
        assert permitted == ["column_wise"]
