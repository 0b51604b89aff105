"""Checks which dates a backtest looks at: as asked, as the data allows, at midnights of the company's zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from mailshot.errors import Refused
from mailshot.facts.periods import Span
from mailshot.insight.backtest import MAX_DATES, Series

NEW_YORK = ZoneInfo("America/New_York")
FIRST, LAST = datetime(2017, 1, 1, 17, tzinfo=UTC), datetime(2018, 1, 1, 4, 1, tzinfo=UTC)
FORTNIGHT = Span(14, "day")


def day(text: str, zone: ZoneInfo = NEW_YORK) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def dates(series: Series, within: Span = FORTNIGHT, zone: ZoneInfo = NEW_YORK) -> list[str]:
    return [f"{moment:%Y-%m-%d %H:%M}" for moment in series.moments(FIRST, LAST, within, zone)]


def test_by_default_the_first_of_each_month_whose_goal_can_be_seen() -> None:
    starts = dates(Series())
    assert (starts[0], starts[-1], len(starts)) == ("2017-02-01 00:00", "2017-12-01 00:00", 11)
    assert dates(Series(), Span(45, "day"))[-1] == "2017-11-01 00:00"
    assert dates(Series(), Span(31, "day"))[-1] == "2017-12-01 00:00"


def test_by_weeks_the_last_date_is_as_late_as_the_data_allows() -> None:
    starts = dates(Series(every=Span(1, "week")))
    assert starts[-1] == "2017-12-18 00:00"
    assert starts[0] == "2017-01-02 00:00"


def test_as_asked_both_ends_included_and_the_31st_comes_again() -> None:
    asked = Series(day("2017-01-31"), day("2017-05-31"))
    assert [text[5:10] for text in dates(asked)] == ["01-31", "02-28", "03-31", "04-30", "05-31"]
    assert dates(Series(day("2017-06-01"), day("2017-06-01"))) == ["2017-06-01 00:00"]
    assert dates(Series(since=day("2017-11-03")))[-1] == "2017-12-03 00:00"
    assert dates(Series(until=day("2017-03-15")))[-1] == "2017-03-15 00:00"
    assert dates(Series(until=day("2015-03-15"))) == ["2015-03-15 00:00"]


def test_midnights_stay_midnights_when_the_clocks_change() -> None:
    moments = Series(day("2017-03-11"), day("2017-03-13"), Span(1, "day")).moments(FIRST, LAST, FORTNIGHT, NEW_YORK)
    assert [moment.hour for moment in moments] == [0, 0, 0]
    utc = [moment.astimezone(UTC) for moment in moments]
    assert [later - sooner for sooner, later in pairwise(utc)] == [
        timedelta(hours=24),
        timedelta(hours=23),
    ]
    hours = Series(day("2017-03-12"), day("2017-03-12T06:00"), Span(1, "hour"))
    assert [text[-5:] for text in dates(hours)] == ["00:00", "01:00", "03:00", "04:00", "05:00", "06:00"]


def test_without_purchases_dates_must_be_given() -> None:
    with pytest.raises(Refused, match="There are no purchases"):
        Series().moments(None, None, FORTNIGHT, NEW_YORK)
    asked = Series(day("2017-01-01"), day("2017-02-01"))
    assert len(asked.moments(None, None, FORTNIGHT, NEW_YORK)) == 2


def test_what_cannot_be_looked_at_is_refused() -> None:
    with pytest.raises(Refused, match="no date from 2019-01-01"):
        dates(Series(since=day("2019-01-01")))
    with pytest.raises(Refused, match="no date until"):
        dates(Series(), Span(400, "day"))
    with pytest.raises(Refused, match=f"more than {MAX_DATES} dates"):
        dates(Series(day("2015-01-01"), day("2017-01-01"), Span(1, "day")))
    assert dates(Series(day("2017-01-01"), day("2017-02-01"), Span(99999, "week"))) == ["2017-01-01 00:00"]
