"""Schedules in crontab's five fields, and in the form that KFP's scheduler reads.

It reads them by robfig/cron 1.2 (kubeflow/pipelines, go.mod), which has no time zones.
"""

from __future__ import annotations

from headrace.platforms.running import RunsError


def kfp_cron(cron: str, timezone: str) -> str:
    """Five fields, as KFP has them: six, the first for seconds.

    Raises:
        RunsError: not five fields, or a time zone of their own.
    """
    fields = cron.split()
    if len(fields) != 5:
        raise RunsError(f"cron: expected five fields, as in `0 6 * * 1-5`. Received: {cron!r}")
    if timezone not in ("", "UTC"):
        raise RunsError(
            "kubeflow: timezone: expected UTC, as KFP's schedules have no time zones of their own (its scheduler has "
            f"one for all of them, CRON_SCHEDULE_TIMEZONE). Received: {timezone}"
        )
    return f"0 {' '.join(fields)}"


def plain_cron(written: str) -> tuple[str, str]:
    """The five fields and the time zone of a schedule as KFP has it; six fields where it is one by the second."""
    zone, fields = "UTC", written.split()
    if fields and fields[0].partition("=")[0] in ("CRON_TZ", "TZ"):
        zone, fields = fields[0].partition("=")[2], fields[1:]
    return " ".join(fields[1:] if len(fields) == 6 and fields[0] == "0" else fields), zone
