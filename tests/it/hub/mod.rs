//! Topics: what is published, what is read, what is missed.

mod bounds;
mod client;
mod closing;
mod gaps;
mod lineage;
mod long_schedules;
mod model;
mod past;
mod people;
mod reading;
mod runtimes;
mod schedules;
mod source;
mod table;
mod wakers;
mod world;
