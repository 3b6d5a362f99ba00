# Shared by the rollout scripts: output, dry runs, and the rollback of earlier steps when one fails. Sourced, never run.
# shellcheck shell=bash

DRY_RUN=false
NAMESPACE=${NAMESPACE:-}
APP=${APP:-support-bot}
WAIT=${WAIT:-300s}
readonly EXIT_USAGE=64

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "unable to continue; $*"
  exit 1
}

# Every call that reads from the cluster.
ask() {
  kubectl ${NAMESPACE:+--namespace "$NAMESPACE"} "$@"
}

# Every call that changes the cluster; a dry run only prints it.
change() {
  if $DRY_RUN; then
    say "would run: kubectl ${NAMESPACE:+--namespace $NAMESPACE }$*"
  else
    ask "$@"
  fi
}

# Waits until every pod of a Deployment is new and ready.
settled() {
  change rollout status "deployment/$1" "--timeout=$WAIT"
}

# A version, as images and labels have it.
check_version() {
  [[ $1 =~ ^[0-9A-Za-z]([0-9A-Za-z._-]{0,62})$ && $1 != latest ]] || {
    say "\"$1\" is no version; images are tagged like 1.4.2, never latest"
    exit "$EXIT_USAGE"
  }
}

# Empty if there is no such Deployment.
image_of() {
  ask get "deployment/$1" --ignore-not-found -o 'jsonpath={.spec.template.spec.containers[0].image}'
}

version_of() {
  ask get "deployment/$1" --ignore-not-found -o 'jsonpath={.spec.template.metadata.labels.version}'
}

# A rolling update replaces the version. If the public Service selects one version only (blue and green), it would select no pod.
not_pinned() {
  local pinned
  pinned=$(ask get "service/$APP" -o 'jsonpath={.spec.selector.version}')
  [[ -z $pinned || $pinned == "$1" ]] || fail "service/$APP sends to $pinned only (blue and green); \
first: scripts/deployment/blue-green.sh back (to the old colour at once), finish, or abort"
}

# Deletes pods: they drain, and their clients resume on the others. Returns when the last pod is gone.
remove_drained() {
  change delete "$@" --ignore-not-found --cascade=foreground --wait=true "--timeout=$WAIT"
}

# The image of the same repository in another version.
image_in_version() {
  local image=$1
  printf '%s:%s' "${image%:*}" "$2"
}
