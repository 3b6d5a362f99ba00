#!/usr/bin/env bash
# Rolls back to an earlier version and waits until it serves. Open sockets are drained, clients resume by themselves.
set -euo pipefail
# shellcheck source=scripts/lib/kube.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/kube.sh"

usage() {
  say "usage: rollback.sh [--dry-run] VERSION
  VERSION    the version to go back to, such as 1.4.1
  --dry-run  tell what would be changed, change nothing
environment: NAMESPACE (kubectl's own), APP (support-bot), WAIT (300s)"
  exit "$EXIT_USAGE"
}

if [[ ${1:-} == --dry-run ]]; then
  DRY_RUN=true
  shift
fi
[[ $# -eq 1 && $1 != -* ]] || usage
check_version "$1"
version=$1

now=$(image_of "$APP")
[[ -n $now ]] || fail "there is no deployment/$APP"
not_pinned "$version"
# A revision that the cluster still has restores all of its pod template, not only the image.
# (Filtered by instance: a second colour or a canary has its own revisions.)
revision=$(ask get replicasets -l "instance=$APP,version=$version" \
  -o 'jsonpath={range .items[*]}{.metadata.annotations.deployment\.kubernetes\.io/revision}{"\n"}{end}' | sort -n | tail -n 1)
if [[ -n $revision ]]; then
  say "$APP: $now -> revision $revision ($version)"
  change rollout undo "deployment/$APP" "--to-revision=$revision"
else
  image=$(image_in_version "$now" "$version")
  say "$APP: $now -> $image (the cluster has no revision of $version left: only image and label change)"
  change patch "deployment/$APP" --type=strategic -p "$(printf '{"spec":{"template":{"metadata":{"labels":{"version":"%s"}},"spec":{"containers":[{"name":"%s","image":"%s"}]}}}}' "$version" "$APP" "$image")"
fi
settled "$APP" || fail "$version did not become ready within $WAIT; the pods that were ready still serve; look at: kubectl get pods -l app=$APP"
if ! $DRY_RUN; then
  found=$(image_of "$APP")
  [[ ${found##*:} == "$version" ]] || fail "deployment/$APP runs $found, not $version"
fi
say "$APP runs $version"
