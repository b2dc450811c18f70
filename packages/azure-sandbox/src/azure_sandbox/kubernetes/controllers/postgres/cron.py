"""Schedules of six fields, the first being seconds, as ScheduledBackup has them: https://pkg.go.dev/github.com/robfig/cron."""

from __future__ import annotations

from datetime import datetime, timedelta

LIMITS = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
NAMES = {
    4: ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    5: ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
}
SHORT = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}
LONGEST = timedelta(days=366 * 5)


class Schedule:
    """A schedule.

    Raises:
        ValueError: the text is none.
    """

    def __init__(self, text: str) -> None:
        fields = SHORT.get(text.strip(), text).split()
        if len(fields) != 6:
            raise ValueError(f"Expected exactly 6 fields, found {len(fields)}: {text}")
        self._sets = [_values(field, index) for index, field in enumerate(fields)]
        # A day fits when either of its fields does, unless one of them is open.
        self._either = not any(field.startswith(("*", "?")) for field in (fields[3], fields[5]))

    def after(self, moment: datetime) -> datetime | None:
        """The next time after a moment; None when there is none in five years."""
        seconds, minutes, hours, _, months, _ = self._sets
        at = moment.replace(microsecond=0) + timedelta(seconds=1)
        end = at + LONGEST
        while at < end:
            if at.month not in months:
                at = (at.replace(day=1, hour=0, minute=0, second=0) + timedelta(days=32)).replace(day=1)
            elif not self._fits_day(at):
                at = at.replace(hour=0, minute=0, second=0) + timedelta(days=1)
            elif at.hour not in hours:
                at = at.replace(minute=0, second=0) + timedelta(hours=1)
            elif at.minute not in minutes:
                at = at.replace(second=0) + timedelta(minutes=1)
            elif at.second not in seconds:
                at += timedelta(seconds=1)
            else:
                return at
        return None

    def _fits_day(self, at: datetime) -> bool:
        by_month, by_week = at.day in self._sets[3], (at.weekday() + 1) % 7 in self._sets[5]
        return by_month or by_week if self._either else by_month and by_week


def _values(field: str, index: int) -> set[int]:
    low, high = LIMITS[index]
    found: set[int] = set()
    for part in field.split(","):
        span, _, step_text = part.partition("/")
        step = int(step_text) if step_text else 1
        if span in ("*", "?"):
            first, last = low, high
        else:
            first_text, _, last_text = span.partition("-")
            first = _number(first_text, index)
            last = _number(last_text, index) if last_text else (high if step_text else first)
        if not (low <= first <= last <= high and step > 0):
            raise ValueError(f"{part} isn't within {low} to {high}")
        found.update(range(first, last + 1, step))
    return found


def _number(text: str, index: int) -> int:
    names = NAMES.get(index, [])
    if text.lower()[:3] in names:
        return names.index(text.lower()[:3]) + LIMITS[index][0]
    return int(text)
