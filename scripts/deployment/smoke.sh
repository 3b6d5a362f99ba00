#!/usr/bin/env bash
# Checks a deployment: health, readiness, and one real turn. The turn costs a few tokens.
set -euo pipefail
# shellcheck source=scripts/lib/kube.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/kube.sh"

usage() {
  say "usage: smoke.sh [--dry-run]
environment: NAMESPACE (kubectl's own), APP (support-bot: the Deployment's name), SECRET (support-bot-secrets)
  SMOKE_URL and SMOKE_OPS_URL: addresses to use instead of a port-forward, such as http://127.0.0.1:8080
  SMOKE_KEY: the key to show instead of sluice-api-key of the Secret; empty: none"
  exit "$EXIT_USAGE"
}

if [[ ${1:-} == --dry-run ]]; then
  DRY_RUN=true
  shift
fi
[[ $# -eq 0 ]] || usage

secret=${SECRET:-support-bot-secrets}
if $DRY_RUN; then
  say "would forward ports to deployment/$APP, ask /health and /ready, and POST /v1/responses with the key in secret/$secret"
  exit 0
fi

forward=
work=$(mktemp -d)
end() {
  if [[ -n $forward ]]; then
    kill "$forward" 2>/dev/null || true
    # Ends with this script, so that the ports are free afterwards.
    wait "$forward" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap end EXIT

if [[ -z ${SMOKE_URL:-} ]]; then
  service_has_pods
  # Created before it is read: the background shell may create it late.
  : >"$work/forward"
  # Port 0: kubectl takes two free ones and names them.
  # Not through the function: the process that is ended later must be kubectl itself, not a shell around it.
  kubectl ${NAMESPACE:+--namespace "$NAMESPACE"} port-forward "deployment/$APP" :8080 :9090 >"$work/forward" 2>"$work/forward-errors" &
  forward=$!
  # 60 s: a busy machine or a slow cluster may take long, and an end of kubectl ends the wait.
  until [[ $(grep -c '^Forwarding from 127' "$work/forward") -ge 2 ]]; do
    kill -0 "$forward" 2>/dev/null || fail "kubectl port-forward ended: $(cat "$work/forward-errors")"
    [[ $SECONDS -lt 60 ]] || fail "kubectl port-forward named no ports within 60 s: $(cat "$work/forward-errors")"
    sleep 0.1
  done
  port_to() { sed -n "s/^Forwarding from 127\.0\.0\.1:\([0-9]*\) -> $1\$/\1/p" "$work/forward"; }
  SMOKE_URL=http://127.0.0.1:$(port_to 8080)
  SMOKE_OPS_URL=http://127.0.0.1:$(port_to 9090)
fi
if [[ -z ${SMOKE_KEY+set} ]]; then
  SMOKE_KEY=$(ask get "secret/$secret" -o 'jsonpath={.data.sluice-api-key}' | base64 -d)
  [[ -n $SMOKE_KEY ]] || fail "secret/$secret has no sluice-api-key"
fi

probe() {
  local status
  status=$(curl --silent --max-time 20 --output /dev/null --write-out '%{http_code}' "${SMOKE_OPS_URL:?}$1") || true
  [[ $status == 200 ]] || fail "$1 answered ${status:-nothing}, not 200"
  say "ok  $1"
}
probe /health
probe /ready

# In a file, not an argument: every user of the machine can read arguments.
[[ -z $SMOKE_KEY ]] || printf 'header = "Authorization: Bearer %s"\n' "$SMOKE_KEY" >"$work/curl"
touch "$work/curl"
status=$(curl --silent --max-time 60 --config "$work/curl" --output "$work/answer" --write-out '%{http_code}' \
  --header 'content-type: application/json' \
  --data '{"input":"Answer with one word: are you there?","max_output_tokens":16,"store":false}' \
  "$SMOKE_URL/v1/responses") || true
[[ $status == 200 ]] || fail "a turn answered ${status:-nothing}: $(head -c 500 "$work/answer" 2>/dev/null)"
grep -Eq '"status": ?"(completed|incomplete)"' "$work/answer" || fail "the turn did not end well: $(head -c 500 "$work/answer")"
say "ok  a turn"
