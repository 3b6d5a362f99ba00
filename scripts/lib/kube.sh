# What the rollout scripts share: how they speak, a dry run, and the undoing of what was done when a step fails. Sourced, never run.
# shellcheck shell=bash

DRY_RUN=false
NAMESPACE=${NAMESPACE:-}
APP=${APP:-support-bot}
WAIT=${WAIT:-300s}
readonly EXIT_USAGE=64

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "unable to go on; $*"
  exit 1
}

# Every call to the cluster that only asks.
ask() {
  kubectl ${NAMESPACE:+--namespace "$NAMESPACE"} "$@"
}

# Every call to the cluster that changes something; a dry run only tells it.
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

# Empty where there is no such Deployment.
image_of() {
  ask get "deployment/$1" --ignore-not-found -o 'jsonpath={.spec.template.spec.containers[0].image}'
}

version_of() {
  ask get "deployment/$1" --ignore-not-found -o 'jsonpath={.spec.template.metadata.labels.version}'
}

# A rolling update leaves a version behind; where the public Service sends to one version only (blue and green), it would send to nobody.
not_pinned() {
  local pinned
  pinned=$(ask get "service/$APP" -o 'jsonpath={.spec.selector.version}')
  [[ -z $pinned || $pinned == "$1" ]] || fail "service/$APP sends to $pinned only (blue and green); \
first: scripts/blue-green.sh back (to the old colour at once), finish, or abort"
}

# Its pods are told to end: they drain, and their clients resume on the others. Ends when the last has gone.
remove_drained() {
  change delete "$@" --ignore-not-found --cascade=foreground --wait=true "--timeout=$WAIT"
}

# The image of the same repository in another version.
image_in_version() {
  local image=$1
  printf '%s:%s' "${image%:*}" "$2"
}
