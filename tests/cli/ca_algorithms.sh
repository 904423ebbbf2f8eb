#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A root of each kind of key, with a local CA of another kind below it: certificates, requests and CRLs, made with keys in SoftHSM and judged by openssl, certtool and
# python3-cryptography. And a key that breaks the key policy: refused, or excepted by name and then told in every audit row.
. "$(dirname "$0")/../support/sh.sh"
cd "$T" || exit 1
tokens
pin=$T/pin
export KEYMILL_ROOT_PIN="$pin" KEYMILL_LOCAL_PIN="$pin"
# One token holds all keys: each CA has its own there.
ok "token" keymill-hsm init --label all --so-pin-source "file:$T/so-pin" --pin-source "file:$pin"

# config EXAMPLE NAME ALGORITHM: NAME.yaml
config() { sed -e "s/^key: .*/key: \"pkcs11:token=all;object=$2\"/" -e "s/^algorithm: .*/algorithm: $3/" -e "s/^name: .*/name: $2/" "$top/docs/examples/$1.yaml" >"$2.yaml"; }
# signed_with FILE KIND TEXT: what openssl says of its signature algorithm.
signed_with() {
    openssl "$2" -in "$1" -noout -text >text 2>/dev/null
    if grep -q "Signature Algorithm: $3" text; then pass; else cp text "$T/out" && fail "$1 is not signed with $3"; fi
}

# pair ROOT-ALGORITHM LOCAL-ALGORITHM ROOT-SIGNATURE LOCAL-SIGNATURE
pair() {
    r=root-$1 l=local-$2-$1
    config root "$r" "$1"
    config local "$l" "$2"
    ok "root $1" keymill-ca init --home "$r" --config "$r.yaml"
    sed -i "s/^trust: .*/trust: \"$(openssl x509 -in "$r/cert.pem" -outform DER | sha256sum | cut -d' ' -f1)\"/" "$l.yaml"
    ok "request $2" keymill-ca request --home "$l" --config "$l.yaml" --out "$l.csr"
    ok "openssl: the request of $2" openssl req -in "$l.csr" -noout -verify
    signed_with "$l.csr" req "$4"
    ok "sign $2" keymill-ca sign-ca --home "$r" --csr "$l.csr" --profile local-ca --out "$l.pem"
    signed_with "$l.pem" x509 "$3"
    ok "import $2" keymill-ca import --home "$l" --cert "$l.pem" --chain "$r/chain.pem"
    openssl ecparam -name prime256v1 -genkey -noout -out "$l.key" && openssl req -new -key "$l.key" -subj "/CN=D-$1-$2" -out "$l.dev.csr"
    ok "a device under $2" keymill-ca issue --home "$l" --csr "$l.dev.csr" --profile device --out "$l.dev.pem" --ou "Factory 7"
    signed_with "$l.dev.pem" x509 "$4"
    ok "CRL of $1" keymill-ca crl --home "$r" --out "$r.crl"
    ok "CRL of $2" keymill-ca crl --home "$l" --out "$l.crl"
    openssl crl -inform DER -in "$l.crl" -out "$l.crl.pem" 2>/dev/null || cp "$l.crl" "$l.crl.pem"
    openssl crl -inform DER -in "$r.crl" -out "$r.crl.pem" 2>/dev/null || cp "$r.crl" "$r.crl.pem"
    signed_with "$r.crl.pem" crl "$3"
    ok "openssl: the chain with its CRLs" openssl verify -check_ss_sig -crl_check_all -CAfile "$r/cert.pem" -untrusted "$l.pem" -CRLfile "$r.crl.pem" -CRLfile "$l.crl.pem" "$l.dev.pem"
    cat "$l.dev.pem" "$l.pem" "$r/cert.pem" >chain.pem
    ok "certtool: the chain" certtool --verify --load-ca-certificate "$r/cert.pem" --infile chain.pem
    has out "Verified."
    ok "python3-cryptography: the signatures" python3 - "$l.dev.pem" "$l.pem" "$r/cert.pem" <<'PY'
import sys
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
certs = [x509.load_pem_x509_certificate(open(f, "rb").read()) for f in sys.argv[1:]]
for cert, issuer in zip(certs, certs[1:] + certs[-1:]):
    key, body = issuer.public_key(), (cert.signature, cert.tbs_certificate_bytes)
    pss = cert.signature_algorithm_oid.dotted_string == "1.2.840.113549.1.1.10"
    h = cert.signature_hash_algorithm if not pss else __import__("cryptography.hazmat.primitives.hashes", fromlist=["SHA256"]).SHA256()
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(*body, padding.PSS(padding.MGF1(h), 32) if pss else padding.PKCS1v15(), h)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(*body, ec.ECDSA(h))
    else:
        key.verify(*body)
PY
}
pair rsa-3072 ec-p256 sha256WithRSAEncryption ecdsa-with-SHA256
pair ed25519 rsa-3072 ED25519 sha256WithRSAEncryption
pair rsa-3072-pss rsa-3072-pss rsassaPss rsassaPss
pair ec-p384 ec-p384 ecdsa-with-SHA384 ecdsa-with-SHA384

# ---- a CRL that does not fit a message: Ed25519 signs messages, not digests
i=0
while [ $i -lt 3 ]; do
    i=$((i + 1))
    openssl ecparam -name prime256v1 -genkey -noout -out "sub$i.key" && openssl req -new -key "sub$i.key" -subj "/O=Example/CN=Sub $i" -out "sub$i.csr"
    ok "a CA to be revoked" keymill-ca sign-ca --home root-ed25519 --csr "sub$i.csr" --profile local-ca --out "sub$i.pem"
    ok "revoked" keymill-ca revoke --home root-ed25519 --serial "$(openssl x509 -in "sub$i.pem" -noout -serial | cut -d= -f2)" --reason superseded
done
ok "the next CRL" keymill-ca crl --home root-ed25519 --out root-ed25519.crl
expect_code 2 "openssl: revoked" openssl verify -crl_check -CAfile root-ed25519/cert.pem -CRLfile root-ed25519.crl sub1.pem

# ---- the key policy: a token that reports CKA_LOCAL false, and no quirk file that says so. Refused; excepted by name; told in every audit row.
. "$top/tests/support/backend_nss.sh"
backend_start
backend_token brought
mkdir quirks
sed '/^unreliable:/,/reason:/d' "$top/hsm/quirks/nss.yaml" >quirks/nss.yaml
lacks quirks/nss.yaml unreliable
export KEYMILL_QUIRKS="$T/quirks"
config root brought ec-p384
sed -i 's/^key: .*/key: "pkcs11:token=brought;object=ca"/' brought.yaml
refused 5 hsm.key-policy "a key that the token does not call its own" keymill-ca init --home brought --config brought.yaml
has err "not generated on the token"
has err "destroyed again"
if [ -e brought/cert.pem ]; then fail "a root was made"; else pass; fi
cat >>brought.yaml <<'Y'
key-exceptions:
  - rule: generated-on-token
    reason: softokn 3.87 says so of every key, ceremony 12
Y
sed 's/rule: generated-on-token/rule: never-extractable/' brought.yaml >other.yaml
refused 5 hsm.key-policy "with an exception for another rule" keymill-ca init --home other --config other.yaml
cp brought.yaml brought/ca.yaml # as the message says: the mistake is there
ok "with the exception" keymill-ca init --home brought --config brought.yaml
ok "a CRL with it" keymill-ca crl --home brought --out brought.crl
ok "show" keymill-ca show --home brought --json
has out "generated-on-token (softokn 3.87 says so of every key, ceremony 12)"
same "the audit log" "$(sqlite3 -readonly brought/ca.db "SELECT group_concat(event, ' ') FROM (SELECT DISTINCT event FROM audit WHERE json_extract(detail, '\$.key_exceptions') LIKE '%ceremony 12%' ORDER BY 1)")" "crl init key"
end
