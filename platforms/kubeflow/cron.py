"""Schedules in crontab's five fields, and in the form that KFP's scheduler reads."""

from __future__ import annotations

from headrace.platforms.running import RunsError


def kfp_cron(cron: str, timezone: str) -> str:
    """Five fields, as KFP has them: six, the first for seconds, and the time zone in front.

    Raises:
        RunsError: not five fields.
    """
    fields = cron.split()
    if len(fields) != 5:
        raise RunsError(f"cron: expected five fields, as in `0 6 * * 1-5`. Received: {cron!r}")
    zone = "" if timezone in ("", "UTC") else f"CRON_TZ={timezone} "
    return f"{zone}0 {' '.join(fields)}"


def plain_cron(written: str) -> tuple[str, str]:
    """The five fields and the time zone of a schedule as KFP has it; six fields where it is one by the second."""
    zone, fields = "UTC", written.split()
    if fields and fields[0].partition("=")[0] in ("CRON_TZ", "TZ"):
        zone, fields = fields[0].partition("=")[2], fields[1:]
    return " ".join(fields[1:] if len(fields) == 6 and fields[0] == "0" else fields), zone
