#!/usr/bin/env bash
# Rolls back to an earlier revision: its version and its configuration, which is part of a revision (each has a ConfigMap of its own). Waits
# until it serves and requests a turn of it. Open sockets are drained, clients resume by themselves.
set -euo pipefail
# shellcheck source=scripts/lib/kube.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/kube.sh"

usage() {
  explain "rollback.sh [--dry-run] [--no-smoke] VERSION
  VERSION     the version to go back to, such as 1.4.1. If it runs now: its revision before this one, which undoes a change of configuration
  --dry-run   print what would be changed, change nothing
  --no-smoke  do not request a turn of the version" \
    "IMAGE: the image to run, if the cluster has no revision of VERSION left and images are by digest"
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
[[ $# -eq 1 && $1 != -* ]] || usage
check_version "$1"
version=$1
here=$(dirname "${BASH_SOURCE[0]}")

now=$(image_of "$APP")
[[ -n $now ]] || fail "there is no deployment/$APP"
not_pinned "$version"
found=$(ask get deployments,replicasets -l "app=$APP" -o json | node "$here/lib/revisions.mjs" "$version" "$APP")
if [[ $found == running ]]; then
  fail "$version runs now, and the cluster has no earlier revision of it; nothing was changed. Earlier: kubectl rollout history deployment/$APP"
elif [[ -n $found ]]; then
  read -r revision image config <<<"$found"
  if [[ $config != - ]]; then
    exists=$(ask get "configmap/$config" --ignore-not-found -o name)
    [[ -n $exists ]] || fail "revision $revision needs configmap/$config, which was deleted; bring the file back in your tree and apply it; nothing was changed"
  fi
  say "$APP: $now -> revision $revision ($version, $image, configuration $config)"
  change rollout undo "deployment/$APP" "--to-revision=$revision"
else
  [[ $(version_of "$APP") != "$version" ]] || fail "$version runs now; nothing was changed"
  image=$(image_in_version "$now" "$version")
  say "$APP: $now -> $image (the cluster has no revision of $version left: only image and label change, the configuration stays)"
  set_image "$image" "$version"
fi
settled "$APP" || fail "$version did not become ready within $WAIT; the pods that were ready still serve; look at: kubectl get pods -l app=$APP"
if $DRY_RUN; then
  ! $smoke || say "would run: scripts/deployment/smoke.sh"
else
  running=$(version_of "$APP")
  [[ $running == "$version" ]] || fail "deployment/$APP runs $running, not $version"
  if $smoke; then "$here/deployment/smoke.sh" || fail "$version runs, but does not answer as it should; the cause is not this rollout: docs/operations/runbook.md"; fi
fi
say "$APP runs $version"
say "in your tree: set $version and its configuration too (git revert); until then an apply brings back what the tree says"
