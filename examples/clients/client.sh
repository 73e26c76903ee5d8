#!/bin/sh
# A Vecmark client with curl 7.76 or newer.
set -eu
url=${VECMARK_URL:-http://127.0.0.1:8000}
collection=${VECMARK_COLLECTION:-example}
wait_s=${VECMARK_WAIT_S:-60}

# Puts the answer into $answer; an error response ends the script.
call() {
    answer=$(curl --fail-with-body --silent --show-error --header 'Content-Type: application/json' "$@") ||
        { echo "$answer" >&2; exit 1; }
}

deadline=$(($(date +%s) + wait_s))
until answer=$(curl --fail-with-body --silent --show-error --max-time 5 "$url/healthcheck" 2>&1); do
    if [ "$(date +%s)" -ge "$deadline" ]; then
        echo "$url is not ready after $wait_s s: $answer" >&2
        exit 1
    fi
    sleep 1
done
echo "$answer"

call "$url/embed" --data '{"text": "A newt lives in ponds."}'
printf '%.40s...\n' "$answer"

call "$url/v1/collections" --data "{\"name\": \"$collection\"}"
call "$url/v1/collections/$collection/documents" --data '{"documents": [
    {"id": "newt", "text": "A newt is a small salamander that lives in ponds."},
    {"id": "violin", "text": "A violin has four strings and is played with a bow."},
    {"id": "bread", "text": "Bread is baked from a dough of flour, water and yeast."}
]}'
echo "$answer"

call "$url/v1/collections/$collection/search" --get --data-urlencode 'q=an animal that swims' --data limit=1
echo "$answer"
