//! The derive macro for ferrotape-nn's Module trait.
