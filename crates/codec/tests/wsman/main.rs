//! WS-Management messages read and written: the exchange vectors that may lie beside the project, and messages of our own that
//! always do.

mod compare;
mod own;
mod vectors;
