"""The parts of the scripts that train the embedded priors: data, networks, training, and diffusers layouts."""
