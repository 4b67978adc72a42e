#!/bin/sh
# Installs what the tests need and this machine lacks: PHP, Ruby, Node and their parts for the
# interop suite; a voice, a phone, a proxy and a player of scenarios for the tests of calls; an
# SMS gateway; what another gateway keeps its messages in; a compiler for the fuzzer.
# With the argument `voice`, only the voice, which is all that the server itself can use.
set -eu

missing=''
if [ "${1:-all}" != voice ]; then
    php -m 2>/dev/null | grep -qx curl || missing="$missing php-cli php-curl"
    php -m 2>/dev/null | grep -qx SimpleXML || missing="$missing php-cli php-xml"
    command -v ruby >/dev/null || missing="$missing ruby"
    command -v node >/dev/null || missing="$missing nodejs"
    command -v npm >/dev/null || missing="$missing npm"
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3 python3-venv"
    command -v baresip >/dev/null || missing="$missing baresip-core"
    command -v sipp >/dev/null || missing="$missing sip-tester"
    # Not every user has the folder of system programs in the path.
    [ -x /usr/sbin/kamailio ] || missing="$missing kamailio"
    ls /usr/lib/*/kamailio/modules/tls.so >/dev/null 2>&1 || missing="$missing kamailio-tls-modules"
    [ -x /usr/sbin/bearerbox ] || missing="$missing kannel"
    [ -x /usr/lib/kannel/test/fakesmsc ] || missing="$missing kannel-extras"
    [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || missing="$missing rabbitmq-server"
    command -v redis-server >/dev/null || missing="$missing redis-server"
    # The fuzzer's driver is written in C++.
    command -v c++ >/dev/null || missing="$missing g++"
    command -v openssl >/dev/null || missing="$missing openssl"
fi
command -v espeak-ng >/dev/null || missing="$missing espeak-ng"

if [ -z "$missing" ]; then
    exit 0
fi

if [ "$(id -u)" -eq 0 ]; then
    as_root=''
elif command -v sudo >/dev/null; then
    as_root='sudo'
else
    echo "interop: please install as root:$missing" >&2
    exit 1
fi

if ! command -v apt-get >/dev/null; then
    echo "interop: there is no apt-get here; please install by hand:$missing" >&2
    exit 1
fi

echo "interop: installing$missing"
$as_root apt-get -qq update
# shellcheck disable=SC2086 # The list is meant to be split into words.
$as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -qq install --yes --no-install-recommends $missing >/dev/null
