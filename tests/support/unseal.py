# SPDX-License-Identifier: Apache-2.0
"""unseal.py LOT-KEY BATCH-FOLDER KID: opens the first device of a sealed batch by the documented format, with python3-cryptography alone."""
import base64, hashlib, json, struct, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import load_der_private_key

b64 = lambda s: base64.urlsafe_b64decode(s + "=" * (-len(s) % 4))
lot_key = open(sys.argv[1], "rb").read()
batch = json.load(open(sys.argv[2] + "/batch.json"))
row = json.loads(open(sys.argv[2] + "/devices.jsonl").readline())
head, encrypted_key, iv, text, tag = row["key"].split(".")
der = base64.b64decode(row["cert"])
header = json.loads(b64(head))
assert header["alg"] == "dir" and header["enc"] == "A256GCM" and encrypted_key == "" and header["kid"] == sys.argv[3]
assert b64(header["x5t#S256"]) == hashlib.sha256(der).digest()
field = lambda s: struct.pack(">I", len(s)) + s.encode()
info = b"keymill device key v1" + field(batch["batch"]) + field(row["id"])
key = HKDF(hashes.SHA256(), 32, None, info).derive(lot_key)
private = load_der_private_key(AESGCM(key).decrypt(b64(iv), b64(text) + b64(tag), head.encode()), None)
assert private.public_key().public_numbers() == x509.load_der_x509_certificate(der).public_key().public_numbers()
