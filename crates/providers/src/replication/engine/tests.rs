//! The engine with real daemons, on the loopback interface and unix sockets.

mod failures;
mod life;
mod loss;
mod support;
mod tls;
