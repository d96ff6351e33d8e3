"""A sample of a log's rows, as a file of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.data.source import open_source
from recsys.data.stores import StoreConfig
from recsys.errors import InputError


def write_sample(paths: Sequence[str], store: StoreConfig, share: float, seed: int, output: Path) -> int:
    """Draw each row of the files behind `paths` with probability `share` and write those drawn to `output`, in their order. Their number.

    What is drawn depends on the seed and the rows' places alone: a smaller share's rows are among a larger one's. The file is there whole
    or not at all. Memory: a row group. Raises InputError when no row is drawn.
    """
    source, drawn = open_source(paths, [], store=store), 0
    temporary = output.with_name(f".{output.name}.writing")
    output.parent.mkdir(parents=True, exist_ok=True)
    writer: pq.ParquetWriter | None = None
    try:
        for place, group, rows in source.groups:
            chosen = np.random.default_rng([seed, place, group]).random(rows) < share
            with source.files[place].open() as file:
                table = file.read_row_group(group).filter(pa.array(chosen))
            writer = writer or pq.ParquetWriter(temporary, table.schema, compression="zstd", write_page_checksum=True)
            if table.num_rows:
                writer.write_table(table)
            drawn += table.num_rows
    finally:
        if writer is not None:
            writer.close()
    if not drawn:
        raise InputError(f"{', '.join(paths)}: a sample of {share:.2g} of {source.rows:,} rows has none; take a larger one")
    temporary.replace(output)
    return drawn
