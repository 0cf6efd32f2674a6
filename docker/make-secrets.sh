#!/bin/sh
# Makes docker/secrets/ with a random password for each user of RabbitMQ and Redis, and the first token of the API.
# It needs openssl. Secrets that are there stay: remove the directory to make all anew.
set -eu
umask 077
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
secrets=${1:-$here/secrets}

if [ -e "$secrets" ]; then
    echo "$secrets is there already and stays as it is; to make all secrets anew, remove it first" >&2
    exit 1
fi
command -v openssl >/dev/null || { echo "openssl is needed; install it" >&2; exit 1; }

# Made aside and moved at the end, so that a half of it never passes for the whole.
made=$secrets.new
rm -rf "$made"
mkdir -p "$made"
trap 'rm -rf "$made"' EXIT

random() { openssl rand -hex 24; }

# What RabbitMQ calls rabbit_password_hashing_sha256: base64 of a salt of four bytes and SHA-256 of salt and password.
rabbitmq_hash() {
    openssl rand -out "$made/salt" 4
    { cat "$made/salt"; printf %s "$1"; } | openssl dgst -sha256 -binary >"$made/digest"
    cat "$made/salt" "$made/digest" | openssl base64 -A
    rm -f "$made/salt" "$made/digest"
}

redis_hash() { printf %s "$1" | openssl dgst -sha256 -r | cut -d ' ' -f 1; }

cp "$here/rabbitmq/definitions.json" "$made/rabbitmq-definitions.json"
for user in admin scheduler worker api monitor; do
    password=$(random)
    hash=$(rabbitmq_hash "$password")
    sed "s|@$user@|$hash|" "$made/rabbitmq-definitions.json" >"$made/definitions.next"
    mv "$made/definitions.next" "$made/rabbitmq-definitions.json"
    printf 'amqp://taskqueue-%s:%s@rabbitmq:5672/taskqueue' "$user" "$password" >"$made/amqp-$user-url"
done
# People log in to the management page with this one.
printf %s "$password" >"$made/rabbitmq-monitor-password"
rm "$made/amqp-monitor-url"

for user in taskqueue operator; do
    password=$(random)
    printf %s "$password" >"$made/redis-$user-password"
    hash=$(redis_hash "$password")
    [ "$user" = taskqueue ] && taskqueue_hash=$hash || operator_hash=$hash
done
sed -e "s|@taskqueue@|$taskqueue_hash|" -e "s|@operator@|$operator_hash|" "$here/redis/users.acl" >"$made/redis-users.acl"

openssl rand -hex 32 | tr -d '\n' >"$made/api-bootstrap-token"

# Containers read them under their own user ids, which are not yours: the directory keeps others on this host out.
chmod 0444 "$made"/*
chmod 0700 "$made"
mv "$made" "$secrets"
echo "made $secrets"
