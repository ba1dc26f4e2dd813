# Sourced by the programs beside it: runs checks and prints one line of JSON for each, as ../README.md describes.

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# A check runs in a shell of its own, so that the first failure ends it.
fail() {
  echo "$1" >"$scratch/failure"
  exit 1
}

equal() {
  [ "$1" = "$2" ] || fail "got $1, expected $2"
}

needs_rules() {
  [ "$DRIVER_TARGET" != direct ] || { echo 'skipped: direct' >"$scratch/skipped"; return 1; }
}

quoted() {
  local text=${1//\\/\\\\}
  text=${text//\"/\\\"}
  text=${text//$'\n'/\\n}
  text=${text//$'\t'/\\t}
  echo "\"$text\""
}

run() {
  local check ok detail
  for check in "$@"; do
    rm -f "$scratch"/*
    ok=true
    ("$check") >"$scratch/output" 2>&1 || ok=false
    detail=''
    [ $ok = true ] || detail="$(cat "$scratch/failure" "$scratch/output" 2>/dev/null)"
    [ ! -e "$scratch/skipped" ] || detail="$(cat "$scratch/skipped")"
    echo "{\"check\": \"${check//_/-}\", \"ok\": $ok, \"detail\": $(quoted "$detail")}"
  done
}
