
# A wrapper script gets the program and its arguments as arguments of its own; the two exit codes are those of a shell
# that cannot find or cannot run a program, as on AWS.
if [ -z "$AWS_LAMBDA_EXEC_WRAPPER" ]; then
  exec "${program[@]}"
fi
if [ ! -f "$AWS_LAMBDA_EXEC_WRAPPER" ]; then
  echo "$AWS_LAMBDA_EXEC_WRAPPER: does not exist"
  exit 127
fi
if [ ! -x "$AWS_LAMBDA_EXEC_WRAPPER" ]; then
  echo "$AWS_LAMBDA_EXEC_WRAPPER: is not an executable"
  exit 126
fi
exec -- "$AWS_LAMBDA_EXEC_WRAPPER" "${program[@]}"
