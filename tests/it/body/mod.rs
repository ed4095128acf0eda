//! Response bodies: frames, endings, decoration.

mod decorated;
mod ends;
mod error;
mod frames;
mod splits;
