//! The collector over fixture trees.
