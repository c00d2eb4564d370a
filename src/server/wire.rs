//! What crosses the wire: the parameters of the four tools and their replies.

mod params;
mod replies;

pub(crate) use params::*;
pub(crate) use replies::*;
