# What functions with this layer share.
greet() { # name, language
    local word
    case $2 in
        de) word=Hallo ;;
        en) word=Hello ;;
        es) word=Hola ;;
        fr) word=Bonjour ;;
        *) echo "there is no greeting in $2" >&2; return 1 ;;
    esac
    printf '%s, %s!' "$word" "$1"
}
