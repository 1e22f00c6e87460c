"""The gRPC server over real sockets: health, tokens, limits, several workers, a stop."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import HeadraceError
from headrace.serving.local import running_server, server_process
from headrace.serving.protocols.clients import open_client
from headrace.serving.protocols.grpc.client import GrpcClient
from tests.integration.serving.servers import process, refused, url_of
from tests.ports import free_port

HEALTH = "/grpc.health.v1.Health/Check"
INFER = "/inference.GRPCInferenceService/"


def raw(port: int, method: str, body: bytes = b"", token: str = "") -> Any:
    """The answer's bytes, or the status that came instead."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            metadata = (("authorization", f"Bearer {token}"),) if token else ()
            return channel.unary_unary(method)(body, timeout=20, metadata=metadata)
        except grpc.RpcError as error:
            return error.code().name


def test_health_limits_and_what_there_is_not(bundles: dict[str, Path]) -> None:
    port = free_port()
    with running_server(bundles["binary"], ["--grpc-port", str(port), "--max-body", "100000"]):
        service = b"inference.GRPCInferenceService"
        assert raw(port, HEALTH) == b"\x08\x01"
        assert raw(port, HEALTH, bytes([10, len(service)]) + service) == b"\x08\x01"
        assert raw(port, HEALTH, b"\x0a\x05other") == "NOT_FOUND"
        assert raw(port, INFER + "ServerLive") == b"\x08\x01"
        assert raw(port, INFER + "RepositoryIndex") == "UNIMPLEMENTED"
        assert raw(port, INFER + "ModelInfer", b"\xff") == "INVALID_ARGUMENT"
        assert raw(port, INFER + "ModelInfer", b"\0" * 200_000) == "RESOURCE_EXHAUSTED"


def test_a_token_is_asked_for_and_health_stays_open(bundles: dict[str, Path], tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("0123456789abcdef-token\n")
    port = free_port()
    with running_server(bundles["binary"], ["--grpc-port", str(port), "--token-file", str(file)]):
        assert raw(port, INFER + "ServerMetadata") == "UNAUTHENTICATED"
        assert raw(port, INFER + "ServerMetadata", token="another-token-0123") == "UNAUTHENTICATED"
        assert isinstance(raw(port, INFER + "ServerMetadata", token="0123456789abcdef-token"), bytes)
        assert raw(port, INFER + "ServerLive") == raw(port, HEALTH) == b"\x08\x01"


def test_several_workers_answer_until_they_are_stopped(bundles: dict[str, Path], binary: Bundle) -> None:
    """What was asked before the stop is answered; what comes then is not begun, and may be asked again."""
    port = free_port()
    instances, expected = binary.samples()
    stopping = threading.Event()

    def work(number: int) -> int:
        done = 0
        with GrpcClient(f"grpc://127.0.0.1:{port}/tiny") as client:
            while True:
                try:
                    assert client.predict(instances[:1])[0]["label"] == expected[0]["label"]
                    done += 1
                except HeadraceError as error:
                    assert stopping.is_set() and any(one in str(error) for one in ("UNAVAILABLE", "CANCELLED")), error
                    return done

    with ThreadPoolExecutor(4) as pool:
        with server_process(binary.path, ["--grpc-port", str(port), "--workers", "2"]):
            asked = [pool.submit(work, number) for number in range(4)]
            with open_client(f"grpc://127.0.0.1:{port}/tiny", protocol="grpc") as client:
                for _ in range(50):
                    client.predict(instances)
            stopping.set()
        assert all(one.result(30) > 0 for one in asked)


def test_a_port_that_is_taken_is_told(bundles: dict[str, Path]) -> None:
    with process(bundles["binary"], "--port", "0", "--grpc-port", "0") as started:
        url_of(started)
        assert started.stdout is not None
        line = started.stdout.readline()
        port = line.strip().rpartition(":")[2]
        assert line.startswith("headrace: gRPC at 127.0.0.1:")
        for workers in ("1", "2"):
            said = refused(bundles["binary"], "--port", "0", "--grpc-port", port, "--workers", workers)
            assert f"127.0.0.1:{port}: expected a free port. Received: Address already in use." in said


@pytest.mark.parametrize(
    "url", ["grpc://127.0.0.1", "grpc://127.0.0.1:9000", "http://127.0.0.1:9000/tiny", "grpc://h:99999/tiny"]
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(HeadraceError, match="expected an address like grpc://127.0.0.1:9000/MODEL"):
        GrpcClient(url)


def test_nobody_there() -> None:
    with (
        GrpcClient(f"grpc://127.0.0.1:{free_port()}/tiny", timeout=2) as client,
        pytest.raises(HeadraceError, match="UNAVAILABLE"),
    ):
        client.describe()
