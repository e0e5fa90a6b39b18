"""Tables and arrays off the wire: what was sent is read, what lies, breaks off or is too much is refused."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from vae_pipeline.serving.bodies import MOST_COLUMNS, array, columns
from vae_pipeline.serving.body import CSV, PARQUET, Body
from vae_pipeline.serving.refused import Refused
from vae_pipeline.serving.schemas import PAIRS, ROWS, WINDOW, WINDOWS, from_json

PLENTY = 1000


def npy(values):
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def headed(header, data=b"", version=b"\x01\x00"):
    """An npy file with this header, whatever it says."""
    size = len(header).to_bytes(2 if version == b"\x01\x00" else 4, "little")
    return b"\x93NUMPY" + version + size + header.encode() + data


def described(shape, kind="<f8"):
    return f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape}, }}\n"


def parquet(**named):
    stream = io.BytesIO()
    pq.write_table(pa.table(named), stream)
    return Body(PARQUET, stream.getvalue())


def csv(*lines):
    return Body(CSV, "\n".join(lines).encode())


def refusal(status, match, read):
    """The refusal that reading ends in."""
    with pytest.raises(Refused, match=match) as found:
        read()
    assert found.value.status == status
    assert len(found.value.message) < 600
    return found.value


@given(
    arrays(
        st.sampled_from(["<f8", ">f4", "<f2", "<i8", ">i2", "u1", "?"]),
        array_shapes(min_dims=0, max_dims=4, min_side=0),
    )
)
def test_an_array_of_numbers_is_read_as_it_was_saved(values):
    found = array(npy(values), field="windows", most=PLENTY)
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)


@given(content=st.binary(max_size=200), cut=st.integers(0, 200))
def test_what_is_no_whole_array_is_refused(content, cut):
    whole = npy(np.arange(20.0))
    for given_bytes in (content, whole[:cut], whole[: len(whole) - 1 - cut % 100], headed("{", content)):
        refusal(422, "windows: ", lambda sent=given_bytes: array(sent, field="windows", most=PLENTY))


@pytest.mark.parametrize(
    ("shape", "status"),
    [
        ("(3, 4)", 422),  # more than there is
        ("(1000000000000,)", 413),
        ("(1099511627776, 1099511627776, 1099511627776)", 413),
        ("(-1,)", 422),
        ("(-2, -3)", 422),
        (f"(0, {10**30})", 422),
        ("(1.5,)", 422),
        ("'ab'", 422),
    ],
)
def test_a_header_that_lies_about_its_size_is_refused_and_nothing_is_reserved(shape, status):
    refusal(status, "windows: ", lambda: array(headed(described(shape), bytes(48)), field="windows", most=PLENTY))


@pytest.mark.parametrize("kind", ["|O", "<U4", "|S4", "<M8[s]", "<c16", "|V8", "nonsense", "<f9"])
def test_anything_but_numbers_is_refused(kind):
    refusal(422, "windows: ", lambda: array(headed(described((1,), kind), bytes(64)), field="windows", most=PLENTY))


def test_objects_are_never_unpickled():
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    stream = io.BytesIO()
    np.save(stream, np.array([Trap()], dtype=object), allow_pickle=True)
    refusal(422, "holds object, not numbers", lambda: array(stream.getvalue(), field="windows", most=PLENTY))


@pytest.mark.parametrize("nested", ["-" * 9000 + "1", "(" * 9000, "[" * 150 + "]" * 150, "1" * 9000, "9**9**9"])
@pytest.mark.parametrize("version", [b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x07\x00"])
def test_a_header_that_is_made_to_break_the_reader_is_refused(nested, version):
    sent = headed(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({nested},), }}\n", version=version)
    refusal(422, "windows: ", lambda: array(sent, field="windows", most=PLENTY))


def test_an_array_of_more_numbers_than_allowed_is_refused():
    assert array(npy(np.zeros(8)), field="images", most=8).shape == (8,)
    found = refusal(
        413, "images: 9 numbers are more than the 8 allowed", lambda: array(npy(np.zeros(9)), field="images", most=8)
    )
    assert found.field == "images"


@given(
    st.lists(
        st.tuples(
            st.floats(allow_nan=False, allow_infinity=False),
            st.integers(-(2**53), 2**53),
            st.text(st.characters(categories=["L", "N"]), min_size=1).map(lambda text: f"unit {text}"),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_csv_and_parquet_give_the_same_columns(rows):
    values, counts, units = (list(column) for column in zip(*rows, strict=True))
    lines = [f"{unit},{count},{value!r}" for value, count, unit in rows]
    for body in (csv("unit,count,value", *lines), parquet(unit=units, count=counts, value=values)):
        found = columns(body, rows=20)
        assert list(found) == ["unit", "count", "value"]
        assert found["unit"].tolist() == units
        assert found["count"].tolist() == counts
        np.testing.assert_array_equal(found["value"].astype(float), values)


def test_whole_numbers_stay_whole():
    for body in (csv("unit,value", "7,1.5", "8,2.5"), parquet(unit=[7, 8], value=[1.5, 2.5])):
        found = columns(body, rows=PLENTY)
        assert found["unit"].dtype.kind == "i"
        assert found["unit"].astype(str).tolist() == ["7", "8"]


def test_texts_are_texts_and_a_missing_one_is_empty():
    assert columns(csv("unit,value", "pump 3,1", "a b,2"), rows=PLENTY)["unit"].tolist() == ["pump 3", "a b"]
    assert columns(parquet(unit=["a", None]), rows=PLENTY)["unit"].tolist() == ["a", ""]
    coded = pa.array(["a", "b", "a"]).dictionary_encode()
    assert columns(parquet(unit=coded), rows=PLENTY)["unit"].tolist() == ["a", "b", "a"]


def test_missing_numbers_are_nan():
    for body in (csv("a,b,c", "1,1.5,", ",,", "3,2.5,"), parquet(a=[1, None, 3], b=[1.5, None, 2.5], c=pa.nulls(3))):
        found = columns(body, rows=PLENTY)
        np.testing.assert_array_equal(found["a"], [1, np.nan, 3])
        np.testing.assert_array_equal(found["b"], [1.5, np.nan, 2.5])
        np.testing.assert_array_equal(found["c"], [np.nan] * 3)


@pytest.mark.parametrize(
    "kind", [pa.int8(), pa.int16(), pa.uint8(), pa.uint32(), pa.int64(), pa.float16(), pa.float32(), pa.bool_()]
)
def test_every_kind_of_number_is_read(kind):
    found = columns(parquet(a=pa.array([1, 0, 1], pa.int64()).cast(kind)), rows=PLENTY)["a"]
    assert found.dtype.kind in "if"
    assert found.tolist() == [1, 0, 1]


def test_slices_and_chunks_are_read_whole():
    """A column of several chunks is as one of a single chunk."""
    stream = io.BytesIO()
    pq.write_table(pa.table({"a": list(range(100)), "b": [float(n) for n in range(100)]}), stream, row_group_size=7)
    found = columns(Body(PARQUET, stream.getvalue()), rows=PLENTY)
    assert found["a"].tolist() == found["b"].tolist() == list(range(100))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_times_can_be_sorted(unit, zone):
    stamps = pa.array([86_400 * 1000, 3600, 0, 86_400], pa.int64()).cast(pa.timestamp("s"))
    found = columns(parquet(time=stamps.cast(pa.timestamp(unit, zone))), rows=PLENTY)["time"]
    assert np.argsort(found.astype(str)).tolist() == [2, 1, 3, 0]


@pytest.mark.parametrize(
    ("body", "status", "match"),
    [
        (csv("a,b", "1,2", "3"), 422, "table: cannot be read as text/csv .*[Ee]xpected 2 columns"),
        (csv("a,b", "1,2", "3,4,5"), 422, "table: cannot be read as text/csv"),
        (csv("a,b"), 422, "table: "),
        (csv("a,b", ""), 422, "table: "),
        (Body(CSV, b"\n"), 422, "table: "),
        (csv("a,b,a", "1,2,3"), 422, "column 'a': is named twice"),
        (Body(CSV, b"a,\xff\n1,2\n"), 422, "table: cannot be read as text/csv"),
        (Body(CSV, b"unit,b\n\xff\xfe,2\n"), 422, "column 'unit': "),
        (Body(CSV, b"\x00\x01\x02"), 422, "table: "),
        (csv("a", *["1"] * 11), 413, "table: 11 rows are more than the 10 allowed"),
        (Body(CSV, b"a\r" + b"1\r" * 11), 413, "table: 11 rows are more than the 10 allowed"),
        (parquet(a=list(range(11))), 413, "table: 11 rows are more than the 10 allowed"),
        (parquet(a=pa.array([], pa.float64())), 422, "table: has no rows"),
        (parquet(a=[[1], [2]]), 422, "column 'a': .* cannot be read"),
        (parquet(a=[{"b": 1}]), 422, "column 'a': .* cannot be read"),
        (parquet(a=[b"\xff"]), 422, "column 'a': .* cannot be read"),
        (Body(PARQUET, b"PAR1"), 422, "table: cannot be read as application/vnd.apache.parquet"),
        (Body(PARQUET, b"no parquet at all"), 422, "table: cannot be read as application/vnd.apache.parquet"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(body, status, match):
    refusal(status, match, lambda: columns(body, rows=10))


def test_a_table_of_just_so_many_rows_is_read():
    for body in (csv("a", *["1"] * 10), csv("a", *["1"] * 10, ""), parquet(a=list(range(10)))):
        assert len(columns(body, rows=10)["a"]) == 10


def test_parquet_that_breaks_off_anywhere_is_refused():
    whole = parquet(a=list(range(50)), unit=["x"] * 50).content
    for size in range(1, len(whole), 13):
        refusal(422, "table: ", lambda size=size: columns(Body(PARQUET, whole[:size]), rows=PLENTY))


@pytest.mark.parametrize(
    "kind",
    [
        pa.binary(),
        pa.large_binary(),
        pa.binary_view(),
        pa.binary(3),
        pa.dictionary(pa.int32(), pa.binary()),
        pa.list_(pa.float32()),
        pa.struct({"b": pa.int32()}),
        pa.map_(pa.string(), pa.int32()),
    ],
    ids=str,
)
@pytest.mark.parametrize("described", [True, False], ids=["described", "bare"])
def test_a_column_whose_rows_may_hold_anything_is_refused_before_it_is_read(kind, described, monkeypatch):
    stream = io.BytesIO()
    pq.write_table(pa.table({"a": [1], "b": pa.nulls(1, kind)}), stream, store_schema=described)
    body = Body(PARQUET, stream.getvalue())
    assert columns(body, rows=PLENTY, wanted={"a"})["a"].tolist() == [1]
    monkeypatch.setattr(pq.ParquetFile, "read", pytest.fail)
    refusal(422, "column 'b': .* cannot be read", lambda: columns(body, rows=PLENTY, wanted={"a", "b"}))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_texts_of_every_kind_are_read(kind):
    assert columns(parquet(unit=pa.array(["a", None, "a"], kind)), rows=PLENTY)["unit"].tolist() == ["a", "", "a"]


def test_only_what_is_wanted_is_read():
    for body in (csv("a,b", "1,2"), parquet(a=[1], b=[2])):
        assert list(columns(body, rows=PLENTY, wanted={"b", "c"})) == ["b"]
    assert columns(Body(CSV, b"a,note\n1,\xff\n"), rows=PLENTY, wanted={"a"})["a"].tolist() == [1]
    for body in (csv("a", *["1"] * 11), parquet(a=list(range(11)))):
        refusal(413, "table: 11 rows", lambda body=body: columns(body, rows=10, wanted={"b"}))


@pytest.mark.parametrize("start", ["", "\ufeff", "\n\n", "\r\n"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_header_is_the_first_line_that_is_not_empty(start, end):
    content = start + end.join(['"unit, long",b', "x,2", ""])
    found = columns(Body(CSV, content.encode()), rows=PLENTY, wanted={"unit, long", "b"})
    assert [values.tolist() for values in found.values()] == [["x"], [2]]


def test_more_columns_than_allowed_are_refused():
    names = [f"a{number}" for number in range(MOST_COLUMNS + 1)]
    ones = ",".join("1" * len(names))
    assert len(columns(csv(",".join(names[1:]), ones[2:]), rows=PLENTY)) == MOST_COLUMNS
    for body in (csv(",".join(names), ones), parquet(**{name: pa.nulls(1) for name in names})):
        refusal(
            413, "5,001 columns are more than the 5,000 allowed", lambda body=body: columns(body, rows=9, wanted={})
        )


FAULTS = 100_000


@pytest.mark.parametrize(
    ("kind", "content", "fault", "field", "more"),
    [
        (WINDOWS, '{"windows": [[[%s]]]}', "[]", "windows.0.0.0", ""),
        (WINDOWS, '{"windows": [[%s]]}', "[[]]", "windows.0.0.0", ""),
        (WINDOWS, '{"windows": [%s]}', "[[[]]]", "windows.0.0.0", ""),
        (WINDOWS, '{"columns": {"a": [%s]}}', "[]", "columns.a.list[float].0", " (and 2 more)"),
        (WINDOW, "[%s]", "17", "window.0", ""),
        (PAIRS, '{"pairs": [%s]}', "17", "pairs.0", ""),
        (ROWS, "[%s]", "17", "0", ""),
    ],
)
def test_of_many_faults_the_first_is_told_and_no_other_is_made(kind, content, fault, field, more):
    sent = (content % ",".join([fault] * FAULTS)).encode()
    within = "window" if kind is WINDOW else ""
    found = refusal(422, ": Input", lambda: from_json(kind, sent, names=9, within=within))
    assert found.field == field
    assert found.message.endswith(more)
    assert ("more)" in found.message) == bool(more)


@pytest.mark.parametrize("name", ['"a%d":1', '"a%d" :1', '"a%d"\n:1'])
def test_json_of_more_names_than_allowed_is_refused(name):
    for count, status in ((9, 422), (10, 413)):
        sent = ("{" + ",".join(name % number for number in range(count)) + "}").encode()
        refusal(
            status,
            "body: has more than the 9 names" if count > 9 else "a0: Extra",
            lambda s=sent: from_json(WINDOWS, s, names=9),
        )
    times = b'{"columns": {"time": ["12:00:00", "12:00:01"]}}'
    assert from_json(WINDOWS, times, names=2).columns == {"time": ["12:00:00", "12:00:01"]}
