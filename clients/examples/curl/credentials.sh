#!/bin/sh
# Fetches credentials for TURN and checks them with coturn's client (Debian's package coturn) where that is installed:
# credentials.sh [SERVER [USERNAME]]
# CASTWAY_KEY is an API key of the server. Without one, the credentials reach the relayed addresses of this server alone, which is what two
# clients of one cast or call need; some servers give them only for a key.
set -eu

server=${1:-https://cast.example.org}
username=${2:-alice}

# The key goes in a header that curl reads from standard input: a URL gets into logs, and arguments can be read by all users of a machine.
answer=$(printf 'header = "Authorization: Bearer %s"\n' "${CASTWAY_KEY:-}" | sed '/Bearer "$/d' |
  curl --silent --show-error --fail-with-body --location --config - --get --data-urlencode "username=$username" "$server/turn") || {
  echo "$server gives no credentials: $answer" >&2
  exit 1
}
echo "$answer"

# No value contains a quote.
value() { printf '%s' "$answer" | sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"; }
# The first URL over UDP, such as turn:cast.example.org:3478?transport=udp
turn=$(printf '%s' "$answer" | grep -o 'turn:[^"]*transport=udp' | head -n 1)
[ -n "$turn" ] || exit 0
address=${turn#turn:}
address=${address%\?*}
port=${address##*:}
host=${address%:*}
host=${host#[}
host=${host%]}

check() {
  if command -v "$1" >/dev/null; then
    printf '\n$ %s\n' "$*" && "$@"
  else
    printf '\nInstall %s to check it: %s\n' "$1" "$*"
  fi
}
# What is my address, as others see it (STUN)?
check turnutils_stunclient -p "$port" "$host"
# Do ten packets get from one relayed address to another one (TURN)? All of them arrive if tot_recv_msgs is 20.
check turnutils_uclient -y -c -m 1 -n 10 -u "$(value username)" -w "$(value password)" -p "$port" "$host"
