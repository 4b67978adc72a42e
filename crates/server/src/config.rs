//! Configuration: one file and the environment, resolved and checked.
