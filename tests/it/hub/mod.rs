//! Topics: what is published, what is read, what is missed.

mod reading;
