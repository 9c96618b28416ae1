"""Pages to look at runs with, in any browser and without any network. They read run folders and nothing else."""
