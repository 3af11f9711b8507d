#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# dmacast-nats with servers that do not take anyone: TLS with certificates of both sides, NKeys, and credentials.

. tests/lib.sh
. tests/nats.sh

command -v nats-server >/dev/null || skip_all "nats-server is not installed"
[ -x "$nats" ] || skip_all "dmacast-nats is not built: libnats-dev is not installed"
command -v openssl >/dev/null || skip_all "openssl is not installed"
command -v jq >/dev/null || skip_all "jq is not installed"

mkdir "$work/keys"
tests/natskeys "$work/keys"
free_ports 2
nats_stream="test"
daemon_run --feed 4M/s --format http --block-size 64K --ring-size 8M --retain 4M --listen 127.0.0.1:0
feed_url="http://127.0.0.1:$port/?start=oldest"

# certificate NAME [OPENSSL-OPTION]...: make a key and a certificate for 127.0.0.1, signed by the authority.
certificate()
{
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$1" \
		-addext 'subjectAltName=IP:127.0.0.1,DNS:localhost' -keyout "$work/$1.key" -out "$work/$1.pem" "${@:2}" 2>>"$work/openssl"
}

# passes TEXT OPTION...: what is published with these options is read back with them.
passes()
{
	local text=$1

	nats_login=("${@:2}")
	publish_start --subject test --storage memory "$feed_url"
	wait_until 20 stored_after 20 || diag_file "$work/publish.log"
	publish_end TERM
	is "$text: the publisher ends in order" "$status" 0 || diag_file "$work/publish.log"
	read_back stored
	head -c 1M "$work/stored" >"$work/bytes"
	feed --check-file "$work/bytes"
	is "$text: what is read back is right" "$status $(stat -c %s "$work/bytes")" "0 1048576" || diag_file "$work/stored.log"
}

# refused TEXT REGEX OPTION...: these options are an error with this reason, and the end.
refused()
{
	local result=0

	timeout 100 "$nats" publish --server "$(nats_url)" "${@:3}" --subject test "$feed_url" >"$work/said" 2>&1 || result=$?
	is "$1: exit status" "$result" 1
	matches "$1" "$work/said" "$2"
}

# --- TLS, with certificates of both sides, and an NKey ---
certificate authority -addext basicConstraints=critical,CA:TRUE
certificate server -CA "$work/authority.pem" -CAkey "$work/authority.key"
certificate client -CA "$work/authority.pem" -CAkey "$work/authority.key"
nats_ports=([0]="${ports[0]}")
nats_start 0 "tls: { cert_file: \"$work/server.pem\", key_file: \"$work/server.key\", ca_file: \"$work/authority.pem\", verify: true }" \
	"authorization: { users: [ { nkey: $(cat "$work/keys/user.pub") } ] }"
tls=(--tls --tls-ca "$work/authority.pem" --tls-cert "$work/client.pem" --tls-key "$work/client.key")
nkey=(--nkey "$(cat "$work/keys/user.pub")" --nkey-seed "$work/keys/user.seed")
passes "TLS and an NKey" "${tls[@]}" "${nkey[@]}"
refused "a server that is not trusted" 'SSL handshake error: .*unable to get local issuer certificate' --tls "${nkey[@]}"
refused "no NKey" '[Aa]uthorization [Vv]iolation' "${tls[@]}"
mkdir "$work/others"
tests/natskeys "$work/others"
refused "the seed of another NKey" '[Aa]uthorization [Vv]iolation' "${tls[@]}" --nkey "$(cat "$work/keys/user.pub")" \
	--nkey-seed "$work/others/user.seed"
refused "what is no seed" 'user\.pub: not the seed of an NKey; expected SU' "${tls[@]}" --nkey "$(cat "$work/keys/user.pub")" \
	--nkey-seed "$work/keys/user.pub"
refused "a seed that is not there" 'missing\.seed: No such file' "${tls[@]}" --nkey "$(cat "$work/keys/user.pub")" --nkey-seed "$work/missing.seed"
nats_kill 0

# --- credentials ---
nats_ports=([1]="${ports[1]}")
nats_start 1 "include keys/server.conf"
passes "credentials" --creds "$work/keys/user.creds"
refused "no credentials" '[Aa]uthorization [Vv]iolation'
refused "credentials that are not there" 'missing\.creds: No such file' --creds "$work/missing.creds"

daemon_stop
done_testing
