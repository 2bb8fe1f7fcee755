"""Whether comparing a signature or a token takes longer the more of it is right."""
