#!/bin/bash
# lamella-probe-native.sh program LOADER FILE | script FILE: whether a file could be started. Nothing of it runs.
# Status 0: it could. Else the last line printed says what is in the way.

if [ "$1" = program ]; then
  [ -x "$2" ] || { echo "error: it names the loader $2, which is not found here"; exit 1; }
  # Lists what the file is linked with, instead of running it, and checks the versions of symbols.
  exec "$2" --list "$3"
fi

[ -r "$2" ] || { echo "error: it cannot be read by the function's user"; exit 1; }
[ -x "$2" ] || { echo "error: it has no x bit for the function's user"; exit 1; }
IFS= read -r -n 4096 line < "$2"
case $line in
  '#!'*) ;;
  *) echo "error: it is neither an ELF file nor a script with #! in its first line"; exit 1 ;;
esac
case $line in
  *$'\r') echo "error: its lines end with CR LF, so that the interpreter's name is not found"; exit 1 ;;
esac
read -r interpreter program _ <<< "${line#'#!'}"
[ -x "$interpreter" ] || { echo "error: its interpreter $interpreter is not found"; exit 1; }
if [ "${interpreter##*/}" = env ]; then
  [ "$program" = -S ] && read -r _ _ program _ <<< "${line#'#!'}"
  command -v -- "$program" > /dev/null || { echo "error: its interpreter $program is not found on PATH"; exit 1; }
fi
exit 0
