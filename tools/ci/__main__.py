"""`python -m tools.ci check` and `python -m tools.ci run`: what `make ci-check` and `make ci-local` call."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.ci import checks, local, workflow
from tools.ci.build_file import Build, BuildFileError, load, resolve

ROOT = Path(__file__).resolve().parents[2]
BUILDS = ("cloudbuild.yaml", "cloudbuild/main.yaml", "cloudbuild/release.yaml")


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools.ci", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="the build files and workflows, without running anything")
    run = commands.add_parser("run", help="the steps of a build file that need no project, in their images")
    run.add_argument("file", nargs="?", default=BUILDS[0])
    run.add_argument("--step", action="append", default=[], metavar="ID", help="only this one; may be given again")
    run.add_argument("--substitution", action="append", default=[], metavar="NAME=VALUE")
    run.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="set in the containers")
    run.add_argument("--volume", action="append", default=[], metavar="HERE:THERE", help="as for `docker run`")
    run.add_argument("--workspace", type=Path, default=ROOT / "build" / "ci", help="[default: build/ci]")
    args = parser.parse_args()
    try:
        return check() if args.command == "check" else run_file(args)
    except (BuildFileError, local.StepFailed) as error:
        print(f"ci: {error}", file=sys.stderr)
        return 1


def check() -> int:
    """Prints what is wrong with the files of continuous integration."""
    builds = [load(ROOT / name) for name in BUILDS]
    found = [line for build in builds for line in checks.problems(build, ROOT)]
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
    found += [line for file in workflows for line in workflow.problems(file, ROOT)]
    for line in found:
        print(line.replace(f"{ROOT}/", ""), file=sys.stderr)
    if not found:
        print(
            f"ci: {len(builds)} build files with {sum(len(b.steps) for b in builds)} steps, {len(workflows)} workflows"
        )
    return 1 if found else 0


def run_file(args: argparse.Namespace) -> int:
    """Runs a build file's steps."""
    given = dict(entry.split("=", 1) for entry in args.substitution)
    build: Build = resolve(load(ROOT / args.file), {"PROJECT_ID": "local", "COMMIT_SHA": "0" * 40, **given})
    if unknown := set(args.step) - {step.id for step in build.steps}:
        raise BuildFileError(f"{args.file}: expected steps that it has. Received: {', '.join(sorted(unknown))}")
    local.checkout(ROOT, args.workspace)
    env = dict(entry.split("=", 1) for entry in args.env)
    local.run_steps(build, args.workspace, only=args.step, env=env, volumes=args.volume)
    return 0


if __name__ == "__main__":
    sys.exit(main())
