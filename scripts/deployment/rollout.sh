#!/usr/bin/env bash
# Rolls out a version, replica by replica, waits, tests it with a turn, and rolls back if a step fails.
set -euo pipefail
# shellcheck source=scripts/lib/kube.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/kube.sh"

usage() {
  explain "rollout.sh [--dry-run] [--no-smoke] VERSION
  VERSION     tag of the image to run, such as 1.4.2
  --dry-run   print what would be changed, change nothing
  --no-smoke  do not request a turn of the new version" "$IMAGE_HELP"
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
before_version=$(version_of "$APP")
not_pinned "$version"
image=$(image_in_version "$before" "$version")

back() {
  say "$1; going back to $before"
  set_image "$before" "$before_version" || say "unable to go back; run: scripts/rollback.sh $before_version"
  settled "$APP" || say "unable to see $before settle; look at: kubectl get pods -l app=$APP"
  exit 1
}

say "$APP: $before -> $image"
set_image "$image" "$version" || back "the change was refused"
settled "$APP" || back "$image did not become ready within $WAIT"
if $smoke; then
  if $DRY_RUN; then say "would run: scripts/deployment/smoke.sh"
  else "$(dirname "${BASH_SOURCE[0]}")/smoke.sh" || back "$image does not answer as it should"
  fi
fi
say "$APP runs $image"
say "in your tree: node scripts/deployment/set-version.mjs $image $version && npm run render; until then an apply brings back what the tree says"
