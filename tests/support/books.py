# SPDX-License-Identifier: Apache-2.0
"""books.py ORDER COUNT BATCH DATABASE CA: a sealed batch against the CA's database: every id once and in order, no serial twice, every certificate
signed by the CA and recorded as issued, nothing reserved and nothing recorded besides."""
import base64, hashlib, json, sqlite3, sys
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

order, count, batch, database, ca = sys.argv[1], int(sys.argv[2]), *sys.argv[3:6]
with open(f"{batch}/devices.jsonl", encoding="utf-8") as f:
    devices = [json.loads(line) for line in f]
assert [d["id"] for d in devices] == [f"{order}-{i:06}" for i in range(1, count + 1)], "ids"
with open(f"{batch}/batch.json", encoding="utf-8") as f:
    assert json.load(f)["count"] == count, "count"

with open(ca, "rb") as f:
    key = x509.load_pem_x509_certificate(f.read()).public_key()
made = {}
for d in devices:
    der = base64.b64decode(d["cert"])
    cert = x509.load_der_x509_certificate(der)
    key.verify(cert.signature, cert.tbs_certificate_bytes, ec.ECDSA(cert.signature_hash_algorithm))
    assert cert.serial_number not in made, f"serial {cert.serial_number:x} twice"
    made[cert.serial_number] = (d["id"], hashlib.sha256(der).digest())
assert len({d["key"] for d in devices}) == count, "a key twice"

db = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
rows = db.execute("SELECT serial, device_id, sha256 FROM certificate WHERE order_name = ? AND state = 'issued'", (order,)).fetchall()
assert {int.from_bytes(s, "big"): (i, h) for s, i, h in rows} == made and len(rows) == count, "the database and the batch differ"
one = lambda sql: db.execute(sql).fetchone()[0]
assert one("SELECT count(*) FROM certificate WHERE state = 'reserved'") == 0, "reserved"
assert one("SELECT count(*) FROM certificate") == one("SELECT count(DISTINCT serial) FROM certificate"), "a serial twice"
