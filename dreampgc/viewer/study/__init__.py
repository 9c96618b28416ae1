"""The paper's user study: people turn the meshes of one prompt, unlabelled and in random order, and pick one.

Vocabulary: a *question* is a prompt with one mesh of each *method*; a *voter* is a browser, known by a random cookie;
a *vote* is what a voter picked for a question. Only the study's owner learns which mesh is whose.

    questions: read the folder ─► ballots: each voter's order, names that tell nothing ─► application: what is answered
    to a request (access: and to whom) ─► server: sockets          votes: the database ─► shares ─► results: page, CSV

Everything here is the standard library's: what faces a network should be small enough to read.
"""
