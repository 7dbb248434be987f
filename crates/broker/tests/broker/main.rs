//! The broker as its front ends see it: the real classes, the memory store, real drivers, and jobs that do what the test says.

mod access;
mod associations;
mod classes;
mod control;
mod house;
mod instances;
mod methods;
mod pull;
mod query;
mod wiring;
