# SPDX-License-Identifier: Apache-2.0
"""secrets.py HEX ALLOWED-FILE FOLDER: no file below FOLDER but ALLOWED-FILE (or a byte-equal copy of it) holds the secret, raw, in hex, or in base64 at any alignment."""
import base64, os, sys

secret = bytes.fromhex(sys.argv[1])
allowed = open(sys.argv[2], "rb").read()
needles = [secret, secret.hex().encode(), secret.hex().upper().encode()]
for pad in range(3):
    # The characters that depend on the secret alone, whatever stands before and behind it.
    for alphabet in (base64.b64encode, base64.urlsafe_b64encode):
        text = alphabet(b"\0" * pad + secret)
        needles.append(text[4 if pad else 0 : (pad + len(secret)) // 3 * 4])
seen = found = 0
for folder, _, names in os.walk(sys.argv[3]):
    for name in names:
        path = os.path.join(folder, name)
        if not os.path.isfile(path):
            continue
        data = open(path, "rb").read()
        # PEM breaks base64 into lines.
        flat = data.replace(b"\n", b"")
        seen += 1
        if any(n in data or n in flat for n in needles):
            if data == allowed:
                found += 1
            else:
                raise SystemExit(f"the secret stands in '{path}'")
assert seen > 20, "nothing was searched"
assert found >= 1, "the search does not even find the secret in its own file"
