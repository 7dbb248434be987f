//! Every reason that the providers can give, provoked for real: a full file system, a foreign lock, a damaged header, a killed
//! engine. `coverage` makes sure that none of the catalogues' entries is left out.
//!
//! What needs mounts, another user or a limit of its own runs in a child of this program; see [`apart`]. The variable
//! `CIMWRIGHT_TEST_QEMU_IMG` names another qemu-img than the installed one. Where the machine does not allow a child (containers
//! without namespaces, no root), the test says so and passes; with `CIMWRIGHT_TEST_NO_SKIP` set it fails.

mod access;
mod answers;
mod apart;
mod coverage;
mod damaged;
mod demo;
mod engine;
mod failing_steps;
mod harness;
mod images;
mod in_use;
mod requests;
mod space;
mod stopped;
mod work;
