# {"text": "to be or not to be"} -> {"words": 6, "different": 4}
count() {
    local text words
    text=$(sed 's/.*"text": *"\([^"]*\)".*/\1/' <<<"$1")
    words=$(tr -cs '[:alnum:]' '\n' <<<"$text" | grep .)
    echo "{\"words\": $(wc -l <<<"$words"), \"different\": $(sort -u <<<"$words" | wc -l)}"
}
