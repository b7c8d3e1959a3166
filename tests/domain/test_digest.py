"""The digest and the row hashes see names, types and values, and nothing of how a table was cut or encoded."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onerun.domain.blocks import SAMPLED_ROWS, canonical, rebatch
from onerun.domain.columns import stored_type
from onerun.domain.digest import ContentDigest, row_hashes

BLOCK = 8
texts = st.text(alphabet="ab é \t☃", max_size=3)
rows = st.lists(
    st.tuples(
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.floats(width=32),
        st.none() | texts,
        st.none() | st.booleans(),
        st.none() | st.dates(),
    ),
    min_size=1,
    max_size=40,
)
TYPES = (pa.int64(), pa.float64(), pa.string(), pa.bool_(), pa.date32())


def table(values: Sequence[tuple[object, ...]]) -> pa.Table:
    columns = [
        pa.array(column, kind)
        for column, kind in zip(zip(*values, strict=True), TYPES, strict=True)
    ]
    return pa.table(dict(zip("abcde", columns, strict=True)))


def digest_and_hashes(
    batches: Sequence[pa.RecordBatch], block: int = BLOCK
) -> tuple[str, list[int]]:
    schema = pa.schema([(field.name, stored_type(field.type)) for field in batches[0].schema])
    digest, hashes = ContentDigest(schema), []
    for batch in rebatch(iter(batches), block):
        cells = canonical(batch, schema)
        digest.update(cells)
        hashes += row_hashes(cells).tolist()
    return digest.hexdigest(), hashes


@given(rows, st.lists(st.integers(1, 12), min_size=1, max_size=5), st.booleans())
@settings(max_examples=200, deadline=None)
def test_neither_chunking_nor_encoding_shows(
    values: list[tuple[object, ...]], cuts: list[int], as_dictionary: bool
) -> None:
    whole = table(values)
    other = (
        whole.set_column(2, "c", whole.column(2).dictionary_encode()) if as_dictionary else whole
    )
    pieces, start = [], 0
    while start < whole.num_rows:
        size = cuts[len(pieces) % len(cuts)]
        pieces += other.slice(start, size).to_batches()
        start += size
    assert digest_and_hashes(pieces) == digest_and_hashes(whole.to_batches())


@given(rows, st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_a_row_has_the_same_hash_wherever_it_stands(
    values: list[tuple[object, ...]], random: object
) -> None:
    order = list(range(len(values)))
    random.shuffle(order)  # type: ignore[attr-defined]
    before = digest_and_hashes(table(values).to_batches())[1]
    after = digest_and_hashes(table([values[i] for i in order]).to_batches())[1]
    assert after == [before[i] for i in order]


@pytest.mark.parametrize(
    "other",
    [
        pa.table({"a": [1, 2, None], "b": ["x", "y", "z"]}),
        pa.table({"a": [1, 2, 4], "b": ["x", "y", None]}),
        pa.table({"a": [1, 2, 4], "b": ["xy", "", "z"]}),
        pa.table({"a": [1.0, 2.0, 4.0], "b": ["x", "y", "z"]}),
        pa.table({"b": ["x", "y", "z"], "a": [1, 2, 4]}),
        pa.table({"a": [1, 2], "b": ["x", "y"]}),
        pa.table({"a": [1, 2, -(2**63)], "b": ["x", "y", "z"]}),
    ],
)
def test_any_difference_of_content_shows(other: pa.Table) -> None:
    one = pa.table({"a": [1, 2, 4], "b": ["x", "y", "z"]})
    assert digest_and_hashes(one.to_batches())[0] != digest_and_hashes(other.to_batches())[0]


def test_the_smallest_integer_is_not_a_missing_one() -> None:
    smallest = pa.table({"a": [1, -(2**63), None]})
    missing = pa.table({"a": [1, None, -(2**63)]})
    assert digest_and_hashes(smallest.to_batches())[0] != digest_and_hashes(missing.to_batches())[0]


def test_nan_is_a_missing_value_and_blanks_around_text_are_nothing() -> None:
    one = pa.table({"a": [1.0, float("nan")], "b": [" <=50K", ">50K\t"]})
    other = pa.table({"a": [1.0, None], "b": ["<=50K", ">50K"]})
    assert digest_and_hashes(one.to_batches()) == digest_and_hashes(other.to_batches())


@pytest.mark.parametrize("as_dictionary", [False, True])
def test_texts_that_hardly_repeat_are_the_same_in_any_encoding(as_dictionary: bool) -> None:
    names = pa.array([None if i % 7 == 0 else f" id{i}" for i in range(3 * SAMPLED_ROWS)])
    plain = pa.table({"a": names})
    other = pa.table({"a": names.dictionary_encode()}) if as_dictionary else plain
    cut = [
        batch
        for start in range(0, len(names), 999)
        for batch in other.slice(start, 999).to_batches()
    ]
    assert digest_and_hashes(cut, 2 * SAMPLED_ROWS) == digest_and_hashes(
        plain.to_batches(), 2 * SAMPLED_ROWS
    )
    assert len(set(digest_and_hashes(cut, 2 * SAMPLED_ROWS)[1])) == len(set(names.to_pylist()))


def test_row_hashes_hardly_collide() -> None:
    numbers = pa.table(
        {"a": np.arange(200_000) % 1000, "b": (np.arange(200_000) // 1000).astype(float)}
    )
    assert len(set(digest_and_hashes(numbers.to_batches(), 65_536)[1])) == 200_000
