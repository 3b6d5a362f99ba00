#!/usr/bin/env bash
# Blue and green: a second Deployment and Service beside the first, tried there, then the public Service's selector is patched to its version.
# Clients of the old colour stay connected until it drains; with state in Redis either colour serves any conversation.
set -euo pipefail
# shellcheck source=scripts/lib/kube.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/kube.sh"

usage() {
  explain "blue-green.sh [--dry-run] COMMAND
  up VERSION   start VERSION as deployment and service ${APP}-v2, and wait until it is ready; no client is sent there
  switch       request a turn of ${APP}-v2, then send new connections to it; back to the old colour if it fails
  back         send new connections to the old colour again
  finish       make the new version the only one: ${APP} takes it, then ${APP}-v2 is drained and removed
  abort        back, then ${APP}-v2 is drained and removed" "$IMAGE_HELP"
}

if [[ ${1:-} == --dry-run ]]; then
  DRY_RUN=true
  shift
fi
command=${1:-}
case $command in
  up) [[ $# -eq 2 ]] || usage ;;
  switch | back | finish | abort) [[ $# -eq 1 ]] || usage ;;
  *) usage ;;
esac
here=$(dirname "${BASH_SOURCE[0]}")
green=$APP-v2

# New connections go to this version only.
send_to() {
  change patch "service/$APP" --type=merge -p "$(printf '{"spec":{"selector":{"app":"%s","version":"%s"}}}' "$APP" "$1")"
}

# Selects every version again: a rolling update would leave a selector for one version.
send_to_all() {
  change patch "service/$APP" --type=merge -p '{"spec":{"selector":{"version":null}}}'
}

remove_green() {
  remove_drained "deployment/$green" "service/$green"
}

# The Deployment of the new colour: the old one's, with another name, instance and version. It is made from kubectl's JSON.
green_manifest() {
  ask get "deployment/$APP" -o json | node "$here/../lib/second-colour.mjs" "$APP" "$green" "$1"
}

case $command in
  up)
    check_version "$2"
    manifest=$(green_manifest "$2")
    if $DRY_RUN; then
      say "would apply:"
      printf '%s\n' "$manifest"
      exit 0
    fi
    # Before the new pods exist, because the public Service would select them by its label alone.
    send_to "$(version_of "$APP")"
    undo() {
      say "$1; removing $green"
      { remove_green && send_to_all; } || say "unable to remove $green; run: scripts/deployment/blue-green.sh abort"
      exit 1
    }
    printf '%s\n' "$manifest" | ask apply -f - || undo "the new colour was refused"
    settled "$green" || undo "$green did not become ready within $WAIT"
    say "$green runs $2; try it there, then: scripts/deployment/blue-green.sh switch"
    ;;
  switch)
    old=$(version_of "$APP")
    new=$(version_of "$green")
    [[ -n $new ]] || fail "there is no deployment/$green; start it with: scripts/deployment/blue-green.sh up VERSION"
    settled "$green" || fail "$green is not ready; nothing was changed"
    if $DRY_RUN; then say "would run: APP=$green scripts/deployment/smoke.sh"
    else APP=$green "$here/smoke.sh" || fail "$green does not answer as it should; nothing was changed"
    fi
    send_to "$new"
    if ! $DRY_RUN && ! APP=$green "$here/smoke.sh"; then
      say "$green fails under load; going back to $old"
      send_to "$old" || say "unable to go back; run: scripts/deployment/blue-green.sh back"
      exit 1
    fi
    say "new connections go to $new; those to $old stay until it drains"
    ;;
  back)
    old=$(version_of "$APP")
    send_to "$old"
    say "new connections go to $old"
    ;;
  finish)
    new=$(version_of "$green")
    [[ -n $new ]] || fail "there is no deployment/$green"
    flag=()
    if $DRY_RUN; then flag=(--dry-run); fi
    "$here/rollout.sh" ${flag[@]+"${flag[@]}"} --no-smoke "$new" || fail "$APP did not take $new; $green still serves"
    send_to_all
    remove_green
    say "$APP runs $new"
    ;;
  abort)
    old=$(version_of "$APP")
    send_to "$old"
    remove_green
    send_to_all
    say "$APP runs $old, alone"
    ;;
esac
