# {"name": "Ada"} -> {"greeting": "Hello, Ada!"}
handler() {
    if [[ $1 =~ \"name\":\ *\"([^\"]*)\" ]]; then
        echo "{\"greeting\": \"Hello, ${BASH_REMATCH[1]}!\"}"
    else
        echo "The event has no name" >&2
        return 1
    fi
}
