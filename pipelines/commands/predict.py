"""`headrace predict`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.commands.options import decimal_option, home_option, platform_uri_option, separator_option

if TYPE_CHECKING:
    from headrace.serving.client import Asked


@click.command("predict")
@click.argument("endpoint")
@click.option("--json", "text", help="An instance, or a list of them; `-` reads standard input, `@FILE` a file.")
@click.option("--csv", "file", type=click.Path(path_type=Path), help="A CSV file; a prediction per row.")
@separator_option("--csv")
@decimal_option("--csv")
@click.option("--image", "image", type=click.Path(path_type=Path), help="An image file; more may follow it.")
@click.option("--explain", is_flag=True, help="With --json: what each column contributed to the answer.")
@click.option(
    "--protocol",
    type=click.Choice(["vertex", "v2", "tf", "grpc"]),
    default="vertex",
    show_default=True,
    help="How to ask: Vertex AI's form, Open Inference Protocol v2 (REST or gRPC), TensorFlow Serving's REST.",
)
@click.option("--token-file", type=click.Path(path_type=Path), help="File with the token that the server asks for.")
@click.option(
    "--ca",
    type=click.Path(path_type=Path),
    help="Authority of the server's certificate, in PEM.  [default: those that the system trusts]",
)
@click.argument("images", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE]...")
@platform_uri_option
@home_option
def command(
    endpoint: str,
    text: str | None,
    file: Path | None,
    separator: str | None,
    decimal: str | None,
    image: Path | None,
    explain: bool,
    protocol: str,
    token_file: Path | None,
    ca: Path | None,
    images: tuple[Path, ...],
    platform: str,
    home: Path,
) -> None:
    """Ask ENDPOINT (its name, or a server's URL) for predictions; prints one JSON object per line.

    With --explain an answer also says what it is made of: the mean answer for the model's own samples, and what each
    column's value added to it or took from it (Shapley values, by sampling), which together come to the answer.

    The answers are the same whatever the --protocol. With `grpc` ENDPOINT is grpc://HOST:PORT/MODEL; with `v2` and `tf`
    it may also be the model's address on another server of that protocol: http://HOST:PORT/v2/models/NAME.

    With --platform kubeflow:NAMESPACE?... the endpoint of that name on KServe is asked, and with
    vertex:...&machine=TYPE the one that Vertex AI serves, with the machine's Google credentials.
    """
    from headrace.serving.client import Access, predict, predict_csv, predict_images

    sources = {"--json": text, "--csv": file, "--image": image}
    received = ", ".join(name for name, value in sources.items() if value is not None) or "none"
    if received not in sources:
        raise click.UsageError(f"expected one of --json, --csv and --image. Received: {received}")
    if file is None and (separator or decimal):
        raise click.UsageError(f"expected --csv with --separator and --decimal. Received: {received}")
    if explain and text is None:
        raise click.UsageError(f"expected --json with --explain. Received: {received}")
    if explain and "://" in endpoint:
        raise click.UsageError(
            f"expected an endpoint's name with --explain, as its model is needed. Received: {endpoint}"
        )
    if images and image is None:
        raise click.UsageError(f"expected files behind --image only. Received: {images[0]}")
    if protocol == "grpc" and "://" not in endpoint:
        raise click.UsageError(f"expected grpc://HOST:PORT/MODEL with --protocol grpc. Received: {endpoint}")
    url, host = _where(endpoint, platform, home)
    if not isinstance(url, str):
        asked = {"--protocol": protocol != "vertex", "--token-file": token_file, "--ca": ca}
        if of_servers := ", ".join(name for name, value in asked.items() if value):
            raise click.UsageError(f"expected none of {', '.join(asked)} for Vertex AI. Received: {of_servers}")
    access = Access(token_file, ca, host)
    if image is not None:
        for name, answer in predict_images(url, [image, *images], protocol=protocol, access=access):
            click.echo(json.dumps({"image": str(name), **answer}))
        return
    given = instances(text or "") if text is not None else []
    if file is not None:
        answers = predict_csv(url, file, protocol=protocol, access=access, separator=separator, decimal=decimal)
    else:
        answers = predict(url, given, protocol=protocol, access=access)
    if explain:
        from headrace.pipelines.explained import explained_answers

        answers = explained_answers(endpoint, home, given, answers, platform)
    for answer in answers:
        click.echo(json.dumps(answer))
    if file is not None and not answers:
        click.echo(f"{file}: there is no row below the header", err=True)


def _where(endpoint: str, platform: str, home: Path) -> tuple[str | Asked, str]:
    """What is asked, and the host's name to send with it where a gateway needs one."""
    from headrace.pipelines.locate import served_at

    if "://" in endpoint:
        return endpoint, ""
    if platform.startswith("vertex:"):
        from headrace.platforms.vertex.store import VertexPlace

        if VertexPlace.of(platform).machine:
            from headrace.pipelines.vertex_endpoint import VertexEndpoint

            return VertexEndpoint(platform, endpoint, home), ""
    return served_at(endpoint, platform, home)


def instances(text: str) -> list[dict[str, object]]:
    """The instances of a --json option.

    Raises:
        HeadraceError: not JSON, or neither an object nor a list of objects.
    """
    try:
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text(encoding="utf-8")
    except OSError as error:
        raise HeadraceError(f"--json {text}: expected a file. Received: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise HeadraceError(f"--json {text}: expected text in UTF-8. Received: other bytes ({error})") from None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise HeadraceError(f"--json: expected JSON. Received: {text[:60]!r} ({error})") from None
    value = value["instances"] if isinstance(value, dict) and isinstance(value.get("instances"), list) else value
    value = [value] if isinstance(value, dict) else value
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise HeadraceError(f"--json: expected an object, or a list of objects. Received: {text[:60]}")
    return value
