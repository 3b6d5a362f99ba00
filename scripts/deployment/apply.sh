#!/usr/bin/env bash
# Applies the rendered manifests, waits and requests a turn. Refuses if they name another image than the one that runs: a change of
# configuration must not bring an old version back.
set -euo pipefail
# shellcheck source=scripts/lib/kube.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/kube.sh"

usage() {
  explain "apply.sh [--dry-run] [--no-smoke] [--with-version] [FILE]
  FILE            manifests to apply (k8s/deployment.yaml)
  --dry-run       print what would be changed, change nothing
  --no-smoke      do not request a turn afterwards
  --with-version  the manifests' version is to run, whatever runs now"
}

smoke=true
with_version=false
while [[ ${1:-} == --* ]]; do
  case $1 in
    --dry-run) DRY_RUN=true ;;
    --no-smoke) smoke=false ;;
    --with-version) with_version=true ;;
    *) usage ;;
  esac
  shift
done
[[ $# -le 1 ]] || usage
here=$(dirname "${BASH_SOURCE[0]}")
file=${1:-$here/../../k8s/deployment.yaml}
[[ -f $file ]] || fail "there is no file $file"

running=$(image_of "$APP")
# The containers of other workloads have other names.
wanted=$(sed -nE 's/^ +-? *image: *"?([^"]*)"?$/\1/p' "$file" | head -n 1)
if [[ -n $running && $running != "$wanted" ]] && ! $with_version; then
  fail "$running runs, and $file would bring $wanted; \
set what runs: node scripts/deployment/set-version.mjs $running $(version_of "$APP") && npm run render; or apply --with-version"
fi
change apply -f "$file"
settled "$APP" || fail "$APP did not become ready within $WAIT; the pods that were ready still serve; go back: scripts/rollback.sh $(version_of "$APP")"
if $smoke; then
  if $DRY_RUN; then say "would run: scripts/deployment/smoke.sh"
  else "$here/smoke.sh" || fail "$APP does not answer as it should; go back: scripts/rollback.sh $(version_of "$APP")"
  fi
fi
say "$APP runs what $file says"
