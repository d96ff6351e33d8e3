"""Census-Income (KDD) as a log: the benchmark of the MMoE (KDD 2018) and PLE (RecSys 2020) papers."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys.data.schema import Column, Schema
from recsys.data.writer import LogWriter
from recsys.errors import InputError

FILE_NAME = "census_income_kdd.parquet"
SPLITS = ("train", "valid", "test")
NUMBERS = {
    "age": "age in years",
    "wage_per_hour": "wage per hour, in cents",
    "capital_gains": "capital gains in dollars",
    "capital_losses": "capital losses in dollars",
    "stock_dividends": "dividends from stocks in dollars",
    "num_emp": "persons who worked for the employer, 0 .. 6",
    "weeks_worked": "weeks worked in the year",
}
LABELS = {
    "label_income": "1 if the income is above 50,000 dollars; leave income_50k out of the features",
    "label_never_married": "1 if never married; leave marital_stat out of the features",
    "label_college": "1 if at least some college; leave education out of the features",
}


def prepare(source: Path, output: Path) -> Schema:
    """Write the log of the file `census_income_kdd.parquet`, or of the folder that holds it, one partition a split.

    Raises InputError when the file is missing or is another one, or `output` can't be replaced.
    """
    rows = _read(source / FILE_NAME if source.is_dir() else source)
    with LogWriter(output, _schema(rows.drop_columns("split").schema)) as log:
        for split in SPLITS:
            log.write(rows.filter(pc.equal(rows["split"], split)).drop_columns("split"), split)
    return log.schema


def _read(path: Path) -> pa.Table:
    """All columns; dictionaries of strings become strings."""
    try:
        rows = pq.read_table(path, partitioning=None)
    except FileNotFoundError:
        raise InputError(f"{path}: not found; --source must be {FILE_NAME} or the folder that holds it") from None
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: is not a parquet file ({str(error).splitlines()[0]})") from None
    missing = [name for name in (*NUMBERS, *LABELS, "split") if name not in rows.column_names]
    if missing:
        raise InputError(f"{path}: has no column {missing[0]}; --source must be {FILE_NAME}")
    strange = sorted({str(split) for split in rows["split"].unique().to_pylist()} - set(SPLITS))
    if strange:
        raise InputError(f"{path}: column split: {strange[0]!r} is not a split; splits are {', '.join(SPLITS)}")
    plain = [pa.field(field.name, pa.string() if _is_text(field.type) else field.type) for field in rows.schema]
    return rows.cast(pa.schema(plain))


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_dictionary(kind) or pa.types.is_large_string(kind)


def _schema(fields: pa.Schema) -> Schema:
    return Schema(
        name="census_income_kdd",
        description="Persons of the Current Population Surveys of 1994 and 1995, without instance_weight and year",
        source="https://archive.ics.uci.edu/dataset/117/census+income+kdd",
        licence="CC BY 4.0, U.S. Census Bureau, UCI Machine Learning Repository",
        columns=[_column(field) for field in fields],
    )


def _column(field: pa.Field) -> Column:
    name = field.name
    if name in NUMBERS:
        return Column(name=name, type=str(field.type), kind="number", description=NUMBERS[name])
    if name in LABELS:
        return Column(name=name, type=str(field.type), kind="label", description=LABELS[name])
    return Column(name=name, type=str(field.type), kind="id", description=name.replace("_", " "))
