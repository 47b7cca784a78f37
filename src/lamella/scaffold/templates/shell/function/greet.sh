source /opt/lib/greetings.sh # from the layer

handler() {
    local name language=en text
    [[ $1 =~ \"language\":\ *\"([^\"]*)\" ]] && language=${BASH_REMATCH[1]}
    [[ $1 =~ \"name\":\ *\"([^\"]*)\" ]] && name=${BASH_REMATCH[1]}
    text=$(greet "$name" "$language") || return
    printf '{"greeting": "%s", "layer": "%s"}\n' "$text" "$(shopt -s extdebug; set -- $(declare -F greet); echo "$3")"
}
