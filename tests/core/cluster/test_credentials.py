"""Where credentials come from, and that tokens rotate."""

import base64
import json
from pathlib import Path

import pytest

from agentic_core.cluster import credentials, errors


def kubeconfig(path: Path, user: dict[str, str]) -> Path:
    ca = base64.b64encode(b"CA").decode()
    config = {
        "clusters": [{"name": "c", "cluster": {"server": "https://host:6443/", "certificate-authority-data": ca}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(json.dumps(config))
    return path


def test_a_kubeconfig_with_inline_certificates(tmp_path: Path) -> None:
    pem = base64.b64encode(b"PEM").decode()
    path = kubeconfig(tmp_path / "config", {"client-certificate-data": pem, "client-key-data": pem})
    found = credentials.load(path)
    assert (found.server, found.ca, found.certificate, found.private_key) == ("https://host:6443", "CA", "PEM", "PEM")


def test_a_kubeconfig_with_a_token(tmp_path: Path) -> None:
    found = credentials.load(kubeconfig(tmp_path / "config", {"token": "t"}))
    assert credentials.Bearer(found).header() == {"Authorization": "Bearer t"}


def test_a_missing_kubeconfig_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(errors.Unauthorized, match="KUBECONFIG"):
        credentials.load(tmp_path / "nothing")


def test_a_rotated_token_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.crt").write_text("CA")
    (tmp_path / "token").write_text("first\n")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    found = credentials.in_cluster(tmp_path)
    assert found.server == "https://[fd00::1]:443"
    bearer = credentials.Bearer(found)
    assert bearer.header() == {"Authorization": "Bearer first"}
    (tmp_path / "token").write_text("second\n")
    assert bearer.header() == {"Authorization": "Bearer first"}
    assert bearer.expire()
    assert bearer.header() == {"Authorization": "Bearer second"}
