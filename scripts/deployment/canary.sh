#!/usr/bin/env bash
# A canary by Istio: a second Deployment gets a share of the clients, and all that request it, until it is promoted or removed.
# The share is of new connections: clients stay connected until their pod drains; with state in Redis either version serves any conversation.
set -euo pipefail
# shellcheck source=scripts/lib/kube.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/kube.sh"

usage() {
  explain "canary.sh [--dry-run] COMMAND
  start VERSION [PERCENT]  start VERSION as deployment ${APP}-canary, request a turn of it, then send it PERCENT (10) of the clients, and those
                           that request it: by the header user-type: beta, or by ?track=beta
  promote                  ${APP} takes the canary's version; then all clients go there, and the canary is drained and removed
  abort                    all clients go to ${APP}; the canary is drained and removed
needs k8s/components/istio in the cluster; only what comes through its gateway is shared out" "$IMAGE_HELP"
}

if [[ ${1:-} == --dry-run ]]; then
  DRY_RUN=true
  shift
fi
command=${1:-}
case $command in
  start)
    [[ $# -eq 2 || $# -eq 3 ]] || usage
    percent=${3:-10}
    [[ $percent =~ ^[1-9][0-9]?$ ]] || usage
    ;;
  promote | abort) [[ $# -eq 1 ]] || usage ;;
  *) usage ;;
esac
here=$(dirname "${BASH_SOURCE[0]}")
canary=$APP-canary

# Sends this share of new connections to the canary. 0: none, also not to clients that request it.
share() {
  change patch "virtualservice/$APP" --type=merge -p "$(node "$here/../lib/canary-routes.mjs" "$APP" "$1")"
}

# First the routes, then the pods, so that no client is sent to a pod that drains.
take_away() {
  share 0 && remove_drained "deployment/$canary"
}

smoke() {
  if $DRY_RUN; then say "would run: APP=$canary scripts/deployment/smoke.sh"
  else APP=$canary "$here/smoke.sh"
  fi
}

case $command in
  start)
    check_version "$2"
    ask get "virtualservice/$APP" "destinationrule/$APP" -o name >/dev/null || fail "there is nothing to set a share of; add k8s/components/istio to the overlay"
    not_pinned ''
    manifest=$(ask get "deployment/$APP" -o json | node "$here/../lib/second-colour.mjs" "$APP" "$canary" "$2" "$percent")
    undo() {
      say "$1; taking the canary away"
      take_away || say "unable to take it away; run: scripts/deployment/canary.sh abort"
      exit 1
    }
    # If a canary is already running, test the new version before it gets clients.
    share 0 || fail "the routes were not taken; nothing was changed"
    if $DRY_RUN; then
      say "would apply:"
      printf '%s\n' "$manifest"
    else
      printf '%s\n' "$manifest" | ask apply -f - || undo "the canary was refused"
    fi
    settled "$canary" || undo "$canary did not become ready within $WAIT"
    smoke || undo "$canary does not answer as it should"
    share "$percent" || undo "the routes were not taken"
    smoke || undo "$canary fails once it is used"
    say "$percent % of new connections, and those that request it, go to $2; watch its errors and latency, then: scripts/deployment/canary.sh promote, or abort"
    ;;
  promote)
    new=$(version_of "$canary")
    [[ -n $new ]] || fail "there is no deployment/$canary; start it with: scripts/deployment/canary.sh start VERSION"
    flag=()
    if $DRY_RUN; then flag=(--dry-run); fi
    "$here/rollout.sh" ${flag[@]+"${flag[@]}"} "$new" || fail "$APP did not take $new; the canary keeps its share"
    take_away || fail "$APP runs $new, but the canary is still there; run: scripts/deployment/canary.sh abort"
    say "$APP runs $new, alone"
    ;;
  abort)
    take_away
    say "$APP runs $(version_of "$APP"), alone"
    ;;
esac
