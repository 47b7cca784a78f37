"""The services beside Lambda that functions and deployments touch: moto as a child process, or endpoints by name."""
