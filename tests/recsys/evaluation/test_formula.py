from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import InputError
from recsys.evaluation.formula import DEPTH, parse

TASKS = ["ctr", "cvr", "dwell"]
SCORES = {"ctr": np.array([0.1, 0.5, 0.9]), "cvr": np.array([0.3, 0.2, 0.01]), "dwell": np.array([2.0, 40.0, 7.5])}


@st.composite
def formulas(draw: st.DrawFn, depth: int = 4) -> tuple[str, str]:
    """A formula, and the same as Python writes it."""
    kind = draw(
        st.sampled_from(["number", "task"] if depth == 0 else ["number", "task", "sign", "call", "sum", "product", "power", "group"])
    )
    if kind == "number":
        number = draw(st.sampled_from(["2", "0.5", ".25", "1e-1", "3.", "1.5E+0"]))
        return number, number
    if kind == "task":
        task = draw(st.sampled_from(TASKS))
        return task, task
    left, python_left = draw(formulas(depth - 1))
    if kind == "sign":
        return f"-{left}", f"-{python_left}"
    if kind == "call":
        name = draw(st.sampled_from(["exp", "log1p", "sqrt", "log"]))
        return f"{name}({left})", f"np.{name}({python_left})"
    if kind == "group":
        return f"({left})", f"({python_left})"
    operator = draw(st.sampled_from({"sum": "+-", "product": "*/", "power": "^"}[kind]))
    right, python_right = draw(formulas(depth - 1))
    return f"{left} {operator}{right}", f"{python_left} {operator.replace('^', '**')}{python_right}"


@given(formulas())
def test_a_formula_means_what_python_makes_of_it(texts: tuple[str, str]) -> None:
    text, python = f"ctr + {texts[0]}", f"ctr + {texts[1]}"
    numbers = {"np": np, **SCORES}
    with np.errstate(all="ignore"):
        # Constants are numpy's too, so that 0.5 ** -inf and the root of -1 are numbers and not exceptions.
        expected = eval(_with_numpy_constants(python), numbers)
    if np.isnan(expected).any():
        with pytest.raises(InputError, match="has no value in"):
            parse(text, TASKS)(SCORES)
    else:
        np.testing.assert_allclose(parse(text, TASKS)(SCORES), expected, rtol=1e-14)


def _with_numpy_constants(python: str) -> str:
    return re.sub(r"(?<![\w.])((?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)", r"np.float64(\1)", python)


def test_the_usual_formula() -> None:
    formula = parse("ctr^0.7 * cvr^0.3 * dwell^0.5", TASKS)
    assert formula.tasks == ("ctr", "cvr", "dwell")
    expected = [math.pow(a, 0.7) * math.pow(b, 0.3) * math.sqrt(c) for a, b, c in zip(*SCORES.values(), strict=True)]
    np.testing.assert_allclose(formula(SCORES), expected, rtol=1e-14)


def test_float32_scores_are_taken_as_float64() -> None:
    values = parse("ctr * 1", TASKS)({"ctr": np.array([0.1], np.float32)})
    assert values.dtype == np.float64
    assert values[0] == float(np.float32(0.1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ctr^^2", "expected a number, a task or '(' at character 5, where '^' stands"),
        ("ctr *", "at character 6, where it ends"),
        ("", "at character 1, where it ends"),
        ("(ctr", "expected an operator or ')' at character 5, where it ends"),
        ("ctr cvr", "expected an operator at character 5, where 'cvr' stands"),
        ("ctr)", "expected an operator at character 4, where ')' stands"),
        ("ctr + 1.2.3", "expected an operator at character 10, where '.3' stands"),
        ("ctr # 2", "'#' at character 5 has no meaning"),
        ("ctr × 2", "'×' at character 5 has no meaning"),
        ("ctr * crv", "no task 'crv' (at character 7); the nearest is 'cvr', known are ctr, cvr, dwell"),
        ("exit(ctr)", "no function 'exit' (at character 1); the nearest is 'exp'"),
        ("__import__(ctr)", "no function '__import__'"),
        ("ctr.real", "'.' at character 4 has no meaning"),
        ("log", "no task 'log'"),
        ("1 + 2", "names no task"),
        ("ctr" + " + ctr" * 500, "3003 characters are more than 1000"),
        ("(" * 200 + "ctr" + ")" * 200, f"nested deeper than {DEPTH} levels"),
        ("-" * 200 + "ctr", f"nested deeper than {DEPTH} levels"),
        ("ctr" + "^ctr" * 200, f"nested deeper than {DEPTH} levels"),
    ],
)
def test_what_is_no_formula_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(InputError) as refusal:
        parse(text, TASKS)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_long_flat_formula_is_taken() -> None:
    assert parse("+".join(["ctr"] * 250), TASKS)(SCORES)[1] == pytest.approx(125)


def test_rows_without_a_value_are_counted_and_one_is_named() -> None:
    scores = {"ctr": np.array([0.5, -1.0, 0.2, -2.0])}
    with pytest.raises(InputError, match=r"no value in 2 of 4 rows, first in row 1, where ctr = -1;"):
        parse("sqrt(ctr)", TASKS)(scores)
    assert parse("log(ctr)", TASKS)({"ctr": np.array([0.0])})[0] == -math.inf
