"""Who vouches for a version: Ed25519 keys, and signatures over a version's card and the digest of its artifact."""
