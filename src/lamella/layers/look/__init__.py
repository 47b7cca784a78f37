"""Looking into layers: what is where, what two versions differ in, what a function sees of several."""
