# SPDX-License-Identifier: Apache-2.0
"""twin.py IN OUT: the same CMS SignedData with the ECDSA signature's twin (r, n - s): other octets, still a right signature, made without any key. P-256."""
import sys

N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def take(data, at):
    tag, length, at = data[at], data[at + 1], at + 2
    if length & 0x80:
        octets = length & 0x7F
        length, at = int.from_bytes(data[at : at + octets], "big"), at + octets
    return tag, data[at : at + length], at + length


def put(tag, content):
    n = len(content)
    if n < 128:
        return bytes([tag, n]) + content
    length = n.to_bytes((n.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def children(content):
    at, found = 0, []
    while at < len(content):
        tag, value, at = take(content, at)
        found.append([tag, value])
    return found


def join(parts):
    return b"".join(put(tag, value) for tag, value in parts)


def twin(signature):
    parts = children(children(signature)[0][1])
    s = N - int.from_bytes(parts[1][1], "big")
    parts[1][1] = s.to_bytes(s.bit_length() // 8 + 1, "big")
    return put(0x30, join(parts))


data = open(sys.argv[1], "rb").read()
info = children(take(data, 0)[1])  # ContentInfo, SignedData, SignerInfos, SignerInfo
signed = children(info[1][1])
fields = children(signed[0][1])
infos = children(fields[-1][1])
signer = children(infos[0][1])
at = max(i for i, part in enumerate(signer) if part[0] == 0x04)
signer[at][1] = twin(signer[at][1])
infos[0][1] = join(signer)
fields[-1][1] = join(infos)
signed[0][1] = join(fields)
info[1][1] = join(signed)
changed = put(0x30, join(info))
assert changed != data
open(sys.argv[2], "wb").write(changed)
