"""`python -m tools.delivery COMMAND`: compile-all, submit-e2e, gate, promote, dist, release; `make` calls it."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from tools.delivery.asked import needed
from tools.delivery.errors import DeliveryError

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tools.delivery", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, options in OPTIONS.items():
        command = commands.add_parser(name)
        for option in options:
            command.add_argument(f"--{option}", default="")
    args = parser.parse_args(arguments)
    from headrace.artifacts.errors import HeadraceError

    try:
        COMMANDS[args.command](args)
    except (DeliveryError, HeadraceError) as error:
        print(f"{args.command}: {error}", file=sys.stderr)
        return 1
    return 0


def compile_all(args: argparse.Namespace) -> None:
    """Compiles every example's pipelines."""
    from tools.delivery.compile_all import compile_all, read_digests

    images = read_digests(Path(args.digests)) if args.digests else {}
    if images:
        os.environ["HEADRACE_IMAGES"] = str(Path(args.digests).resolve())
    index = compile_all(ROOT, BUILD / "pipelines", images)
    for name, entry in index.items():
        print(f"{entry['sha256'][:12]}  build/pipelines/{name}")
    print(
        f"compile-all: {len(index)} pipelines in {', '.join(sorted({i for e in index.values() for i in e['images']}))}"
    )


def submit_e2e(args: argparse.Namespace) -> None:
    """Runs an example on staging, to its end."""
    from tools.delivery.staging import submit

    needed(SPEC=args.spec, PROJECT=args.project, REGION=args.region, BUCKET=args.bucket, COMMIT=args.commit)
    run = submit(
        ROOT / args.spec,
        BUILD,
        project=args.project,
        region=args.region,
        bucket=args.bucket,
        service_account=args.service_account,
        commit=args.commit,
    )
    print(f"submit-e2e: run {run['id']} succeeded in {run['place']}")


def gate(args: argparse.Namespace) -> None:
    """Judges that run."""
    from headrace.platforms.running import Where, open_runs
    from tools.delivery.gate import judge
    from tools.delivery.staging import ENDPOINT

    needed(PROJECT=args.project, REGION=args.region, COMMIT=args.commit)
    endpoint = os.environ.get(ENDPOINT, "")
    where = Where(on="vertex", project=args.project, location=args.region, endpoint=endpoint)
    judgement = judge(open_runs(where), BUILD / "run.json", args.commit, BUILD / "gate.json")
    print(f"gate: run {judgement['run']} did all of its {len(judgement['tasks'])} steps")


def promote(args: argparse.Namespace) -> None:
    """Keeps what passed."""
    from tools.delivery.releases import Releases, promote

    needed(RELEASES=args.releases, COMMIT=args.commit)
    current = promote(Releases.of(args.releases), args.commit, committed(args.commit), BUILD)
    print(f"promote: {args.commit} {'is the current one' if current else 'is kept; a later commit is the current one'}")


def dist(args: argparse.Namespace) -> None:
    """Builds the package."""
    from tools.delivery.dist import build_dist

    for file in build_dist(ROOT, args.tag, ROOT / "dist"):
        print(f"dist: {file.relative_to(ROOT)} {file.stat().st_size / 1e6:.1f} MB")


def release(args: argparse.Namespace) -> None:
    """Names what was promoted, and uploads the package."""
    from tools.delivery.dist import check_version, upload
    from tools.delivery.releases import Releases, release

    needed(TAG=args.tag, COMMIT=args.commit, RELEASES=args.releases, PACKAGES=args.packages)
    check_version(ROOT, args.tag)
    promotion = release(Releases.of(args.releases), args.tag, args.commit)
    upload(ROOT / "dist", args.packages)
    print(f"release: {args.tag} is {args.commit}: {', '.join(promotion['images'].values())}")


def committed(commit: str) -> int:
    """When a commit was made; now, where git does not say."""
    said = subprocess.run(
        ["git", "-C", str(ROOT), "show", "-s", "--format=%ct", commit], capture_output=True, text=True
    )
    return int(said.stdout) if said.returncode == 0 and said.stdout.strip().isdigit() else int(time.time())


OPTIONS = {
    "compile-all": ("digests",),
    "submit-e2e": ("spec", "project", "region", "bucket", "service-account", "commit"),
    "gate": ("project", "region", "commit"),
    "promote": ("releases", "commit"),
    "dist": ("tag",),
    "release": ("tag", "commit", "releases", "packages"),
}
COMMANDS = {
    "compile-all": compile_all,
    "submit-e2e": submit_e2e,
    "gate": gate,
    "promote": promote,
    "dist": dist,
    "release": release,
}

if __name__ == "__main__":
    sys.exit(main())
