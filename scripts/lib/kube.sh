# Shared by the rollout scripts: output, dry runs, and the rollback of earlier steps when one fails. Sourced, never run.
# shellcheck shell=bash

DRY_RUN=false
NAMESPACE=${NAMESPACE:-}
APP=${APP:-support-bot}
WAIT=${WAIT:-300s}
readonly EXIT_USAGE=64

say() { printf '%s\n' "$*" >&2; }

# The line on IMAGE for scripts that start a version. Used by the scripts that source this file.
# shellcheck disable=SC2034
readonly IMAGE_HELP='IMAGE: the image to run, instead of the running one with VERSION as its tag; needed for images by digest'

# Prints how a script is called and exits. $1: the call and its options. $2: a line on its environment beside that of all scripts.
explain() {
  say "usage: $1
environment: NAMESPACE (kubectl's own), APP (support-bot), WAIT (300s)${2:+
  $2}"
  exit "$EXIT_USAGE"
}

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

# The image to run VERSION: IMAGE if the caller names one, else the running image's repository with VERSION as its tag.
image_in_version() {
  local image=$1
  if [[ -n ${IMAGE:-} ]]; then
    printf '%s' "$IMAGE"
    return
  fi
  # A digest names exactly one image, so the one of another version cannot be derived from it.
  [[ $image != *@* ]] || fail "deployment/$APP runs an image by digest ($image); name the new one: IMAGE=REPOSITORY@sha256:... and the same command"
  # A colon before the last slash is the port of a registry.
  [[ ${image##*/} != *:* ]] || image=${image%:*}
  printf '%s:%s' "$image" "$2"
}

# Sets image and version of a Deployment's pods: set_image IMAGE VERSION.
set_image() {
  change patch "deployment/$APP" --type=strategic -p "$(printf '{"spec":{"template":{"metadata":{"labels":{"version":"%s"}},"spec":{"containers":[{"name":"%s","image":"%s"}]}}}}' "$2" "$APP" "$1")"
}

# The public Service selects pods by app, and by version while blue and green are under way. By a version that no pod has (a patch by hand,
# such as "version":"v2"), it sends clients nowhere, though every pod is ready.
service_has_pods() {
  local app version found
  read -r app version <<<"$(ask get "service/$APP" --ignore-not-found -o 'jsonpath={.spec.selector.app} {.spec.selector.version}')"
  [[ -n $version ]] || return 0
  found=$(ask get pods -l "app=$app,version=$version" -o name)
  [[ -n $found ]] || fail "service/$APP selects version $version, which no pod has, so clients reach nothing; \
select all versions: kubectl patch service/$APP --type=merge -p '{\"spec\":{\"selector\":{\"version\":null}}}'"
}
