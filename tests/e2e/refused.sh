#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A certificate under the root is not yet a permission: orders signed by the wrong people, all of it made with openssl and software keys, at a real station. And the other
# way round: office, local CA and station under a root that openssl runs, and a lot key opened by openssl.
. "$(dirname "$0")/../support/sh.sh"
cd "$T" || exit 1
arc=2.25.67055011817518250399580807217873608514

key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" 2>/dev/null; }
# cert NAME ISSUER EXTENSIONS: a certificate for NAME.key.
cert() {
    printf '%b' "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n$3" >"$1.ext"
    openssl req -new -key "$1.key" -subj "/O=Test/CN=$1" -out "$1.csr"
    openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -days 100 -extfile "$1.ext" -out "$1.pem" 2>/dev/null
}
leaf="basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
sha() { openssl x509 -in "$1" -outform DER | sha256sum | cut -d ' ' -f 1; }

key root
openssl req -x509 -key root.key -subj "/O=Test/CN=root" -days 100 -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign" -out root.pem
for ca in online local other; do key $ca; done
cert online root "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n"
cert other root "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n"
cert local root "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nextendedKeyUsage=clientAuth\n"
for name in office device manifest rogue foreign; do key $name; done
cert office online "${leaf}extendedKeyUsage=$arc.1\n"
cert device local "${leaf}extendedKeyUsage=clientAuth\n"
cert manifest online "${leaf}extendedKeyUsage=$arc.3\n"
cert rogue local "${leaf}extendedKeyUsage=$arc.1\n"
cert foreign other "${leaf}extendedKeyUsage=$arc.1\n"

# --- a station under this root ---
tokens line7
KEYMILL_STATION_PIN=$T/pin
export KEYMILL_STATION_PIN
sed -e "s/^trust: .*/trust: \"$(sha root.pem)\"/" -e "s/^order-issuer: .*/order-issuer: \"$(sha online.pem)\"/" "$top/docs/examples/station.yaml" >station.yaml
ok "station init" keymill-station init --home line7 --config station.yaml
cat online.pem root.pem >chain.pem
printf '%b' "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n${leaf}extendedKeyUsage=$arc.3\n" >m.ext
openssl x509 -req -in line7/manifest.csr -CA online.pem -CAkey online.key -days 100 -extfile m.ext -out line7-manifest.pem 2>/dev/null
ok "station takes a manifest certificate that openssl made" keymill-station import --home line7 --cert line7-manifest.pem --chain chain.pem
# The seal request states possession with the manifest key's signature (RFC 9883), which "openssl x509 -req" cannot check: the public key is taken by itself.
openssl asn1parse -in line7/seal.csr >"$T/out" && has "$T/out" 1.3.6.1.4.1.22112.2.1
printf '%b' "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,keyAgreement\nextendedKeyUsage=$arc.4\n" >s.ext
openssl x509 -new -force_pubkey line7/seal.pub -subj "/O=Example/CN=line7" -CA online.pem -CAkey online.key -days 100 -extfile s.ext -out line7-seal.pem 2>"$T/err"
ok "station takes a seal certificate that openssl made" keymill-station import --home line7 --cert line7-seal.pem --chain chain.pem

# --- orders ---
now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
year=$(($(date -u +%Y) + 1))
jq -cn --arg now "$now" --arg later "$year-01-01T00:00:00Z" --arg ca "$(sha local.pem)" --arg manifest "$(sha line7-manifest.pem)" --arg seal "$(sha line7-seal.pem)" \
    --rawfile pem root.pem --arg pemsha "$(sha256sum root.pem | cut -d ' ' -f 1)" '{schema: "keymill.order.v1", order: "A1", sequence: 1, issued: $now, product: "sensor", factory: "f1", profile: "device",
    ca: {sha256: $ca}, not_before: $now, not_after: $later, window: {from: $now, until: $later}, modes: ["sealed-batch"], lot_size: 500, verification: "every",
    trust_bundle: {sha256: $pemsha, pem: $pem}, endpoint: "mqtts://broker.example:8883",
    stations: [{name: "line7", manifest_sha256: $manifest, seal_sha256: $seal, sequence: 1, quantity: 2, ids: {prefix: "X-", digits: 3, first: 1, count: 2}}]}' >order.json
sign() { # NAME ISSUER OUT
    cat "$2.pem" root.pem >certs.pem
    openssl cms -sign -binary -nodetach -md sha256 -in order.json -signer "$1.pem" -inkey "$1.key" -certfile certs.pem -outform DER -out "$3"
}
sign office online office.order
sign device local device.order
sign manifest online manifest.order
sign rogue local rogue.order
sign foreign other foreign.order
# The control: the same order by a true office passes role, issuer and path; openssl cannot put CRLs into a CMS file, so it is refused for that alone.
refused 5 verify.no-crl "an office's order without CRLs" keymill-station accept --home line7 office.order
cp -r line7 before
refused 5 verify.role "an order signed by a device certificate" keymill-station accept --home line7 device.order
refused 5 verify.role "an order signed by a manifest key" keymill-station accept --home line7 manifest.order
refused 5 verify.issuer "an order by an office that a local CA minted" keymill-station accept --home line7 rogue.order
refused 5 verify.issuer "an order by an office of another CA under the root" keymill-station accept --home line7 foreign.order
# The same, at a station that was told to believe the local CA: then its EKU stands in the way.
sed -i "s/^order-issuer: .*/order-issuer: \"$(sha local.pem)\"/" line7/station.yaml
refused 5 verify.role "a device's order where the local CA is believed" keymill-station accept --home line7 device.order
refused 5 verify.role-ca "a minted office's order where the local CA is believed" keymill-station accept --home line7 rogue.order
cp before/station.yaml line7/station.yaml
ok "nothing changed" diff -r -x lock before line7

# --- office and local CA under the foreign root ---
printf '[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ncrlnumber=number\ndefault_md=sha256\ndefault_crl_days=30\n[x]\nauthorityKeyIdentifier=keyid\n' >ca.cnf
: >index.txt
echo 01 >number
for ca in root online; do openssl ca -config ca.cnf -gencrl -crlexts x -keyfile $ca.key -cert $ca.pem -out $ca.crl 2>/dev/null; done
cat online.pem root.pem online.crl root.crl >chain.pem
for label in office local-ca; do ok "token $label" keymill-hsm init --label $label --so-pin-source "file:$T/so-pin" --pin-source "file:$T/pin"; done
KEYMILL_OFFICE_PIN=$T/pin
KEYMILL_LOCAL_PIN=$T/pin
export KEYMILL_OFFICE_PIN KEYMILL_LOCAL_PIN
sed -e "s/^trust: .*/trust: \"$(sha root.pem)\"/" -e "s/^station-issuer: .*/station-issuer: \"$(sha online.pem)\"/" "$top/docs/examples/office.yaml" >office.yaml
sed -e "s/^trust: .*/trust: \"$(sha root.pem)\"/" "$top/docs/examples/local.yaml" >local.yaml
ok "office init" keymill-office init --home office.home --config office.yaml
for role in order:1 release:2; do
    printf '%b' "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n${leaf}extendedKeyUsage=$arc.${role#*:}\n" >o.ext
    openssl x509 -req -in "office.home/${role%:*}.csr" -CA online.pem -CAkey online.key -days 100 -extfile o.ext -out "office-${role%:*}.pem" 2>"$T/err"
    ok "office takes its ${role%:*} certificate" keymill-office import --home office.home --cert "office-${role%:*}.pem" --chain chain.pem
done
ok "local CA request" keymill-ca request --home local.home --config local.yaml --out km-local.csr
ok "openssl verifies the request" openssl req -verify -in km-local.csr -noout
printf '%b' "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\nbasicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nextendedKeyUsage=clientAuth\n" >l.ext
openssl x509 -req -in km-local.csr -CA root.pem -CAkey root.key -days 90 -extfile l.ext -out local-ca.pem 2>"$T/err"
ok "local CA takes a certificate that openssl made" keymill-ca import --home local.home --cert local-ca.pem --chain root.pem
mkdir -p config pki
cp root.pem local-ca.pem line7-manifest.pem line7-seal.pem pki/
sed -e 's/^validity-days: .*/validity-days: 60/' -e 's/^\( *\(quantity\|count\): *\)[0-9]*/\13/' "$top/docs/examples/order.yaml" >config/order.yaml
ok "an order" keymill-office order new --home office.home --spec config/order.yaml --out A1.order
ok "the station accepts it" keymill-station accept --home line7 A1.order
# Anybody can give an ECDSA signature another form; the document is the same one all the same, and its batch still fits.
/usr/bin/python3 "$top/tests/support/twin.py" A1.order A1.twin
ok "openssl takes the twin of the signature" openssl cms -verify -purpose any -inform DER -in A1.twin -CAfile root.pem -out /dev/null
ok "the twin is the same order" keymill-station accept --home line7 A1.twin --json
has "$T/out" '"new":false'
ok "a batch by the twin" keymill-office batch make --home office.home --ca local.home --order A1.twin --out A1.batch
ok "fits the order that was accepted" keymill-station accept --home line7 A1.batch

# --- a lot key, opened by openssl with a software seal key ---
key seal
openssl pkey -in seal.key -pubout -out seal.pub
printf '%b' "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,keyAgreement\nextendedKeyUsage=$arc.4\n" >s.ext
openssl x509 -new -force_pubkey seal.pub -subj "/O=Test/CN=soft" -CA online.pem -CAkey online.key -days 100 -extfile s.ext -out pki/soft-seal.pem 2>"$T/err"
key soft
cert soft online "${leaf}extendedKeyUsage=$arc.3\n"
cp soft.pem pki/soft-manifest.pem
sed -e 's/^order: .*/order: S1/' -e 's/line7/soft/g' -e 's/prefix: .*/prefix: "MS1-"/' config/order.yaml >config/soft.yaml
ok "an order for a station with software keys" keymill-office order new --home office.home --spec config/soft.yaml --out S1.order
ok "its batch" keymill-office batch make --home office.home --ca local.home --order S1.order --out S1.batch
ok "openssl cms -decrypt opens the lot key" openssl cms -decrypt -inform DER -in S1.batch/lot-0.p7m -inkey seal.key -recip pki/soft-seal.pem -out lot.key
same "32 octets" "$(wc -c <lot.key)" 32
ok "python opens a device with it" /usr/bin/python3 "$top/tests/support/unseal.py" lot.key S1.batch S1.soft/0
end
