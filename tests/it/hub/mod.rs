//! Topics: what is published, what is read, what is missed.

mod client;
mod long_schedules;
mod model;
mod reading;
mod schedules;
mod source;
mod world;
