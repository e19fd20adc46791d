//! Who may be a TV, a caster or a caller.
