//! An embedded partner server on loopback, to try the layer and to test clients against.
