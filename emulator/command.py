"""headrace emulator"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator


@click.command(name="emulator")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen on.")
@click.option(
    "--port", default=8971, show_default=True, type=click.IntRange(0, 65535), metavar="PORT",
    help="Port; 0 takes a free one.",
)  # fmt: skip
@click.option(
    "--state", "folder", type=click.Path(path_type=Path), default=Path(".headrace-emulator"), show_default=True,
    metavar="DIR", help="Folder of what clients make; made where there is none, and found again at the next start.",
)  # fmt: skip
@click.option("--quiet", is_flag=True, help="Print the address only, and not how clients use it.")
def command(host: str, port: int, folder: Path, quiet: bool) -> None:
    """Vertex AI, Kubeflow Pipelines and Cloud Storage on this machine, for their own clients."""
    from headrace.emulator.server import serve

    def ready(emulator: Emulator) -> None:
        click.echo(f"headrace: emulator at {emulator.address}, state in {emulator.folder}; Ctrl-C ends it")
        if not quiet:
            click.echo(USE.format(address=emulator.address))

    serve(folder, host, port, on_ready=ready)


USE = """
  from google.auth.credentials import AnonymousCredentials
  from google.cloud import aiplatform
  import kfp, os

  os.environ["STORAGE_EMULATOR_HOST"] = "{address}"  # gs:// goes there too
  os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"  # or gcsfs asks the real service first
  aiplatform.init(project="demo", location="us-central1", api_endpoint="{address}",
                  api_transport="rest", credentials=AnonymousCredentials())
  client = kfp.Client(host="{address}")

In one line, and with what would leave for the real service refused:
  from headrace.emulator.connecting import connect
  connect("{address}", project="demo")
"""
