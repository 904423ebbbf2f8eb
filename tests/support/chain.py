# SPDX-License-Identifier: Apache-2.0
"""chain.py LEAF ISSUER... ROOT: names and signatures of a chain, link by link, with python3-cryptography (which has no path building)."""
import sys
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

certs = [x509.load_pem_x509_certificate(open(p, "rb").read()) for p in sys.argv[1:]]
assert len(certs) >= 2
for cert, issuer in zip(certs, certs[1:] + certs[-1:]):
    assert cert.issuer.public_bytes() == issuer.subject.public_bytes(), "names do not chain"
    issuer.public_key().verify(cert.signature, cert.tbs_certificate_bytes, ec.ECDSA(cert.signature_hash_algorithm))
    if cert is not issuer:
        aki = cert.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        ski = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        assert aki.key_identifier == ski.digest, "key identifiers do not chain"
    for extension in cert.extensions:
        assert not isinstance(extension.value, x509.UnrecognizedExtension), extension.oid
leaf = certs[0]
usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
assert usage.critical and usage.value.digital_signature and not usage.value.key_cert_sign
assert [e.dotted_string for e in leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value] == ["1.3.6.1.5.5.7.3.2"]
assert 0 < leaf.serial_number.bit_length() <= 159
try:
    certs[-1].public_key().verify(leaf.signature, leaf.tbs_certificate_bytes, ec.ECDSA(leaf.signature_hash_algorithm))
    raise SystemExit("the root signed the leaf?")
except Exception as e:
    assert e.__class__.__name__ == "InvalidSignature", e
