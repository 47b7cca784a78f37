"""CloudFormation, in the child process: stacks whose functions are Lamella's and whose other resources are moto's."""
