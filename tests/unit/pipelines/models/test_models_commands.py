"""`headrace models`, as it is typed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from headrace.pipelines.cli import main
from headrace.platforms.interface import Blessing, Deployed, ModelSettings, RolledBack
from headrace.platforms.local.endpoints import LocalEndpoints
from headrace.platforms.local.platform import LocalPlatform
from tests.unit.platforms.bundles import write_unscorable_bundle as write_bundle


class Shell:
    """The command line over a home of three versions: the first serves, the others were judged against it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.home, self._capsys = folder / "home", capsys
        self.platform = LocalPlatform(self.home)
        against = None
        for seed in (1, 2, 3):
            version = self.platform.registry.register(
                write_bundle(folder / "bundles" / str(seed), seed),
                "homes",
                metrics={"rmse": 4.0 - seed, "mae": 1.0},
                run=f"run-{seed}",
                labels={"dataset": "sha256:data" if seed < 3 else "sha256:other", "split": "test"},
                blessing=Blessing(against),
                settings=ModelSettings(0, "prices"),
                who="trainer",
            )
            if against is None:
                self.platform.endpoints.deploy("prices", "homes", "1")
            against = against or version.digest

    def __call__(self, *arguments: str) -> list[str]:
        """The lines that a command prints."""
        main(["models", *arguments])
        return self._capsys.readouterr().out.splitlines()

    def fails(self, *arguments: str, code: int = 1) -> str:
        """What a command says against it; nothing may have changed."""
        before = self.platform.registry.history()
        with pytest.raises(SystemExit) as caught:
            main(["models", *arguments])
        assert caught.value.code == code
        assert self.platform.registry.history() == before
        return self._capsys.readouterr().err

    def states(self) -> list[str]:
        return [version.state for version in self.platform.registry.versions("homes")]


@pytest.fixture
def models(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HEADRACE_USER", "root")
    return Shell(tmp_path, capsys)


WHY = ("--reason", "looked at it")


def test_the_lists(models: Shell, tmp_path: Path) -> None:
    head, line = models()
    assert head.split() == ["MODEL", "SERVES", "NEWEST", "METRIC", "REGISTERED"]
    assert line.startswith("homes  1 at prices  3 blessed  rmse 3")
    assert (
        models("list") == models("--home", str(tmp_path / "home")) == models("list", "--match", "OME") == [head, line]
    )
    head, *lines = models("homes")
    assert [row.split()[0] for row in lines] == ["homes:3", "homes:2", "homes:1"]
    assert "live at prices  champion" in lines[2]
    assert "challenger" in lines[0]
    assert [row.split()[0] for row in models("--state", "live")[1:]] == ["homes:1"]
    (found,) = [json.loads(row) for row in models("--json")]
    assert (found["champion"]["version"], found["newest"]["version"], found["versions"]) == ("1", "3", 3)
    assert [json.loads(row)["state"] for row in models("homes", "--json")] == ["blessed", "blessed", "live"]


def test_nothing_there_is_said(models: Shell, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["models", "--home", str(tmp_path / "empty")])
    assert capsys.readouterr().err == "No model is registered there yet: headrace run SPEC\n"
    main(["models", "list", "--state", "waiting", "--home", str(tmp_path / "home")])
    assert capsys.readouterr().err == "No version is waiting.\n"


def test_what_is_mistyped(models: Shell) -> None:
    assert models.fails("hoems") == (
        "headrace: expected a registered model, or a command. Received: hoems; did you mean homes?\n"
    )
    assert "No such command 'aprove'; did you mean 'approve'?" in models.fails("aprove", "homes:1", code=2)
    assert "expected a registered version (1 to 3, challenger, champion). Received: '9'" in models.fails("homes:9")
    assert "expected a version, such as homes:3. Received: homes" in models.fails("approve", "homes", *WHY)
    assert "Missing option '--reason'" in models.fails("reject", "homes:2", code=2)
    assert "expected a registered one (homes). Received: 'flats'" in models.fails("show", "flats")


def test_show_tells_all_of_a_version(models: Shell) -> None:
    text = "\n".join(models("show", "homes:2"))
    for part in ("homes:2\n  state           blessed", "by trainer", "judged against  version 1", "\n  rmse  ", "history:",
                 "headrace models promote homes:2"):  # fmt: skip
        assert part in text
    assert models("homes:2") == models("show", "homes:2")
    assert models("show", "homes")[0] == "homes:1"  # the champion
    found = json.loads(models("show", "homes:1", "--json")[0])
    assert [event["action"] for event in found["history"]] == ["register", "deploy"]


def test_rollback_of_what_another_model_took_the_place_of_meanwhile(
    models: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models("promote", "homes:2", *WHY)
    for seed in (7, 8):
        bundle = write_bundle(tmp_path / "bundles" / str(seed), seed)
        models.platform.registry.register(bundle, "flats", metrics={}, run="r", blessing=Blessing(None))
    rollback = LocalEndpoints.rollback

    def late(endpoints: LocalEndpoints, endpoint: str, **asked: str) -> RolledBack:
        for version in ("1", "2"):  # after the command looked at what serves
            endpoints.deploy(endpoint, "flats", version)
        return rollback(endpoints, endpoint, **asked)

    monkeypatch.setattr(LocalEndpoints, "rollback", late)
    with pytest.raises(SystemExit):
        main(["models", "rollback", "homes", *WHY])
    assert models.platform.endpoints.get("prices").main == Deployed("flats", "2", 100)  # type: ignore[union-attr]
    assert models.platform.registry.get("flats", "2").state == "live"


def test_putting_away_the_champion_is_told(models: Shell, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundles" / "7", 7)
    models.platform.registry.register(bundle, "flats", metrics={}, run="r", blessing=Blessing(None))
    models.platform.endpoints.deploy("prices", "flats", "1")
    models("reject", "homes:1", *WHY)
    text = "\n".join(models("show", "homes:1"))
    assert "homes:1 is rejected, was blessed; the champion is none now: looked at it" in text
    assert models.platform.registry.get("homes", "1").aliases == ()
    assert models.platform.registry.verify().problems == ()


def test_from_approval_to_rollback(models: Shell) -> None:
    assert models("policy", "homes", "two", *WHY) == ["homes asks for 2 approvals now, before 0"]
    assert [row.split()[0] for row in models("--state", "waiting")[1:]] == ["homes:3", "homes:2"]
    assert "expected approval by 2 people. Received: 0." in models.fails("promote", "homes:2", *WHY)
    assert "by another person than trainer" in models.fails("approve", "homes:2", "--by", "trainer", *WHY)
    assert models("approve", "homes:2", "--by", "anna", *WHY) == [
        "anna approved homes:2: 1 of 2 approvals",
        "1 more is needed, of other people, before it may serve",
    ]
    assert models("approve", "homes:2", *WHY)[0] == "root approved homes:2: 2 of 2 approvals"
    assert models("promote", "homes:2", *WHY) == ["endpoint prices serves homes:2 now (before: version 1)"]
    assert models("promote", "homes:2", *WHY) == ["endpoint prices serves homes:2 already: nothing to do"]
    assert "note: anna's approval was typed in the account" in "\n".join(models("show", "homes:2"))
    assert models("rollback", "homes", *WHY) == ["endpoint prices serves homes:1 again; homes:2 is rejected, by root"]
    assert "Received: none, it was the first" in models.fails("rollback", "homes", *WHY)
    assert models("restore", "homes:2", *WHY) == ["homes:2 is blessed now, by root"]
    assert models("reject", "homes:2", *WHY) == ["homes:2 is rejected now, by root"]
    assert models("archive", "homes:3", *WHY) == ["homes:3 is archived now, by root"]
    assert models.states() == ["live", "rejected", "archived"]
    assert "looked at it" in "\n".join(models("audit", "homes"))
    assert "unbroken" in models("audit", "--verify", "--bundles")[0]


def test_compare(models: Shell) -> None:
    text = "\n".join(models("compare", "homes:1", "2"))
    assert "rmse" in text
    assert "-1  homes:2" in text
    assert "Both were measured on the same rows." in text
    assert "measured on different rows" in "\n".join(models("compare", "homes"))  # the champion, and the newest
    found = json.loads(models("compare", "homes:2", "--json")[0])
    assert (found["one"], found["other"], found["metrics"]["rmse"]["better"]) == ("homes:1", "homes:2", "other")
    assert "Received: homes:1 alone, and is the champion" in models.fails("compare", "homes:1")


def test_download(models: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert models("download", "homes")[0].startswith("homes:1 (sha256:")
    assert (tmp_path / "homes-1" / "model.onnx").is_file()
    assert "expected a place that is still free" in models.fails("download", "homes", "homes-1")


def test_audit_tells_of_damage(models: Shell) -> None:
    head = models.platform.registry.history()[-1].hash
    assert models("audit", "--verify", "--head", head[:16])[1] == f"the last has the hash {head}"
    assert "Received: 1 problems" in models.fails("audit", "--head", "0" * 64)
    stored = Path(models.platform.registry.get("homes", "2").uri) / "model.onnx"
    stored.chmod(0o644)
    stored.write_bytes(b"another model")
    assert "changed content" in models.fails("audit", "--verify", "--bundles")
    assert len(models("audit", "-n", "2")) == 2
    assert json.loads(models("audit", "--json")[-1])["hash"] == head


def test_many_models_are_read_at_a_glance(models: Shell, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "one", 99, size=100)
    for number in range(30):
        settings = ModelSettings(number % 2)
        models.platform.registry.register(
            bundle, f"churn-{number:03}", metrics={"auc": 0.8}, run="r", blessing=Blessing(None), settings=settings
        )
    lines = models()
    assert len(lines) == 1 + 31 + 1
    assert lines[-1] == "31 models, 33 versions; serving: 1; waiting for approval: 15"
    assert max(map(len, lines)) <= 100
    assert len(models("--match", "churn-00*")) == 1 + 10 + 1
    assert len(models("--state", "waiting")) == 1 + 15


def test_help_lists_every_command(models: Shell) -> None:
    text = "\n".join(models("--help"))
    for name in ("list", "show", "compare", "approve", "reject", "promote", "rollback", "archive", "download", "audit"):
        assert f"\n  {name} " in text


def test_a_split_from_its_beginning_to_its_end(models: Shell) -> None:
    name = r"prices-2-[0-9a-f]{8}"
    (line,) = models("split", "homes", "1=90", "2=10", "--shadow", "3", "--key", "X-User", *WHY)
    told = rf"endpoint prices serves homes:1 90%, homes:2 10%, homes:3 as a shadow \(experiment {name}, by x-user\)"
    assert re.fullmatch(told, line)
    assert models("endpoints", "prices") == [line]
    found = json.loads(models("endpoints", "--json")[0])
    assert (found["traffic"], found["shadows"], found["base"]) == ({"1": 90, "2": 10}, ["3"], "1")
    (line,) = models("split", "homes", "homes:1=40", "2=60", *WHY)  # the shadow, the key and the name stay
    assert re.fullmatch(r".* homes:2 60%, homes:1 40%, homes:3 as a shadow \(experiment .*, by x-user\)", line)
    assert "split prices: version 1 40%, version 2 60%, version 3 as a shadow: looked at it" in models("audit")[-1]
    assert models("split", "homes", "2=100", "--no-shadow", *WHY) == ["endpoint prices serves homes:2 100%"]
    assert models.states() == ["blessed", "live", "blessed"] and models.platform.registry.verify().intact


def test_a_split_is_rolled_back(models: Shell) -> None:
    models("split", "homes", "1=50", "2=20", "3=30", *WHY)
    assert models("rollback", "homes", *WHY) == ["endpoint prices serves homes:1 again; homes:3 is rejected, by root"]
    assert models.states() == ["live", "rejected", "rejected"]
    for version in ("homes:2", "homes:3"):
        text = "\n".join(models("show", version))
        assert "split prices: version 1 50%, version 2 20%, version 3 30%: looked at it" in text
        assert "rolled prices back from homes:3, homes:2 to 1: looked at it" in text


def test_a_version_that_is_deployed_with_a_shadow_tells_of_it(models: Shell) -> None:
    models("split", "homes", "2=100", "--shadow", "3", *WHY)
    for version in ("homes:2", "homes:3"):
        assert "deployed homes:2 at prices, version 3 as a shadow: looked at it" in "\n".join(models("show", version))


def test_what_is_served_behind_an_endpoint_called_as_the_model_is_no_history_of_it(
    models: Shell, tmp_path: Path
) -> None:
    for seed in (7, 8):
        bundle = write_bundle(tmp_path / "bundles" / str(seed), seed)
        models.platform.registry.register(bundle, "flats", metrics={}, run="r", blessing=Blessing(None))
    models.platform.endpoints.deploy("homes", "flats", "1", who="ann", reason="first")
    parts = [Deployed("flats", "1", 90), Deployed("flats", "2", 10)]
    models.platform.endpoints.split("homes", parts, who="ann", reason="named so")
    assert not any("named so" in line for line in models("show", "homes:1"))
    assert any("named so" in line for line in models("show", "flats:2"))


def test_what_makes_no_split(models: Shell) -> None:
    for words, told in (
        (("homes", "2"), "share: expected VERSION=PERCENT, as in 4=10. Received: 2"),
        (("homes", "1=50", "2=40"), "expected shares that add up to 100 percent. Received: 90"),
        (("homes", "2=50", "3=50"), "expected what was deployed there last (homes:1) among the versions that answer"),
        (("homes", "1=50", "9=50"), "expected a registered version"),
        (("nobody", "1=100"), "expected a registered one (homes)"),
        (("homes", "1=100", "--endpoint", "other"), "expected one of prices. Received: other"),
    ):
        assert told in models.fails("split", *words, *WHY)
    assert "expected one that serves (prices). Received: 'other'" in models.fails("endpoints", "other")
