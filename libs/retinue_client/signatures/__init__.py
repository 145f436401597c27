"""Signatures: what an agent takes and answers, in one line that people can read.

Owns the form `"question: str -> answer: str, confidence: float"`, its way to a pair of JSON Schemas and its way back.
It refuses what a JSON Schema cannot say, and names the line and column of everything it refuses.
"""

from retinue_client.signatures.parser import parse as signature
from retinue_client.signatures.schema import from_schemas
from retinue_client.signatures.text import SignatureError
from retinue_client.signatures.types import Field, Signature

__all__ = ["Field", "Signature", "SignatureError", "from_schemas", "signature"]
