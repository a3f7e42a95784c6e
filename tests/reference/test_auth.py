"""Keys and what they allow."""

from pathlib import Path

import pytest

from scaiqueue_reference.auth import CONSUME, PERMISSIONS, VIEW, KeysFileError, default_keyring, default_keys, read_keys
from scaiqueue_reference.errors import PermissionDenied, TokenInvalid, TokenMissing

FILE = """
[keys.producer]
token = "sgk_producer"
tenant = "acme"
permissions = ["scaiqueue:view", "publish"]
[keys.nobody]
token = "sgk_nobody"
permissions = ["view"]
"""


def test_default_keys_hold_what_their_names_say() -> None:
    """Each of the four holds exactly one permission; the foreign key lives in another tenant."""
    tokens = default_keys("seed")
    ring = default_keyring(tokens)
    callers = {name: ring.authenticate(f"Bearer {token}".encode()) for name, token in tokens.items()}
    assert callers["view"].permissions == {VIEW}
    assert callers["all"].permissions == callers["foreign"].permissions == set(PERMISSIONS)
    assert callers["all"].tenant_id == callers["consume"].tenant_id != callers["foreign"].tenant_id
    with pytest.raises(PermissionDenied):
        callers["view"].must_hold(CONSUME)


def test_default_keys_belong_to_their_seed() -> None:
    """The same seed gives the same tokens; another seed, others; all are long and distinct."""
    assert default_keys("a") == default_keys("a") != default_keys("b")
    assert len(set(default_keys("a").values())) == 6
    assert all(token.startswith("sgk_") and len(token) >= 36 for token in default_keys("a").values())


@pytest.mark.parametrize("header", [None, b"", b"  "])
def test_no_header_is_a_missing_token(header: bytes | None) -> None:
    """AUTH_TOKEN_MISSING."""
    with pytest.raises(TokenMissing):
        default_keyring({}).authenticate(header)


@pytest.mark.parametrize("header", [b"Bearer", b"Bearer x", b"Basic sgk_producer", b"sgk_producer", b"Bearer \xff"])
def test_anything_else_is_an_invalid_token(header: bytes, tmp_path: Path) -> None:
    """AUTH_TOKEN_INVALID."""
    (tmp_path / "keys.toml").write_text(FILE)
    with pytest.raises(TokenInvalid):
        read_keys(tmp_path / "keys.toml").authenticate(header)


def test_a_keys_file_gives_tokens_tenants_and_permissions(tmp_path: Path) -> None:
    """Permissions with and without their prefix; a key without a tenant may do nothing."""
    (tmp_path / "keys.toml").write_text(FILE)
    ring = read_keys(tmp_path / "keys.toml")
    producer = ring.authenticate(b"bearer sgk_producer")
    assert producer.tenant_id == "acme"
    producer.must_hold("scaiqueue:publish")
    with pytest.raises(PermissionDenied, match="tenant"):
        ring.authenticate(b"Bearer sgk_nobody").must_hold(VIEW)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[keys.a]\ntoken = 'x'\npermissions = ['fly']", "keys.a"),
        ("[keys.a]\ntoken = ''\npermissions = []", "token"),
        ("[keys.a]\npermissions = []", "token"),
        ("nonsense", "no keys file"),
    ],
)
def test_a_wrong_keys_file_is_refused_with_its_place(text: str, says: str, tmp_path: Path) -> None:
    """One line that says where."""
    (tmp_path / "keys.toml").write_text(text)
    with pytest.raises(KeysFileError, match=says):
        read_keys(tmp_path / "keys.toml")
    with pytest.raises(KeysFileError, match="cannot be read"):
        read_keys(tmp_path / "none.toml")
