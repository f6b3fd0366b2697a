//! The web side that is not the API: the page's files and the listener.

pub mod assets;
pub mod hosts;
pub mod listener;
mod stall;
