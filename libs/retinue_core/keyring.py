"""The keys of the services of one machine, as files.

Owns a folder with one private key for each service (PEM, mode 600) and the public keys of all (JWKS). It refuses
to replace a key that is there: identities signed by it would stop being valid.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from retinue_core.files import write_private

JWKS = "jwks.json"


def key_path(folder: Path, service: str) -> Path:
    """Return where the private key of a service lies."""
    return folder / f"{service}.pem"


def ensure_keys(folder: Path, services: Sequence[str]) -> Path:
    """Make the keys that are missing and return the path of the JWKS file."""
    jwks = folder / JWKS
    if jwks.exists() and all(key_path(folder, service).exists() for service in services):
        return jwks
    # Needed on a first start only, and slow to import.
    from joserfc.jwk import OKPKey

    from retinue_core.identity import generate_key, key_set

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for service in services:
        if not key_path(folder, service).exists():
            write_private(key_path(folder, service), generate_key().as_pem(private=True))
    found = sorted(folder.glob("*.pem"))
    public = {path.stem: OKPKey.import_key(path.read_bytes()) for path in found}
    write_private(jwks, json.dumps(key_set(public), indent=2).encode())
    return jwks
