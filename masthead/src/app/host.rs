//! The local sources: this machine and Masthead itself, read on one tick and stored with the tick's time.
//!
//! The first tick is at the start, the next ones are at multiples of the interval, so that the stamps of all local sources
//! form one regular grid, which the store keeps for next to nothing.
