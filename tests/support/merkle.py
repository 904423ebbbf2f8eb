# SPDX-License-Identifier: Apache-2.0
"""merkle.py MANIFEST ROOT: the Merkle root (RFC 9162 2.1.1, recursive definition) over a manifest's lines, and each line's own hashes."""
import base64, hashlib, json, sys
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

h = lambda b: hashlib.sha256(b).digest()


def root(lines):
    if not lines:
        return h(b"")
    if len(lines) == 1:
        return h(b"\0" + lines[0])
    k = 1
    while k * 2 < len(lines):
        k *= 2
    return h(b"\1" + root(lines[:k]) + root(lines[k:]))


text = open(sys.argv[1], "rb").read()
assert text.endswith(b"\n")
lines = text[:-1].split(b"\n")
assert root(lines).hex() == sys.argv[2], "another Merkle root"
assert json.loads(lines[0])["type"] == "header" and json.loads(lines[-1])["type"] == "trailer"
for line in lines[1:-1]:
    row = json.loads(line)
    der = base64.b64decode(row["cert"], validate=True)
    cert = x509.load_der_x509_certificate(der)
    assert hashlib.sha256(der).hexdigest() == row["cert_sha256"]
    spki = cert.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert hashlib.sha256(spki).hexdigest() == row["spki_sha256"]
    assert cert.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value == row["id"]
assert json.loads(lines[-1])["count"] == len(lines) - 2
