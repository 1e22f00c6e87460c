"""Who is let in: tokens, HTTPS, certificates of clients."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import os
import ssl
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.commands.predict import command as predict_command
from headrace.pipelines.rollout.reading import address, read
from headrace.serving.client import Access, predict, predict_csv
from headrace.serving.http.tls import Certificates
from headrace.serving.http.token import Tokens
from headrace.serving.local import running_server
from tests.integration.serving.fronts import answers, fronted, read_all
from tests.integration.serving.servers import GOOD, ask, process, refused, url_of, wait_until
from tests.ports import free_port

OLD, NEW = "0123456789abcdef", "fedcba9876543210"


def get(path: str, authorization: str | None = None) -> bytes:
    more = f"Authorization: {authorization}\r\n" if authorization is not None else ""
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n{more}Connection: close\r\n\r\n".encode()


def test_a_token_is_asked_for_but_for_health(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{OLD}\n")
    with fronted(token_file=str(file), max_body=1000) as found:
        for wrong in (None, "", OLD, f"Basic {OLD}", "Bearer", f"Bearer {OLD}x", f"Bearer {OLD[:-1]}", "Bearer é"):
            received = found.ask(get("/predict", wrong))
            assert answers(received) == [401] and b'www-authenticate: Bearer realm="headrace"' in received
            assert OLD.encode() not in received
        for right in (f"Bearer {OLD}", f"bearer  {OLD}"):
            assert answers(found.ask(get("/predict", right))) == [200]
        for open_path in ("/health", "/healthz?a=b", "/v2/health/ready"):
            assert answers(found.ask(get(open_path))) == [200]
        for closed in ("/metrics", "/", "//health", "/health/../predict", "/%68ealth"):
            assert answers(found.ask(get(closed))) == [401]
        seen = len(found.seen)
        body = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        assert answers(found.ask(body % 500 + b"x" * 500)) == [401]
        assert answers(found.ask(body % 100_000)) == [401]  # before it is sent
        assert answers(found.ask((body % 5).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))) == [401]
        assert len(found.seen) == seen
        file.write_text(f"{OLD}\n\n  {NEW}  \n")
        os.utime(file, ns=(1, 1))
        wait_until(lambda: answers(found.ask(get("/predict", f"Bearer {NEW}"))) == [200])
        file.write_text("")  # what cannot be used changes nothing
        os.utime(file, ns=(2, 2))
        found.front.guard.look()  # type: ignore[union-attr]
        assert answers(found.ask(get("/predict", f"Bearer {NEW}"))) == [200]


def test_a_token_file_that_cannot_be_used_is_one_line(bundles: dict[str, Path], tmp_path: Path) -> None:
    file = tmp_path / "token"
    assert "expected a file with a token. Received: No such file" in refused(
        bundles["binary"], "--port", 0, "--token-file", file
    )
    for text, message in (
        ("\n\n", "on a line of its own. Received: none"),
        ("short\n", "16 characters. Received: one of 5"),
    ):
        file.write_text(text)
        with pytest.raises(HeadraceError, match=message):
            Tokens(str(file))


def certificate(folder: Path, name: str, issuer: Any = None) -> Any:
    """Writes NAME.pem and NAME.key; returns what signs others."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    above, signer = issuer or (subject, key)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(above)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(signer, hashes.SHA256())
    )
    (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    kind = serialization.PrivateFormat.PKCS8
    text = key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption())
    (folder / f"{name}.key").write_bytes(text)
    return subject, key


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("papers")
    authority = certificate(folder, "authority")
    certificate(folder, "server", authority)
    certificate(folder, "client", authority)
    certificate(folder, "stranger")
    return folder


def secure(papers: Path, client: str | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(papers / "authority.pem"))
    if client:
        context.load_cert_chain(papers / f"{client}.pem", papers / f"{client}.key")
    return context


def test_https(papers: Path) -> None:
    paper, key = str(papers / "server.pem"), str(papers / "server.key")
    with fronted(tls_cert=paper, tls_key=key, max_body=1_000_000) as found:
        with secure(papers).wrap_socket(found.connect(), server_hostname="localhost") as client:
            body = b"x" * 900_000
            client.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n" + body + get("/b"))
            received = read_all(client)
            assert answers(received) == [200, 200] and body in received
            assert (client.version(), client.selected_alpn_protocol()) == ("TLSv1.3", None)
        with found.connect() as client:  # no TLS
            client.sendall(get("/"))
            assert b"HTTP" not in read_all(client)
        secured = found.front._certificates
        assert secured is not None and secured.context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_clients_show_certificates_where_they_must(papers: Path) -> None:
    paper, key, authority = (str(papers / name) for name in ("server.pem", "server.key", "authority.pem"))
    with fronted(tls_cert=paper, tls_key=key, tls_client_ca=authority) as found:
        with secure(papers, "client").wrap_socket(found.connect(), server_hostname="localhost") as client:
            client.sendall(get("/a"))
            assert answers(read_all(client)) == [200]
        for name in (None, "stranger"):
            with (
                pytest.raises((ssl.SSLError, ConnectionError)),
                secure(papers, name).wrap_socket(found.connect(), server_hostname="localhost") as client,
            ):
                client.sendall(get("/a"))
                if not client.recv(1000):
                    raise ConnectionError("ended")
        assert len(found.seen) == 1


def test_the_server_says_https_and_wrong_papers_are_one_line(papers: Path, bundles: dict[str, Path]) -> None:
    model, paper, key = bundles["binary"], papers / "server.pem", papers / "server.key"
    with process(model, "--port", 0, "--tls-cert", paper, "--tls-key", key) as started:
        assert started.stdout is not None
        assert " at https://127.0.0.1:" in started.stdout.readline()
    said = refused(model, "--port", 0, "--tls-cert", paper, "--tls-key", papers / "client.key")
    assert "server.pem: expected a certificate, and its key without a password, in PEM. Received: " in said
    assert refused(model, "--tls-key", key) == "error: tls cert: expected a certificate for the key. Received: None"
    with pytest.raises(HeadraceError, match=r"expected the certificates of authorities in PEM. Received: "):
        Certificates(str(paper), str(key), str(key))


def test_a_renewed_certificate_is_shown_from_then_on(papers: Path, tmp_path: Path) -> None:
    paper, key = tmp_path / "server.pem", tmp_path / "server.key"
    authority = certificate(tmp_path, "authority")
    certificate(tmp_path, "server", authority)
    with fronted(tls_cert=str(paper), tls_key=str(key)) as found:

        def shown() -> bytes:
            with secure(tmp_path).wrap_socket(found.connect(), server_hostname="localhost") as client:
                return client.getpeercert(True) or b""

        first = shown()
        certificate(tmp_path, "server", authority)
        wait_until(lambda: shown() != first)
        second = shown()
        paper.write_text("rubbish")
        found.front._certificates.look()  # type: ignore[union-attr]
        assert shown() == second


def test_a_server_with_a_token_answers_who_has_it(bundles: dict[str, Path], tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(OLD)
    with process(bundles["binary"], "--port", 0, "--token-file", file) as started:
        url = url_of(started)
        assert ask(url, "GET", "/")[0] == 401
        assert ask(url, "GET", "/", headers={"Authorization": f"Bearer {OLD}"})[0] == 200
        assert b'kind="unauthorized"} 1' in ask(url, "GET", "/metrics", headers={"Authorization": f"Bearer {OLD}"})[2]


def test_our_client_shows_its_token_and_looks_at_the_certificate(
    papers: Path, bundles: dict[str, Path], tmp_path: Path
) -> None:
    file, rows = tmp_path / "token", tmp_path / "rows.csv"
    file.write_text(f"\n{OLD}\n{NEW}\n")
    rows.write_text(",".join(GOOD) + "\n" + ",".join(str(value) for value in GOOD.values()) + "\n")
    access = Access(file, papers / "authority.pem")
    port = free_port()
    arguments = ["--tls-cert", str(papers / "server.pem"), "--tls-key", str(papers / "server.key")]
    arguments += ["--token-file", str(file), "--grpc-port", str(port)]
    with running_server(bundles["binary"], arguments, access=access) as url:
        assert url.startswith("https://127.0.0.1:")
        wanted = predict(url, [GOOD], access=access)
        assert predict_csv(url, rows, access=access) == wanted
        places = {"v2": url, "tf": url, "grpc": f"grpcs://127.0.0.1:{port}/tiny"}
        for protocol, place in places.items():
            assert predict(place, [GOOD], protocol=protocol, access=access) == wanted, protocol
        words = [url, "--json", json.dumps(GOOD), "--token-file", str(file), "--ca", str(access.ca)]
        done = CliRunner().invoke(predict_command, words)
        assert [json.loads(line) for line in done.output.splitlines()] == wanted, done
        page = address(url)
        pages = read([page], {}, access)
        assert page in pages.readings and not pages.failed, pages  # of a rollout's controller
        assert "CERTIFICATE_VERIFY_FAILED" in read([page], {}, Access(file)).failed[page]
        nobody = Access(ca=access.ca)
        assert "status 401" in read([page], {}, nobody).failed[page]
        with pytest.raises(
            HeadraceError, match=r"/predict: authorization: expected `Bearer`.* Received: none \(HTTP 401"
        ):
            predict(url, [GOOD], access=nobody)
        with pytest.raises(HeadraceError, match=r"expected `Bearer`.* \(UNAUTHENTICATED\)"):
            predict(places["grpc"], [GOOD], protocol="grpc", access=nobody)
        with pytest.raises(HeadraceError, match=r"expected a certificate to be believed. Received: .*--ca"):
            predict(url, [GOOD], access=Access(file))
        with pytest.raises(HeadraceError, match=r"grpcs://.*UNAVAILABLE"):
            predict(places["grpc"], [GOOD], protocol="grpc", timeout=5, access=Access(file))


@pytest.mark.parametrize(
    ("token", "ca", "url", "message"),
    [
        ("none", None, "https://x", r"none: expected a file with a token. Received: No such file"),
        ("empty", None, "https://x", r"empty: expected a token on a line of its own. Received: none"),
        ("other", None, "https://x", r"other: expected a token in ASCII. Received: other characters"),
        (None, "empty", "https://x", r"empty: expected the certificates of authorities in PEM. Received: "),
        (None, "none", "https://x", r"none: expected the certificates of authorities in PEM. Received: No such file"),
        (None, "empty", "http://x", r"expected an https:// address beside the authority. Received: http://x"),
        (None, "empty", "grpc://x:1/m", r"expected a grpcs:// address beside the authority. Received: grpc://x:1/m"),
    ],
)
def test_what_our_client_cannot_use_is_one_line(
    token: str | None, ca: str | None, url: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "other").write_text("0123456789abcdé\n")
    access = Access(token and tmp_path / token, ca and tmp_path / ca)
    with pytest.raises(HeadraceError, match=message):
        predict(url, [GOOD], protocol="grpc" if url.startswith("grpc") else "vertex", access=access)
