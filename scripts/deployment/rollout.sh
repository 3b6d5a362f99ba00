#!/usr/bin/env bash
# Rolls out a version, replica by replica, waits, tests it with a turn, and rolls back if a step fails.
set -euo pipefail
# shellcheck source=scripts/lib/kube.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/kube.sh"

usage() {
  say "usage: rollout.sh [--dry-run] [--no-smoke] VERSION
  VERSION     tag of the image to run, such as 1.4.2
  --dry-run   tell what would be changed, change nothing
  --no-smoke  do not ask the new version for a turn
environment: NAMESPACE (kubectl's own), APP (support-bot), WAIT (300s)"
  exit "$EXIT_USAGE"
}

smoke=true
while [[ ${1:-} == --* ]]; do
  case $1 in
    --dry-run) DRY_RUN=true ;;
    --no-smoke) smoke=false ;;
    *) usage ;;
  esac
  shift
done
[[ $# -eq 1 ]] || usage
check_version "$1"
version=$1

before=$(image_of "$APP")
[[ -n $before ]] || fail "there is no deployment/$APP"
not_pinned "$version"
image=$(image_in_version "$before" "$version")

set_version() {
  change patch "deployment/$APP" --type=strategic -p "$(printf '{"spec":{"template":{"metadata":{"labels":{"version":"%s"}},"spec":{"containers":[{"name":"%s","image":"%s"}]}}}}' "${1##*:}" "$APP" "$1")"
}

back() {
  say "$1; going back to $before"
  set_version "$before" || say "unable to go back; run: scripts/rollback.sh ${before##*:}"
  settled "$APP" || say "unable to see $before settle; look at: kubectl get pods -l app=$APP"
  exit 1
}

say "$APP: $before -> $image"
set_version "$image" || back "the change was refused"
settled "$APP" || back "$image did not become ready within $WAIT"
if $smoke; then
  if $DRY_RUN; then say "would run: scripts/deployment/smoke.sh"
  else "$(dirname "${BASH_SOURCE[0]}")/smoke.sh" || back "$image does not answer as it should"
  fi
fi
say "$APP runs $image"
