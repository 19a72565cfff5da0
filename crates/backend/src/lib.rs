//! Shapes, layouts, arrays, errors and the Backend trait that devices implement for ferrotape.
