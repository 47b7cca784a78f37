# The conformance kit's handler for shells: does what events ask for, and gives back any other event as it is.
# It gets the event as its first argument and prints the result; see docs/reference/verification.md.

# Gives what is between the beginning of an event and the brace at its end.
verify_rest() { rest=${1#"$2"}; rest=${rest%\}}; }

handler() {
    case $1 in
        '{"verify":"actions"'*) printf %s '["actions","echo","error","print","size","environment"]' ;;
        '{"verify":"echo","value":"short","filling":'*) printf %s '"short"' ;;
        '{"verify":"echo","value":'*)
            verify_rest "$1" '{"verify":"echo","value":'
            printf %s "$rest"
            ;;
        '{"verify":"error"'*)
            echo "an error was asked for" >&2
            return 3
            ;;
        '{"verify":"print","text":'*)
            verify_rest "$1" '{"verify":"print","text":"'
            printf '%s\n' "${rest%\"}" >&2
            printf null
            ;;
        '{"verify":"size","bytes":'*)
            verify_rest "$1" '{"verify":"size","bytes":'
            printf '"%s"' "$(head -c "$rest" /dev/zero | tr '\0' x)"
            ;;
        '{"verify":"environment","name":'*)
            verify_rest "$1" '{"verify":"environment","name":"'
            rest=${rest%\"}
            if [ -n "${!rest-}" ]; then printf '"%s"' "${!rest}"; else printf null; fi
            ;;
        '{"verify":'*) printf null ;;
        *) printf %s "$1" ;;
    esac
}

stream() { handler "$1"; }
