"""AWS Lambda on your own Linux machines."""
