//! placeholder while the crate's room is being built.
