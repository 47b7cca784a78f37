source /opt/lib/greetings.sh # from the layer

member() { # name, event: the text of a member, escaped as it is there
    [[ $2 =~ \"$1\":\ *\"(([^\"\\]|\\.)*)\" ]] && printf %s "${BASH_REMATCH[1]}"
}

handler() {
    local name language text place
    name=$(member name "$1") || { echo "the event has no name" >&2; return 1; }
    language=$(member language "$1") || language=en
    text=$(greet "$name" "$language") || return
    place=$(shopt -s extdebug; set -- $(declare -F greet); echo "$3") # where bash has found it
    printf '{"greeting": "%s", "layer": "%s"}\n' "$text" "$place"
}
