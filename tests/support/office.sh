# shellcheck shell=sh disable=SC2154
# SPDX-License-Identifier: Apache-2.0
# Sourced after sh.sh, by tests that make batches:
#
#   office_make              root, online and local CA, an office and the station line7, all in the current folder on a SoftHSM of their own
#   order_make NAME COUNT    NAME.order: ids NAME-000001 and on
#   batch_make NAME [OPTION...]   the command that makes NAME.batch
#   books NAME COUNT         every device there once, every signature good, every serial used once and recorded, nothing left reserved

office_config() {
    office_from=$top/docs/examples/$1
    office_to=config/$1
    shift
    cp "$office_from" "$office_to"
    for office_pair in "$@"; do
        office_print=$(openssl x509 -in "${office_pair#*=}" -outform DER | sha256sum | cut -d ' ' -f 1)
        sed -i "s/^\( *${office_pair%%=*}: *\)\"0\{64\}\"/\1\"$office_print\"/" "$office_to"
    done
}
# office_sub NAME PROFILE CONFIG: a CA under the root.
office_sub() {
    office_config "$3" trust=pki/root.pem
    ok "$1: request" keymill-ca request --home "ca/$1" --config "config/$3" --out "pki/$1.csr"
    ok "$1: certificate" keymill-ca sign-ca --home ca/root --csr "pki/$1.csr" --profile "$2" --out "pki/$1.pem"
    ok "$1: import" keymill-ca import --home "ca/$1" --cert "pki/$1.pem" --chain pki/root.pem
}
office_cert() { ok "certificate $3" keymill-ca issue --home ca/online-ca --csr "$1" --profile "$2" --out "pki/$3.pem"; }
office_make() {
    for office_pin in ROOT ONLINE LOCAL OFFICE STATION; do
        export "KEYMILL_${office_pin}_PIN=$T/pin"
    done
    order_sequence=0
    tokens root-ca online-ca local-ca office line7
    mkdir config pki ca
    office_config root.yaml
    ok "root" keymill-ca init --home ca/root --config config/root.yaml
    cp ca/root/cert.pem pki/root.pem
    office_sub online-ca online-ca online.yaml
    office_sub local-ca local-ca local.yaml
    for office_ca in root online-ca; do
        ok "CRL of $office_ca" keymill-ca crl --home "ca/$office_ca" --out "pki/$office_ca.crl"
    done
    cat pki/online-ca.pem pki/root.pem pki/online-ca.crl pki/root.crl >pki/chain.pem
    office_config office.yaml trust=pki/root.pem station-issuer=pki/online-ca.pem
    ok "office" keymill-office init --home office --config config/office.yaml
    office_cert office/order.csr office office
    ok "order certificate" keymill-office import --home office --cert pki/office.pem --chain pki/chain.pem
    office_config station.yaml trust=pki/root.pem order-issuer=pki/online-ca.pem
    ok "station" keymill-station init --home line7 --config config/station.yaml
    office_cert line7/manifest.csr station-manifest line7-manifest
    ok "manifest certificate" keymill-station import --home line7 --cert pki/line7-manifest.pem --chain pki/chain.pem
    office_cert line7/seal.csr station-seal line7-seal
}
order_make() {
    order_sequence=$((order_sequence + 1))
    sed -e "s/^order: .*/order: $1/" -e "s/^\( *\(quantity\|count\): *\)[0-9]*/\1$2/" -e "s/prefix: .*/prefix: \"$1-\"/" \
        -e "s/^\( *-\{0,1\} *sequence: *\)[0-9]*/\1$order_sequence/" "$top/docs/examples/order.yaml" >"config/$1.yaml"
    ok "order $1" keymill-office order new --home office --spec "config/$1.yaml" --out "$1.order"
}
batch_make() {
    order_name=$1
    shift
    keymill-office batch make --home office --ca ca/local-ca --order "$order_name.order" --out "$order_name.batch" "$@"
}
books() { ok "books of $1" python3 "$top/tests/support/books.py" "$1" "$2" "$1.batch" ca/local-ca/ca.db pki/local-ca.pem; }
