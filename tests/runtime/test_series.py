"""Series: reading and writing CSV, time axes, errors."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.cli import main
from dragoman.runtime.errors import UserError
from dragoman.runtime.series import Series, read_series, write_series
from dragoman.runtime.timestamps import TimeAxis


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n", "needs a header and rows"),
        ("a,b\n1,2\n3\n", "row 3: the row has 1 columns, and the header has 2"),
        ("a,b\n1,2\n3,x\n", "row 3: 'x' in the column b is not a number"),
        ("a\n1\ninf\n", "row 3: 'inf' in the column a is not a number"),
        ("time,a\n2024-01-01,1\n2024-01-02,2\n2024-01-02,3\n", "row 4: the time 2024-01-02 does not come after"),
        ("time,a\n2024-01-01,1\n2024-01-02,2\n2024-01-03,2\n2024-01-03 05:00,3\n", "row 5: .* does not fit a series"),
        ("time,a\n2024-01-01,1\n5,2\n6,2\n", "row 3: the time '5' is not in the format of the first"),
        ("time,a\nnoon,1\n5,2\n6,2\n", "row 2: 'noon' is not a time"),
        ("time,a\n5,2\n6,2\n", "has 2 times; at least 3"),
        ("time\n5\n6\n7\n", "no column of numbers"),
        (",y\n0,5\n1,6\n2,7\n", "s.csv: column 1 has no name"),
        ("a\n1\n1_000\n", "row 3: '1_000' in the column a is not a number"),
        ("a,b,a\n1,2,3\n4,5,6\n", "has 2 columns named 'a'"),
        (
            "time,a\n2024-01-01,1\n2024-01-02,2\n2042-01-03,2\n",
            "row 4: .* is 6,577 rows of 1 day, 0:00:00 after the first, and 6,575 of them would be empty",
        ),
        (
            "time,a\n2024-01-01T00:00Z,1\n2024-01-01T01:00Z,2\n2024-01-01T02:00,2\n",
            "row 4: .* not in the format of the first",
        ),
        (
            "time,a\n0001-01-01T00:00+01:00,1\n0001-01-01T01:00+01:00,2\n0001-01-01T02:00+01:00,2\n",
            "outside the years 1 to 9999",
        ),
        (
            "time,a\n0001-01-01T00:00Z,1\n0001-01-01T01:00Z,2\n0001-01-01T02:00-05:00,2\n",
            "row 2: .* outside the years 1 to 9999",
        ),
        ("time,a\n0e-9999,1\n1,2\n2,2\n", "'0e-9999' is not a time"),
        (f"time,a\n0.{'0' * 5000}1,1\n1,2\n2,2\n", "is not a time"),
        ("time,a\n2024-01-31,1\n2024-02-28,2\n2024-03-31,2\n", "row 4: the time 2024-03-31 does not fit"),
    ],
)
def test_bad_series(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_series(text.encode(), "s.csv")


def timed(stamps: Iterable[str]) -> Series:
    """Return a series of ones at the given times."""
    return read_series(("time,y\n" + "".join(f"{stamp},1\n" for stamp in stamps)).encode(), "x")


def test_time_axes_extrapolate() -> None:
    for stamps, expected in (
        (["2024-11", "2024-12", "2025-01"], "2025-02"),
        (["2024-11-30", "2024-12-01", "2024-12-02"], "2024-12-03"),
        (["7", "8", "9"], "10"),
        (["2024-12-31 23:00", "2025-01-01 00:00", "2025-01-01 01:00"], "2025-01-01 02:00"),
        (["2024-12-31T23:30", "2025-01-01T00:30", "2025-01-01T01:30"], "2025-01-01T02:30"),
        (["2024-02-28T23:00Z", "2024-02-29T00:00Z", "2024-02-29T01:00Z"], "2024-02-29T02:00Z"),
        (
            ["2024-02-28 23:00:00+05:30", "2024-02-29 00:00:00+05:30", "2024-02-29 01:00:00+05:30"],
            "2024-02-29 02:00:00+05:30",
        ),
        (["2024-12-31 23:59:59.5", "2025-01-01 00:00:00.0", "2025-01-01 00:00:00.5"], "2025-01-01 00:00:01.0"),
        (["20241230", "20241231", "20250101"], "20250102"),
        (["2023-12-31", "2024-01-31", "2024-02-29"], "2024-03-31"),
        (["2024-12-30", "2025-01-30", "2025-02-28"], "2025-03-30"),
        (["2024-06-30", "2024-09-30", "2024-12-31"], "2025-03-31"),
        (["2020-02-29", "2021-02-28", "2022-02-28"], "2023-02-28"),
        (["2024-01-01", "2024-01-29", "2024-02-26"], "2024-03-25"),
        (["0.333", "0.667", "1.000"], "1.334"),
        (["1700000000123456", "1700000000123461", "1700000000123466"], "1700000000123471"),
        (["-1.5", "-0.5", "0.5"], "1.5"),
    ):
        series = timed(stamps)
        assert series.time_axis is not None
        assert [series.time_axis.at(n) for n in range(4)] == [*stamps, expected]


@given(st.lists(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6, width=32)), min_size=2, max_size=2), min_size=3))
def test_series_round_trip(rows: list[list[float | None]]) -> None:
    rows[0] = rows[-1] = [1.0, 2.0]
    values = np.array(rows, np.float32)
    axis = TimeAxis(first=3, span=8, n_intervals=4, interval="2", template="0")
    back = read_series(write_series(Series(("a", "b"), values, axis)).encode(), "s.csv")
    assert back.names == ("a", "b")
    np.testing.assert_array_equal(back.values.astype(np.float32), values)
    plain = read_series(write_series(Series(("a", "b"), values)).encode(), "s.csv")
    np.testing.assert_array_equal(plain.values.astype(np.float32), values)


def test_the_time_column_is_found_by_name(tmp_path: Path) -> None:
    """The column may stand anywhere, and a gap stays a gap."""
    table = b"y;when\n1,5;7\n".replace(b",", b".") + b"2;8\n4;10\n"
    series = read_series(table, "x", time="when")
    np.testing.assert_array_equal(series.values[:, 0], np.array([1.5, 2, np.nan, 4], np.float32))
    assert write_series(series) == "when,y\n7,1.5\n8,2\n9,\n10,4\n"
    again = read_series(table, "x", ("y",), preferred_time="when")
    np.testing.assert_array_equal(again.values, series.values)
    assert read_series(table, "x", preferred_time="hour").names == ("y", "when")


def test_an_empty_line_of_one_column_is_a_gap() -> None:
    np.testing.assert_array_equal(read_series(b"y\n1\n\n3\n\n", "x").values[:, 0], np.array([1, np.nan, 3], np.float32))
    assert len(read_series(b"y\tz\n1\t2\n\n3\t4\n", "x").values) == 2


def test_long_series_have_exact_times() -> None:
    """Ten times per second for an hour, floating point rounds no time."""
    start = datetime(2024, 1, 1)
    seconds = [(start + timedelta(milliseconds=100 * i)).isoformat(timespec="milliseconds") for i in range(36_000)]
    numbers = [f"{17_000_000_000 + i}" for i in range(36_000)]
    for stamps, after in (
        (seconds, "2024-01-01T01:00:00.000"),
        ([f"{n[:-1]}.{n[-1]}" for n in numbers], "1700003600.0"),
    ):
        series = timed(stamps)
        assert len(series.values) == 36_000
        assert series.time_axis
        assert series.time_axis.at(36_000) == after


def test_times_are_written_in_the_longest_format() -> None:
    for stamps, expected in (
        (["2024-01-01", "2024-01-01 12:00", "2024-01-02"], "2024-01-02 12:00"),
        (["2024-01-01T00:00:00", "2024-01-01T00:00:00.500000", "2024-01-01T00:00:01"], "2024-01-01T00:00:01.500000"),
    ):
        series = timed(stamps)
        again = read_series(write_series(series).encode(), "y")
        assert again.time_axis
        assert again.time_axis.at(3) == expected


def test_daylight_saving() -> None:
    with pytest.raises(UserError, match=r"row 4: .* does not fit .* give all times in UTC"):
        read_series(b"time,y\n2024-03-29T00:00+01:00,1\n2024-03-30T00:00+01:00,2\n2024-04-01T00:00+02:00,3\n", "x")
    rows = b"time,y\n2024-03-31T00:00+01:00,1\n2024-03-31T01:00+01:00,2\n2024-03-31T03:00+02:00,3\n"
    axis = read_series(rows + b"2024-03-31T04:00+02:00,4\n", "x").time_axis
    assert axis
    assert axis.at(4) == "2024-03-31T04:00+01:00"


def test_summer_time_that_ends_in_utc() -> None:
    """Java writes the times of London like this."""
    hours = ["30T23:00:00Z", "31T00:00:00Z", "31T02:00:00+01:00", "31T03:00:00+01:00"]
    axis = timed(f"2024-03-{hour}" for hour in hours).time_axis
    assert axis
    assert [axis.at(row) for row in (0, 3, 4)] == [f"2024-03-31T0{hour}:00:00+01:00" for hour in (0, 3, 4)]


def test_too_many_missing_rows_are_rejected() -> None:
    times = [190_000 * (i // 3) + i % 3 for i in range(3000)]
    with pytest.raises(UserError, match="of them would be empty; check the time for a typing error"):
        timed(map(str, times))


@given(st.lists(st.floats(width=32, max_value=2**90, min_value=-(2**90)), min_size=3))
def test_values_round_trip_exactly(values: list[float]) -> None:
    for given_ in (np.array(values, np.float32), np.array(values) / 3):
        back = read_series(write_series(Series(("a",), given_[:, None])).encode(), "x").values
        np.testing.assert_array_equal(back[:, 0].astype(given_.dtype), given_)


def test_separators() -> None:
    for text, names in (
        ('Zeit;"Temp, C";"Wind, m/s"\n1;2;3\n2;4;5\n3;6;7\n', ("Temp, C", "Wind, m/s")),
        ('time,"a;b;c"\n1,2\n2,3\n3,4\n', ("a;b;c",)),
        ("time;Temp, C\n1;2\n2;3\n3;4\n", ("Temp, C",)),
    ):
        assert read_series(text.encode(), "x", time=text[:4]).names == names
    text = 'Zeit;"Temp, C"\n1;2\n2;4\n3;6\n'
    for data in (text.encode("utf-16"), text.replace("\n", "\r").encode(), text.replace("\n", "\r\n").encode()):
        assert read_series(data, "x", time="Zeit").values[:, 0].tolist() == [2, 4, 6]
    with pytest.raises(UserError, match="its first row must name the columns"):
        read_series(b"2024-01-01,0\n2024-01-02,1\n2024-01-03,1\n", "x")
    with pytest.raises(UserError, match="'a' is requested twice"):
        read_series(b"a,b\n1,2\n3,4\n", "x", ["a", "a"])


def test_time_axes_end_with_the_calendar() -> None:
    series = read_series(b"time,y\n7990-01-01,1\n8990-01-01,2\n9990-01-01,3\n", "x")
    with pytest.raises(UserError, match="beyond the year 9999"):
        write_series(Series(("y",), np.zeros((4, 1), np.float32), series.time_axis))


def test_falling_and_large_times() -> None:
    falling = "time,y\n" + "".join(f"2024-01-{31 - i:02},{i}\n" for i in range(20))
    with pytest.raises(UserError, match="sort the rows, oldest first"):
        read_series(falling.encode(), "x")
    with pytest.raises(UserError, match="'inf' is not a time"):
        read_series(b"time,y\n1,2\n2,3\n3,4\ninf,5\n", "x")
    seconds = ("time,y\n" + "".join(f"{1_700_000_000 + 3600 * i},{i}\n" for i in range(20))).encode()
    again = read_series(write_series(read_series(seconds, "x")).encode(), "y")
    np.testing.assert_array_equal(again.values, read_series(seconds, "x").values)


def test_unusable_series_corpora_are_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text("y\n" + "".join(f"{1_234_567_890 + i % 3}\n" for i in range(100)))
    words = ["corpus", "series", str(tmp_path / "a.csv"), "--out", str(tmp_path / "out")]
    assert main(words) == 2
    assert "y has values such as 1234567890 that differ too little" in capsys.readouterr().err
    (tmp_path / "a.csv").write_text("Year,y\n" + "".join(f"{1900 + i},{i % 7}\n" for i in range(100)))
    assert main(words) == 2
    assert "the column 'Year' rises evenly, as times do; if it holds times, give --time Year" in capsys.readouterr().err
    for more, names in ((["--time", "Year"], "y;"), (["--columns", "Year,y"], "Year, y;")):
        assert main([*words, *more]) == 0
        assert f"out: {names}" in capsys.readouterr().out
    (tmp_path / "a.csv").write_text("x,y\n" + "".join(f"{i % 3},{'' if i % 5 else 7.5}\n" for i in range(100)))
    assert main(words) == 0
    assert "dragoman: y is always 7.5 in training, so nothing can be learnt" in capsys.readouterr().err
    days = [date(2024, 1, 1) + timedelta(days=i) for i in range(140)]
    (tmp_path / "a.csv").write_text("day,y\n" + "".join(f"{d},{d.day}\n" for d in days if d.weekday() < 5))
    assert main([*words, "--time", "day"]) == 0
    assert "38 of 138 rows hold no value" in capsys.readouterr().err
    months = [f"{2000 + i // 12}{i % 12 + 1:02},{i % 7}" for i in range(60)]
    for header, said in (
        ("date", "the times 200001, 200002 look like years and months"),
        ("month", "'month' rises"),
    ):
        (tmp_path / "a.csv").write_text(f"{header},y\n" + "\n".join(months))
        assert main(words) == 2
        assert said in capsys.readouterr().err
    (tmp_path / "a.csv").write_text(
        "x;y\n" + "".join(f"{n % 3};{y}\n" for n, y in enumerate((*range(900, 980), "1.000", "1.020", "1.040")))
    )
    assert main(words) == 2
    assert (
        "rows 81 and 82: 979 and 1.000 in the column y: the point looks like a thousands separator. "
        "If it is, remove it. If it is a decimal point, write 979 as 979.0." in capsys.readouterr().err
    )
    assert read_series(b"y,z\n250,0.125\n1.125,1\n1.250,0.5\n2.375,7\n", "x").values[:, 0].tolist() == [
        250,
        1.125,
        1.25,
        2.375,
    ]
    (tmp_path / "a.csv").write_text('"Temp, C";y\n' + "".join(f"{i % 5};{i % 7}\n" for i in range(100)))
    assert main([*words, "--columns", 'y, "Temp, C"']) == 0
    assert "out: y, Temp, C;" in capsys.readouterr().out
    (tmp_path / "a.csv").write_text("y,z\n" + "".join(f"{i % 5},{i if i > 90 else ''}\n" for i in range(100)))
    assert main(words) == 2
    assert "z has no value in the first 80 rows, the training set" in capsys.readouterr().err
    (tmp_path / "a.csv").write_text("y\n" + "".join(f"{10_000_000 + i}\n" for i in range(100)))
    assert main([*words, "--valid", "2"]) == 2
    assert "--valid 2: hold out at least 3 rows" in capsys.readouterr().err
    assert main(words) == 0
    assert (tmp_path / "out" / "train.csv").read_text().splitlines()[:3] == ["y", "10000000", "10000001"]
