//! The requester against a server on a real socket.

mod get;
mod post;
mod support;
