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

image_of() {
  ask get "deployment/$1" -o "jsonpath={.spec.template.spec.containers[0].image}"
}

# The image of the same repository in another version.
image_in_version() {
  local image=$1
  printf '%s:%s' "${image%:*}" "$2"
}
